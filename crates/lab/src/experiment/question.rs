//! `[[ask]]`: the questions that a learner is asked before the runs, in plain words.

use indexmap::IndexMap;
use toml::Spanned;

use super::error::ExperimentError;
use super::reader::{Reader, snapshots};
use super::rows::{File, QuestionRow, Rule, TransportName};
use super::{RunPrediction, Trial};
use crate::formula::names_in;
use crate::quantities;

/// A question about one run of an experiment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LearnerQuestion {
    /// The question, in words that do not give the answer away.
    pub(crate) text: String,
    /// Which of the experiment's trials it is about, from 0.
    pub(crate) trial: usize,
    /// The kind of answer that it takes.
    pub(crate) kind: QuestionKind,
}

/// The kind of answer that a question takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum QuestionKind {
    /// A number or a range.
    Number {
        /// Which of the trial's predictions it is about, from 0.
        prediction: usize,
        /// The share of what is observed by which a number may be off; 0 for a count.
        near: f64,
    },
    /// One of several answers.
    Choice {
        /// What is chosen, in a word or two.
        name: String,
        /// The answers, in the order in which they are offered.
        options: Vec<ChoiceOption>,
    },
}

/// An answer that can be chosen.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChoiceOption {
    /// In a word or two.
    pub(crate) name: String,
    /// What is observed if it is the right one: all of this.
    pub(crate) expects: Vec<RunPrediction>,
}

impl ChoiceOption {
    /// Returns true if it follows from what `trial` predicts.
    #[must_use]
    pub(crate) fn is_predicted(&self, trial: &Trial) -> bool {
        self.expects.iter().all(|it| reason(it, trial).is_some())
    }

    /// The prediction of `trial` from which it follows, if it does.
    pub(crate) fn reason<'a>(&self, trial: &'a Trial) -> Option<&'a RunPrediction> {
        let first = self.expects.first().filter(|_| self.is_predicted(trial))?;
        reason(first, trial)
    }
}

fn reason<'a>(expected: &RunPrediction, trial: &'a Trial) -> Option<&'a RunPrediction> {
    trial.predictions.iter().find(|prediction| {
        prediction.what == expected.what
            && expected.least <= prediction.least
            && prediction.most <= expected.most
    })
}

impl Reader<'_> {
    /// The questions about `trials`, in the order of the file: each once a case, about the first of
    /// its transports. A file that asks nothing asks for the first prediction of every trial.
    pub(super) fn questions(
        &self,
        file: &File,
        trials: &[Trial],
        changed: bool,
    ) -> Result<Vec<LearnerQuestion>, ExperimentError> {
        if file.ask.is_empty() {
            return Ok(trials.iter().enumerate().map(by_default).collect());
        }
        let mut questions = Vec::new();
        for ask in &file.ask {
            let mut before = None;
            for (n, trial) in trials.iter().enumerate() {
                if !ask.as_ref().is_for(TransportName::Own(trial.preset), &trial.case) {
                    continue;
                }
                let kind = self.kind(ask, trial, changed)?;
                if let Some(kind) = kind
                    && before.replace(&*trial.case) != Some(&*trial.case)
                {
                    let text = ask.as_ref().question.clone();
                    questions.push(LearnerQuestion { text, trial: n, kind });
                }
            }
        }
        Ok(questions)
    }

    /// The kind of `ask`, with the numbers of `trial`. Nothing if no answer to it is predicted, which
    /// is a fault of the file unless its settings are `changed` or the client is Go's own.
    fn kind(
        &self,
        ask: &Spanned<QuestionRow>,
        trial: &Trial,
        changed: bool,
    ) -> Result<Option<QuestionKind>, ExperimentError> {
        let wrong = |what: String| Err(self.no_sense(Some(ask.span()), what));
        let unpredicted = |what: &str| {
            let Trial { case, .. } = trial;
            let of = if case.is_empty() { String::new() } else { format!("case `{case}`, ") };
            wrong(format!("{what} is predicted of {of}transport {}", trial.transport()))
        };
        let QuestionRow { number, near, choice, answers, .. } = ask.as_ref();
        let near = near.unwrap_or(0.0);
        match (number, choice) {
            (Some(_), _) if !answers.is_empty() => wrong("a number has no `answers`".to_owned()),
            (Some(_), _) if !(0.0..1.0).contains(&near) => {
                wrong("`near` is a share, such as 0.2, and less than 1".to_owned())
            }
            (Some(what), None) => {
                match trial.predictions.iter().position(|it| it.what.text() == what) {
                    Some(prediction) => Ok(Some(QuestionKind::Number { prediction, near })),
                    None if trial.real_go.is_some() => Ok(None),
                    None => unpredicted(&format!("no `{what}`")),
                }
            }
            (None, Some(_)) if near > 0.0 => wrong("a choice has no `near`".to_owned()),
            (None, Some(_)) if answers.len() < 2 => {
                wrong("a choice has two `answers` or more".to_owned())
            }
            (None, Some(name)) => {
                let options = self.options(ask, trial)?;
                let name = name.clone();
                if changed || options.iter().any(|option| option.is_predicted(trial)) {
                    return Ok(Some(QuestionKind::Choice { name, options }));
                }
                if trial.real_go.is_some() { Ok(None) } else { unpredicted("none of its answers") }
            }
            _ => wrong("a question asks for a `number` or for a `choice`".to_owned()),
        }
    }

    fn options(
        &self,
        ask: &Spanned<QuestionRow>,
        trial: &Trial,
    ) -> Result<Vec<ChoiceOption>, ExperimentError> {
        let names = trial.settings.names(trial.preset);
        let snapshots = snapshots(&trial.settings);
        let observed = quantities::vocabulary(snapshots).and(&names);
        let option = |(name, expects): (&String, &IndexMap<String, Spanned<Rule>>)| {
            if expects.is_empty() {
                let what = format!("nothing tells that `{name}` is the right answer");
                return Err(self.no_sense(Some(ask.span()), what));
            }
            let expects = expects
                .iter()
                .map(|(what, rule)| self.prediction(what, rule, "", &names, &observed));
            Ok(ChoiceOption { name: name.clone(), expects: expects.collect::<Result<_, _>>()? })
        };
        ask.as_ref().answers.iter().map(option).collect()
    }
}

/// Asks for the first prediction of a trial by its name.
fn by_default((n, trial): (usize, &Trial)) -> LearnerQuestion {
    let what = trial.predictions.first().map_or("", |prediction| prediction.what.text());
    // Arithmetic has no meaning of its own.
    let is_name = names_in(what).eq([what]);
    let text = match quantities::meaning(what).filter(|_| is_name) {
        Some((_, meaning)) => format!("{what}, {meaning}?"),
        None => format!("{what}?"),
    };
    let kind = QuestionKind::Number { prediction: 0, near: 0.0 };
    LearnerQuestion { text, trial: n, kind }
}
