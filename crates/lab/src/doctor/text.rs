//! The judgement for people.

use std::io;

use report::columns::{Cell, Table};
use report::page::Page;
use report::words::{self, FAINT, HEADING, STRIKING};

use super::judge::{DoctorRow, ExperimentFate, Judgement, Obstacle, RowState, SettingRow};

/// The width of a row's name, and of its state.
const WHAT: usize = 21;
const STATE: usize = 11;

pub(crate) fn write(judgement: &Judgement, out: &mut impl Page) -> io::Result<()> {
    let system = &judgement.system;
    let mut head = vec![system.kernel.as_ref().map_or(system.os.clone(), |release| {
        let os = if system.os == "linux" { "Linux" } else { &system.os };
        format!("{os} {release}")
    })];
    head.extend(system.user.map(|user| match user {
        0 => "as root".to_owned(),
        user => format!("as user {user}"),
    }));
    writeln!(out, "{HEADING}What of the lab works here{HEADING:#}  {}", head.join(", "))?;
    for row in &judgement.rows {
        write_row(row, out)?;
    }
    write_settings(judgement, out)?;
    write_tools(judgement, out)?;
    writeln!(out)?;
    for line in words::wrap(&summary(judgement), out.prose_width()) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn write_row(row: &DoctorRow, out: &mut impl Page) -> io::Result<()> {
    let style = if row.state == RowState::DoesNot { STRIKING } else { anstyle::Style::new() };
    let room = out.width().saturating_sub(2 + WHAT + STATE).max(20);
    let cure = row.cure.iter().map(|cure| format!("cure: {cure}"));
    let lines = words::wrap(&row.because, room).into_iter();
    let mut lines: Vec<String> = lines.chain(cure.flat_map(|it| words::wrap(&it, room))).collect();
    if lines.is_empty() {
        lines.push(String::new());
    }
    for (place, line) in lines.iter().enumerate() {
        let (what, state) = if place == 0 { (row.what, row.state.words()) } else { ("", "") };
        let gap = " ".repeat(STATE.saturating_sub(state.len()));
        let shown = format!("  {what:<WHAT$}{style}{state}{style:#}{gap}{line}");
        writeln!(out, "{}", shown.trim_end())?;
    }
    Ok(())
}

fn write_settings(judgement: &Judgement, out: &mut impl Page) -> io::Result<()> {
    if judgement.settings.is_empty() {
        return Ok(());
    }
    let whose = match judgement.private {
        true => "runs of the lab have their own",
        false => "runs of the lab have these, too",
    };
    writeln!(out, "\n{HEADING}Settings of this network{HEADING:#}  {FAINT}{whose}{FAINT:#}")?;
    let row = |row: &SettingRow| {
        let name = row.name.strip_prefix("net.").unwrap_or(row.name);
        let name = name.split_once('.').map_or(name, |(_, name)| name);
        let value = row.value.as_deref().unwrap_or("?");
        [Cell::new(name), Cell::new(value), Cell::new(&*row.meaning)]
    };
    let rows = judgement.settings.iter().map(row).collect();
    let header = ["NAME", "VALUE", "WHAT IT MEANS [EXPERIMENT]"];
    let header = header.map(|title| Cell::new(title).styled(FAINT));
    Table::new(2, header, rows).narrowed(out.width(), 2).write(out)
}

fn write_tools(judgement: &Judgement, out: &mut impl Page) -> io::Result<()> {
    writeln!(out, "\n{HEADING}Beside the lab{HEADING:#}  {FAINT}it needs none of them{FAINT:#}")?;
    let rows = judgement.tools.iter().map(|tool| {
        let version = tool.version.as_deref().unwrap_or("not found");
        [Cell::new(tool.name), Cell::new(tool.adds), Cell::new(version)]
    });
    let header = ["NAME", "ADDS", "VERSION"].map(|title| Cell::new(title).styled(FAINT));
    Table::new(2, header, rows.collect()).narrowed(out.width(), 2).write(out)
}

/// Which experiments run here, and which do not, in a paragraph.
pub(crate) fn summary(judgement: &Judgement) -> String {
    let all = judgement.experiments.len();
    let whole = |fate: &&ExperimentFate| fate.runs == fate.of;
    let whole = judgement.experiments.iter().filter(whole).count();
    let place = match judgement.private {
        true => "each run in a network of its own",
        false => "all in the network of this machine",
    };
    let mut sentences = vec![match whole {
        _ if whole == all => format!("All {all} experiments can run here, {place}."),
        0 => format!("None of the {all} experiments can run here as a whole."),
        _ => format!("Of {all} experiments {whole} can run here as a whole, {place}."),
    }];
    for obstacle in Obstacle::ALL {
        let places = |is_part: bool| -> Vec<usize> {
            let is_one = |fate: &ExperimentFate| {
                fate.obstacle == Some(obstacle) && (fate.runs > 0) == is_part
            };
            let fates = judgement.experiments.iter().enumerate();
            fates.filter(|(_, fate)| is_one(fate)).map(|(place, _)| place).collect()
        };
        let list = |places: &[usize]| listed(places, &judgement.experiments);
        let (skipped, parts) = (places(false), places(true));
        let which = match (&skipped[..], &parts[..]) {
            ([], []) => continue,
            ([], parts) => format!("Some runs of {}", list(parts)),
            (skipped, []) => plural(skipped, &list(skipped)),
            (skipped, parts) => {
                format!("{}, and some runs of {},", plural(skipped, &list(skipped)), list(parts))
            }
        };
        let how = if obstacle.is_skipped() { "be skipped" } else { "fail" };
        sentences.push(format!("{which} would {how} for want of {}.", obstacle.words()));
    }
    sentences.join(" ")
}

fn plural(places: &[usize], list: &str) -> String {
    let noun = if places.len() == 1 { "Experiment" } else { "Experiments" };
    format!("{noun} {list}")
}

/// `13, 26 and 32 to 42`: those at these places, in one order with all that there are.
fn listed(places: &[usize], all: &[ExperimentFate]) -> String {
    let number = |place: usize| {
        let name = all.get(place).map_or("", |fate| &fate.name);
        name.split('-').next().unwrap_or(name).trim_start_matches('0').to_owned()
    };
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for &place in places {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == place => *last = place,
            _ => runs.push((place, place)),
        }
    }
    let words = runs.into_iter().flat_map(|(first, last)| match last - first {
        0 => vec![number(first)],
        1 => vec![number(first), number(last)],
        _ => vec![format!("{} to {}", number(first), number(last))],
    });
    let words: Vec<String> = words.collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => words.concat(),
    }
}
