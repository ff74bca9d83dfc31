//! Holds predictions against observations. Pure.

use crate::experiment::{Prediction, Trial};
use crate::formula::{self, Names};
use crate::trial::Observation;

/// What became of one trial.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// It ran, and was judged.
    Ran(Ran),
    /// It was left out, for this reason.
    Skipped(String),
    /// It could not run, for this reason.
    CouldNotRun(String),
}

/// A trial that ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Ran {
    /// What was observed.
    pub observation: Observation,
    /// Each prediction's observed number, or why there is none: nobody observed it, or the
    /// arithmetic has no result.
    pub observed: Vec<Result<f64, formula::Error>>,
    /// Each measure's number, or why there is none.
    pub measured: Vec<Result<f64, formula::Error>>,
}

/// A prediction beside what was observed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged<'a> {
    /// The prediction.
    pub prediction: &'a Prediction,
    /// The number, or why there is none.
    pub observed: Result<&'a f64, &'a formula::Error>,
    /// Whether they agree.
    pub held: bool,
}

impl Judged<'_> {
    /// The number, if there is one.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        self.observed.ok().copied()
    }

    /// What was observed, in words: `observed 21`, `nobody observed first_failed`.
    #[must_use]
    pub fn seen(&self) -> String {
        match self.observed {
            Ok(number) => format!("observed {}", crate::render::number(*number)),
            Err(formula::Error::UnknownName { name, .. }) => format!("nobody observed {name}"),
            Err(other) => other.to_string(),
        }
    }
}

impl Verdict {
    /// Holds `observation` against what `trial` predicts.
    #[must_use]
    pub fn on(trial: &Trial, observation: Observation) -> Self {
        let seen: Names = observation.quantities.clone().into_iter().collect();
        let names = seen.and(&trial.settings.names(trial.preset));
        let observed = trial.predictions.iter().map(|p| p.what.value(&names)).collect();
        let measured = trial.measures.iter().map(|m| m.what.value(&names)).collect();
        Self::Ran(Ran { observation, observed, measured })
    }

    /// Whether it ran, every prediction held and the witnesses agree.
    #[must_use]
    pub fn held(&self, trial: &Trial) -> bool {
        match self {
            Self::Ran(ran) => ran.held(trial) == trial.predictions.len() && ran.agree(),
            Self::Skipped(_) | Self::CouldNotRun(_) => false,
        }
    }
}

impl Ran {
    /// How many predictions held.
    #[must_use]
    pub fn held(&self, trial: &Trial) -> usize {
        self.judged(trial).filter(|judged| judged.held).count()
    }

    /// Whether the witnesses agree.
    #[must_use]
    pub fn agree(&self) -> bool {
        self.observation.disagreements.is_empty()
    }

    /// Each prediction, what was observed, and whether it held.
    pub fn judged<'a>(&'a self, trial: &'a Trial) -> impl Iterator<Item = Judged<'a>> {
        trial.predictions.iter().zip(&self.observed).map(|(prediction, observed)| {
            let held = observed.as_ref().is_ok_and(|&observed| prediction.holds(observed));
            Judged { prediction, observed: observed.as_ref(), held }
        })
    }
}
