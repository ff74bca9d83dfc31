//! From facts to a judgement. Pure.

use report::words::count;

use super::facts::{
    AttemptOutcome, DoctorFacts, ExperimentNeeds, Refusal, SystemFacts, ToolFact, TrialNeeds,
};
use super::meaning;

/// The judgement.
#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    pub(crate) system: SystemFacts,
    pub(crate) rows: Vec<DoctorRow>,
    pub(crate) settings: Vec<SettingRow>,
    pub(crate) tools: Vec<ToolFact>,
    pub(crate) experiments: Vec<ExperimentFate>,
    /// True if runs have networks of their own.
    pub(crate) private: bool,
}

/// Something that the lab does, and whether it can here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DoctorRow {
    pub(crate) what: &'static str,
    pub(crate) state: RowState,
    pub(crate) because: String,
    pub(crate) cure: Option<String>,
}

/// The state of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowState {
    Works,
    DoesNot,
    NotTried,
}

/// A setting of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettingRow {
    pub(crate) name: &'static str,
    /// `None` if it cannot be read.
    pub(crate) value: Option<String>,
    pub(crate) meaning: String,
}

/// An experiment, and what would become of it here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExperimentFate {
    pub(crate) name: String,
    pub(crate) runs: usize,
    pub(crate) of: usize,
    /// Why the others would not run.
    pub(crate) obstacle: Option<Obstacle>,
}

/// The reason why a run does not take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Obstacle {
    NoPrivateNetwork,
    NoSecondHost,
    Settings,
    NoPackets,
}

impl RowState {
    /// `works`, `does not`, `not tried`.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::DoesNot => "does not",
            Self::NotTried => "not tried",
        }
    }
}

impl Obstacle {
    pub(crate) const ALL: [Self; 4] =
        [Self::NoPrivateNetwork, Self::NoSecondHost, Self::Settings, Self::NoPackets];

    /// Names what is wanting: `a private network`.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::NoPrivateNetwork => "a private network",
            Self::NoSecondHost => "a second host",
            Self::Settings => "settings that cannot be made",
            Self::NoPackets => "packets that cannot be heard",
        }
    }

    /// True if `lab run` skips such a run; else it fails.
    pub(crate) fn is_skipped(self) -> bool {
        matches!(self, Self::NoPrivateNetwork | Self::NoSecondHost)
    }
}

impl Judgement {
    /// True if nothing that was tried failed, and everything was.
    pub(crate) fn all_works(&self) -> bool {
        self.rows.iter().all(|row| row.state == RowState::Works)
    }
}

pub(crate) fn judge(facts: &DoctorFacts) -> Judgement {
    Judgement {
        system: facts.system.clone(),
        rows: rows(facts),
        settings: settings(facts),
        tools: facts.tools.clone(),
        experiments: facts.experiments.iter().map(|it| fate(it, facts)).collect(),
        private: facts.private.works(),
    }
}

fn rows(facts: &DoctorFacts) -> Vec<DoctorRow> {
    vec![
        row("private network", &facts.private),
        of_settings(facts),
        row("TUN device", &facts.tun),
        row("second host, cable", &facts.cable),
        row("packets, in private", &facts.packets_inside),
        row("observing a program", &facts.observing),
        row("packets, of machine", &facts.packets_here),
        row("tracepoints", &facts.tracepoint),
    ]
}

fn row(what: &'static str, outcome: &AttemptOutcome) -> DoctorRow {
    let (state, because, cure) = match outcome {
        AttemptOutcome::Works(seen) => (RowState::Works, seen.clone(), None),
        AttemptOutcome::Refused(refusal) => {
            let Refusal { what, by, .. } = refusal;
            (RowState::DoesNot, format!("{what} by {by}"), Some(cure(refusal)))
        }
        AttemptOutcome::Failed(why) => (RowState::DoesNot, why.clone(), None),
        AttemptOutcome::NotTried(why) => (RowState::NotTried, why.clone(), None),
    };
    DoctorRow { what, state, because, cure }
}

fn cure(refusal: &Refusal) -> String {
    match refusal.apparmor {
        true => {
            let profile = program::call("lab", "doctor --apparmor");
            let fix = &refusal.fix;
            format!(
                "{profile} prints a profile that allows it to this program alone; to all: {fix}"
            )
        }
        false => refusal.fix.clone(),
    }
}

/// All sets of settings in one row: the first that cannot be made stands for the others.
fn of_settings(facts: &DoctorFacts) -> DoctorRow {
    const WHAT: &str = "its settings";
    let failed: Vec<&AttemptOutcome> =
        facts.settings.iter().map(|(_, outcome)| outcome).filter(|it| !it.works()).collect();
    let all = facts.settings.len();
    match (failed.first(), all) {
        (_, 0) => row(WHAT, &AttemptOutcome::NotTried("it takes a private network".to_owned())),
        (None, _) => {
            let seen = format!("every set that an experiment makes could be made ({all})");
            row(WHAT, &AttemptOutcome::Works(seen))
        }
        (Some(first), _) => {
            let row = row(WHAT, first);
            let because = format!(
                "of {} that experiments make {} cannot be made; the first: {}",
                count(all, "set"),
                failed.len(),
                row.because
            );
            DoctorRow { because, ..row }
        }
    }
}

fn settings(facts: &DoctorFacts) -> Vec<SettingRow> {
    let mut rows: Vec<SettingRow> = facts
        .sysctls
        .iter()
        .map(|fact| match &fact.value {
            Ok(value) => {
                let meaning = meaning::of_setting(fact.name, value);
                SettingRow { name: fact.name, value: Some(value.clone()), meaning }
            }
            Err(why) => SettingRow { name: fact.name, value: None, meaning: why.clone() },
        })
        .collect();
    rows.extend(facts.ports.map(|ports| SettingRow {
        name: "ports left",
        value: Some(ports.all.saturating_sub(ports.used).to_string()),
        meaning: meaning::of_ports(ports),
    }));
    rows.extend(facts.descriptors.map(|limit| SettingRow {
        name: "open files",
        value: Some(meaning::limit_words(limit)),
        meaning: meaning::of_limit(limit),
    }));
    rows
}

fn fate(experiment: &ExperimentNeeds, facts: &DoctorFacts) -> ExperimentFate {
    let obstacles: Vec<Obstacle> =
        experiment.trials.iter().filter_map(|trial| obstacle(trial, facts)).collect();
    let of = experiment.trials.len();
    ExperimentFate {
        name: experiment.name.clone(),
        runs: of - obstacles.len(),
        of,
        obstacle: obstacles.first().copied(),
    }
}

/// The reason why a run would not take place, by the same rules as `lab run`.
fn obstacle(trial: &TrialNeeds, facts: &DoctorFacts) -> Option<Obstacle> {
    if !facts.private.works() {
        return trial.private.then_some(Obstacle::NoPrivateNetwork);
    }
    if trial.two_hosts && !facts.cable.works() {
        return Some(Obstacle::NoSecondHost);
    }
    let made = facts.settings.iter().find(|(settings, _)| *settings == trial.settings);
    if made.is_some_and(|(_, outcome)| !outcome.works()) {
        return Some(Obstacle::Settings);
    }
    let is_deaf = trial.packets && !trial.two_hosts && !facts.packets_inside.works();
    is_deaf.then_some(Obstacle::NoPackets)
}
