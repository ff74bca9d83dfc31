//! What there is to run: `lab list` and `lab show`.

use std::io;

use report::columns::{Cell, Table};
use report::page::Page;
use report::words::{self, FAINT, HEADING};

use super::paragraph::paragraph;
use super::text::because;
use crate::experiment::{Experiment, Trial};
use crate::numbers::range;

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
    question(experiment, |_| true, out)?;
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

/// Writes the question and the setup of those trials (from 0) that `is_shown`, and nothing that
/// gives the answer away.
///
/// # Errors
/// Those of `out`.
pub(crate) fn question(
    experiment: &Experiment,
    is_shown: impl Fn(usize) -> bool,
    out: &mut impl Page,
) -> io::Result<()> {
    writeln!(out, "{HEADING}{}{HEADING:#}", experiment.name)?;
    paragraph("question", &experiment.question, out)?;
    let trials = experiment.trials.iter().enumerate();
    let shown: Vec<&Trial> = trials.filter(|(n, _)| is_shown(*n)).map(|(_, trial)| trial).collect();
    setup(&shown, out)
}

/// The settings that are not the defaults, those of a case under its name.
fn setup(trials: &[&Trial], out: &mut impl Page) -> io::Result<()> {
    writeln!(out, "\n{HEADING}Setup{HEADING:#}")?;
    let first = trials.first().map(|trial| told(trial)).unwrap_or_default();
    let is_common = |one: &Vec<String>| trials.iter().all(|trial| told(trial).contains(one));
    for line in first.iter().filter(|one| is_common(one)).flatten() {
        setting(2, line, out)?;
    }
    let mut before = "";
    for trial in trials {
        if trial.case == before {
            continue;
        }
        before = &trial.case;
        writeln!(out, "  {FAINT}case{FAINT:#} {}", trial.case)?;
        for line in told(trial).iter().filter(|one| !is_common(one)).flatten() {
            setting(4, line, out)?;
        }
    }
    if let Some(why) = trials.iter().find_map(|trial| trial.needs_private.as_ref()) {
        writeln!(out, "  {FAINT}needs a private network: it {why}{FAINT:#}")?;
    }
    Ok(())
}

/// Writes a setting so far in; a step that is too long for a line goes on below.
fn setting(indent: usize, line: &str, out: &mut impl Page) -> io::Result<()> {
    const MORE: usize = 4;
    for (n, part) in words::fold(line, out.width() - indent - MORE).iter().enumerate() {
        let indent = if n == 0 { indent } else { indent + MORE };
        writeln!(out, "{:indent$}{}", "", part.trim_end())?;
    }
    Ok(())
}

/// `client.per_host = 2`, and so on, each in its lines: the steps of a script are one setting, which
/// is the same in two cases or is not.
fn told(trial: &Trial) -> Vec<Vec<String>> {
    let Ok(settings) = toml::Value::try_from(&trial.settings) else { return Vec::new() };
    let mut all = Vec::new();
    for (section, keys) in settings.as_table().into_iter().flatten() {
        for (key, value) in keys.as_table().into_iter().flatten() {
            match value.as_array() {
                Some(steps) if key == "steps" => {
                    let steps = steps.iter().map(|step| format!("  {step}"));
                    let head = [format!("{section}.{key} =")];
                    all.push(head.into_iter().chain(steps).collect());
                }
                _ => all.push(vec![format!("{section}.{key} = {value}")]),
            }
        }
    }
    all
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
