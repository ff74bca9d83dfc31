//! What a run has shown, as numbers with names: what the left side of a prediction may speak of.
//!
//! What its packets show: `wire.rs`.

mod wire;

use std::time::Duration;

use evidence::{
    ClosedBy, Connection, ConnectionId, Exchange, FailureKind, Outcome, Preset, Side, SocketTable,
    TcpState, TimerKind, WirePlace,
};
use peers::RawSeen;

use http::StatusCode;

use crate::formula::{self, Formula, Names};
use crate::record::RunRecord;
use crate::settings::Settings;

pub(crate) use wire::WIRE_GROUPS;

/// The kernel's tables that every run has.
pub(crate) const TABLES: [&str; 3] = ["busiest", "running", "after"];

/// When each of them was read.
const TABLE_MEANINGS: [(&str, &str); 3] = [
    ("busiest", "with the most open connections that were seen"),
    ("running", "after the last exchange, the client still alive"),
    ("after", "once the client has closed its idle connections"),
];

/// The quantities that every run tells, with their meaning. Groups are told by their members.
pub(crate) const QUANTITIES: [(&str, &str); 30] = [
    ("opened", "connections that the client's trace saw established"),
    ("accepted", "connections that the servers accepted"),
    ("used", "connections that carried at least one exchange"),
    ("exchanges", "exchanges that were started"),
    ("succeeded", "exchanges that did not fail"),
    ("failed", "exchanges that failed"),
    ("first_failed", "the number of the first exchange that failed"),
    ("reused", "exchanges on a connection that had carried one before"),
    ("closed", "connections closed before the run let go of what was left"),
    ("first_closed", "the number of the first connection that was closed"),
    ("closed_after", "how long the first connection that was closed had been idle, in seconds"),
    ("closed_by.client", "connections that the client closed first, in all"),
    ("closed_by.server", "connections that a server closed first"),
    ("closed_by.reset", "connections that ended in a reset"),
    ("elapsed", "from the start to the end of the last exchange, in seconds"),
    ("rate", "exchanges a second"),
    ("mean_time", "the mean time of an exchange, in seconds"),
    ("least_time", "the shortest time of an exchange, in seconds"),
    ("median_time", "the median of the times of all exchanges, in seconds"),
    ("most_time", "the longest time of an exchange, in seconds"),
    ("accepting", "from the first connection that the servers accepted to the last, in seconds"),
    ("raw.connections", "clients that are none"),
    ("raw.answered", "clients that are none and got a response"),
    ("raw.closed", "clients that are none and whose connection the server closed"),
    ("raw.reset", "clients that are none and whose connection the server reset"),
    ("cpu", "processor time of the run's process up to its end, both ends in it, in seconds"),
    ("resident", "memory of the run's process at its end, both ends in it, in bytes"),
    ("served", "requests whose heads the servers have read, each time that one came"),
    ("in_flight", "the mean number of requests that the servers were answering"),
    ("most_in_flight", "the largest number of requests that the servers were answering"),
];

/// The quantities that every table tells, beside the number of sockets in each state:
/// `running.client.time_wait`.
pub(crate) const IN_TABLE: [(&str, &str); 3] = [
    ("keepalive_timers", "client ends on which the timer of TCP keepalive runs"),
    ("unread", "bytes that lie unread at the client's ends"),
    ("time_wait_left", "the longest time that a TIME_WAIT has left, in seconds"),
];

/// Decides whether a script may give a table this name.
///
/// # Errors
/// Why not, in words.
pub(crate) fn check_snapshot_name(name: &str) -> Result<(), &'static str> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    let goes_on_well =
        name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let first_of = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    if !starts_well || !goes_on_well {
        Err("a name is made of small letters, digits and _")
    } else if TABLES.contains(&name)
        || ["failures", "counter", "why", "raw"].contains(&name)
        || WIRE_GROUPS.contains(&name)
        || QUANTITIES.iter().any(|(quantity, _)| first_of(quantity) == name)
        || Settings::default().names(Preset::Go).names().any(|value| value == name)
        || Formula::parse(&format!("{name}.x")).is_err()
    {
        Err("the name has a meaning already")
    } else {
        Ok(())
    }
}

/// Every name that a run with these snapshots can tell, each with some value.
#[must_use]
pub(crate) fn vocabulary<'a>(snapshots: impl IntoIterator<Item = &'a str>) -> Names {
    let mut names = Names::default();
    for (quantity, _) in QUANTITIES {
        names.set(quantity, 1.0);
    }
    for kind in FailureKind::ALL {
        names.set(failure_name(kind), 1.0);
    }
    for status in statuses() {
        names.set(status_name(status), 1.0);
        names.set(format!("raw.{}", status_name(status)), 1.0);
    }
    for reason in server::ServerCloseReason::ALL {
        names.set(reason_name(reason), 1.0);
    }
    for table in TABLES.into_iter().chain(snapshots) {
        if !TABLES.contains(&table) {
            names.set(format!("{table}.resident"), 1.0);
        }
        for (quantity, _) in IN_TABLE {
            names.set(format!("{table}.{quantity}"), 1.0);
        }
        for (side, state) in ends() {
            names.set(state_name(table, side, state), 1.0);
        }
    }
    if let Ok(counters) = netlab::Counters::read() {
        for counter in counters.names() {
            for host in ["", "client.", "server."] {
                names.set(format!("counter.{host}{counter}"), 1.0);
            }
        }
    }
    wire::vocabulary(&mut names);
    names
}

fn ends() -> impl Iterator<Item = (Side, TcpState)> {
    [Side::Client, Side::Server]
        .into_iter()
        .flat_map(|side| TcpState::ALL.into_iter().map(move |state| (side, state)))
}

fn state_name(table: &str, side: Side, state: TcpState) -> String {
    format!("{table}.{}.{}", side.name(), state.name().to_ascii_lowercase())
}

/// The status codes that have a name (RFC 9110 section 15, and the registry that goes on from it).
fn statuses() -> impl Iterator<Item = u16> {
    let named = |code: &u16| {
        StatusCode::from_u16(*code).is_ok_and(|status| status.canonical_reason().is_some())
    };
    (100..600).filter(named)
}

/// The name under which exchanges with a status are counted: `status_503`.
fn status_name(status: u16) -> String {
    format!("status_{status}")
}

/// The name under which the reasons of the servers are counted: `why.idle_timeout`.
fn reason_name(reason: server::ServerCloseReason) -> String {
    format!("why.{}", reason.name())
}

fn failure_name(kind: FailureKind) -> String {
    format!("failures.{}", kind.name().replace('-', "_"))
}

/// The numbers of a run. What was not observed has no name.
#[must_use]
pub(crate) fn quantities(record: &RunRecord) -> Names {
    let RunRecord { outcome, snapshots, raw, counters, process, .. } = record;
    let mut names = Names::default();
    counts(outcome, &mut names);
    closes(outcome, &mut names);
    times(outcome, &mut names);
    let tables = &outcome.tables;
    if let Some(busiest) = &tables.busiest {
        table("busiest", busiest, &mut names);
    }
    strangers(raw, &mut names);
    for (name, resident) in snapshots.iter().map(|it| (it.name.as_str(), it.resident_bytes)) {
        if let Some(resident) = resident {
            names.set(format!("{name}.resident"), resident as f64);
        }
    }
    if let Some(time) = process.cpu_us {
        names.set("cpu", Duration::from_micros(time).as_secs_f64());
    }
    if let Some(resident) = process.resident_bytes {
        names.set("resident", resident as f64);
    }
    let named = snapshots.iter().map(|snapshot| (snapshot.name.as_str(), &snapshot.reading));
    let running = [("running", &tables.while_running), ("after", &tables.after_closing)];
    for (name, reading) in running.into_iter().chain(named) {
        if let Ok(sockets) = &reading.table {
            table(name, sockets, &mut names);
        }
    }
    // Of what is known to be incomplete no number is told, but on a cable, where that is a fault.
    if let Some(Ok(heard)) = &outcome.wire
        && (heard.missed == 0 || matches!(heard.place, WirePlace::Cable { .. }))
    {
        wire::tell(heard, &mut names);
    }
    for (counter, difference) in counters {
        names.set(format!("counter.{counter}"), *difference as f64);
    }
    names
}

fn counts(outcome: &Outcome, names: &mut Names) {
    let exchanges = &outcome.exchanges;
    let count = |number: usize| number as f64;
    names.set("opened", count(outcome.opened()));
    names.set("used", count(outcome.used()));
    names.set("exchanges", count(exchanges.len()));
    names.set("succeeded", count(exchanges.len() - outcome.failed()));
    names.set("failed", count(outcome.failed()));
    names.set("reused", count(exchanges.iter().filter(|exchange| exchange.reused).count()));
    if let Some(accepted) = outcome.accepted {
        names.set("accepted", count(accepted));
    }
    if let Some(first) = exchanges.iter().find(|exchange| exchange.body.is_err()) {
        names.set("first_failed", first.number.0 as f64);
    }
    for kind in FailureKind::ALL {
        let failed = |exchange: &&Exchange| exchange.body.as_ref().is_err_and(|e| e.kind == kind);
        names.set(failure_name(kind), count(exchanges.iter().filter(failed).count()));
    }
    for status in statuses() {
        let with = exchanges.iter().filter(|exchange| exchange.status == Some(status)).count();
        names.set(status_name(status), count(with));
    }
    for reason in server::ServerCloseReason::ALL {
        let times = outcome.server_reasons.get(&reason).copied();
        names.set(reason_name(reason), count(times.unwrap_or_default()));
    }
    if let Some(accepting) = outcome.accepting {
        names.set("accepting", accepting.as_secs_f64());
    }
    if let Some(in_flight) = outcome.in_flight {
        names.set("served", count(in_flight.requests));
        names.set("in_flight", in_flight.mean);
        names.set("most_in_flight", count(in_flight.most));
    }
}

fn strangers(raw: &RawSeen, names: &mut Names) {
    let count = |number: usize| number as f64;
    names.set("raw.connections", count(raw.connections));
    names.set("raw.answered", count(raw.statuses.len()));
    names.set("raw.closed", count(raw.closed));
    names.set("raw.reset", count(raw.reset));
    for status in statuses() {
        let with = raw.statuses.iter().filter(|it| **it == status).count();
        names.set(format!("raw.{}", status_name(status)), count(with));
    }
}

fn closes(outcome: &Outcome, names: &mut Names) {
    for by in [ClosedBy::Client, ClosedBy::Server, ClosedBy::Reset] {
        names.set(format!("closed_by.{}", by.name()), outcome.closed_by(by) as f64);
    }
    let closed = closed_while_running(outcome);
    names.set("closed", closed.len() as f64);
    if let Some((connection, at)) = closed.first() {
        names.set("first_closed", connection.0 as f64);
        let ends =
            outcome.exchanges.iter().filter(|exchange| exchange.connection == Some(*connection));
        if let Some(last_end) = ends.map(|exchange| exchange.started + exchange.took).max() {
            names.set("closed_after", at.saturating_sub(last_end).as_secs_f64());
        }
    }
}

/// The connections that were closed before the run let go of what was left, in that order.
fn closed_while_running(outcome: &Outcome) -> Vec<(ConnectionId, Duration)> {
    let close = |connection: &Connection| Some((connection.id, connection.close.as_ref()?.at));
    let closes = outcome.connections.iter().filter_map(close);
    let mut closed: Vec<_> = closes.filter(|(_, at)| *at < outcome.let_go).collect();
    closed.sort_by_key(|(_, at)| *at);
    closed
}

fn times(outcome: &Outcome, names: &mut Names) {
    let elapsed = outcome.elapsed.as_secs_f64();
    names.set("elapsed", elapsed);
    let exchanges = outcome.exchanges.len() as f64;
    if elapsed > 0.0 && exchanges > 0.0 {
        names.set("rate", exchanges / elapsed);
        let all: Duration = outcome.exchanges.iter().map(|exchange| exchange.took).sum();
        names.set("mean_time", all.as_secs_f64() / exchanges);
        let mut each: Vec<Duration> = outcome.exchanges.iter().map(|it| it.took).collect();
        each.sort_unstable();
        let at = |place: usize| each.get(place).map_or(f64::NAN, Duration::as_secs_f64);
        names.set("least_time", at(0));
        names.set("median_time", at(each.len() / 2));
        names.set("most_time", at(each.len() - 1));
    }
}

fn table(name: &str, table: &SocketTable, names: &mut Names) {
    for (side, state) in ends() {
        names.set(state_name(name, side, state), table.count(side, state) as f64);
    }
    let at_client = || table.sockets.iter().filter(|socket| socket.side == Some(Side::Client));
    let unread: Option<u64> =
        at_client().map(|socket| socket.unread().known().map(u64::from)).sum();
    if let Some(unread) = unread {
        names.set(format!("{name}.unread"), unread as f64);
    }
    let timers = |kind| {
        let timers = table.sockets.iter().map(|socket| (socket.side, socket.timer.known()));
        timers.filter_map(move |(side, timer)| match timer.flatten() {
            Some(timer) if timer.kind == kind => Some((side, timer.left)),
            _ => None,
        })
    };
    let told = table.sockets.iter().all(|socket| socket.timer.known().is_some());
    if told {
        let keepalive =
            timers(TimerKind::KeepAlive).filter(|(side, _)| *side == Some(Side::Client));
        names.set(format!("{name}.keepalive_timers"), keepalive.count() as f64);
    }
    if let Some(left) = timers(TimerKind::TimeWait).map(|(_, left)| left).max() {
        names.set(format!("{name}.time_wait_left"), left.as_secs_f64());
    }
}

/// Returns what an observed name means, under the part of it that is explained: `running` for
/// `running.client.time_wait`. Nothing for a value of the file.
#[must_use]
pub(crate) fn meaning(name: &str) -> Option<(&str, String)> {
    if let Some((_, meaning)) = QUANTITIES.iter().find(|(quantity, _)| *quantity == name) {
        return Some((name, (*meaning).to_owned()));
    }
    if let Some(status) = name.strip_prefix("status_") {
        return Some((name, format!("exchanges that were answered with {status}")));
    }
    let (first, last) = (name.split('.').next()?, name.rsplit('.').next()?);
    match first {
        _ if !name.contains('.') => None,
        "counter" => {
            let host = match name.split('.').nth(1) {
                Some(host @ ("client" | "server")) => format!(" on the {host}'s host"),
                _ => String::new(),
            };
            Some((name, format!("by how much this counter of the kernel grew{host}")))
        }
        group if WIRE_GROUPS.contains(&group) => wire::meaning(name),
        "why" => {
            let reason = server::ServerCloseReason::ALL.into_iter().find(|it| it.name() == last);
            let reason = reason.map_or(String::new(), |reason| reason.to_string());
            Some((name, format!("connections, of any client, that a server let go of: {reason}")))
        }
        "raw" => {
            let status = last.trim_start_matches("status_");
            Some((name, format!("clients that are none and were answered with {status}")))
        }
        _ if last == "resident" => {
            Some((name, "memory of the run's process, both ends in it, in bytes".to_owned()))
        }
        "failures" => {
            let kind = last.replace('_', " ");
            let errno = if last == "no_port_left" { " (EADDRNOTAVAIL)" } else { "" };
            Some((name, format!("exchanges that failed: {kind}{errno}")))
        }
        table => {
            let when = TABLE_MEANINGS.iter().find(|(name, _)| *name == table);
            let when = when.map_or("when the script says so", |(_, when)| when);
            Some(match IN_TABLE.iter().find(|(quantity, _)| *quantity == last) {
                Some((_, meaning)) => (name, format!("{meaning}, {when}")),
                None => (table, format!("the kernel's table {when}")),
            })
        }
    }
}

/// Returns true if a formula uses a name whose first part is one of `groups`: `counter` of
/// `counter.TcpOutSegs / 2`.
#[must_use]
pub(crate) fn is_about(formula: &str, groups: &[&str]) -> bool {
    let first = |name: &'_ str| name.split('.').next().is_some_and(|it| groups.contains(&it));
    formula::names_in(formula).any(first)
}
