//! Results for people.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use anstyle::Style;
use evidence::{Preset, RuleDifference};
use report::columns::{Cell, Table};
use report::page::{Page, USUAL_WIDTH};
use report::wire::{PacketOptions, PacketView};
use report::words::{self, BAD, FAINT, GOOD, HEADING, NONE, STRIKING};

use super::paragraph::paragraph;
use super::{Section, Tally, TrialRow, run_name, yours};
use crate::experiment::{Experiment, MEASURES, Trial};
use crate::formula::names_in;
use crate::judge::{Judged, TrialResult, Verdict};
use crate::learner::LearnerScore;
use crate::numbers::{number, observed, range};
use crate::quantities;
use crate::settings::Network;

/// How long the longest bar of a chart is.
const BAR: usize = 40;

/// How much is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Depth {
    /// One row a trial, with its first prediction.
    Overview,
    /// Every prediction, and why.
    Detail,
}

/// Writes the results of one experiment.
///
/// # Errors
/// Those of `out`.
pub(crate) fn section(section: &Section<'_>, depth: Depth, out: &mut impl Page) -> io::Result<()> {
    let experiment = section.experiment;
    writeln!(out, "{HEADING}{}{HEADING:#}", experiment.name)?;
    for line in words::wrap(&experiment.question, out.prose_width() - 2) {
        writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
    }
    if section.answers.is_some() {
        yours::table(section, out)?;
    }
    table(section, depth, out)?;
    measures(section, out)?;
    chart(section, out)?;
    if depth == Depth::Detail {
        names(section, out)?;
        reasons(section, out)?;
    }
    writeln!(out)
}

/// Writes what the names under WHAT mean.
fn names(section: &Section<'_>, out: &mut impl Page) -> io::Result<()> {
    let trials = section.rows.iter().map(|row| row.trial);
    let whats = trials.flat_map(|trial| &trial.predictions).map(|p| p.what.text());
    let mut told = BTreeSet::new();
    writeln!(out)?;
    for (name, meaning) in whats.flat_map(names_in).filter_map(quantities::meaning) {
        if told.insert(name.to_owned()) {
            for (n, line) in
                words::wrap(&format!("{name}: {meaning}"), out.prose_width() - 4).iter().enumerate()
            {
                let indent = if n == 0 { 2 } else { 4 };
                writeln!(out, "{:indent$}{FAINT}{line}{FAINT:#}", "")?;
            }
        }
    }
    Ok(())
}

/// Case, transport, what, predicted, observed, held, time.
const COLUMNS: usize = 7;

fn table(section: &Section<'_>, depth: Depth, out: &mut impl Page) -> io::Result<()> {
    let title = |title| Cell::new(title).styled(FAINT);
    let header = [
        title("CASE"),
        title("TRANSPORT"),
        title("WHAT"),
        title("PREDICTED").right(),
        title("OBSERVED").right(),
        title("HELD"),
        title("TIME").right(),
    ];
    let rows: Vec<[Cell; COLUMNS]> =
        section.rows.iter().flat_map(|row| lines(section, row, depth)).collect();
    if rows.is_empty() {
        return Ok(());
    }
    if section.answers.is_some() {
        writeln!(out, "\n  {FAINT}not asked of you{FAINT:#}")?;
    }
    let table = Table::new(2, header.clone(), rows.clone());
    if table.width() <= out.width() {
        return table.write(out);
    }
    // What can be done without goes first.
    let without_time = |mut row: [Cell; COLUMNS]| {
        row[COLUMNS - 1] = Cell::empty();
        row
    };
    fitted(header, rows.into_iter().map(without_time).collect(), (&[2, 5], &[]), out)
}

/// Writes rows of cases, whose first cell is the case. Where there is no room, the texts of some columns
/// go on below; then the cases stand above their rows, and columns leave in an order.
fn fitted<const N: usize>(
    header: [Cell; N],
    rows: Vec<[Cell; N]>,
    (texts, order): (&[usize], &[usize]),
    out: &mut impl Page,
) -> io::Result<()> {
    let width = out.width();
    let narrowed = |table: Table<N>| texts.iter().fold(table, |table, n| table.narrowed(width, *n));
    let table = narrowed(Table::new(2, header.clone(), rows.clone()));
    if table.width() <= width {
        return table.write(out);
    }
    let mut before = String::new();
    let mut above: Vec<Vec<String>> = Vec::new();
    let rows = rows.into_iter().map(|mut row| {
        let case = std::mem::take(&mut row[0]).text().to_owned();
        let is_new = !case.is_empty() && case != before;
        above.push(if is_new { words::wrap(&case, width - 2) } else { Vec::new() });
        if is_new {
            before = case;
        }
        row
    });
    let (table, left_out) = narrowed(Table::new(2, header, rows.collect())).within(width, order);
    for line in above.iter_mut().flatten() {
        *line = format!("  {FAINT}{line}{FAINT:#}");
    }
    table.write_below(&above, out)?;
    if !left_out.is_empty() {
        writeln!(out, "  {FAINT}left out for want of room: {}{FAINT:#}", left_out.join(", "))?;
    }
    Ok(())
}

/// The rows of a trial, without those that the learner was asked about.
fn lines(section: &Section<'_>, row: &TrialRow<'_>, depth: Depth) -> Vec<[Cell; COLUMNS]> {
    let mut first = [(); COLUMNS].map(|()| Cell::empty());
    first[0] = Cell::new(&*row.trial.case);
    first[1] = Cell::new(row.trial.transport());
    first[6] = Cell::new(seconds(row.took)).right();
    let is_left = |n: usize| !yours::is_asked(section, row.number, n);
    let ran = match row.verdict {
        Verdict::Skipped(_) | Verdict::CouldNotRun(_) => {
            let Some(n) = (0..row.trial.predictions.len()).find(|&n| is_left(n)) else {
                return Vec::new();
            };
            let prediction = &row.trial.predictions[n];
            first[2] = Cell::new(prediction.what.text());
            first[3] = Cell::new(range(prediction)).right();
            first[4] = Cell::new(NONE).right();
            first[5] = match row.verdict {
                Verdict::Skipped(_) => Cell::new("skipped").styled(STRIKING),
                _ => Cell::new("could not run").styled(BAD),
            };
            return vec![first];
        }
        Verdict::Ran(ran) => ran,
    };
    let mut lines: Vec<[Cell; COLUMNS]> = ran
        .judged(row.trial)
        .enumerate()
        .filter(|(n, _)| is_left(*n))
        .map(|(_, judged)| judged)
        .enumerate()
        .filter(|(n, _)| depth == Depth::Detail || *n == 0)
        .map(|(n, judged)| {
            let Judged { prediction, held, unseen, .. } = judged;
            let mut line =
                if n == 0 { first.clone() } else { [(); COLUMNS].map(|()| Cell::empty()) };
            line[2] = Cell::new(prediction.what.text());
            line[3] = Cell::new(range(prediction)).right();
            let style = if held || unseen { Style::new() } else { BAD };
            line[4] = Cell::new(observed(judged.number())).right().styled(style);
            line[5] = match (held, unseen) {
                (true, _) => Cell::new("yes").styled(GOOD),
                (false, true) => Cell::new(NONE),
                (false, false) => Cell::new("no").styled(BAD),
            };
            line
        })
        .collect();
    if let Some(first) = lines.first_mut() {
        if depth == Depth::Overview {
            first[5] = held_in_all(row, ran);
        }
        if !ran.agree() {
            first[5] = Cell::new("witnesses disagree").styled(BAD);
        }
    }
    lines
}

/// `0.3 s`: a run's time is told as it is felt.
fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// `3/3`: all predictions of a trial in one cell.
fn held_in_all(row: &TrialRow<'_>, ran: &TrialResult) -> Cell {
    let held = ran.held(row.trial);
    let all = ran.judged(row.trial).filter(|judged| !judged.unseen).count();
    let style = if held == all { GOOD } else { BAD };
    Cell::new(format!("{held}/{all}")).styled(style)
}

/// Writes what was measured, not predicted, a column a unit.
fn measures(section: &Section<'_>, out: &mut impl Page) -> io::Result<()> {
    let title = |title: &str| Cell::new(title).styled(FAINT);
    let units = section.rows.first().map(|row| row.trial.measures.as_slice()).unwrap_or_default();
    if units.is_empty() {
        return Ok(());
    }
    let mut header = [(); 2 + MEASURES].map(|()| Cell::empty());
    (header[0], header[1]) = (title("CASE"), title("TRANSPORT"));
    for (cell, measure) in header[2..].iter_mut().zip(units) {
        *cell = title(&measure.unit.to_uppercase()).right();
    }
    let rows = section.rows.iter().filter_map(|row| {
        let Verdict::Ran(ran) = row.verdict else { return None };
        let mut line = [(); 2 + MEASURES].map(|()| Cell::empty());
        line[0] = Cell::new(&*row.trial.case);
        line[1] = Cell::new(row.trial.transport());
        for (cell, value) in line[2..].iter_mut().zip(&ran.measured) {
            *cell = Cell::new(observed(value.as_ref().ok().copied())).right();
        }
        Some(line)
    });
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n  {FAINT}measured, not predicted{FAINT:#}")?;
    fitted(header, rows, (&[0], &[8, 7, 6, 5]), out)
}

/// A bar for each case, through the first transport that ran them all.
fn chart(section: &Section<'_>, out: &mut impl Page) -> io::Result<()> {
    let Some(what) = &section.experiment.chart else { return Ok(()) };
    let Some(first) = section.rows.first() else { return Ok(()) };
    let bars: Vec<(&str, f64)> = section
        .rows
        .iter()
        .filter(|row| row.trial.transport() == first.trial.transport())
        .filter_map(|row| match row.verdict {
            Verdict::Ran(ran) => {
                let names = ran.quantities.clone().into_iter().collect();
                Some((&*row.trial.case, what.value(&names).ok()?))
            }
            _ => None,
        })
        .collect();
    let longest = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    if bars.len() < 2 || longest <= 0.0 {
        return Ok(());
    }
    writeln!(out, "\n  {FAINT}{} through {}{FAINT:#}", what.text(), first.trial.transport())?;
    let width = bars.iter().map(|(case, _)| case.chars().count()).max().unwrap_or(0);
    // Beside the case and a number.
    let longest_bar = match out.width() {
        narrow @ ..USUAL_WIDTH => BAR.min(narrow.saturating_sub(width + 14)),
        _ => BAR,
    };
    for (case, value) in bars {
        let length = (value / longest * longest_bar as f64).round() as usize;
        let bar = "█".repeat(length);
        writeln!(out, "  {case:<width$}  {bar} {}", number(value))?;
    }
    Ok(())
}

/// Why. Whoever has predicted is told where that was wrong; everybody else, each reason once,
/// with the runs of which it speaks.
fn reasons(section: &Section<'_>, out: &mut impl Page) -> io::Result<()> {
    writeln!(out)?;
    match &section.answers {
        Some(answers) => yours::score(section, answers, out)?,
        None => because(section.experiment, out)?,
    }
    match &section.experiment.look_for {
        Some(look_for) => paragraph("look for", look_for, out),
        None => Ok(()),
    }
}

/// Writes each reason of `experiment` once.
pub(super) fn because(experiment: &Experiment, out: &mut impl Page) -> io::Result<()> {
    let mut told = BTreeSet::new();
    for prediction in experiment.trials.iter().flat_map(|trial| &trial.predictions) {
        let because = &prediction.because;
        if !because.is_empty() && told.insert(because) {
            paragraph("because", &format!("{}{because}", about(experiment, because)), out)?;
        }
    }
    Ok(())
}

/// `64 KiB through go and hyper-util: `, unless the reason is for every run.
fn about(experiment: &Experiment, because: &str) -> String {
    let all = &experiment.trials;
    let with_it = |trial: &&Trial| trial.predictions.iter().any(|p| p.because == because);
    let cases = |trials: &mut dyn Iterator<Item = &Trial>| -> BTreeSet<String> {
        trials.map(|trial| trial.case.clone()).collect()
    };
    // In the order in which they are told, and each by its name.
    let through = |trials: &mut dyn Iterator<Item = &Trial>| -> BTreeSet<(Preset, &str)> {
        trials.map(|trial| (trial.preset, trial.transport())).collect()
    };
    let of_cases = cases(&mut all.iter().filter(with_it));
    let of_transports = through(&mut all.iter().filter(with_it));
    let in_order = |case: &&Trial| of_cases.contains(&case.case);
    let mut names: Vec<&str> = all.iter().filter(in_order).map(|trial| &*trial.case).collect();
    names.dedup();
    let some_cases = of_cases.len() < cases(&mut all.iter()).len();
    // Those through which these cases run at all.
    let could = through(&mut all.iter().filter(in_order));
    let transports: Vec<&str> = of_transports.iter().map(|(_, name)| *name).collect();
    match (some_cases, of_transports.len() < could.len()) {
        (false, false) => String::new(),
        (true, false) => format!("{}: ", names.join(", ")),
        (false, true) => format!("{}: ", transports.join(", ")),
        (true, true) => format!("{} through {}: ", names.join(", "), transports.join(", ")),
    }
}

/// Writes where the rules of the transports that are asked for are no longer Go's, if they are not.
///
/// # Errors
/// Those of `out`.
pub(crate) fn banner(experiments: &[Experiment], out: &mut impl Page) -> io::Result<()> {
    let trials = experiments.iter().flat_map(|experiment| &experiment.trials);
    let own = trials.filter(|trial| trial.real_go.is_none()).map(|trial| trial.preset);
    let own: BTreeSet<Preset> = own.collect();
    not_gos(own.into_iter().flat_map(transport::rule_differences), out)
}

/// Writes each difference once.
fn not_gos(
    differences: impl IntoIterator<Item = RuleDifference>,
    out: &mut impl Page,
) -> io::Result<()> {
    let mut all: Vec<RuleDifference> = Vec::new();
    for difference in differences {
        if !all.contains(&difference) {
            all.push(difference);
        }
    }
    let Some(sentence) = report::run::rule_differences(&all) else { return Ok(()) };
    for line in words::wrap(&sentence, out.prose_width()) {
        writeln!(out, "{BAD}{line}{BAD:#}")?;
    }
    writeln!(out)
}

/// Writes the evidence of what did not go as predicted, or of everything.
///
/// # Errors
/// Those of `out`.
pub(crate) fn evidence(sections: &[Section<'_>], all: bool, out: &mut impl Page) -> io::Result<()> {
    for section in sections {
        for row in &section.rows {
            if all || !(row.verdict.held(row.trial) || matches!(row.verdict, Verdict::Skipped(_))) {
                evidence_of(section, row, out)?;
            }
        }
    }
    skipped(sections, out)
}

fn evidence_of(section: &Section<'_>, row: &TrialRow<'_>, out: &mut impl Page) -> io::Result<()> {
    let style = if row.verdict.held(row.trial) { HEADING } else { BAD };
    writeln!(out, "{style}{}, {}{style:#}", section.experiment.name, run_name(row.trial))?;
    match row.verdict {
        Verdict::Skipped(why) => paragraph("skipped", why, out)?,
        Verdict::CouldNotRun(why) => paragraph("cause", why, out)?,
        Verdict::Ran(ran) => {
            not_held(row, ran, out)?;
            let differences = &ran.record.outcome.rule_differences;
            if let Some(sentence) = report::run::rule_differences(differences) {
                paragraph("not Go's", &sentence, out)?;
            }
            for sentence in ran.record.disagreements() {
                paragraph("disagree", sentence, out)?;
            }
            if let Some(gap) = report::run::accept_gap(&ran.record.outcome) {
                paragraph("accepted", &gap, out)?;
            }
            if let Some(gone) = report::run::time_waits_cut_short(&ran.record.outcome) {
                paragraph("resets", &gone, out)?;
            }
            if let Some(offers) = report::run::keep_alive_offers(&ran.record.outcome) {
                paragraph("offered", &offers, out)?;
            }
            for (kind, message) in ran.record.failures() {
                paragraph("failure", &format!("{kind}: {message}"), out)?;
            }
            let settings = ran.record.network.iter();
            let network: Vec<String> =
                settings.map(|(key, value)| format!("{key} = {value}")).collect();
            if row.trial.settings.network != Network::default() {
                paragraph("network", &network.join(", "), out)?;
            }
            writeln!(out)?;
            let room = if out.width() < USUAL_WIDTH { out.width() - 2 } else { out.width() };
            for line in super::exhibits(&ran.record, room)?.lines() {
                if line.is_empty() { writeln!(out)? } else { writeln!(out, "  {line}")? }
            }
        }
    }
    writeln!(out)
}

/// Writes the packets of every run, each under its name.
///
/// # Errors
/// Those of `out`.
pub(crate) fn packets(
    sections: &[Section<'_>],
    view: PacketView,
    options: PacketOptions,
    out: &mut impl Page,
) -> io::Result<()> {
    for section in sections {
        for row in &section.rows {
            if let Verdict::Ran(ran) = row.verdict {
                let name = format!("{}, {}", section.experiment.name, run_name(row.trial));
                writeln!(out, "{HEADING}{name}{HEADING:#}")?;
                report::wire::packets(&ran.record.outcome, view, options, out)?;
            }
        }
    }
    Ok(())
}

/// Writes what did not hold, and why it was expected: once, if that is the same for several.
fn not_held(row: &TrialRow<'_>, ran: &TrialResult, out: &mut impl Page) -> io::Result<()> {
    let is_wrong = |judged: &Judged<'_>| !judged.held && !judged.unseen;
    let wrong: Vec<Judged<'_>> = ran.judged(row.trial).filter(is_wrong).collect();
    for (n, judged) in wrong.iter().enumerate() {
        let Judged { prediction, .. } = judged;
        let what = prediction.what.text();
        let text = format!("{what}: predicted {}, {}", range(prediction), super::seen(judged));
        paragraph("not held", &text, out)?;
        let next = wrong.get(n + 1).map(|next| &next.prediction.because);
        if next != Some(&prediction.because) && !prediction.because.is_empty() {
            paragraph("because", &prediction.because, out)?;
        }
    }
    Ok(())
}

/// Writes what was left out, once for each reason.
fn skipped(sections: &[Section<'_>], out: &mut impl Page) -> io::Result<()> {
    let mut skipped: Vec<(&str, &str)> = Vec::new();
    for section in sections {
        for row in &section.rows {
            let why = match row.verdict {
                Verdict::Skipped(why) => why,
                Verdict::Ran(ran) if ran.judged(row.trial).any(|judged| judged.unseen) => {
                    "its packets, which are heard in a private network"
                }
                Verdict::Ran(_) | Verdict::CouldNotRun(_) => continue,
            };
            if !skipped.contains(&(&section.experiment.name, why)) {
                skipped.push((&section.experiment.name, why));
            }
        }
    }
    for (name, why) in &skipped {
        let mut sign = format!("{STRIKING}skipped{STRIKING:#}");
        for line in words::wrap(&format!("{name}: {why}"), out.width() - 9) {
            writeln!(out, "{sign}  {line}")?;
            sign = " ".repeat(7);
        }
    }
    // What the system refuses, not what was typed.
    if skipped.iter().any(|(_, why)| why.contains("; fix: ")) {
        let doctor = program::call("lab", "doctor");
        writeln!(out, "{:9}{doctor} tells what works here, and what not", "")?;
    }
    if skipped.is_empty() { Ok(()) } else { writeln!(out) }
}

/// Writes how it went in all.
///
/// # Errors
/// Those of `out`.
pub(crate) fn summary(
    sections: &[Section<'_>],
    took: Duration,
    interrupted: bool,
    out: &mut impl Page,
) -> io::Result<()> {
    let rows = || sections.iter().flat_map(|section| &section.rows);
    let ran = rows().filter_map(|row| match row.verdict {
        Verdict::Ran(ran) => Some(&ran.record.outcome.rule_differences),
        Verdict::Skipped(_) | Verdict::CouldNotRun(_) => None,
    });
    not_gos(ran.flatten().cloned(), out)?;
    let tally = Tally::of(rows());
    let runs = tally.held + tally.not_held + tally.skipped + tally.could_not_run;
    let parts = [
        (tally.held, "as predicted", GOOD),
        (tally.not_held, "not as predicted", BAD),
        (tally.skipped, "skipped", STRIKING),
        (tally.could_not_run, "could not run", BAD),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, what, style)| format!("{style}{count} {what}{style:#}"))
        .collect();
    let experiments = sections.iter().filter(|section| !section.rows.is_empty()).count();
    writeln!(
        out,
        "{}, {} in {}: {}",
        words::count(experiments, "experiment"),
        words::count(runs, "run"),
        words::short(took),
        if parts.is_empty() { "none ended".to_owned() } else { parts.join(", ") },
    )?;
    let answers = || sections.iter().filter_map(|section| section.answers.as_ref()).flatten();
    if experiments > 1 && answers().next().is_some() {
        writeln!(out, "You {}.", LearnerScore::of(answers()).text())?;
    }
    if interrupted {
        let unfinished: usize = sections
            .iter()
            .map(|section| section.experiment.trials.len() - section.rows.len())
            .sum();
        let unfinished = words::count(unfinished, "run");
        writeln!(
            out,
            "You ended it early, with {unfinished} unfinished; no process or network of the lab is left."
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
