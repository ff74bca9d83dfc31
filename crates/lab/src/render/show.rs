//! What there is to run: `lab list` and `lab show`.

use std::io;

use report::columns::{Cell, Table};
use report::page::Page;
use report::words::{FAINT, HEADING};

use super::range;
use super::text::{because, paragraph};
use crate::experiment::{Experiment, Trial};

/// Writes one line an experiment.
///
/// # Errors
/// Those of `out`.
pub(crate) fn list(experiments: &[Experiment], out: &mut impl Page) -> io::Result<()> {
    let title = |title| Cell::new(title).styled(FAINT);
    let row =
        |experiment: &Experiment| [Cell::new(&*experiment.name), Cell::new(&*experiment.question)];
    let header = [title("NAME"), title("QUESTION")];
    Table::new(0, header, experiments.iter().map(row).collect()).narrowed(out.width(), 1).write(out)
}

/// Writes the question, the setup, the predictions and what to look for.
///
/// # Errors
/// Those of `out`.
pub(crate) fn show(experiment: &Experiment, out: &mut impl Page) -> io::Result<()> {
    question(experiment, out)?;
    writeln!(out, "\n{HEADING}Prediction{HEADING:#}")?;
    predictions(experiment, out)?;
    if experiment.overrides.is_empty() {
        writeln!(out)?;
        because(experiment, out)?;
    }
    if let Some(look_for) = &experiment.look_for {
        writeln!(out)?;
        paragraph("look for", look_for, out)?;
    }
    writeln!(out)?;
    let set: String = experiment.overrides.iter().map(|over| format!(" --set {over}")).collect();
    paragraph("run it", &program::call("lab", &format!("run {}{set}", experiment.name)), out)
}

/// Writes the question and the setup, and nothing that gives the answer away.
///
/// # Errors
/// Those of `out`.
pub(crate) fn question(experiment: &Experiment, out: &mut impl Page) -> io::Result<()> {
    writeln!(out, "{HEADING}{}{HEADING:#}", experiment.name)?;
    paragraph("question", &experiment.question, out)?;
    setup(experiment, out)
}

/// The settings that are not the defaults, those of a case under its name.
fn setup(experiment: &Experiment, out: &mut impl Page) -> io::Result<()> {
    writeln!(out, "\n{HEADING}Setup{HEADING:#}")?;
    let first = experiment.trials.first().map(lines).unwrap_or_default();
    let is_common =
        |line: &String| experiment.trials.iter().all(|trial| lines(trial).contains(line));
    for line in first.iter().filter(|line| is_common(line)) {
        writeln!(out, "  {line}")?;
    }
    let mut before = "";
    for trial in &experiment.trials {
        if trial.case == before {
            continue;
        }
        before = &trial.case;
        writeln!(out, "  {FAINT}case{FAINT:#} {}", trial.case)?;
        for line in lines(trial).iter().filter(|line| !is_common(line)) {
            writeln!(out, "    {line}")?;
        }
    }
    if let Some(why) = experiment.trials.iter().find_map(|trial| trial.needs_private.as_ref()) {
        writeln!(out, "  {FAINT}needs a private network: it {why}{FAINT:#}")?;
    }
    Ok(())
}

/// `client.per_host = 2`, and so on.
fn lines(trial: &Trial) -> Vec<String> {
    let Ok(settings) = toml::Value::try_from(&trial.settings) else { return Vec::new() };
    let mut lines = Vec::new();
    for (section, keys) in settings.as_table().into_iter().flatten() {
        for (key, value) in keys.as_table().into_iter().flatten() {
            match value.as_array() {
                Some(steps) if key == "steps" => {
                    lines.push(format!("{section}.{key} ="));
                    lines.extend(steps.iter().map(|step| format!("  {step}")));
                }
                _ => lines.push(format!("{section}.{key} = {value}")),
            }
        }
    }
    lines
}

fn predictions(experiment: &Experiment, out: &mut impl Page) -> io::Result<()> {
    let title = |title| Cell::new(title).styled(FAINT);
    let header = [
        title("CASE"),
        title("TRANSPORT"),
        title("WHAT"),
        title("PREDICTED").right(),
        title("RULE"),
    ];
    let mut rows: Vec<[Cell; 5]> = Vec::new();
    for trial in &experiment.trials {
        for (n, prediction) in trial.predictions.iter().enumerate() {
            let at_first = |text: &str| if n == 0 { Cell::new(text) } else { Cell::empty() };
            rows.push([
                at_first(&trial.case),
                at_first(trial.transport()),
                Cell::new(prediction.what.text()),
                Cell::new(range(prediction)).right(),
                Cell::new(prediction.expected.rule().unwrap_or_default()).styled(FAINT),
            ]);
        }
    }
    Table::new(2, header, rows).write(out)?;
    let measures = experiment.trials.iter().flat_map(|trial| &trial.measures);
    let mut units: Vec<&str> = measures.map(|measure| &*measure.unit).collect();
    units.sort_unstable();
    units.dedup();
    if !units.is_empty() {
        writeln!(out, "  {FAINT}measured, not predicted: {}{FAINT:#}", units.join(", "))?;
    }
    Ok(())
}
