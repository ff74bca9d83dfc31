//! States by the packets of a connection, held against the kernel's table.

use std::io;
use std::time::Duration;

use evidence::{Outcome, Reading, Side, TcpState, WireLife, WireRecord};

use super::talks::WireTalk;
use crate::page::Page;
use crate::words::{self, FAINT, STRIKING};

/// Writes what the kernel's table said of both ends, and whether packets say the same.
///
/// Nothing is said where they cannot be compared: packets are missing, the ends were used again, or
/// the cable has sent resets of its own.
pub(super) fn text(
    outcome: &Outcome,
    record: &WireRecord,
    talk: &WireTalk<'_>,
    life: &WireLife<'_>,
    out: &mut impl Page,
) -> io::Result<()> {
    let ends = talk.conversation.ends;
    let lives = outcome.connections.iter().filter(|connection| connection.ends == ends).count();
    if !record.is_whole() || lives != 1 || life.has_forged_reset() {
        return Ok(());
    }
    let mut agreed = Vec::new();
    let mut odd = Vec::new();
    for (when, reading, from, to) in spans(outcome) {
        let seen = [Side::Client, Side::Server].map(|side| listed(reading, talk, side));
        for (side, state) in [Side::Client, Side::Server].into_iter().zip(seen) {
            let Some(state) = state else { continue };
            let told = states(life, side, from, to);
            if told.is_empty() || told.contains(&state) {
                continue;
            }
            let told: Vec<&str> = told.into_iter().map(TcpState::name).collect();
            odd.push(format!(
                "{when} the {}'s end was in {state} by the kernel's table, but in {} by the packets",
                side.name(),
                told.join(", then "),
            ));
        }
        if seen.iter().any(Option::is_some) {
            let [client, server] = seen.map(|state| state.map_or("not listed", TcpState::name));
            agreed.push(format!("{when} client {client}, server {server}"));
        }
    }
    let room = out.prose_width().saturating_sub(2);
    if odd.is_empty() && !agreed.is_empty() {
        let said = format!("the kernel's table agrees: {}", agreed.join("; "));
        for line in words::wrap(&said, room) {
            writeln!(out, "  {FAINT}{line}{FAINT:#}")?;
        }
    }
    for line in odd.iter().flat_map(|sentence| words::wrap(sentence, room)) {
        writeln!(out, "  {STRIKING}{line}{STRIKING:#}")?;
    }
    Ok(())
}

/// The readings that had settled, and the time in which each was taken.
fn spans(outcome: &Outcome) -> Vec<(&'static str, &Reading, Duration, Duration)> {
    let over = |exchange: &evidence::Exchange| exchange.started.saturating_add(exchange.took);
    let last = outcome.exchanges.iter().map(over).max().unwrap_or_default();
    let tables = &outcome.tables;
    let all = [
        ("while running", &tables.while_running, last, outcome.let_go),
        ("after closing", &tables.after_closing, outcome.let_go, Duration::MAX),
    ];
    all.into_iter().filter(|(_, reading, ..)| reading.settled).collect()
}

/// The state of an end by the table; `None` if it is not listed.
fn listed(reading: &Reading, talk: &WireTalk<'_>, side: Side) -> Option<TcpState> {
    let table = reading.table.as_ref().ok()?;
    let is_it = |socket: &&evidence::Socket| {
        socket.side == Some(side) && socket.ends() == Some(talk.conversation.ends)
    };
    table.sockets.iter().find(is_it).map(|socket| socket.state)
}

/// The states of an end from one moment to another, by the packets.
fn states(life: &WireLife<'_>, side: Side, from: Duration, to: Duration) -> Vec<TcpState> {
    let mut states: Vec<TcpState> = Vec::new();
    for (at, change) in life.changes(side) {
        if at <= from {
            states.clear();
        }
        if at <= to {
            states.push(change.to);
        }
        if at > from && states.len() == 1 && at <= to {
            states.insert(0, change.from);
        }
    }
    states
}
