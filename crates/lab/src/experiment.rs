//! An experiment: a question, settings, cases, predictions. Read from a TOML file.

use std::fmt;
use std::ops::Range;

use evidence::Preset;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};
use toml::Spanned;

use crate::formula::{self, Formula};
use crate::settings::{Client, Network, Server, Settings, Step, Workload};
use crate::{observe, setup};

/// An experiment whose every formula is known to give a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// Its name: that of its file, without the extension.
    pub name: String,
    /// What is asked, in one sentence.
    pub question: String,
    /// What to look for in the result.
    pub look_for: Option<String>,
    /// Whether nothing else may run beside it.
    pub alone: bool,
    /// What the chart below its results shows, if there is one: a quantity, case by case.
    pub chart: Option<Formula>,
    /// Its runs: each case through each transport.
    pub trials: Vec<Trial>,
}

/// One run of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Which case; empty if there is but one.
    pub case: String,
    /// Through which transport.
    pub preset: Preset,
    /// Under which settings.
    pub settings: Settings,
    /// What is predicted.
    pub predictions: Vec<Prediction>,
    /// What is shown without a prediction.
    pub measures: Vec<Measure>,
    /// Why it needs a private network, if it does.
    pub needs_private: Option<String>,
}

/// One quantity and the numbers between which it is predicted to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// What is observed.
    pub what: Formula,
    /// The rule, as the file states it.
    pub expected: Expected,
    /// The smallest number that agrees.
    pub least: f64,
    /// The largest number that agrees.
    pub most: f64,
    /// Why, in one clause.
    pub because: String,
}

impl Prediction {
    /// Whether it agrees with what was observed. Room for the last bit of a division.
    #[must_use]
    pub fn holds(&self, observed: f64) -> bool {
        (self.least - 1e-9..=self.most + 1e-9).contains(&observed)
    }
}

/// How many measures an experiment may have: a table has room for no more.
pub const MEASURES: usize = 5;

/// Something that is measured and shown, but not predicted.
#[derive(Clone, Debug, PartialEq)]
pub struct Measure {
    /// What.
    pub what: Formula,
    /// In which unit, such as `ms a request`.
    pub unit: String,
}

/// A number, a range, or formulas for them.
#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    /// Just this.
    Exactly(Formula),
    /// At least the first, at most the second; an end that is missing is open.
    Between(Option<Formula>, Option<Formula>),
}

impl Expected {
    fn parse(text: &str) -> Result<Self, formula::Error> {
        let Some((least, most)) = text.split_once("..") else {
            return Formula::parse(text.trim()).map(Self::Exactly);
        };
        let end = |text: &str| match text.trim() {
            "" => Ok(None),
            text => Formula::parse(text).map(Some),
        };
        Ok(Self::Between(end(least)?, end(most)?))
    }

    fn range(&self, names: &formula::Names) -> Result<(f64, f64), formula::Error> {
        match self {
            Self::Exactly(formula) => formula.value(names).map(|value| (value, value)),
            Self::Between(least, most) => {
                let least = least.as_ref().map(|formula| formula.value(names)).transpose()?;
                let most = most.as_ref().map(|formula| formula.value(names)).transpose()?;
                Ok((least.unwrap_or(f64::NEG_INFINITY), most.unwrap_or(f64::INFINITY)))
            }
        }
    }

    /// The rule, unless it is plain numbers.
    #[must_use]
    pub fn rule(&self) -> Option<String> {
        let plain = |end: &Option<Formula>| end.as_ref().is_none_or(Formula::is_number);
        match self {
            Self::Exactly(formula) if formula.is_number() => None,
            Self::Between(least, most) if plain(least) && plain(most) => None,
            rule => Some(rule.to_string()),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end =
            |end: &Option<Formula>| end.as_ref().map_or(String::new(), |e| e.text().to_owned());
        match self {
            Self::Exactly(formula) => f.write_str(formula.text()),
            Self::Between(least, most) => write!(f, "{} .. {}", end(least), end(most)),
        }
    }
}

/// What is wrong with an experiment, and where.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is no TOML, or not of this shape.
    #[error("{file}: {}", cause.to_string().trim_end())]
    NotAnExperiment {
        /// The file.
        file: String,
        /// Line, column and what is allowed there. Not a `source`: it is all in the message.
        cause: Box<toml::de::Error>,
    },
    /// It has the shape, but makes no sense.
    #[error("{file}{}: {what}", line.map_or(String::new(), |line| format!(", line {line}")))]
    NoSense {
        /// The file.
        file: String,
        /// The line, if one is to blame.
        line: Option<usize>,
        /// What is wrong.
        what: String,
    },
    /// `--set` is no setting.
    #[error("--set {text}: {what}")]
    BadOverride {
        /// What was typed.
        text: String,
        /// What is wrong with it.
        what: String,
    },
}

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    question: String,
    look_for: Option<String>,
    transports: Option<Vec<Transport>>,
    #[serde(default)]
    alone: bool,
    chart: Option<Spanned<String>>,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    server: Server,
    #[serde(default)]
    client: Client,
    #[serde(default)]
    workload: Workload,
    #[serde(default)]
    case: Vec<Case>,
    #[serde(default)]
    predict: Vec<Spanned<Predict>>,
    #[serde(default)]
    measure: Vec<Spanned<Shown>>,
}

/// `[[case]]`: settings laid over the file's.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    transports: Option<Vec<Transport>>,
    #[serde(default)]
    network: Network,
    #[serde(default)]
    server: Server,
    #[serde(default)]
    client: Client,
    #[serde(default)]
    workload: Workload,
}

/// `[[predict]]`: what is expected, for some transports and cases, and why.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Predict {
    transports: Option<Vec<Transport>>,
    cases: Option<Vec<String>>,
    expect: IndexMap<String, Spanned<Rule>>,
    because: String,
}

/// `[[measure]]`: what is shown beside the predictions.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    show: String,
    unit: String,
}

/// A transport by its name.
#[derive(Clone, Copy, PartialEq)]
struct Transport(Preset);

impl<'de> Deserialize<'de> for Transport {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        const NAMES: &[&str] = &["go", "go1.27", "hyper-util"];
        let name = String::deserialize(from)?;
        let preset = Preset::ALL.into_iter().find(|preset| preset.name() == name);
        preset.map(Self).ok_or_else(|| D::Error::unknown_variant(&name, NAMES))
    }
}

/// The right side of an expectation: a number, or a text with formulas.
struct Rule(String);

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Rule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, a formula, or a range such as \"1 .. workers\"")
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Rule, E> {
                Ok(Rule(number.to_string()))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Rule, E> {
                Ok(Rule(number.to_string()))
            }

            fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Rule, E> {
                Ok(Rule(number.to_string()))
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Rule, E> {
                Ok(Rule(text.to_owned()))
            }
        }
        from.deserialize_any(Reader)
    }
}

/// What was typed after `--set`, such as `client.per_host=5`.
#[derive(Clone, Debug, PartialEq)]
pub struct Override {
    text: String,
    settings: Settings,
}

impl Override {
    /// Reads `key=value`. A value that is no TOML is taken as a text: `20ms` for `"20ms"`.
    ///
    /// # Errors
    /// [`Error::BadOverride`] with the allowed keys.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let bad = |what: String| Error::BadOverride { text: text.to_owned(), what };
        let (key, value) =
            text.split_once('=').ok_or_else(|| bad("not of the form KEY=VALUE".into()))?;
        let (key, value) = (key.trim(), value.trim());
        if !key.contains('.') {
            return Err(bad("a key has its section, as in client.per_host".into()));
        }
        let as_toml = format!("{key} = {value}");
        let as_text = format!("{key} = {value:?}");
        let is_toml = as_toml.parse::<toml::Table>().is_ok();
        let settings = toml::from_str(if is_toml { &as_toml } else { &as_text });
        let settings =
            settings.map_err(|error: toml::de::Error| bad(error.message().to_owned()))?;
        Ok(Self { text: text.to_owned(), settings })
    }
}

/// Reads an experiment, and finds out at once whether every formula of it makes sense.
struct Reader<'a> {
    /// How the file is called in messages.
    shown: &'a str,
    source: &'a str,
}

impl Experiment {
    /// Reads the experiment `name` from `source`, the text of a file that is called `shown` in
    /// messages, and lays `overrides` over every case.
    ///
    /// # Errors
    /// [`Error`] with the file and the line.
    pub fn read(
        name: &str,
        shown: &str,
        source: &str,
        overrides: &[Override],
    ) -> Result<Self, Error> {
        let reader = Reader { shown, source };
        let file: File = toml::from_str(source).map_err(|cause| Error::NotAnExperiment {
            file: shown.to_owned(),
            cause: Box::new(cause),
        })?;
        let trials = reader.trials(&file, overrides)?;
        let chart = file.chart.as_ref().map(|chart| reader.chart(chart)).transpose()?;
        Ok(Self {
            name: name.to_owned(),
            question: file.question,
            look_for: file.look_for,
            alone: file.alone,
            chart,
            trials,
        })
    }
}

impl Reader<'_> {
    fn no_sense(&self, span: Option<Range<usize>>, what: impl fmt::Display) -> Error {
        let before = span.and_then(|span| self.source.get(..span.start));
        let line = before.map(|before| before.matches('\n').count() + 1);
        Error::NoSense { file: self.shown.to_owned(), line, what: what.to_string() }
    }

    fn trials(&self, file: &File, overrides: &[Override]) -> Result<Vec<Trial>, Error> {
        self.check_names_of_cases(file)?;
        if let Some(measure) = file.measure.get(MEASURES) {
            let what = format!("no more than {MEASURES} measures");
            return Err(self.no_sense(Some(measure.span()), what));
        }
        let common = Settings {
            network: file.network.clone(),
            server: file.server.clone(),
            client: file.client.clone(),
            workload: file.workload.clone(),
        };
        let mut trials = Vec::new();
        for case in cases(file) {
            let mut settings = common.with(&case.settings);
            for over in overrides {
                self.check_override(over, &case)?;
                settings = settings.with(&over.settings);
            }
            for &transport in &case.transports {
                trials.push(self.trial(file, &case, transport, settings.clone())?);
            }
        }
        Ok(trials)
    }

    /// A case that is about a key would tell a lie if that key were overridden.
    fn check_override(&self, over: &Override, case: &Laid<'_>) -> Result<(), Error> {
        let of_case = case.settings.keys();
        let both = over.settings.keys().into_iter().find(|key| of_case.contains(key));
        match both {
            None => Ok(()),
            Some(key) => Err(Error::BadOverride {
                text: over.text.clone(),
                what: format!("{}: its case `{}` sets {key} itself", self.shown, case.name),
            }),
        }
    }

    fn check_names_of_cases(&self, file: &File) -> Result<(), Error> {
        let names: Vec<&str> = file.case.iter().map(|case| case.name.as_str()).collect();
        if let Some(twice) = (1..names.len()).find(|&n| names[..n].contains(&names[n])) {
            return Err(self.no_sense(None, format!("two cases are called `{}`", names[twice])));
        }
        for row in &file.predict {
            for case in row.as_ref().cases.iter().flatten() {
                if !names.contains(&case.as_str()) {
                    let known = names.join("`, `");
                    let what = format!("there is no case `{case}`; there are `{known}`");
                    return Err(self.no_sense(Some(row.span()), what));
                }
            }
        }
        Ok(())
    }

    fn trial(
        &self,
        file: &File,
        case: &Laid<'_>,
        transport: Transport,
        settings: Settings,
    ) -> Result<Trial, Error> {
        let Transport(preset) = transport;
        settings.ready(preset, false).map_err(|error: setup::Error| self.no_sense(None, error))?;
        let names = settings.names(preset);
        let observed = observe::vocabulary(snapshots(&settings)).and(&names);
        let speaks_of = |transports: &Option<Vec<Transport>>, cases: &Option<Vec<String>>| {
            transports.as_ref().is_none_or(|all| all.contains(&transport))
                && cases.as_ref().is_none_or(|all| all.iter().any(|name| name == case.name))
        };
        let mut predictions = Vec::new();
        for row in &file.predict {
            let Predict { transports, cases, expect, because } = row.as_ref();
            if !speaks_of(transports, cases) {
                continue;
            }
            for (what, rule) in expect {
                let blame = |error| self.no_sense(Some(rule.span()), error);
                let what = Formula::parse(what).map_err(blame)?;
                // Whether its value makes sense is known once there are observations.
                check_names(&what, &observed).map_err(blame)?;
                let Rule(text) = rule.as_ref();
                let expected = Expected::parse(text).map_err(blame)?;
                let (least, most) = expected.range(&names).map_err(blame)?;
                if least > most {
                    let what = format!("the range `{text}` is empty: from {least} to {most}");
                    return Err(self.no_sense(Some(rule.span()), what));
                }
                let because = because.clone();
                predictions.push(Prediction { what, expected, least, most, because });
            }
        }
        if predictions.is_empty() {
            let of_case = if case.name.is_empty() {
                String::new()
            } else {
                format!(" case `{}`,", case.name)
            };
            let what = format!("nothing is predicted for{of_case} transport {}", preset.name());
            return Err(self.no_sense(None, what));
        }
        let mut measures = Vec::new();
        for row in &file.measure {
            let Shown { show, unit } = row.as_ref();
            let blame = |error| self.no_sense(Some(row.span()), error);
            let what = Formula::parse(show).map_err(blame)?;
            check_names(&what, &observed).map_err(blame)?;
            measures.push(Measure { what, unit: unit.clone() });
        }
        let needs_private = needs_private(&settings, &predictions, &measures);
        let case = case.name.to_owned();
        Ok(Trial { case, preset, settings, predictions, measures, needs_private })
    }

    fn chart(&self, chart: &Spanned<String>) -> Result<Formula, Error> {
        let blame = |error| self.no_sense(Some(chart.span()), error);
        let formula = Formula::parse(chart.as_ref()).map_err(blame)?;
        check_names(&formula, &observe::vocabulary([])).map_err(blame)?;
        Ok(formula)
    }
}

/// Whether a formula over observations uses names that are known. What it divides by is not
/// known before the run.
fn check_names(formula: &Formula, names: &formula::Names) -> Result<(), formula::Error> {
    match formula.value(names) {
        Err(formula::Error::NoNumber { .. }) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

/// A case that is laid over the file, or the file itself if it has none.
struct Laid<'a> {
    name: &'a str,
    settings: Settings,
    transports: Vec<Transport>,
}

fn cases(file: &File) -> Vec<Laid<'_>> {
    let all = || Preset::ALL.map(Transport).to_vec();
    let transports = file.transports.clone().unwrap_or_else(all);
    if file.case.is_empty() {
        return vec![Laid { name: "", settings: Settings::default(), transports }];
    }
    let laid = |case: &'_ Case| Settings {
        network: case.network.clone(),
        server: case.server.clone(),
        client: case.client.clone(),
        workload: case.workload.clone(),
    };
    file.case
        .iter()
        .map(|case| Laid {
            name: &case.name,
            settings: laid(case),
            transports: case.transports.clone().unwrap_or(transports.clone()),
        })
        .collect()
}

/// The names that the steps of a script give to tables.
fn snapshots(settings: &Settings) -> impl Iterator<Item = &str> {
    settings.workload.steps.iter().flatten().filter_map(|step| match step {
        Step::Snapshot(name) => Some(name.as_str()),
        _ => None,
    })
}

fn needs_private(
    settings: &Settings,
    predictions: &[Prediction],
    measures: &[Measure],
) -> Option<String> {
    if let Some(key) = settings.keys().iter().find(|key| key.starts_with("network.")) {
        return Some(format!("sets {key}"));
    }
    let predicted = predictions.iter().map(|prediction| &prediction.what);
    let mut all = predicted.chain(measures.iter().map(|measure| &measure.what));
    all.any(|what| observe::groups_in(what.text()).contains("counter"))
        .then(|| "counts what the whole network does".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(source: &str) -> Result<Experiment, String> {
        Experiment::read("own", "own.toml", source, &[]).map_err(|error| error.to_string())
    }

    fn wrong(source: &str) -> String {
        read(source).unwrap_err()
    }

    const CAP: &str = "question = 'x'\n\
        [client]\n\
        per_host = 2\n\
        [workload]\n\
        kind = 'concurrent'\n\
        [[predict]]\n\
        expect.opened = 'workers + (requests - 1) * (workers - per_host)'\n\
        because = 'y'\n";

    fn first(experiment: &Experiment) -> &Prediction {
        &experiment.trials[0].predictions[0]
    }

    #[test]
    fn an_experiment_runs_through_every_transport_that_it_does_not_exclude() {
        let experiment = read(CAP).unwrap();
        let presets: Vec<Preset> = experiment.trials.iter().map(|trial| trial.preset).collect();
        assert_eq!(presets, Preset::ALL);
        let one = read(&format!("transports = ['go']\n{CAP}")).unwrap();
        assert_eq!(one.trials.len(), 1);
    }

    #[test]
    fn an_override_changes_the_prediction_too() {
        assert_eq!(first(&read(CAP).unwrap()).least, 82.0);
        let over = [Override::parse("client.per_host=5").unwrap()];
        let changed = Experiment::read("own", "own.toml", CAP, &over).unwrap();
        assert_eq!((first(&changed).least, first(&changed).most), (55.0, 55.0));
        assert_eq!(
            first(&changed).expected.rule().as_deref(),
            Some("workers + (requests - 1) * (workers - per_host)")
        );
    }

    #[test]
    fn a_case_is_laid_over_the_file_and_has_its_own_prediction() {
        let experiment = read(
            "question = 'x'\ntransports = ['go']\nserver.bytes = 11\n\
             [[case]]\nname = 'a'\nclient.per_host = 1\n\
             [[case]]\nname = 'b'\nclient.per_host = 3\nserver.bytes = '1KiB'\n\
             [[predict]]\nexpect.opened = 'per_host'\nbecause = 'y'\n\
             [[predict]]\ncases = ['b']\nexpect.failed = '0 .. 1'\nbecause = 'z'\n",
        )
        .unwrap();
        let [a, b] = &experiment.trials[..] else { panic!("two cases") };
        assert_eq!((a.predictions.len(), a.predictions[0].most), (1, 1.0));
        assert_eq!(
            (b.predictions.len(), b.predictions[0].most, b.predictions[1].most),
            (2, 3.0, 1.0)
        );
        assert_eq!(b.settings.server.bytes.unwrap().0, 1024);
    }

    #[test]
    fn a_case_is_not_overridden_in_what_it_is_about() {
        let source = "question = 'x'\n[[case]]\nname = 'a'\nclient.per_host = 1\n\
                      [[predict]]\nexpect.opened = 1\nbecause = 'y'\n";
        let over = [Override::parse("client.per_host=5").unwrap()];
        let error = Experiment::read("own", "own.toml", source, &over).unwrap_err();
        insta::assert_snapshot!(
            error,
            @"--set client.per_host=5: own.toml: its case `a` sets client.per_host itself"
        );
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_and_those_that_are_allowed() {
        insta::assert_snapshot!(wrong("question = 'x'\n\n[network]\nport = 1\n"), @r"
        own.toml: TOML parse error at line 4, column 1
          |
        4 | port = 1
          | ^^^^
        unknown field `port`, expected one of `local_ports`, `tcp_tw_reuse`, `tcp_tw_reuse_delay`, `tcp_max_tw_buckets`, `tcp_fin_timeout`
        ");
        assert!(wrong("frage = 'x'").contains("expected one of `question`"));
        assert!(wrong("question = 'x'\nworkload.steps = [{ wiat = '1s' }]").contains("`wait`"));
    }

    #[test]
    fn a_value_of_the_wrong_kind_says_what_is_expected() {
        for (setting, expected) in [
            ("server.delay = 20", "20: no unit; expected a time as in \"20ms\" or \"1s\""),
            ("server.delay = '2 days'", "`2 days`: longer than a day; expected a time"),
            ("server.bytes = 'many'", "`many`: not a number of bytes; expected a number of bytes"),
            ("client.per_host = -1", "invalid value: integer `-1`, expected a number, 0 or more"),
            (
                "client.max_idle = 'all'",
                "`all`: not a number; expected a number, 0 or more, or \"none\"",
            ),
            ("client.body = 'eat'", "expected one of `drain`, `drop`, `hold`"),
        ] {
            let error = wrong(&format!("question = 'x'\n{setting}\n"));
            assert!(error.contains(expected) && error.contains("line 2"), "{error}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anything_runs() {
        let script = |steps: &str| format!("workload = {{ kind = 'script', steps = [{steps}] }}");
        let cases = [
            (
                "",
                "opend = 1",
                ", line 4: `opend` names `opend`, which is unknown; did you mean `opened`?",
            ),
            (
                "",
                "opened = 'worker'",
                ", line 4: `worker` names `worker`, which is unknown; did you mean `workers`?",
            ),
            ("", "opened = 'opened'", ", line 4: `opened` names `opened`, which is unknown"),
            ("", "opened = 'requests / 0'", ", line 4: `requests / 0` gives no number: "),
            ("", "opened = '5 .. 3'", ", line 4: the range `5 .. 3` is empty: from 5 to 3"),
            ("", "opened = '1 +'", ", line 4: `1 +` is no formula"),
            ("chart = 'opend'", "opened = 1", ", line 2: `opend` names `opend`"),
            (
                "client.max_idle = 3",
                "opened = 1",
                ": hyper-util has no limit on idle connections in all",
            ),
            ("client.version = 'http2'", "opened = 1", ": go has no "),
            ("workload.requests = 0", "opened = 1", ": workload.requests: none would do nothing"),
            ("workload.workers = 3", "opened = 1", "kind = \"sequential\" has one"),
            ("workload.steps = ['finish']", "opened = 1", "only for kind = \"script\""),
            ("server.starts = 'when-told'", "opened = 1", "when-told needs a script that tells it"),
            ("server.count = 0", "opened = 1", ": server.count: from 1 to 16"),
            (&script("{ request = { server = 2 } }"), "opened = 1", "there is no server 2 of 1"),
            (&script("'listen'"), "opened = 1", "listen and accept need server.starts"),
            (&script("{ snapshot = 'after' }"), "opened = 1", "the name has a meaning already"),
            (&script("{ snapshot = 'A b' }"), "opened = 1", "a name is made of small letters"),
            (&script(""), "opened = 1", "a script needs steps"),
        ];
        for (setting, expect, expected) in cases {
            let source =
                format!("question = 'x'\n{setting}\n[[predict]]\nexpect.{expect}\nbecause = 'y'\n");
            let error = wrong(&source);
            assert!(error.starts_with("own.toml") && error.contains(expected), "{source}\n{error}");
        }
        assert_eq!(wrong("question = 'x'"), "own.toml: nothing is predicted for transport go");
        let measure = "[[measure]]\nshow = 'opend'\nunit = 'z'\n";
        assert!(wrong(&format!("{CAP}{measure}")).contains("line 9: `opend` names `opend`"));
    }

    #[test]
    fn a_case_that_is_predicted_but_not_there_is_refused() {
        let source = "question = 'x'\n[[case]]\nname = 'a'\n[[case]]\nname = 'b'\n\
                      [[predict]]\ncases = ['c']\nexpect.opened = 1\nbecause = 'y'\n";
        insta::assert_snapshot!(
            wrong(source),
            @"own.toml, line 6: there is no case `c`; there are `a`, `b`"
        );
        let twice = source.replace("'b'", "'a'").replace("'c'", "'a'");
        assert!(wrong(&twice).contains("two cases are called `a`"));
    }

    #[test]
    fn only_what_speaks_of_the_network_needs_one_of_its_own() {
        let needs = |setting: &str, what: &str| {
            let source = format!(
                "question = 'x'\n{setting}\n[[predict]]\nexpect.'{what}' = 1\nbecause = 'y'\n"
            );
            read(&source).unwrap().trials[0].needs_private.clone()
        };
        assert_eq!(needs("", "opened"), None);
        assert_eq!(
            needs("network.tcp_tw_reuse = 0", "opened").as_deref(),
            Some("sets network.tcp_tw_reuse")
        );
        if cfg!(target_os = "linux") {
            assert!(needs("", "counter.TcpOutSegs / requests").is_some());
        }
    }

    #[test]
    fn an_override_is_a_key_with_its_section_and_a_value() {
        let wrong = |text: &str| Override::parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(wrong("per_host"), @"--set per_host: not of the form KEY=VALUE");
        insta::assert_snapshot!(
            wrong("per_host=1"),
            @"--set per_host=1: a key has its section, as in client.per_host"
        );
        assert!(wrong("client.per_hots=1").contains("expected one of `body`, `per_host`"));
        let delay = |text| Override::parse(text).unwrap().settings.server.delay.unwrap().0;
        assert_eq!(delay("server.delay=20ms"), delay(" server.delay = '20ms' "));
    }

    proptest! {
        #[test]
        fn no_file_makes_the_reader_panic(source in "(question = 'x'\n)?\\PC{0,200}") {
            let _ = read(&source);
        }

        #[test]
        fn no_formula_makes_the_reader_panic(formula in "[-+*/%() a-z0-9._]{0,40}") {
            let source = format!(
                "question = 'x'\ntransports = ['go']\n[[predict]]\nexpect.opened = '{formula}'\nbecause = 'y'\n"
            );
            let _ = read(&source);
        }
    }
}
