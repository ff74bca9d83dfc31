//! Results, for people, for programs, and for CI systems.

pub(crate) mod json;
pub(crate) mod junit;
pub(crate) mod show;
pub(crate) mod text;
mod yours;

use std::io;
use std::time::Duration;

use evidence::Reading;
use program::exit;
use report::page::PageWriter;

use crate::experiment::{Experiment, RunPrediction, Trial};
use crate::formula;
use crate::judge::{Judged, TrialResult, Verdict};
use crate::learner::MarkedAnswer;
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

/// A number as people write it: whole if it is whole, else with at most three significant digits.
#[must_use]
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if (value - value.round()).abs() < 1e-9 && magnitude < 1e15 {
        return format!("{}", value.round() as i64);
    }
    let decimals = match magnitude {
        m if m >= 100.0 => 0,
        m if m >= 10.0 => 1,
        m if m >= 1.0 => 2,
        // Three digits that tell something, wherever they begin.
        m => (2 - m.log10().floor() as i32).clamp(3, 9) as usize,
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `82`, `10 to 82`, `at least 3`, `at most 5`.
#[must_use]
pub(crate) fn range(prediction: &RunPrediction) -> String {
    range_of(prediction.least, prediction.most)
}

/// The same of two ends, of which one that is open is infinite.
#[must_use]
pub(crate) fn range_of(least: f64, most: f64) -> String {
    match (least.is_finite(), most.is_finite()) {
        (true, true) if least == most => number(least),
        (true, true) => format!("{} to {}", number(least), number(most)),
        (true, false) => format!("at least {}", number(least)),
        (false, true) => format!("at most {}", number(most)),
        (false, false) => "anything".to_owned(),
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

/// Returns what was observed, or that nobody did.
#[must_use]
pub(crate) fn observed(value: Option<f64>) -> String {
    value.map_or_else(|| report::words::NONE.to_owned(), number)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_tell_something() {
        for (value, text) in [
            (82.0, "82"),
            (0.0, "0"),
            (0.5134, "0.513"),
            (0.5, "0.5"),
            (0.000_123_4, "0.000123"),
            (0.012_34, "0.0123"),
            (10.03, "10"),
            (59.93, "59.9"),
            (3.1427, "3.14"),
            (1234.56, "1235"),
            (-1.0, "-1"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
