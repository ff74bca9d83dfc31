//! What was found out about this machine: plain data.

use netlab::{NetworkSettings, Refused};
use packets::CaptureRefusal;
use serde::{Deserialize, Serialize};

/// Something to try, in a process of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Attempt {
    /// To enter a private network, and to connect to a server in it.
    Private,
    /// To enter one with these settings.
    Settings(Box<NetworkSettings>),
    /// The next one, with TUN devices and no others.
    Tun,
    /// To make two hosts, and to connect from one to the other.
    Cable,
    /// To hear a handshake in a private network.
    PacketsInside,
    /// To move into a private network as the user that one is, and to hear a handshake there.
    Observing,
    /// To hear one in the network of this machine.
    PacketsHere,
    /// To reach the tracepoint that tells changes of sockets.
    Tracepoint,
}

/// The result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AttemptOutcome {
    /// It works; what was seen.
    Works(String),
    /// Somebody refuses.
    Refused(Refusal),
    /// It failed, and nobody is known to refuse it.
    Failed(String),
    /// It was not tried, for this reason.
    NotTried(String),
}

/// The one who refuses, and the cure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) what: String,
    pub(crate) by: String,
    pub(crate) fix: String,
    /// True if AppArmor can be told to allow it to this program.
    pub(crate) apparmor: bool,
}

impl AttemptOutcome {
    pub(crate) fn works(&self) -> bool {
        matches!(self, Self::Works(_))
    }
}

impl From<&Refused> for Refusal {
    fn from(refused: &Refused) -> Self {
        let apparmor = refused.is_by_apparmor();
        let [what, by, fix] = [refused.what(), refused.by(), refused.fix()].map(ToOwned::to_owned);
        Self { what, by, fix, apparmor }
    }
}

impl From<&CaptureRefusal> for Refusal {
    fn from(refused: &CaptureRefusal) -> Self {
        let [what, by, fix] = [refused.what(), refused.by(), refused.fix()].map(ToOwned::to_owned);
        Self { what, by, fix, apparmor: false }
    }
}

/// All that was found out.
#[derive(Clone, Debug)]
pub(crate) struct DoctorFacts {
    pub(crate) system: SystemFacts,
    pub(crate) private: AttemptOutcome,
    /// Each set of settings that an experiment makes in its network, and whether it could be made.
    pub(crate) settings: Vec<(NetworkSettings, AttemptOutcome)>,
    pub(crate) tun: AttemptOutcome,
    pub(crate) cable: AttemptOutcome,
    pub(crate) packets_inside: AttemptOutcome,
    pub(crate) observing: AttemptOutcome,
    pub(crate) packets_here: AttemptOutcome,
    pub(crate) tracepoint: AttemptOutcome,
    /// The settings of the network in which this runs.
    pub(crate) sysctls: Vec<SysctlFact>,
    /// The limit on open files.
    pub(crate) descriptors: Option<DescriptorLimit>,
    pub(crate) ports: Option<LocalPorts>,
    pub(crate) tools: Vec<ToolFact>,
    pub(crate) experiments: Vec<ExperimentNeeds>,
}

/// The system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SystemFacts {
    /// `linux`.
    pub(crate) os: String,
    /// The kernel's release.
    pub(crate) kernel: Option<String>,
    /// As who this runs.
    pub(crate) user: Option<u32>,
}

/// A setting of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SysctlFact {
    /// As `sysctl` names it.
    pub(crate) name: &'static str,
    /// Its value, or why that cannot be read.
    pub(crate) value: Result<String, String>,
}

/// The limit on open files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DescriptorLimit {
    /// The one that holds; `None` for no limit.
    pub(crate) soft: Option<u64>,
    /// As far as a process may raise it.
    pub(crate) hard: Option<u64>,
}

/// The ports that this network gives to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalPorts {
    /// How many there are.
    pub(crate) all: u64,
    /// How many of them some TCP socket has.
    pub(crate) used: u64,
}

/// A program that the lab does not need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolFact {
    pub(crate) name: &'static str,
    /// What it adds.
    pub(crate) adds: &'static str,
    /// The first line of what it says of its version; `None` if it could not be started.
    pub(crate) version: Option<String>,
}

/// An experiment, and what its runs take.
#[derive(Clone, Debug)]
pub(crate) struct ExperimentNeeds {
    pub(crate) name: String,
    pub(crate) trials: Vec<TrialNeeds>,
}

/// A run, and what it takes.
#[derive(Clone, Debug)]
pub(crate) struct TrialNeeds {
    /// True if it cannot do without a private network.
    pub(crate) private: bool,
    pub(crate) settings: NetworkSettings,
    pub(crate) two_hosts: bool,
    /// True if its packets are predicted.
    pub(crate) packets: bool,
}

/// Returns each set of settings that some run makes, once.
pub(crate) fn distinct_settings(experiments: &[ExperimentNeeds]) -> Vec<NetworkSettings> {
    let mut distinct: Vec<NetworkSettings> = Vec::new();
    for trial in experiments.iter().flat_map(|experiment| &experiment.trials) {
        if !trial.settings.is_default() && !distinct.contains(&trial.settings) {
            distinct.push(trial.settings.clone());
        }
    }
    distinct
}
