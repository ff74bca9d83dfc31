//! A run's sockets, from the client's end: while running, and after closing.

use std::collections::{HashMap, HashSet};
use std::io;

use evidence::{
    BodyPolicy, ConnectionId, Ends, Outcome, Pair, Reading, Side, SocketTable, TcpState, TimerKind,
    Unreadable,
};

use crate::columns::{Cell, Table};
use crate::ends;
use crate::page::Page;
use crate::page::heading;
use crate::words::{self, FAINT, NONE, STRIKING};

/// More rows than this are told by examples.
const ROWS: usize = 12;

/// How many rows of one kind stand for the others.
const EXAMPLES: usize = 3;

/// Writes the tables of a run.
pub(super) fn text(outcome: &Outcome, out: &mut impl Page) -> io::Result<()> {
    let ids = ids(outcome);
    if let Some(busiest) = &outcome.tables.busiest
        && outcome.setup.workers > 1
    {
        heading("Busiest moment", "the most open connections that were seen", out)?;
        tallies(busiest, out)?;
        writeln!(out)?;
    }
    let last =
        if outcome.interrupted { "when you ended the run" } else { "after the last exchange" };
    heading("While running", &format!("{last}, the client still alive"), out)?;
    let (running, closed) = (&outcome.tables.while_running, &outcome.tables.after_closing);
    reading(running, &ids, out)?;
    let meaning = match outcome.setup.body {
        BodyPolicy::Hold => "the client has let go of held bodies and idle connections",
        BodyPolicy::Drain | BodyPolicy::Drop => "the client has closed its idle connections",
    };
    if let (Ok(running), Ok(closed)) = (&running.table, &closed.table)
        && states(running) == states(closed)
    {
        heading("After closing", "nothing has changed: no connection was left to close", out)?;
        writeln!(out)
    } else {
        heading("After closing", meaning, out)?;
        reading(closed, &ids, out)
    }
}

/// Writes the tables that a run was asked to keep, under the names it gave them.
pub(super) fn kept(
    outcome: &Outcome,
    kept: &[(&str, &Reading)],
    out: &mut impl Page,
) -> io::Result<()> {
    let ids = ids(outcome);
    for (name, table) in kept {
        heading(name, "", out)?;
        reading(table, &ids, out)?;
    }
    Ok(())
}

/// Which connection has these ends. A port may be used twice in a run; a table then shows the
/// last one.
fn ids(outcome: &Outcome) -> HashMap<Ends, ConnectionId> {
    outcome.connections.iter().map(|connection| (connection.ends, connection.id)).collect()
}

/// Returns what has to differ for a second table to be worth reading.
fn states(table: &SocketTable) -> HashSet<(Option<Ends>, Option<Side>, TcpState)> {
    table.sockets.iter().map(|socket| (socket.ends(), socket.side, socket.state)).collect()
}

fn reading(
    reading: &Reading,
    ids: &HashMap<Ends, ConnectionId>,
    out: &mut impl Page,
) -> io::Result<()> {
    match &reading.table {
        Err(Unreadable(why)) => writeln!(out, "  the kernel's table cannot be read: {why}\n"),
        Ok(table) => {
            rows(table, ids, out)?;
            tallies(table, out)?;
            if !reading.settled {
                let note = "still changing after 2 s; shown as it was then";
                writeln!(out, "  {STRIKING}{note}{STRIKING:#}")?;
            }
            writeln!(out)
        }
    }
}

/// The columns: connection, client's address, state, unread, timer; server's state.
const COLUMNS: usize = 6;

fn rows(
    table: &SocketTable,
    ids: &HashMap<Ends, ConnectionId>,
    out: &mut impl Page,
) -> io::Result<()> {
    let mut pairs: Vec<(Option<ConnectionId>, Pair)> =
        table.pairs().into_iter().map(|pair| (ids.get(&pair.ends).copied(), pair)).collect();
    pairs.sort_by_key(|(id, _)| *id);
    if pairs.is_empty() {
        return Ok(());
    }
    let all = pairs.len() <= ROWS;
    let mut shown: HashMap<RowKind, usize> = HashMap::new();
    let mut left_out: Vec<(RowKind, usize)> = Vec::new();
    let mut lines = Vec::new();
    for (id, pair) in &pairs {
        let kind = RowKind::of(pair);
        let count = shown.entry(kind).or_default();
        *count += 1;
        if all || *count <= EXAMPLES {
            lines.push(line(*id, pair));
        } else {
            match left_out.iter_mut().find(|(left_out, _)| *left_out == kind) {
                Some((_, count)) => *count += 1,
                None => left_out.push((kind, 1)),
            }
        }
    }
    let title = |title| Cell::new(title).styled(FAINT);
    let header = [
        title("CONN"),
        title("CLIENT"),
        title("STATE"),
        title("UNREAD").right(),
        title("TIMER"),
        title("SERVER"),
    ];
    // The timer can be done without first, then the number of a connection, whose address is there.
    Table::new(2, header, lines).write_within(&[4, 0, 3], out)?;
    if pairs.iter().any(|(_, pair)| has_keepalive(pair)) {
        let meaning = "keepalive is TCP's own probe of a silent peer, not HTTP keep-alive";
        for line in words::wrap(meaning, out.width() - 2) {
            writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
        }
    }
    for (kind, count) in left_out {
        writeln!(out, "  {FAINT}… and {count} more: {}{FAINT:#}", kind.name())?;
    }
    Ok(())
}

fn has_keepalive(pair: &Pair) -> bool {
    let timer = pair.client.as_ref().and_then(|end| end.timer.known().flatten());
    timer.is_some_and(|timer| timer.kind == TimerKind::KeepAlive)
}

fn line(id: Option<ConnectionId>, pair: &Pair) -> [Cell; COLUMNS] {
    let conn = id.map_or(NONE.into(), |id| id.to_string());
    let address = pair.ends.client.to_string();
    let [state, unread, _, timer] = match &pair.client {
        Some(end) => ends::row(end),
        None => [Cell::new(NONE), Cell::empty(), Cell::empty(), Cell::empty()],
    };
    let server = match &pair.server {
        Some(end) => Cell::new(end.state.name()).styled(words::state_style(end.state)),
        None => Cell::new(NONE),
    };
    [Cell::new(conn), Cell::new(address), state, unread, timer, server]
}

/// Rows that look alike: the states of both ends.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct RowKind {
    client: Option<TcpState>,
    server: Option<TcpState>,
}

impl RowKind {
    fn of(pair: &Pair) -> Self {
        Self {
            client: pair.client.as_ref().map(|end| end.state),
            server: pair.server.as_ref().map(|end| end.state),
        }
    }

    fn name(self) -> String {
        let state = |state: Option<TcpState>| state.map_or("gone", TcpState::name);
        format!("client {}, server {}", state(self.client), state(self.server))
    }
}

/// How many ends are in which state, by side.
fn tallies(table: &SocketTable, out: &mut impl Page) -> io::Result<()> {
    for side in [Side::Client, Side::Server] {
        let counts = table.tally(side);
        let lines = match counts.is_empty() {
            true => vec!["none".to_owned()],
            false => words::tally_lines(&counts, out.width() - 11),
        };
        for (n, line) in lines.iter().enumerate() {
            writeln!(out, "  {:<8} {line}", if n == 0 { side.name() } else { "" })?;
        }
    }
    Ok(())
}
