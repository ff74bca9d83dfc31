//! Results, for people, for programs, and for CI systems.

pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod paragraph;
pub(crate) mod show;
pub(crate) mod text;
mod yours;

use std::io;
use std::time::Duration;

use evidence::Reading;
use program::exit;
use report::page::PageWriter;

use crate::experiment::{Experiment, Trial};
use crate::formula;
use crate::judge::{Judged, TrialResult, Verdict};
use crate::learner::MarkedAnswer;
use crate::numbers::{number, range};
use crate::record::RunRecord;

/// A trial that is over, with everything there is to tell about it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TrialRow<'a> {
    /// The trial that was to be run.
    pub(crate) trial: &'a Trial,
    /// Its verdict.
    pub(crate) verdict: &'a Verdict,
    /// How long it took.
    pub(crate) took: Duration,
    /// Which of the experiment's trials it is, from 0.
    pub(crate) number: usize,
}

/// An experiment, with those of its trials that are over.
#[derive(Clone, Debug)]
pub(crate) struct Section<'a> {
    /// The experiment.
    pub(crate) experiment: &'a Experiment,
    /// Its rows, in its order.
    pub(crate) rows: Vec<TrialRow<'a>>,
    /// What became of the learner's answers, as far as the runs that they are about are over; `None`
    /// if nobody was asked.
    pub(crate) answers: Option<Vec<MarkedAnswer<'a>>>,
}

/// How many trials went how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Every prediction held.
    pub(crate) held: usize,
    /// Some did not, or the witnesses disagree.
    pub(crate) not_held: usize,
    /// Left out.
    pub(crate) skipped: usize,
    /// Could not run.
    pub(crate) could_not_run: usize,
}

impl Tally {
    /// Counts `rows`.
    pub(crate) fn of<'a>(rows: impl IntoIterator<Item = &'a TrialRow<'a>>) -> Self {
        let mut tally = Self::default();
        for row in rows {
            let count = match row.verdict {
                Verdict::Skipped(_) => &mut tally.skipped,
                Verdict::CouldNotRun(_) => &mut tally.could_not_run,
                Verdict::Ran(_) if row.verdict.held(row.trial) => &mut tally.held,
                Verdict::Ran(_) => &mut tally.not_held,
            };
            *count += 1;
        }
        tally
    }

    /// The exit code: 2 something could not run, 1 some prediction did not hold, 0 all did. What
    /// was skipped was told, and is no failure.
    #[must_use]
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self { could_not_run: 1.., .. } => exit::COULD_NOT_RUN,
            Self { not_held: 1.., .. } => exit::FAILED,
            _ => exit::DONE,
        }
    }
}

/// The story of a run: its command, what was predicted of it, and what came of it.
#[must_use]
pub(crate) fn story(experiment: &str, row: &TrialRow<'_>, ran: &TrialResult) -> String {
    let transport = row.trial.transport();
    let mut lines = vec![
        program::call("lab", &format!("run {experiment} --transport {transport}")),
        format!("{experiment}, {}", run_name(row.trial)),
    ];
    lines.extend(ran.judged(row.trial).map(|judged| {
        let (what, predicted) = (judged.prediction.what.text(), range(judged.prediction));
        let held = match (judged.held, judged.unseen) {
            (true, _) => "held",
            (false, true) => "not judged",
            (false, false) => "did not hold",
        };
        format!("{what}: predicted {predicted}, {}: {held}", seen(&judged))
    }));
    lines.extend(apparatus::pcap::verdict(&ran.record.outcome));
    lines.join("\n")
}

/// `64 KiB, hyper-util`: which run of an experiment.
#[must_use]
pub(crate) fn run_name(trial: &Trial) -> String {
    let transport = trial.transport();
    match &*trial.case {
        "" => transport.to_owned(),
        case => format!("{case}, {transport}"),
    }
}

/// Returns what was observed of a prediction, in words: `observed 21`,
/// `nobody observed first_failed`.
#[must_use]
pub(crate) fn seen(judged: &Judged<'_>) -> String {
    match judged.observed {
        Ok(value) => format!("observed {}", number(*value)),
        Err(formula::FormulaError::UnknownName { name, .. }) => format!("nobody observed {name}"),
        Err(other) => other.to_string(),
    }
}

/// Returns the connections of a run and its tables, as text with colours on a page of `width`.
///
/// # Errors
/// None that can be expected: it is written to memory.
pub(crate) fn exhibits(record: &RunRecord, width: usize) -> io::Result<String> {
    let named: Vec<(&str, &Reading)> =
        record.snapshots.iter().map(|it| (it.name.as_str(), &it.reading)).collect();
    let mut text = PageWriter::new(Vec::new(), width);
    report::run::evidence(&record.outcome, &named, &mut text)?;
    Ok(String::from_utf8_lossy(&text.into_inner()).into_owned())
}
