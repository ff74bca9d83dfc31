//! The learner's predictions beside the lab's and what was observed, and the score.

use std::collections::BTreeSet;
use std::io;

use anstyle::Style;
use report::columns::{Cell, Table};
use report::page::Page;
use report::words::{BAD, FAINT, GOOD, NONE, STRIKING};

use super::paragraph::paragraph;
use super::{Section, run_name};
use crate::experiment::{QuestionKind, Trial};
use crate::judge::Verdict;
use crate::learner::{AnswerMark, LearnerScore, MarkedAnswer};

/// Returns true if the learner was asked about a prediction (from 0) of a trial (from 0).
pub(super) fn is_asked(section: &Section<'_>, trial: usize, prediction: usize) -> bool {
    section.answers.iter().flatten().any(|answer| {
        let question = answer.question;
        question.trial == trial
            && matches!(question.kind, QuestionKind::Number { prediction: of, .. } if of == prediction)
    })
}

fn is_about(answers: &[MarkedAnswer<'_>], trial: usize) -> bool {
    answers.iter().any(|answer| answer.question.trial == trial)
}

/// Run, what, yours, predicted, observed, hit, held.
const COLUMNS: usize = 7;

/// Writes the learner's table: a row a question, run by run.
pub(super) fn table(section: &Section<'_>, out: &mut impl Page) -> io::Result<()> {
    let Some(answers) = section.answers.as_ref().filter(|answers| !answers.is_empty()) else {
        return Ok(());
    };
    let title = |title| Cell::new(title).styled(FAINT);
    let header = || {
        [
            title("RUN"),
            title("WHAT"),
            title("YOURS").right(),
            title("PREDICTED").right(),
            title("OBSERVED").right(),
            title("HIT"),
            title("HELD"),
        ]
    };
    // What is the same in all rows stands above them, once.
    let transports = section.rows.iter().filter(|row| is_about(answers, row.number));
    let transports: BTreeSet<&str> = transports.map(|row| row.trial.transport()).collect();
    let through = match transports.first().filter(|_| transports.len() == 1) {
        Some(transport) => format!(", through {transport}"),
        None => String::new(),
    };
    writeln!(out, "\n  {FAINT}asked of you{through}{FAINT:#}")?;
    let rows = |broken: bool| {
        let of = |row: &super::TrialRow<'_>| {
            let mut name = match through.is_empty() {
                true => run_name(row.trial),
                false => row.trial.case.clone(),
            };
            let verdict = row.verdict;
            let of_row = answers.iter().filter(|answer| answer.question.trial == row.number);
            of_row
                .map(|answer| line(&std::mem::take(&mut name), row.trial, verdict, answer, broken))
                .collect::<Vec<_>>()
        };
        section.rows.iter().flat_map(of).collect::<Vec<[Cell; COLUMNS]>>()
    };
    let table = Table::new(2, header(), rows(false)).narrowed(out.width(), 1);
    if table.width() <= out.width() {
        return table.write(out);
    }
    Table::new(2, header(), rows(true)).narrowed(out.width(), 1).write(out)
}

fn line(
    name: &str,
    trial: &Trial,
    verdict: &Verdict,
    answer: &MarkedAnswer<'_>,
    broken: bool,
) -> [Cell; COLUMNS] {
    let kind = &answer.question.kind;
    let what = match kind {
        QuestionKind::Number { prediction, .. } => {
            trial.predictions.get(*prediction).map_or("", |prediction| prediction.what.text())
        }
        QuestionKind::Choice { name, .. } => name,
    };
    let cell = |text: Option<String>| {
        let text = text.unwrap_or_else(|| NONE.to_owned());
        Cell::new(if broken { in_lines(&text) } else { text }).right()
    };
    let yours = answer.answer.map(|it| it.text(kind));
    let right = match answer.mark {
        AnswerMark::Right => Cell::new("yes").styled(GOOD),
        AnswerMark::Wrong => Cell::new("no").styled(BAD),
        AnswerMark::Unjudged | AnswerMark::Unanswered => Cell::new(NONE),
    };
    let held = match (verdict, answer.held) {
        (Verdict::Skipped(_), _) => Cell::new("skipped").styled(STRIKING),
        (Verdict::CouldNotRun(_), _) => Cell::new("no run").styled(BAD),
        (Verdict::Ran(ran), _) if !ran.agree() => Cell::new("?").styled(BAD),
        (_, Some(true)) => Cell::new("yes").styled(GOOD),
        (_, Some(false)) => Cell::new("no").styled(BAD),
        (_, None) => Cell::new(NONE),
    };
    let style = if answer.held == Some(false) { BAD } else { Style::new() };
    [
        Cell::new(name),
        Cell::new(what),
        cell(yours),
        cell(answer.predicted.clone()),
        cell(answer.observed.clone()).styled(style),
        right,
        held,
    ]
}

/// `4000 to 24000` on two lines, where there is no room for it on one.
fn in_lines(range: &str) -> String {
    match range.rsplit_once(' ') {
        Some((first, last)) => format!("{first}\n{last}"),
        None => range.to_owned(),
    }
}

/// Writes how many answers were right, and of each that was not how it differs, and why.
pub(super) fn score(
    section: &Section<'_>,
    answers: &[MarkedAnswer<'_>],
    out: &mut impl Page,
) -> io::Result<()> {
    paragraph("you", &format!("{}.", LearnerScore::of(answers).text()), out)?;
    let mut told = BTreeSet::new();
    for answer in answers {
        let Some(row) = section.rows.iter().find(|row| row.number == answer.question.trial) else {
            continue;
        };
        let yours = answer.answer.map(|it| it.text(&answer.question.kind)).unwrap_or_default();
        let run = run_name(row.trial);
        let MarkedAnswer { question, because, .. } = answer;
        let differs = |rest: String| format!("{run}: {} You said {yours}, {rest}", question.text);
        match answer.mark {
            AnswerMark::Right | AnswerMark::Unanswered => {}
            AnswerMark::Wrong => {
                let observed = answer.observed.as_deref().unwrap_or(NONE);
                // The reason of a prediction that did not hold explains nothing.
                let tells = answer.held == Some(true) && !because.is_empty();
                let why = match tells && told.insert(*because) {
                    true => format!(": {because}"),
                    false => String::new(),
                };
                paragraph("differs", &differs(format!("and {observed} was observed{why}")), out)?;
            }
            AnswerMark::Unjudged => {
                let why = match row.verdict {
                    Verdict::Skipped(_) => "and the run was skipped",
                    Verdict::CouldNotRun(_) => "and it could not run",
                    Verdict::Ran(ran) if !ran.agree() => "and the witnesses disagree",
                    Verdict::Ran(_) => "and nobody observed it",
                };
                paragraph("no mark", &differs(why.to_owned()), out)?;
            }
        }
    }
    Ok(())
}
