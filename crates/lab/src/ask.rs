//! The learner's own predictions, asked for before anything runs.

use std::io::{self, BufRead, IsTerminal};

use report::page::Page;
use report::words::{self, FAINT, HEADING};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::experiment::{Experiment, LearnerQuestion, QuestionKind, Trial};
use crate::learner::{FORMS, LearnerAnswer};
use crate::numbers::number;
use crate::render::{self, show};

/// Lines that somebody types.
pub(crate) struct LearnerLines {
    lines: UnboundedReceiver<String>,
    /// True if what is typed is not to be seen beside the question unless it is repeated there.
    repeat: bool,
    over: bool,
}

impl LearnerLines {
    /// Listens to stdin. In a thread of its own, which nobody waits for: a read from a terminal
    /// cannot be given up, and Ctrl-C must end the lab at a question, too.
    #[must_use]
    pub(crate) fn listen() -> Self {
        let (sender, lines) = unbounded_channel();
        std::thread::spawn(move || {
            let mut stdin = io::stdin().lock();
            let mut line = Vec::new();
            while stdin.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Self { lines, repeat: !io::stdin().is_terminal(), over: false }
    }

    /// Asks the questions of `experiment`, and returns an answer, or none, for each. Who says nothing
    /// more is asked nothing more.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) async fn about(
        &mut self,
        experiment: &Experiment,
        out: &mut impl Page,
    ) -> io::Result<Vec<Option<LearnerAnswer>>> {
        let questions = &experiment.questions;
        let is_asked = |n| questions.iter().any(|question| question.trial == n);
        show::question(experiment, is_asked, out)?;
        if questions.is_empty() {
            writeln!(out, "\n  {FAINT}nothing is asked about these runs{FAINT:#}\n")?;
            return Ok(Vec::new());
        }
        let many = words::count(questions.len(), "question");
        writeln!(out, "\n{HEADING}Your predictions{HEADING:#}")?;
        writeln!(out, "  {FAINT}{many}; an empty line skips one, ? is for help{FAINT:#}")?;
        let label =
            |question: &LearnerQuestion| render::run_name(&experiment.trials[question.trial]);
        let width = questions.iter().map(|it| label(it).chars().count()).max().unwrap_or(0);
        let mut answers = Vec::new();
        let mut before = "";
        for question in questions {
            if self.over {
                answers.push(None);
                continue;
            }
            let trial = &experiment.trials[question.trial];
            if before != question.text {
                heading(question, out)?;
                before = &question.text;
            }
            let prompt = format!("    {:<width$} > ", label(question));
            answers.push(self.ask(question, trial, &prompt, out).await?);
        }
        writeln!(out)?;
        Ok(answers)
    }

    async fn ask(
        &mut self,
        question: &LearnerQuestion,
        trial: &Trial,
        prompt: &str,
        out: &mut impl Page,
    ) -> io::Result<Option<LearnerAnswer>> {
        let names = trial.settings.names(trial.preset);
        loop {
            write!(out, "{prompt}")?;
            out.flush()?;
            let Some(line) = self.lines.recv().await else {
                writeln!(out, "\n  {FAINT}no more input: the rest is skipped{FAINT:#}")?;
                self.over = true;
                return Ok(None);
            };
            let line = words::printable(line.trim());
            if self.repeat {
                writeln!(out, "{line}")?;
            }
            match &*line {
                "" => return Ok(None),
                "?" => help(question, trial, out)?,
                line => match LearnerAnswer::read(line, &question.kind, &names) {
                    Ok(answer) => return Ok(Some(answer)),
                    Err(wrong) => indented(&wrong, out)?,
                },
            }
        }
    }
}

/// Writes a question, and what can be chosen.
fn heading(question: &LearnerQuestion, out: &mut impl Page) -> io::Result<()> {
    writeln!(out)?;
    for line in words::wrap(&question.text, out.prose_width() - 2) {
        writeln!(out, "  {HEADING}{line}{HEADING:#}")?;
    }
    match &question.kind {
        QuestionKind::Number { near, .. } if *near > 0.0 => {
            writeln!(out, "    {FAINT}a number may be off by {}{FAINT:#}", percent(*near))
        }
        QuestionKind::Number { .. } => Ok(()),
        QuestionKind::Choice { options, .. } => {
            let options = options.iter().enumerate();
            let options: Vec<String> =
                options.map(|(n, option)| format!("{}) {}", n + 1, option.name)).collect();
            indented(&options.join(", "), out)
        }
    }
}

/// Writes what can be typed.
fn help(question: &LearnerQuestion, trial: &Trial, out: &mut impl Page) -> io::Result<()> {
    match &question.kind {
        QuestionKind::Number { near, .. } => {
            let names = trial.settings.names(trial.preset);
            let values: Vec<String> = names
                .iter()
                .filter(|(_, value)| value.is_finite())
                .map(|(name, value)| format!("{name}={}", number(value)))
                .collect();
            indented(&format!("{FORMS} (at most 5)."), out)?;
            let near = match *near {
                0.0 => "what is observed".to_owned(),
                near => format!("off what is observed by {} at the most", percent(near)),
            };
            indented(&format!("A number is right if it is {near}, a range if it holds it."), out)?;
            indented(&format!("Arithmetic, too, over {}.", values.join(", ")), out)
        }
        QuestionKind::Choice { options, .. } => {
            let text = format!("a number from 1 to {}, or a word from the list", options.len());
            indented(&text, out)
        }
    }
}

fn percent(share: f64) -> String {
    format!("{} %", number(100.0 * share))
}

fn indented(text: &str, out: &mut impl Page) -> io::Result<()> {
    for line in words::wrap(text, out.prose_width() - 4) {
        writeln!(out, "    {FAINT}{line}{FAINT:#}")?;
    }
    Ok(())
}
