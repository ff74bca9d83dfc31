//! The changes of state that both ends of a connection made, in the diagram of RFC 9293.

use std::io;

use anstyle::{AnsiColor, Style};
use evidence::{Outcome, STATE_EDGES, Side, TcpState, WireLife, WireRecord};

use super::figure::{self, ClosedMet, FigureMark, Ink, figure, has_edge};
use super::kinds::{TalkKind, kinds};
use super::ladder;
use super::list::moment;
use super::talks::talks;
use super::{PacketOptions, place, table, unheard};
use crate::columns::{Cell, Table};
use crate::page::Page;
use crate::page::heading;
use crate::words::{self, FAINT};

/// More changes of one connection are counted only.
const CHANGES: usize = 40;

/// Writes one diagram for each kind of connection.
pub(super) fn text(
    outcome: &Outcome,
    record: &WireRecord,
    options: PacketOptions,
    out: &mut impl Page,
) -> io::Result<()> {
    let talks = talks(outcome, record);
    let (shown, others) = kinds(&talks, options);
    if shown.is_empty() {
        heading("States", &place(record), out)?;
        return unheard(options, out);
    }
    for TalkKind { talk, alike } in &shown {
        let life = WireLife::of(&talk.conversation, record);
        let ends = talk.conversation.ends;
        let mut meaning = format!("{} to {}, {}", ends.client, ends.server, place(record));
        if *alike > 0 {
            meaning.push_str(&format!("; {alike} more look alike"));
        }
        heading(&format!("States of {}", talk.name()), &meaning, out)?;
        drawing(&life, out)?;
        ladder::notes(&life, record, out)?;
        table::text(outcome, record, talk, &life, out)?;
        writeln!(out)?;
    }
    if others > 0 {
        let said = format!("… and {} of other kinds", words::count(others, "connection"));
        writeln!(out, "  {FAINT}{said}{FAINT:#}")?;
    }
    Ok(())
}

/// A change, under the sign that it has in the figure.
struct StateStep {
    sign: String,
    at: String,
    side: Side,
    from: TcpState,
    to: TcpState,
}

fn drawing(life: &WireLife<'_>, out: &mut impl Page) -> io::Result<()> {
    let steps = steps(life);
    if steps.is_empty() {
        return writeln!(out, "  no packet shows a change of state");
    }
    let mut marks: Vec<FigureMark> = Vec::new();
    for StateStep { sign, side, from, to, .. } in &steps {
        // An edge that an end takes again keeps the sign of the first time.
        let style = style(*side);
        let known = |mark: &FigureMark| (mark.from, mark.to, mark.style) == (*from, *to, style);
        if !marks.iter().any(known) {
            marks.push(FigureMark { from: *from, to: *to, sign: sign.clone(), style });
        }
    }
    let met: Vec<TcpState> = steps.iter().flat_map(|step| [step.from, step.to]).collect();
    let ends = ClosedMet {
        before: steps.iter().any(|step| step.from == TcpState::Closed),
        after: steps.iter().any(|step| step.to == TcpState::Closed),
    };
    let has_room = figure::COLUMNS + 2 <= out.width();
    if has_room {
        for row in figure(&marks, &met, ends) {
            ink(&row, out)?;
        }
    } else {
        let said = format!("the diagram needs {} columns", figure::COLUMNS + 2);
        writeln!(out, "  {FAINT}{said}{FAINT:#}")?;
    }
    legend(&steps, has_room, out)
}

fn steps(life: &WireLife<'_>) -> Vec<StateStep> {
    let mut counts = [0, 0];
    let mut steps = Vec::new();
    for event in &life.events {
        for change in &event.changes {
            let (letter, count) = match change.side {
                Side::Client => ('C', &mut counts[0]),
                Side::Server => ('S', &mut counts[1]),
            };
            *count += 1;
            let sign = format!("{letter}{count}{}", ladder::sign(change.certainty));
            let (side, from, to) = (change.side, change.from, change.to);
            steps.push(StateStep { sign, at: moment(event.at), side, from, to });
        }
    }
    steps
}

/// The style of what an end did.
fn style(side: Side) -> Style {
    match side {
        Side::Client => AnsiColor::Cyan.on_default().bold(),
        Side::Server => AnsiColor::Magenta.on_default().bold(),
    }
}

/// Writes a row of the figure: what has one style is written at once.
fn ink(row: &[Ink], out: &mut impl Page) -> io::Result<()> {
    let used = row.iter().rposition(|(letter, _)| *letter != ' ').map_or(0, |last| last + 1);
    let row = row.get(..used).unwrap_or_default();
    if !row.is_empty() {
        write!(out, "  ")?;
    }
    for run in row.chunk_by(|(_, one), (_, other)| one == other) {
        let style = run.first().map_or(Style::new(), |(_, style)| *style);
        let text: String = run.iter().map(|(letter, _)| letter).collect();
        write!(out, "{style}{text}{style:#}")?;
    }
    writeln!(out)
}

fn legend(steps: &[StateStep], has_figure: bool, out: &mut impl Page) -> io::Result<()> {
    writeln!(out)?;
    let title = |title| Cell::new(title).styled(FAINT);
    let header =
        [title("SIGN"), title("SECONDS").right(), title("FROM"), title("TO"), title("IN RFC 9293")];
    let row = |step: &StateStep| {
        let StateStep { sign, at, side, from, to } = step;
        let known = STATE_EDGES.iter().find(|edge| (edge.from, edge.to) == (*from, *to));
        let event = known.map_or("no such change", |edge| edge.event);
        let undrawn = if has_edge(*from, *to) { "" } else { " (not in figure 5)" };
        [
            Cell::new(sign.as_str()).styled(style(*side)),
            Cell::new(at.as_str()).styled(FAINT).right(),
            Cell::new(from.name()).styled(words::state_style(*from)),
            Cell::new(to.name()).styled(words::state_style(*to)),
            Cell::new(format!("{event}{undrawn}")),
        ]
    };
    let rows = steps.iter().take(CHANGES).map(row).collect();
    Table::new(2, header, rows).narrowed(out.width(), 4).write_within(&[1], out)?;
    if steps.len() > CHANGES {
        let more = words::count(steps.len() - CHANGES, "change");
        writeln!(out, "  {FAINT}… and {more} more{FAINT:#}")?;
    }
    let mut said = "C1 the client's first change, S1 the server's".to_owned();
    if has_figure {
        said.push_str(
            "; states that were met in brackets; changes that nobody made without a sign",
        );
    }
    for line in words::wrap(&said, out.prose_width().saturating_sub(2)) {
        writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
    }
    Ok(())
}
