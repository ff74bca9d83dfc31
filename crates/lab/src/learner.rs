//! What a learner predicts, and what became of it. Pure.

use crate::experiment::{ChoiceOption, Expected, LearnerQuestion, QuestionKind, Trial};
use crate::formula::Names;
use crate::judge::{TrialResult, Verdict};
use crate::numbers::{number, range, range_of};

/// A learner's answer to one question.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LearnerAnswer {
    /// A number.
    Number(f64),
    /// A range with its ends; one that is open is infinite.
    Range(f64, f64),
    /// Which of the answers that can be chosen, from 0.
    Choice(usize),
}

/// The forms that an answer may have which is a number.
pub(crate) const FORMS: &str = "a number such as 10, or a range: 2..5, 3.. (at least 3), ..5";

impl LearnerAnswer {
    /// Reads what was typed, where `names` have the values of the setup: the right side of an
    /// `expect`, or one of the answers that can be chosen, by its number or its name.
    ///
    /// # Errors
    /// What is wrong with it, in a line.
    pub(crate) fn read(text: &str, kind: &QuestionKind, names: &Names) -> Result<Self, String> {
        match kind {
            QuestionKind::Number { .. } => Self::number(text.trim(), names),
            QuestionKind::Choice { options, .. } => choice(text.trim(), options).map(Self::Choice),
        }
    }

    fn number(text: &str, names: &Names) -> Result<Self, String> {
        let read = Expected::parse(text).and_then(|expected| expected.range(names));
        let (least, most) = read.map_err(|error| format!("{error}; it is {FORMS}"))?;
        if least > most {
            return Err(format!("`{text}` is empty: from {} to {}", number(least), number(most)));
        }
        if most.is_infinite() && least <= 0.0 {
            return Err(format!("`{text}` could hardly fail, so it predicts nothing"));
        }
        Ok(if least == most { Self::Number(least) } else { Self::Range(least, most) })
    }

    /// As the tables have it: `5`, `2 to 5`, or the name of an answer.
    #[must_use]
    pub(crate) fn text(&self, kind: &QuestionKind) -> String {
        match (self, kind) {
            (Self::Number(value), _) => number(*value),
            (Self::Range(least, most), _) => range_of(*least, *most),
            (Self::Choice(n), QuestionKind::Choice { options, .. }) => {
                options.get(*n).map_or(String::new(), |option| option.name.clone())
            }
            (Self::Choice(_), QuestionKind::Number { .. }) => String::new(),
        }
    }
}

/// The answer that `text` names: by its number from 1, by its name, or by how its name begins.
fn choice(text: &str, options: &[ChoiceOption]) -> Result<usize, String> {
    let text = text.to_lowercase();
    let whole = options.iter().position(|option| option.name.to_lowercase() == text);
    let by_number = || (1..=options.len()).find(|n| n.to_string() == text).map(|n| n - 1);
    if let Some(n) = whole.or_else(by_number) {
        return Ok(n);
    }
    let begun: Vec<usize> =
        (0..options.len()).filter(|&n| options[n].name.to_lowercase().starts_with(&text)).collect();
    match begun[..] {
        [one] => Ok(one),
        _ => Err(format!("it is one of 1 to {}, or of their words", options.len())),
    }
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerMark {
    /// It agrees with what was observed.
    Right,
    /// It does not.
    Wrong,
    /// There is nothing to hold it against: it was not observed, or the witnesses disagree.
    Unjudged,
    /// There is no answer.
    Unanswered,
}

/// A question with its answer, beside what was predicted and observed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MarkedAnswer<'a> {
    /// The question.
    pub(crate) question: &'a LearnerQuestion,
    /// The learner's answer, if there is one.
    pub(crate) answer: Option<&'a LearnerAnswer>,
    /// What the lab predicts; `None` if that says nothing of it.
    pub(crate) predicted: Option<String>,
    /// What was observed; `None` if nobody did.
    pub(crate) observed: Option<String>,
    /// Whether the lab's prediction held; `None` if there is none, or it did not run.
    pub(crate) held: Option<bool>,
    /// Why the lab predicts it; empty if that is not known of these settings.
    pub(crate) because: &'a str,
    /// What became of the answer.
    pub(crate) mark: AnswerMark,
}

impl<'a> MarkedAnswer<'a> {
    /// Holds `answer` against the verdict on `trial`, the run that it is about.
    pub(crate) fn on(
        question: &'a LearnerQuestion,
        answer: Option<&'a LearnerAnswer>,
        trial: &'a Trial,
        verdict: &Verdict,
    ) -> Self {
        let ran = match verdict {
            Verdict::Ran(ran) => Some(&**ran),
            Verdict::Skipped(_) | Verdict::CouldNotRun(_) => None,
        };
        let names = ran.map(|ran| {
            let seen: Names = ran.quantities.clone().into_iter().collect();
            seen.and(&trial.settings.names(trial.preset))
        });
        let mut marked = Self::beside(question, answer, trial, names.as_ref());
        if let (QuestionKind::Number { prediction, .. }, Some(ran)) = (&question.kind, ran)
            && ran.judged(trial).nth(*prediction).is_some_and(|judged| judged.unseen)
        {
            marked.held = None;
        }
        match ran.is_some_and(TrialResult::agree) || answer.is_none() {
            true => marked,
            // Nobody knows what there was.
            false => Self { mark: AnswerMark::Unjudged, ..marked },
        }
    }

    /// Holds `answer` against all that a run has shown, by `names`; `None` if there was no run.
    fn beside(
        question: &'a LearnerQuestion,
        answer: Option<&'a LearnerAnswer>,
        trial: &'a Trial,
        names: Option<&Names>,
    ) -> Self {
        let marked = match &question.kind {
            QuestionKind::Number { prediction, near } => {
                Self::number(question, answer, trial, names, (*prediction, *near))
            }
            QuestionKind::Choice { options, .. } => {
                Self::choice(question, answer, trial, names, options)
            }
        };
        match answer {
            Some(_) => marked,
            None => Self { mark: AnswerMark::Unanswered, ..marked },
        }
    }

    fn number(
        question: &'a LearnerQuestion,
        answer: Option<&'a LearnerAnswer>,
        trial: &'a Trial,
        names: Option<&Names>,
        (place, near): (usize, f64),
    ) -> Self {
        let prediction = trial.predictions.get(place);
        let seen = names.map(|names| prediction.and_then(|it| it.what.value(names).ok()));
        let observed = seen.flatten();
        let is_right = |observed: f64| match answer {
            Some(LearnerAnswer::Number(value)) => {
                (value - observed).abs() <= near * observed.abs() + 1e-9
            }
            Some(LearnerAnswer::Range(least, most)) => {
                (least - 1e-9..=most + 1e-9).contains(&observed)
            }
            Some(LearnerAnswer::Choice(_)) | None => false,
        };
        Self {
            question,
            answer,
            predicted: prediction.map(range),
            observed: observed.map(number),
            held: prediction
                .zip(seen)
                .map(|(prediction, seen)| seen.is_some_and(|it| prediction.holds(it))),
            because: prediction.map_or("", |prediction| &prediction.because),
            mark: mark(observed.map(is_right)),
        }
    }

    fn choice(
        question: &'a LearnerQuestion,
        answer: Option<&'a LearnerAnswer>,
        trial: &'a Trial,
        names: Option<&Names>,
        options: &'a [ChoiceOption],
    ) -> Self {
        // What cannot be said of one answer may still be settled by another.
        let is_so = |option: &ChoiceOption| {
            let values = option.expects.iter().map(|it| {
                let value = it.what.value(names?).ok()?;
                Some(it.holds(value))
            });
            values.collect::<Option<Vec<bool>>>().map(|all| all.into_iter().all(|holds| holds))
        };
        let told: Vec<Option<bool>> = options.iter().map(is_so).collect();
        let some_is_so = told.contains(&Some(true));
        let is_known = some_is_so || (names.is_some() && told.iter().all(Option::is_some));
        let right: Vec<usize> = (0..told.len()).filter(|&n| told[n] == Some(true)).collect();
        let predicted: Vec<usize> =
            (0..options.len()).filter(|&n| options[n].is_predicted(trial)).collect();
        let listed = |places: &[usize], none: &str, between: &str| {
            let names: Vec<&str> = places.iter().map(|&n| &*options[n].name).collect();
            if names.is_empty() { none.to_owned() } else { names.join(between) }
        };
        let chosen = match answer {
            Some(LearnerAnswer::Choice(n)) => Some(*n),
            _ => None,
        };
        let reason = predicted.first().and_then(|&n| options[n].reason(trial));
        Self {
            question,
            answer,
            predicted: (!predicted.is_empty()).then(|| listed(&predicted, "", " or ")),
            observed: is_known.then(|| listed(&right, "none of these", ", ")),
            held: (is_known && !predicted.is_empty())
                .then(|| predicted.iter().all(|n| right.contains(n))),
            because: reason.map_or("", |prediction| &prediction.because),
            mark: mark(is_known.then(|| chosen.is_some_and(|n| right.contains(&n)))),
        }
    }
}

fn mark(is_right: Option<bool>) -> AnswerMark {
    match is_right {
        Some(true) => AnswerMark::Right,
        Some(false) => AnswerMark::Wrong,
        None => AnswerMark::Unjudged,
    }
}

/// How many answers became what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LearnerScore {
    /// They agree with what was observed.
    pub(crate) right: usize,
    /// They do not.
    pub(crate) wrong: usize,
    /// There was nothing to hold them against.
    pub(crate) unjudged: usize,
    /// Questions without an answer.
    pub(crate) unanswered: usize,
}

impl LearnerScore {
    /// Counts `answers`.
    pub(crate) fn of<'a>(answers: impl IntoIterator<Item = &'a MarkedAnswer<'a>>) -> Self {
        let mut score = Self::default();
        for answer in answers {
            let count = match answer.mark {
                AnswerMark::Right => &mut score.right,
                AnswerMark::Wrong => &mut score.wrong,
                AnswerMark::Unjudged => &mut score.unjudged,
                AnswerMark::Unanswered => &mut score.unanswered,
            };
            *count += 1;
        }
        score
    }

    /// `had 4 of 6`, and what does not count among the six.
    #[must_use]
    pub(crate) fn text(self) -> String {
        let Self { right, wrong, unjudged, unanswered } = self;
        let judged = right + wrong;
        if judged + unjudged == 0 {
            return format!("answered none of {unanswered}");
        }
        let had = match judged {
            0 => "predicted nothing that could be judged".to_owned(),
            judged => format!("had {right} of {judged}"),
        };
        let more = [(unjudged, "cannot be judged"), (unanswered, "without an answer")];
        more.into_iter()
            .filter(|(count, _)| *count > 0)
            .fold(had, |text, (count, what)| format!("{text}, {count} {what}"))
    }
}

#[cfg(test)]
mod tests;
