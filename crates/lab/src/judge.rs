//! Holds predictions against observations. Pure.

use std::collections::BTreeMap;

use crate::experiment::{RunPrediction, Trial};
use crate::formula::{self, Names};
use crate::quantities::quantities;
use crate::record::RunRecord;

/// The end of one trial.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// It ran, and was judged.
    Ran(Box<TrialResult>),
    /// It was left out, for this reason.
    Skipped(String),
    /// It could not run, for this reason.
    CouldNotRun(String),
}

/// A trial that ran.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TrialResult {
    /// All that was observed.
    pub(crate) record: RunRecord,
    /// The numbers of it, by name; what was not observed is not there.
    pub(crate) quantities: BTreeMap<String, f64>,
    /// Each prediction's observed number, or why there is none: nobody observed it, or the
    /// arithmetic has no result.
    pub(crate) observed: Vec<Result<f64, formula::FormulaError>>,
    /// Each measure's number, or why there is none.
    pub(crate) measured: Vec<Result<f64, formula::FormulaError>>,
}

/// A prediction beside what was observed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judged<'a> {
    /// The prediction.
    pub(crate) prediction: &'a RunPrediction,
    /// The number, or why there is none.
    pub(crate) observed: Result<&'a f64, &'a formula::FormulaError>,
    /// True if they agree.
    pub(crate) held: bool,
    /// True if it speaks of packets and the run had no network in which to hear them: then it has
    /// neither held nor failed.
    pub(crate) unseen: bool,
}

impl Judged<'_> {
    /// The number, if there is one.
    #[must_use]
    pub(crate) fn number(&self) -> Option<f64> {
        self.observed.ok().copied()
    }
}

impl Verdict {
    /// Holds what was observed against what `trial` predicts.
    #[must_use]
    pub(crate) fn on(trial: &Trial, record: RunRecord) -> Self {
        let seen: Names = quantities(&record);
        let quantities = seen.iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let names = seen.and(&trial.settings.names(trial.preset));
        let observed = trial.predictions.iter().map(|p| p.what.value(&names)).collect();
        let measured = trial.measures.iter().map(|m| m.what.value(&names)).collect();
        Self::Ran(Box::new(TrialResult { record, quantities, observed, measured }))
    }

    /// Returns true if it ran, every prediction that could be seen held and the witnesses agree.
    #[must_use]
    pub(crate) fn held(&self, trial: &Trial) -> bool {
        match self {
            Self::Ran(ran) => ran.judged(trial).all(|it| it.held || it.unseen) && ran.agree(),
            Self::Skipped(_) | Self::CouldNotRun(_) => false,
        }
    }
}

impl TrialResult {
    /// How many predictions held.
    #[must_use]
    pub(crate) fn held(&self, trial: &Trial) -> usize {
        self.judged(trial).filter(|judged| judged.held).count()
    }

    /// Returns true if the witnesses agree.
    #[must_use]
    pub(crate) fn agree(&self) -> bool {
        self.record.outcome.disagreements.is_empty()
    }

    /// Each prediction, what was observed, and whether it held.
    pub(crate) fn judged<'a>(&'a self, trial: &'a Trial) -> impl Iterator<Item = Judged<'a>> {
        // The settings of a private network are read back; the machine's own are not.
        let is_shared = self.record.network.is_empty();
        trial.predictions.iter().zip(&self.observed).map(move |(prediction, observed)| {
            let held = observed.as_ref().is_ok_and(|&observed| prediction.holds(observed));
            let unseen = observed.is_err() && is_shared && prediction.is_about_packets();
            Judged { prediction, observed: observed.as_ref(), held, unseen }
        })
    }
}
