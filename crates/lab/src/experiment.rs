//! An experiment: a question, settings, cases, predictions.

mod disturbing;
mod error;
mod file;
mod question;
mod reader;
mod rows;
mod wish;

use std::fmt;

use evidence::Preset;

use crate::formula::{self, Formula};
use crate::quantities;
use crate::real_go::{self, RealGo};
use crate::settings::Settings;

pub(crate) use error::ExperimentError;
pub(crate) use question::{ChoiceOption, LearnerQuestion, QuestionKind};
pub(crate) use wish::{ExperimentWish, Override};

/// An experiment whose every formula is known to give a number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Experiment {
    /// Its name: that of its file, without the extension.
    pub(crate) name: String,
    /// The question, in one sentence.
    pub(crate) question: String,
    /// The part of the result to look at.
    pub(crate) look_for: Option<String>,
    /// The settings that were laid over those of its file, as they were typed. If there are any, its
    /// texts are not told: they speak of the file's.
    pub(crate) overrides: Vec<String>,
    /// True if nothing else may run beside it.
    pub(crate) alone: bool,
    /// The quantity that the chart below its results shows, if there is one: a quantity, case by
    /// case.
    pub(crate) chart: Option<Formula>,
    /// Its runs: each case through each transport.
    pub(crate) trials: Vec<Trial>,
    /// The questions that a learner is asked before they run.
    pub(crate) questions: Vec<LearnerQuestion>,
}

/// One run of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Trial {
    /// Which case; empty if there is but one.
    pub(crate) case: String,
    /// Through which transport, or by whose rules if the client is Go itself.
    pub(crate) preset: Preset,
    /// Go itself, if it is the client.
    pub(crate) real_go: Option<RealGo>,
    /// Under which settings.
    pub(crate) settings: Settings,
    /// The predictions.
    pub(crate) predictions: Vec<RunPrediction>,
    /// The numbers that are shown without a prediction.
    pub(crate) measures: Vec<Measure>,
    /// Why it needs a private network, if it does.
    pub(crate) needs_private: Option<String>,
    /// True if it is predicted, or measured, by its packets, which are heard then.
    pub(crate) hears: bool,
}

impl Trial {
    /// The name of the transport that it goes through: `go`, `go1.27`, `hyper-util`, `real-go`.
    pub(crate) fn transport(&self) -> &'static str {
        if self.real_go.is_some() { real_go::NAME } else { self.preset.name() }
    }
}

/// One quantity and the numbers between which it is predicted to be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RunPrediction {
    /// The formula of what is observed.
    pub(crate) what: Formula,
    /// The rule, as the file states it.
    pub(crate) expected: Expected,
    /// The smallest number that agrees.
    pub(crate) least: f64,
    /// The largest number that agrees.
    pub(crate) most: f64,
    /// Why, in one clause; empty if that is not known of these settings.
    pub(crate) because: String,
}

impl RunPrediction {
    /// Returns true if it speaks of packets, which are heard in a private network.
    #[must_use]
    pub(crate) fn is_about_packets(&self) -> bool {
        quantities::is_about(self.what.text(), &quantities::WIRE_GROUPS)
    }

    /// Returns true if it agrees with what was observed. Room for the last bit of a division.
    #[must_use]
    pub(crate) fn holds(&self, observed: f64) -> bool {
        (self.least - 1e-9..=self.most + 1e-9).contains(&observed)
    }
}

/// How many measures an experiment may have: a table has room for no more.
pub(crate) const MEASURES: usize = 7;

/// Something that is measured and shown, but not predicted.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measure {
    /// What.
    pub(crate) what: Formula,
    /// In which unit, such as `ms a request`.
    pub(crate) unit: String,
}

/// A number, a range, or formulas for them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expected {
    /// Just this.
    Exactly(Formula),
    /// At least the first, at most the second; an end that is missing is open.
    Between(Option<Formula>, Option<Formula>),
}

impl Expected {
    /// Reads a number, a formula or a range.
    ///
    /// # Errors
    /// If one of its formulas is none.
    pub(crate) fn parse(text: &str) -> Result<Self, formula::FormulaError> {
        let Some((least, most)) = text.split_once("..") else {
            return Formula::parse(text.trim()).map(Self::Exactly);
        };
        let end = |text: &str| match text.trim() {
            "" => Ok(None),
            text => Formula::parse(text).map(Some),
        };
        Ok(Self::Between(end(least)?, end(most)?))
    }

    /// Its ends, where `names` have their values; an open end is infinite.
    ///
    /// # Errors
    /// Those of its formulas.
    pub(crate) fn range(
        &self,
        names: &formula::Names,
    ) -> Result<(f64, f64), formula::FormulaError> {
        match self {
            Self::Exactly(formula) => formula.value(names).map(|value| (value, value)),
            Self::Between(least, most) => {
                let least = least.as_ref().map(|formula| formula.value(names)).transpose()?;
                let most = most.as_ref().map(|formula| formula.value(names)).transpose()?;
                Ok((least.unwrap_or(f64::NEG_INFINITY), most.unwrap_or(f64::INFINITY)))
            }
        }
    }

    /// The rule, unless it is plain numbers.
    #[must_use]
    pub(crate) fn rule(&self) -> Option<String> {
        let plain = |end: &Option<Formula>| end.as_ref().is_none_or(Formula::is_number);
        match self {
            Self::Exactly(formula) if formula.is_number() => None,
            Self::Between(least, most) if plain(least) && plain(most) => None,
            rule => Some(rule.to_string()),
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end =
            |end: &Option<Formula>| end.as_ref().map_or(String::new(), |e| e.text().to_owned());
        match self {
            Self::Exactly(formula) => f.write_str(formula.text()),
            Self::Between(least, most) => write!(f, "{} .. {}", end(least), end(most)),
        }
    }
}

#[cfg(test)]
mod tests;
