//! A passport as it is kept in a file, and what has changed since. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::judge::{ProbeEntry, ProbeRow};
use super::probe::Law;
use super::record::ProbeRecord;

/// The keys keep their names as long as this number stays; more may be added.
const SCHEMA: u32 = 1;

/// A passport, as `--format json` writes it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeptPassport {
    schema: u32,
    program: String,
    /// The command, as it was typed.
    pub(crate) command: Vec<String>,
    /// A line for each probe.
    pub(crate) probes: Vec<KeptProbe>,
}

/// A probe in it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct KeptProbe {
    /// The probe's name.
    pub(crate) name: String,
    /// What the client did.
    pub(crate) entry: ProbeEntry,
    /// How the standard has that.
    law: Option<Law>,
    /// Where.
    section: String,
    /// The numbers from which it was read.
    numbers: BTreeMap<String, f64>,
    /// What was seen; `null` if nothing ran.
    seen: Option<ProbeRecord>,
}

/// A file that is no passport.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPassport {
    /// It is of another version.
    #[error("it is a passport of version {0}, and this program reads version {SCHEMA}")]
    OtherVersion(u32),
    /// It is none at all.
    #[error("it is no passport")]
    Malformed(#[from] serde_json::Error),
}

/// A probe whose entry has changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// Its name.
    pub(crate) probe: String,
    /// The entry before.
    pub(crate) before: String,
    /// And now.
    pub(crate) now: String,
}

impl KeptPassport {
    /// What is to be kept of these rows.
    pub(crate) fn of(command: &[String], rows: &[ProbeRow<'_>]) -> Self {
        let probe = |(probe, verdict): &ProbeRow<'_>| {
            let did = verdict.doing();
            KeptProbe {
                name: probe.name.clone(),
                entry: verdict.entry(),
                law: verdict.law(),
                section: probe.section.clone(),
                numbers: did.map(|doing| doing.numbers.clone()).unwrap_or_default(),
                seen: did.map(|doing| doing.record.clone()),
            }
        };
        Self {
            schema: SCHEMA,
            program: "lab passport".to_owned(),
            command: command.to_owned(),
            probes: rows.iter().map(probe).collect(),
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`NoPassport`].
    pub(crate) fn read(json: &[u8]) -> Result<Self, NoPassport> {
        #[derive(Deserialize)]
        struct SchemaAlone {
            schema: u32,
        }
        let SchemaAlone { schema } = serde_json::from_slice(json)?;
        if schema != SCHEMA {
            return Err(NoPassport::OtherVersion(schema));
        }
        Ok(serde_json::from_slice(json)?)
    }

    /// What has changed from this one to another. A probe that was not asked in both tells nothing.
    pub(crate) fn changes_to(&self, now: &Self) -> Vec<Change> {
        let asked = |entry: &ProbeEntry| !matches!(entry, ProbeEntry::Skipped(_));
        let pairs = now.probes.iter().filter_map(|probe| {
            let before = self.probes.iter().find(|before| before.name == probe.name)?;
            Some((before, probe))
        });
        let changed = pairs.filter(|(before, now)| {
            asked(&before.entry) && asked(&now.entry) && before.entry != now.entry
        });
        let change = |(before, now): (&KeptProbe, &KeptProbe)| Change {
            probe: now.name.clone(),
            before: before.entry.text(),
            now: now.entry.text(),
        };
        changed.map(change).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(entries: &[(&str, ProbeEntry)]) -> KeptPassport {
        let probe = |(name, entry): &(&str, ProbeEntry)| KeptProbe {
            name: (*name).to_owned(),
            entry: entry.clone(),
            law: None,
            section: String::new(),
            numbers: BTreeMap::new(),
            seen: None,
        };
        let probes = entries.iter().map(probe).collect();
        let command = vec!["curl".to_owned(), "{url}".to_owned()];
        KeptPassport { schema: SCHEMA, program: "lab passport".to_owned(), command, probes }
    }

    #[test]
    fn only_what_was_asked_both_times_can_change() {
        let did = |words: &str| ProbeEntry::Did(words.to_owned());
        let skipped = || ProbeEntry::Skipped("no pause".to_owned());
        let before = kept(&[("a", did("gives up")), ("b", skipped()), ("c", did("x"))]);
        let now =
            kept(&[("a", did("sent again")), ("b", did("y")), ("c", did("x")), ("d", did("z"))]);
        let changes = before.changes_to(&now);
        assert_eq!(changes.len(), 1);
        assert_eq!((&*changes[0].before, &*changes[0].now), ("gives up", "sent again"));
    }

    #[test]
    fn a_passport_is_read_as_it_was_written_and_nothing_else_is() {
        let written = serde_json::to_vec(&kept(&[("a", ProbeEntry::Unforeseen)])).unwrap();
        assert_eq!(KeptPassport::read(&written).unwrap().probes[0].entry, ProbeEntry::Unforeseen);
        assert!(matches!(KeptPassport::read(b"{}"), Err(NoPassport::Malformed(_))));
        assert!(matches!(KeptPassport::read(b"{\"schema\":7}"), Err(NoPassport::OtherVersion(7))));
    }
}
