//! The experiments that come with the lab, and those that a learner writes.

use std::path::Path;

use report::words::printable;

use crate::bounded_file;
use crate::experiment::{Experiment, ExperimentError as Wrong, ExperimentWish};
use crate::formula::closest;

macro_rules! built_in {
    ($($name:literal,)*) => {
        &[$(($name, include_str!(concat!("../../../experiments/", $name, ".toml"))),)*]
    };
}

/// The name and the text of each.
const BUILT_IN: &[(&str, &str)] = built_in![
    "01-sequential-drained",
    "02-sequential-held",
    "03-sequential-dropped",
    "04-concurrent-cap-2",
    "05-concurrent-cap-10",
    "06-cap-sweep",
    "07-three-at-once",
    "08-idle-timeout",
    "09-max-idle-in-all",
    "10-max-connections-per-host",
    "11-who-closes-first",
    "12-time-wait",
    "13-port-exhaustion",
    "14-http2",
    "15-keep-alive-or-keepalive",
    "16-cost-of-short-connections",
    "17-throughput",
    "18-race-at-start",
    "19-post",
    "20-upload",
    "21-handler-timeout",
    "22-write-timeout",
    "23-server-idle-timeout",
    "24-a-thousand-at-once",
    "25-idle-memory",
    "26-accept-queue",
    "27-half-a-head",
    "28-slow-reader",
    "29-tcpdump",
    "30-ten-packets",
    "31-the-end",
    "32-last-ack",
    "33-old-duplicate",
    "34-round-trip",
    "35-stale-connection",
    "36-silence",
    "37-lost-syn",
    "38-warm-connection",
    "39-nagle",
    "40-lost-syns",
    "41-early-413",
    "42-lost-packet",
];

/// The most bytes of a file that is read as an experiment.
const MOST_TEXT: u64 = 1 << 20;

/// Why there is no such experiment.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogueError {
    /// No experiment has this name.
    #[error("there is no experiment `{asked}`; {}", hint(known.as_ref()))]
    Unknown {
        /// The request that was made.
        asked: String,
        /// A name like it.
        known: Option<&'static str>,
    },
    /// The file cannot be read.
    #[error("cannot read the experiment {file}")]
    Unreadable {
        /// The file.
        file: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The experiment makes no sense.
    #[error(transparent)]
    Wrong(#[from] Wrong),
}

fn hint(known: Option<&&str>) -> String {
    match known {
        Some(known) => format!("did you mean `{known}`?"),
        None => "`lab list` names them all, and the name of a file ends in .toml".to_owned(),
    }
}

/// Every experiment that comes with the lab, in order.
///
/// # Errors
/// If an override fits one of them badly.
pub(crate) fn all(wanted: &ExperimentWish) -> Result<Vec<Experiment>, CatalogueError> {
    BUILT_IN.iter().map(|(name, text)| built_in(name, text, wanted)).collect()
}

fn built_in(name: &str, text: &str, wanted: &ExperimentWish) -> Result<Experiment, CatalogueError> {
    let shown = format!("experiments/{name}.toml");
    Ok(Experiment::read(name, &shown, text, wanted)?)
}

/// The experiment that `asked` names: by its whole name, its number (`4`, `04`), its name without
/// the number (`concurrent-cap-2`), or as a file.
///
/// # Errors
/// [`CatalogueError`] says what is wrong, and what may have been meant.
pub(crate) fn find(asked: &str, wanted: &ExperimentWish) -> Result<Experiment, CatalogueError> {
    if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| is_called(name, asked)) {
        return built_in(name, text, wanted);
    }
    let path = Path::new(asked);
    if path.extension().is_none_or(|extension| extension != "toml") {
        let names = BUILT_IN.iter().map(|(name, _)| *name);
        let known = closest(asked, names.clone());
        let known = known.or_else(|| {
            let bare = closest(asked, names.clone().map(without_number))?;
            names.clone().find(|name| without_number(name) == bare)
        });
        return Err(CatalogueError::Unknown { asked: asked.to_owned(), known });
    }
    let text = bounded_file::read_text(path, MOST_TEXT)
        .map_err(|source| CatalogueError::Unreadable { file: asked.to_owned(), source })?;
    let name = printable(&path.file_stem().unwrap_or_default().to_string_lossy());
    Ok(Experiment::read(&name, asked, &text, wanted)?)
}

/// `09-max-idle-in-all through go and go1.27`: through which transports experiments run.
#[must_use]
pub(crate) fn transports_of(experiments: &[Experiment]) -> String {
    let told: Vec<String> = experiments
        .iter()
        .map(|experiment| {
            let mut names: Vec<&str> =
                experiment.trials.iter().map(crate::experiment::Trial::transport).collect();
            names.sort_unstable();
            names.dedup();
            format!("{} runs through {}", experiment.name, names.join(", "))
        })
        .collect();
    told.join("; ")
}

fn without_number(name: &str) -> &str {
    name.split_once('-').map_or(name, |(_, rest)| rest)
}

fn is_called(name: &str, asked: &str) -> bool {
    let number = |text: &str| text.parse::<u32>().ok();
    let own = name.split('-').next().and_then(number);
    name == asked || without_number(name) == asked || (own.is_some() && own == number(asked))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn root() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    #[test]
    fn every_file_is_built_in_and_has_a_page() {
        let mut files: Vec<String> = fs::read_dir(root().join("experiments"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter_map(|name| name.strip_suffix(".toml").map(str::to_owned))
            .collect();
        files.sort();
        let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        assert_eq!(files, names);
        for name in names {
            let page = root().join("docs").join(format!("{name}.md"));
            assert!(page.exists(), "{} is missing", page.display());
        }
    }

    #[test]
    fn every_experiment_makes_sense_and_asks_in_one_line() {
        for experiment in all(&ExperimentWish::default()).unwrap() {
            let Experiment { name, question, look_for, .. } = &experiment;
            assert!(name.len() + 2 + question.len() <= 80, "{name}: {question}");
            assert!(question.ends_with('?'), "{name}");
            assert!(look_for.is_some(), "{name} does not say what to look for");
        }
    }

    /// The page of an experiment, up to where it is run.
    fn before_the_run(name: &str) -> String {
        let page = fs::read_to_string(root().join("docs").join(format!("{name}.md"))).unwrap();
        page.split("\n## Run").next().unwrap().to_owned()
    }

    #[test]
    fn every_experiment_asks_in_words_and_only_of_cases_that_its_page_has_told_of() {
        for (name, text) in BUILT_IN {
            assert!(text.contains("[[ask]]"), "{name} asks nothing");
            let page = before_the_run(name);
            assert!(page.contains(" --predict`"), "{name}: the page does not say what is asked");
            let experiment = built_in(name, text, &ExperimentWish::default()).unwrap();
            assert!(!experiment.questions.is_empty(), "{name}");
            for question in &experiment.questions {
                let told = &question.text;
                assert!(told.ends_with('?') && told.len() <= 78, "{name}: {told}");
                // A quantity's name may be the answer, and a number may be changed by `--set`.
                let is_name = |word: &str| {
                    crate::quantities::meaning(word).is_some() && word.contains(['.', '_'])
                };
                assert!(!told.split(' ').any(is_name), "{name}: {told}");
                assert!(!told.contains(|c: char| c.is_ascii_digit()), "{name}: {told}");
                let case = &experiment.trials[question.trial].case;
                assert!(page.contains(case), "{name}: nobody has told of {case} yet");
            }
        }
    }

    #[test]
    fn the_experiments_that_the_readme_shows_make_sense() {
        let page = fs::read_to_string(root().join("experiments/README.md")).unwrap();
        let blocks: Vec<&str> =
            page.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
        assert_eq!(blocks.len(), 4);
        for block in blocks {
            Experiment::read("own", "experiments/README.md", block, &ExperimentWish::default())
                .unwrap();
        }
    }

    #[test]
    fn the_readme_names_every_quantity_and_every_setting() {
        let page = fs::read_to_string(root().join("experiments/README.md")).unwrap();
        let of_tables = crate::quantities::IN_TABLE.map(|(name, _)| name);
        let observed = crate::quantities::QUANTITIES.map(|(name, _)| name);
        let settings = crate::settings::Settings::default().names(evidence::Preset::Go);
        let names = observed.into_iter().chain(of_tables).chain(settings.names());
        for name in names {
            let last = name.rsplit('.').next().unwrap();
            assert!(page.contains(&format!("{last}`")), "{name} is not explained");
        }
    }

    #[test]
    fn an_experiment_is_found_by_name_number_and_what_comes_near() {
        for asked in ["04-concurrent-cap-2", "4", "04", "concurrent-cap-2"] {
            assert_eq!(
                find(asked, &ExperimentWish::default()).unwrap().name,
                "04-concurrent-cap-2",
                "{asked}"
            );
        }
        let told = |asked| find(asked, &ExperimentWish::default()).unwrap_err().to_string();
        insta::assert_snapshot!(
            told("concurent-cap-2"),
            @"there is no experiment `concurent-cap-2`; did you mean `04-concurrent-cap-2`?"
        );
        insta::assert_snapshot!(
            told("99"),
            @"there is no experiment `99`; `lab list` names them all, and the name of a file ends in .toml"
        );
        assert!(told("nowhere.toml").contains("cannot read the experiment nowhere.toml"));
    }
}
