//! The learner's own predictions, asked for before anything runs.

use std::io::{self, BufRead};

use report::page::Page;
use report::words::{FAINT, HEADING};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::experiment::{Experiment, Trial};
use crate::render::show;

/// Lines that somebody types.
pub(crate) struct LearnerAnswers(UnboundedReceiver<String>);

/// The learner's answer to one question.
#[derive(Clone, Copy, Debug, PartialEq)]
enum LearnerAnswer {
    Number(f64),
    /// An empty line: no prediction.
    Skip,
    Unclear,
}

impl LearnerAnswer {
    fn of(line: &str) -> Self {
        match line.trim() {
            "" => Self::Skip,
            text => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Self::Number(number),
                _ => Self::Unclear,
            },
        }
    }
}

impl LearnerAnswers {
    /// Listens to stdin. In a thread of its own, which nobody waits for: a read from a terminal
    /// cannot be given up, and Ctrl-C must end the lab at a question, too.
    #[must_use]
    pub(crate) fn listen() -> Self {
        let (sender, receiver) = unbounded_channel();
        std::thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// Asks for the first prediction of every trial of `experiment`. Who says nothing more is
    /// asked nothing more.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) async fn about(
        &mut self,
        experiment: &Experiment,
        out: &mut impl Page,
    ) -> io::Result<Vec<Option<f64>>> {
        show::question(experiment, out)?;
        writeln!(out, "\n{FAINT}Your predictions; an empty line skips one.{FAINT:#}")?;
        let mut guesses = Vec::new();
        for trial in &experiment.trials {
            guesses.push(self.ask(trial, out).await?);
        }
        writeln!(out)?;
        Ok(guesses)
    }

    async fn ask(&mut self, trial: &Trial, out: &mut impl Page) -> io::Result<Option<f64>> {
        let Some(prediction) = trial.predictions.first() else { return Ok(None) };
        loop {
            let case = if trial.case.is_empty() { "" } else { &format!("{}, ", trial.case) };
            let (transport, what) = (trial.transport(), prediction.what.text());
            write!(out, "  {case}{transport}: {HEADING}{what}{HEADING:#} = ")?;
            out.flush()?;
            let Some(line) = self.0.recv().await else {
                writeln!(out)?;
                return Ok(None);
            };
            match LearnerAnswer::of(&line) {
                LearnerAnswer::Number(number) => return Ok(Some(number)),
                LearnerAnswer::Skip => return Ok(None),
                LearnerAnswer::Unclear => {
                    writeln!(out, "  a number, such as 10, or an empty line")?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_number_or_nothing() {
        assert_eq!(LearnerAnswer::of(" 82 "), LearnerAnswer::Number(82.0));
        assert_eq!(LearnerAnswer::of("0.5"), LearnerAnswer::Number(0.5));
        assert_eq!(LearnerAnswer::of(""), LearnerAnswer::Skip);
        assert_eq!(LearnerAnswer::of("many"), LearnerAnswer::Unclear);
        assert_eq!(LearnerAnswer::of("inf"), LearnerAnswer::Unclear);
    }
}
