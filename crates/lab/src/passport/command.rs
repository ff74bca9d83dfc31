//! A client's command, and what it becomes for a probe. Pure.

use std::path::Path;
use std::time::Duration;

use super::probe::Probe;

/// Stands for a URL in a command.
const URL: &str = "{url}";
/// Stands for the seconds between two requests.
const PAUSE: &str = "{pause}";

/// The command of a client, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientCommand(pub(crate) Vec<String>);

/// A command that no probe can use.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnusableCommand {
    /// It fetches nothing.
    #[error("the command has no {URL}, so it would fetch nothing: {0}")]
    NoUrl(String),
    /// There is no such program.
    #[error("there is no program {0}")]
    NoProgram(String),
}

impl ClientCommand {
    /// Makes sure that it fetches a URL, and that its program is there.
    ///
    /// # Errors
    /// [`UnusableCommand`].
    pub(crate) fn check(&self) -> Result<(), UnusableCommand> {
        if self.urls() == 0 {
            return Err(UnusableCommand::NoUrl(self.0.join(" ")));
        }
        let program = self.0.first().cloned().unwrap_or_default();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_there = match program.contains('/') {
            true => Path::new(&program).is_file(),
            false => std::env::split_paths(&path).any(|place| place.join(&program).is_file()),
        };
        if is_there { Ok(()) } else { Err(UnusableCommand::NoProgram(program)) }
    }

    /// How many URLs it fetches, one after the other.
    fn urls(&self) -> usize {
        self.0.iter().map(|word| word.matches(URL).count()).sum()
    }

    /// Says why `probe` cannot be asked of it, if so.
    pub(crate) fn is_unfit_for(&self, probe: &Probe) -> Option<String> {
        if self.urls() < probe.urls {
            return Some(format!("needs {URL} {} times", probe.urls));
        }
        let pauses = self.0.iter().any(|word| word.contains(PAUSE));
        (probe.pause.is_some() && !pauses).then(|| format!("needs {PAUSE}"))
    }

    /// The words for `probe`: each URL has a path of its own, `/1`, `/2`. A word that is a URL and
    /// nothing else is left out if the probe asks for fewer.
    pub(crate) fn words(&self, probe: &Probe, server: &str) -> Vec<String> {
        let pause = probe.pause.unwrap_or(Duration::ZERO).as_secs_f64().to_string();
        let mut number = 0;
        let mut words = Vec::new();
        for word in &self.0 {
            if word == URL && number >= probe.urls {
                continue;
            }
            let mut parts = word.split(URL);
            let mut whole = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                number += 1;
                whole.push_str(&format!("http://{server}/{number}"));
                whole.push_str(part);
            }
            words.push(whole.replace(PAUSE, &pause));
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(urls: usize, pause: Option<u64>) -> Probe {
        let mut probe = super::super::battery::battery().unwrap().remove(0);
        (probe.urls, probe.pause) = (urls, pause.map(Duration::from_millis));
        probe
    }

    fn command(line: &str) -> ClientCommand {
        ClientCommand(line.split(' ').map(str::to_owned).collect())
    }

    #[test]
    fn each_url_has_a_path_of_its_own_and_there_are_as_many_as_the_probe_asks_for() {
        let curl = command("curl -s {url} {url}");
        assert_eq!(
            curl.words(&probe(2, None), "h:1"),
            ["curl", "-s", "http://h:1/1", "http://h:1/2"]
        );
        assert_eq!(curl.words(&probe(1, None), "h:1"), ["curl", "-s", "http://h:1/1"]);
        assert_eq!(curl.is_unfit_for(&probe(2, None)), None);
        let within = command("fetch --from={url},{url}");
        assert_eq!(
            within.words(&probe(1, None), "h:1"),
            ["fetch", "--from=http://h:1/1,http://h:1/2"]
        );
    }

    #[test]
    fn what_a_command_cannot_do_is_said() {
        let once = command("curl {url}");
        assert_eq!(once.is_unfit_for(&probe(2, None)).unwrap(), "needs {url} 2 times");
        assert_eq!(once.is_unfit_for(&probe(1, Some(500))).unwrap(), "needs {pause}");
        let paused = command("fetch {pause} {url} {url}");
        assert_eq!(paused.words(&probe(2, Some(500)), "h:1")[1], "0.5");
        assert_eq!(paused.words(&probe(1, None), "h:1")[1], "0");
    }
}
