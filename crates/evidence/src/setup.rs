//! What a run was asked to do, and what it is predicted to show.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::micros;

/// A program that runs exchanges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// One exchange after the other.
    Sequential,
    /// Several workers side by side.
    Concurrent,
    /// Declared experiments.
    Lab,
}

impl Program {
    /// The name by which cargo knows it, such as `sequential`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sequential => "sequential",
            Self::Concurrent => "concurrent",
            Self::Lab => "lab",
        }
    }
}

/// The client whose pool rules are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The rules of Go's `http.Transport` up to Go 1.26, re-created.
    Go,
    /// The rules of Go's `http.Transport` since Go 1.27, re-created.
    Go127,
    /// hyper-util's legacy `Client` itself.
    HyperUtil,
}

impl Preset {
    /// Every preset, in the order in which they are told.
    pub const ALL: [Self; 3] = [Self::Go, Self::Go127, Self::HyperUtil];

    /// The name by which it is asked for: `go`, `go1.27`, `hyper-util`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Go127 => "go1.27",
            Self::HyperUtil => "hyper-util",
        }
    }

    /// Returns what it is, honestly: a re-creation or the real thing.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Go => "Go's http.Transport rules up to 1.26, in Rust on hyper",
            Self::Go127 => "Go's http.Transport rules since 1.27, in Rust on hyper",
            Self::HyperUtil => "hyper-util's legacy Client, the real thing",
        }
    }
}

/// The reader's way with the body of each response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodyPolicy {
    /// Reads it to its end.
    Drain,
    /// Lets go of it unread.
    Drop,
    /// Keeps it, unread, until the run is over.
    Hold,
}

impl BodyPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Drain, Self::Drop, Self::Hold];

    /// `drain`, `drop` or `hold`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Drop => "drop",
            Self::Hold => "hold",
        }
    }
}

/// The task of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// The program that runs it.
    pub program: Program,
    /// The client's rules.
    pub preset: Preset,
    /// The reader's way with each body.
    pub body: BodyPolicy,
    /// How many workers send requests side by side.
    pub workers: usize,
    /// How many requests each worker sends, one after the other.
    pub requests: usize,
    /// The pause between a worker's exchanges.
    #[serde(rename = "interval_us", with = "micros")]
    pub interval: Duration,
    /// Max idle connections per host.
    pub per_host: usize,
    /// Max idle connections in all; `None` for no limit.
    pub max_idle: Option<usize>,
    /// Max connections per host, busy ones included; `None` for no limit.
    pub max_conns_per_host: Option<usize>,
    /// How long a connection may stay idle; `None` for ever.
    #[serde(rename = "idle_timeout_us", with = "micros")]
    pub idle_timeout: Option<Duration>,
    /// True if connections are kept for another exchange at all.
    pub keep_alives: bool,
    /// The server's part.
    pub server: ServerSetup,
    /// The flags that were typed, in the order of the help; none where nobody types any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub flags: Vec<CommandFlag>,
}

/// A flag of a command, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandFlag {
    /// Its long name without the dashes, such as `per-host`.
    pub name: String,
    /// Its value; `None` for one that has none.
    pub value: Option<String>,
}

impl CommandFlag {
    /// Its words on a command line: `--per-host`, `2`.
    pub fn words(&self) -> impl Iterator<Item = String> + use<> {
        let name = format!("--{}", self.name);
        match &self.value {
            // clap would take such a value for a flag.
            Some(value) if value.starts_with('-') => vec![format!("{name}={value}")],
            value => [Some(name), value.clone()].into_iter().flatten().collect(),
        }
        .into_iter()
    }
}

/// The server's part of a [`Setup`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSetup {
    /// True if the server runs in this process, so that it can be asked what it accepted.
    pub in_process: bool,
    /// The URL of each request.
    pub url: String,
    /// The size of each body in bytes; `None` if the server was not told.
    pub bytes: Option<u64>,
    /// The time before the head of each response.
    #[serde(rename = "delay_us", with = "micros")]
    pub delay: Duration,
    /// The time between head and body of each response.
    #[serde(rename = "pause_before_body_us", with = "micros")]
    pub pause_before_body: Duration,
}

impl Setup {
    /// All requests of all workers.
    #[must_use]
    pub fn exchanges(&self) -> usize {
        self.workers.saturating_mul(self.requests)
    }
}

/// A decision of a client that follows Go's rules, and decides otherwise than Go: somebody has
/// changed them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleDifference {
    /// The rule and the case, in words.
    pub rule: String,
    /// Go's decision, in words.
    pub go: String,
    /// This build's.
    pub here: String,
}

impl fmt::Display for RuleDifference {
    /// Writes `retries of idempotent requests (Go: yes; here: no)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rule, go, here } = self;
        write!(f, "{rule} (Go: {go}; here: {here})")
    }
}

/// How many connections a run is expected to open, told before it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// The smallest number that agrees with the prediction.
    pub least: usize,
    /// The largest number that agrees with the prediction.
    pub most: usize,
    /// The rule with this run's numbers in it, such as `10 + 9 x (10 - 2)`.
    pub formula: String,
    /// Why, in one short clause.
    pub because: String,
}

impl Prediction {
    /// Returns true if `opened` connections agree with it.
    #[must_use]
    pub fn holds(&self, opened: usize) -> bool {
        (self.least..=self.most).contains(&opened)
    }
}

impl fmt::Display for Prediction {
    /// Writes `82` or `10 to 82`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.least == self.most {
            write!(f, "{}", self.least)
        } else {
            write!(f, "{} to {}", self.least, self.most)
        }
    }
}
