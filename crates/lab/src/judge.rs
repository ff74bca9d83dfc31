//! Holds predictions against observations. Pure.

use crate::experiment::{Prediction, Trial};
use crate::formula::Names;
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
    /// Each prediction's observed number; `None` if nobody observed it.
    pub observed: Vec<Option<f64>>,
    /// Each measure's number.
    pub measured: Vec<Option<f64>>,
}

impl Verdict {
    /// Holds `observation` against what `trial` predicts.
    #[must_use]
    pub fn on(trial: &Trial, observation: Observation) -> Self {
        let seen: Names = observation.quantities.clone().into_iter().collect();
        let names = seen.and(&trial.settings.names(trial.preset));
        let observed = trial.predictions.iter().map(|p| p.what.value(&names).ok()).collect();
        let measured = trial.measures.iter().map(|m| m.what.value(&names).ok()).collect();
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
        self.judged(trial).filter(|(_, _, held)| *held).count()
    }

    /// Whether the witnesses agree.
    #[must_use]
    pub fn agree(&self) -> bool {
        self.observation.disagreements.is_empty()
    }

    /// Each prediction, what was observed, and whether it held.
    pub fn judged<'a>(
        &'a self,
        trial: &'a Trial,
    ) -> impl Iterator<Item = (&'a Prediction, Option<f64>, bool)> {
        trial.predictions.iter().zip(&self.observed).map(|(prediction, &observed)| {
            let held = observed.is_some_and(|observed| prediction.holds(observed));
            (prediction, observed, held)
        })
    }
}
