//! A probe: a server that does as a script says, and what a client may do about it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use peers::ConnectionScript;
use serde::{Deserialize, Serialize};

use crate::experiment::Expected;
use crate::formula::{FormulaError, Names};
use crate::settings::Time;

/// A probe.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Probe {
    /// Its name, such as `05-closed-at-once`.
    pub(crate) name: String,
    /// The question, in one sentence or two.
    pub(crate) question: String,
    /// How many requests the client has to make, one after the other, in one process.
    pub(crate) urls: usize,
    /// The pause that the client has to make between them, if it has to.
    pub(crate) pause: Option<Duration>,
    /// True if its request has to have a body.
    pub(crate) body: bool,
    /// How long a packet travels, each way.
    pub(crate) delay: Duration,
    /// Where the standard speaks of it.
    pub(crate) section: String,
    /// What it says there, in a sentence.
    pub(crate) standard: String,
    /// The script of each connection; all further ones have the last.
    pub(crate) connections: Vec<ConnectionScript>,
    /// What a client may do. The first that holds is what it did.
    pub(crate) readings: Vec<Reading>,
}

/// One of the things that a client may do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reading {
    /// In a few words.
    pub(crate) words: String,
    /// How the standard has it.
    pub(crate) law: Law,
    /// The numbers by which it is known, each from its least to its most.
    expects: BTreeMap<String, (f64, f64)>,
}

/// How a standard has something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Law {
    /// MUST, or the only thing that makes sense of one.
    Required,
    /// MAY, or nothing is said.
    Allowed,
    /// SHOULD NOT.
    Discouraged,
    /// MUST NOT.
    Forbidden,
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Required => "required",
            Self::Allowed => "allowed",
            Self::Discouraged => "discouraged",
            Self::Forbidden => "forbidden",
        })
    }
}

impl Reading {
    /// Returns true if every number is there and as expected.
    pub(crate) fn holds(&self, numbers: &BTreeMap<String, f64>) -> bool {
        self.expects.iter().all(|(name, (least, most))| {
            numbers.get(name).is_some_and(|number| (least..=most).contains(&number))
        })
    }
}

/// The names of the numbers that count words in the client's output begin so.
pub(crate) const SAID: &str = "said.";
/// And of those that count words in its errors.
pub(crate) const ERROR: &str = "error.";

/// A fault in the file of a probe.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProbeError {
    /// It is no TOML, or not of this shape.
    #[error("passport/{name}.toml: {}", cause.to_string().trim_end())]
    NotAProbe {
        /// Its name.
        name: String,
        /// Line, column and what is allowed there. Not a `source`: it is all in the message.
        cause: Box<toml::de::Error>,
    },
    /// A number that is expected is none.
    #[error("passport/{name}.toml: `{words}`")]
    NoNumber {
        /// Its name.
        name: String,
        /// The reading.
        words: String,
        /// Why not.
        source: FormulaError,
    },
}

/// The file, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProbeFile {
    question: String,
    urls: usize,
    pause: Option<Time>,
    #[serde(default)]
    body: bool,
    delay: Option<Time>,
    section: String,
    standard: String,
    connection: Vec<ConnectionScript>,
    reading: Vec<ReadingRow>,
}

/// `[[reading]]`, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReadingRow {
    words: String,
    law: Law,
    expect: toml::Table,
}

impl Probe {
    /// Reads the probe `name` from the text of its file.
    ///
    /// # Errors
    /// [`ProbeError`].
    pub(crate) fn read(name: &str, source: &str) -> Result<Self, ProbeError> {
        let file: ProbeFile = toml::from_str(source).map_err(|cause| ProbeError::NotAProbe {
            name: name.to_owned(),
            cause: Box::new(cause),
        })?;
        let readings = file.reading.into_iter().map(|row| {
            let expects = flat(&row.expect).map(|(number, text)| {
                let range = Expected::parse(&text).and_then(|it| it.range(&Names::default()));
                let (name, words) = (name.to_owned(), row.words.clone());
                let range = range.map_err(|source| ProbeError::NoNumber { name, words, source })?;
                Ok((number, range))
            });
            let expects = expects.collect::<Result<_, ProbeError>>()?;
            Ok(Reading { words: row.words, law: row.law, expects })
        });
        let readings = readings.collect::<Result<_, ProbeError>>()?;
        Ok(Self {
            name: name.to_owned(),
            question: file.question,
            urls: file.urls,
            pause: file.pause.map(|Time(time)| time),
            body: file.body,
            delay: file.delay.map_or(Duration::ZERO, |Time(time)| time),
            section: file.section,
            standard: file.standard,
            connections: file.connection,
            readings,
        })
    }

    /// The words that its readings count under names with `prefix`: [`SAID`] or [`ERROR`].
    pub(crate) fn words(&self, prefix: &str) -> impl Iterator<Item = &str> {
        let names = self.readings.iter().flat_map(|reading| reading.expects.keys());
        names.filter_map(move |name| name.strip_prefix(prefix))
    }

    /// Its name without the number.
    pub(crate) fn short(&self) -> &str {
        self.name.split_once('-').map_or(&self.name, |(_, short)| short)
    }
}

/// The numbers of a table, those of inner tables under `outer.inner`.
fn flat(table: &toml::Table) -> impl Iterator<Item = (String, String)> + '_ {
    table.iter().flat_map(|(name, value)| match value {
        toml::Value::Table(inner) => {
            flat(inner).map(|(inner, text)| (format!("{name}.{inner}"), text)).collect::<Vec<_>>()
        }
        toml::Value::String(text) => vec![(name.clone(), text.clone())],
        other => vec![(name.clone(), other.to_string())],
    })
}
