//! All that the witnesses of a run saw, whole, so that it survives the run's process.

use std::collections::BTreeMap;
use std::time::Duration;

use evidence::{Outcome, Reading, RunEvent};
use peers::RawSeen;
use serde::{Deserialize, Serialize};

/// The evidence of one run, as its process tells it and as `--evidence` writes it. Numbers say
/// their unit in their key; `not_observable` is what no witness could see.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The words of all witnesses together: setup, exchanges, connections, tables, disagreements.
    pub outcome: Outcome,
    /// The looks at the kernel's table that the script asked for.
    pub snapshots: Vec<Snapshot>,
    /// The sights of the clients that are none.
    pub raw: RawSeen,
    /// Every moment of the client's trace, if they were asked for.
    pub events: Vec<RunEvent>,
    /// By how much the kernel's counters grew, by name; none outside of a private network. On two
    /// hosts, of both together, and of each under `client.` and `server.`.
    pub counters: BTreeMap<String, u64>,
    /// The settings of the private network, read back from the kernel; on two hosts, the client's.
    pub network: Vec<(String, String)>,
    /// The share of the machine that the run's process has taken.
    pub process: ProcessUse,
}

/// A look at the kernel's table that a script asks for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// The table.
    pub reading: Reading,
    /// The memory of the run's process at that moment.
    pub resident_bytes: Option<u64>,
}

/// The share of the machine that a process has taken up to its end; `None` where the system does
/// not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessUse {
    /// Processor time.
    pub cpu_us: Option<u64>,
    /// Memory.
    pub resident_bytes: Option<u64>,
}

impl ProcessUse {
    /// Asks the system about this process.
    pub(crate) fn now() -> Self {
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            cpu_us: crate::process::processor_time().map(us),
            resident_bytes: crate::process::resident(),
        }
    }
}

impl RunRecord {
    /// The first failure of each kind, in its own words.
    pub(crate) fn failures(&self) -> BTreeMap<&'static str, &str> {
        let mut failures = BTreeMap::new();
        for failure in self.outcome.exchanges.iter().filter_map(|it| it.body.as_ref().err()) {
            failures.entry(failure.kind.name()).or_insert(failure.message.as_str());
        }
        failures
    }

    /// Where the witnesses disagree, in sentences.
    pub(crate) fn disagreements(&self) -> impl Iterator<Item = &str> {
        self.outcome.disagreements.iter().map(|disagreement| disagreement.sentence.as_str())
    }
}
