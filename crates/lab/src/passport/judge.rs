//! What a client did in a probe. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::probe::{Law, Probe};
use super::record::{ClientEnd, ProbeRecord};

/// A probe, and what the client did in it.
pub(crate) type ProbeRow<'a> = (&'a Probe, &'a ProbeVerdict);

/// The end of a probe.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ProbeVerdict {
    /// The client did something.
    Did(Box<Doing>),
    /// It did something else in one run than in another: the words of each, in the order of the runs,
    /// and the first.
    Varies(Vec<ProbeEntry>, Box<Doing>),
    /// It cannot be asked of this command, for this reason.
    Skipped(String),
    /// It could not run, for this reason.
    CouldNotRun(String),
}

/// The words for a client that has not come to an end, where no reading holds.
const STILL_AT_IT: &str = "waits: still at it when its time was over";

/// What a client did.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Doing {
    /// In a few words; `None` if it is nothing that can be read, or that the probe foresees.
    pub(crate) words: Option<String>,
    /// How the standard has that, if it is foreseen.
    pub(crate) law: Option<Law>,
    /// The numbers from which it is read.
    pub(crate) numbers: BTreeMap<String, f64>,
    /// Why nothing is read, in a sentence.
    pub(crate) unread: Option<String>,
    /// All that was seen.
    pub(crate) record: ProbeRecord,
}

impl Doing {
    /// Reads `record` as the probe says.
    pub(crate) fn of(probe: &Probe, record: ProbeRecord) -> Self {
        let numbers = record.numbers(probe);
        let unread = record.disagreement().or_else(|| record.unread());
        let reading = match unread {
            None => probe.readings.iter().find(|reading| reading.holds(&numbers)),
            Some(_) => None,
        };
        let is_late = unread.is_none() && record.end == ClientEnd::TookTooLong;
        let late = is_late.then(|| STILL_AT_IT.to_owned());
        Self {
            words: reading.map(|reading| reading.words.clone()).or(late),
            law: reading.map(|reading| reading.law),
            numbers,
            unread,
            record,
        }
    }
}

impl ProbeVerdict {
    /// One of several runs of the same probe.
    pub(crate) fn of_runs(runs: Vec<Self>) -> Self {
        let entries: Vec<ProbeEntry> = runs.iter().map(Self::entry).collect();
        let is_same = entries.windows(2).all(|pair| pair[0] == pair[1]);
        // A run that could not be read hides nothing behind those that could.
        let unread = |entry: &ProbeEntry| matches!(entry, ProbeEntry::Unread(_));
        let place = entries.iter().position(unread).unwrap_or(0);
        match runs.into_iter().nth(place) {
            Some(Self::Did(doing)) if !is_same && !entries.iter().any(unread) => {
                Self::Varies(entries, doing)
            }
            Some(run) => run,
            None => Self::Skipped("no run".to_owned()),
        }
    }

    /// What was seen, if the probe ran.
    pub(crate) fn doing(&self) -> Option<&Doing> {
        match self {
            Self::Did(doing) | Self::Varies(_, doing) => Some(doing),
            Self::Skipped(_) | Self::CouldNotRun(_) => None,
        }
    }

    /// How the standard has what it did, if that is one thing and foreseen.
    pub(crate) fn law(&self) -> Option<Law> {
        match self {
            Self::Did(doing) => doing.law,
            Self::Varies(..) | Self::Skipped(_) | Self::CouldNotRun(_) => None,
        }
    }

    /// What stands in a passport: the words, or why there are none.
    pub(crate) fn entry(&self) -> ProbeEntry {
        match self {
            Self::Did(doing) => match (&doing.words, &doing.unread) {
                (Some(words), _) => ProbeEntry::Did(words.clone()),
                (None, Some(why)) => ProbeEntry::Unread(why.clone()),
                (None, None) => ProbeEntry::Unforeseen,
            },
            Self::Varies(entries, _) => {
                ProbeEntry::Varies(entries.iter().map(|entry| entry.text().to_owned()).collect())
            }
            Self::Skipped(why) => ProbeEntry::Skipped(why.clone()),
            Self::CouldNotRun(why) => ProbeEntry::Unread(why.clone()),
        }
    }
}

/// An entry of a passport, which can be compared with another's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProbeEntry {
    /// What the client did.
    Did(String),
    /// Not the same in all runs: what it did in each.
    Varies(Vec<String>),
    /// Something that the probe does not foresee.
    Unforeseen,
    /// It was not asked, for this reason.
    Skipped(String),
    /// Nobody knows, for this reason.
    Unread(String),
}

impl ProbeEntry {
    /// In words.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Did(words) => words.clone(),
            Self::Varies(all) => {
                let mut kinds: Vec<&String> = Vec::new();
                all.iter().for_each(|one| {
                    if !kinds.contains(&one) {
                        kinds.push(one);
                    }
                });
                let times = |kind: &&String| all.iter().filter(|one| one == kind).count();
                let told = kinds.iter().map(|kind| format!("{}x {kind}", times(kind)));
                format!("varies: {}", told.collect::<Vec<_>>().join("; "))
            }
            Self::Unforeseen => "something that the probe does not foresee".to_owned(),
            Self::Skipped(why) | Self::Unread(why) => why.clone(),
        }
    }
}
