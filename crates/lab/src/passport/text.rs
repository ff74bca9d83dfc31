//! A passport for people.

use std::io;

use anstyle::Style;
use report::columns::{Cell, Table};
use report::page::Page;
use report::words::{self, BAD, FAINT, HEADING, STRIKING};

use super::judge::{Doing, ProbeEntry, ProbeRow, ProbeVerdict};
use super::kept::{Change, KeptPassport};
use super::probe::{Law, Probe};
use super::record;
use crate::render::paragraph::paragraph;

/// Writes a line a probe: its name and its question.
///
/// # Errors
/// Those of `out`.
pub(crate) fn list(probes: &[Probe], out: &mut impl Page) -> io::Result<()> {
    let header = ["PROBE", "QUESTION"].map(title);
    let row = |probe: &Probe| [Cell::new(&*probe.name), Cell::new(&*probe.question)];
    Table::new(0, header, probes.iter().map(row).collect()).narrowed(out.width(), 1).write(out)
}

/// Writes the table of what the client did.
///
/// # Errors
/// Those of `out`.
pub(crate) fn table(rows: &[ProbeRow<'_>], out: &mut impl Page) -> io::Result<()> {
    let header = ["PROBE", "WHAT IT DID", "STANDARD"].map(title);
    let cells = |(probe, verdict): &ProbeRow<'_>| {
        let entry = verdict.entry();
        let style = match &entry {
            ProbeEntry::Did(_) => Style::new(),
            ProbeEntry::Skipped(_) => FAINT,
            ProbeEntry::Varies(_) | ProbeEntry::Unforeseen | ProbeEntry::Unread(_) => STRIKING,
        };
        let law = verdict.law();
        let law = law
            .map_or(Cell::new(words::NONE), |law| Cell::new(law.to_string()).styled(style_of(law)));
        let skipped = if matches!(entry, ProbeEntry::Skipped(_)) { "skipped: " } else { "" };
        let did = Cell::new(format!("{skipped}{}", entry.text())).styled(style);
        [Cell::new(&*probe.name), did, law]
    };
    let cells = rows.iter().map(cells).collect();
    Table::new(0, header, cells).narrowed(out.width(), 1).write(out)
}

fn title(title: &str) -> Cell {
    Cell::new(title).styled(FAINT)
}

fn style_of(law: Law) -> Style {
    match law {
        Law::Required | Law::Allowed => Style::new(),
        Law::Discouraged => STRIKING,
        Law::Forbidden => BAD,
    }
}

/// Writes what was seen in each of the probes that are `shown`.
///
/// # Errors
/// Those of `out`.
pub(crate) fn evidence(
    rows: &[ProbeRow<'_>],
    shown: impl Fn(&ProbeVerdict) -> bool,
    out: &mut impl Page,
) -> io::Result<()> {
    for (probe, verdict) in rows.iter().filter(|(_, verdict)| shown(verdict)) {
        let Some(doing) = verdict.doing() else { continue };
        writeln!(out, "\n{HEADING}{}{HEADING:#}", probe.name)?;
        paragraph("question", &probe.question, out)?;
        paragraph("it did", &verdict.entry().text(), out)?;
        paragraph("standard", &format!("{} ({})", probe.standard, probe.section), out)?;
        seen(doing, out)?;
    }
    Ok(())
}

fn seen(doing: &Doing, out: &mut impl Page) -> io::Result<()> {
    let record = &doing.record;
    let mut word = "server";
    for (number, story) in (1..).zip(&record.connections) {
        paragraph(word, &record::line(number, story), out)?;
        word = "";
    }
    if record.connections.is_empty() {
        paragraph(word, "nobody connected", out)?;
    }
    let opened = words::count(record.packets.opened, "connection");
    let stale = match record.packets.stale {
        0 => String::new(),
        stale => format!("; {} met a close", words::count(stale, "request")),
    };
    paragraph("packets", &format!("{opened} opened{stale}"), out)?;
    paragraph("client", &record.end.words(), out)?;
    written("it wrote", &record.output, out)?;
    written("errors", &record.errors, out)
}

fn written(mut word: &str, text: &str, out: &mut impl Page) -> io::Result<()> {
    let text = words::printable_lines(text);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    for line in lines.iter().take(LINES) {
        paragraph(word, line, out)?;
        word = "";
    }
    if lines.len() > LINES {
        paragraph("", &format!("and {} more", words::count(lines.len() - LINES, "line")), out)?;
    }
    Ok(())
}

/// So many lines of a client's output are shown.
const LINES: usize = 6;

/// Writes what has changed against a passport that was kept.
///
/// # Errors
/// Those of `out`.
pub(crate) fn changes(
    before: &KeptPassport,
    changes: &[Change],
    out: &mut impl Page,
) -> io::Result<()> {
    let command = before.command.join(" ");
    if changes.is_empty() {
        return writeln!(out, "\nNothing has changed against: {command}");
    }
    writeln!(out, "\n{HEADING}Changed against: {command}{HEADING:#}")?;
    let header = ["PROBE", "BEFORE", "NOW"].map(title);
    let row = |change: &Change| {
        [Cell::new(&*change.probe), Cell::new(&*change.before), Cell::new(&*change.now)]
    };
    let table = Table::new(0, header, changes.iter().map(row).collect());
    table.narrowed(out.width(), 1).narrowed(out.width(), 2).write(out)
}
