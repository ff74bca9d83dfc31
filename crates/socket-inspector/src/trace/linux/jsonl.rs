//! A trace for programs: one JSON object a line. Every key of a number ends in its unit; times are
//! those since the trace began.

use std::io::{self, Write};
use std::time::Duration;

use evidence::{Side, TcpState, WireClose};
use report::words::address;
use serde_json::{Value, json};

use super::bytes::{ByteAmount, EndBytes};
use super::change::{MomentRange, TimeSpan};
use super::story::{ChangeLine, ConnectionEnding, ConnectionSummary, StoryEvent};
use super::wire_story::{PacketLine, WireEvent, WireSummary};
use super::witness::{ChangeWitness, TraceTotal, TraceWitness};

/// The version of the layout.
const SCHEMA: u32 = 1;

pub(crate) fn witness(
    witness: &TraceWitness,
    packets: Result<bool, &str>,
    ports: &[u16],
    out: &mut impl Write,
) -> io::Result<()> {
    let (name, instead, no_bytes) = match witness {
        TraceWitness::Tracepoint { no_bytes } => ("tracepoint", None, no_bytes.as_ref()),
        TraceWitness::Sampling { instead } => ("sampling", instead.as_ref(), None),
    };
    let line = json!({
        "kind": "witness", "schema": SCHEMA, "witness": name, "ports": ports,
        "no_tracepoint_because": instead, "no_bytes_because": no_bytes,
        "packets": packets == Ok(true), "no_packets_because": packets.err(),
    });
    write(&line, out)
}

pub(crate) fn told(
    told: &StoryEvent,
    witness: ChangeWitness,
    begun: Duration,
    out: &mut impl Write,
) -> io::Result<()> {
    match told {
        StoryEvent::Change(line) => write(&change(line, witness, begun), out),
        StoryEvent::Ended(summary) => write(&ended(summary, begun), out),
    }
}

pub(crate) fn wire(told: &WireEvent, begun: Duration, out: &mut impl Write) -> io::Result<()> {
    match told {
        WireEvent::Packet(line) => write(&packet(line, begun), out),
        WireEvent::Ended(summary) => write(&packets_ended(summary, begun), out),
    }
}

/// A FIN or a RST.
fn packet(line: &PacketLine, begun: Duration) -> Value {
    json!({
        "kind": "packet",
        "witness": "packets",
        "at_ns": moment(MomentRange::at(line.at), begun),
        "connection": line.connection,
        "side": line.side.map(Side::name),
        "local": address(line.local),
        "peer": address(line.peer),
        "flags": line.flags.to_string(),
        "first": line.first,
    })
}

fn packets_ended(summary: &WireSummary, begun: Duration) -> Value {
    let (first, by) = match summary.talk.close() {
        None => (None, None),
        Some(WireClose::First(side)) => (Some("fin"), Some(side)),
        Some(WireClose::Both) => (Some("fins_crossed"), None),
        Some(WireClose::Reset(side)) => (Some("rst"), Some(side)),
    };
    let mut line = json!({
        "kind": "packets_ended",
        "witness": "packets",
        "at_ns": moment(MomentRange::at(summary.at), begun),
        "connection": summary.connection,
        "client": address(summary.client),
        "server": address(summary.server),
        "first": first,
        "first_by": by.map(Side::name),
        "agrees": summary.agrees,
    });
    for side in [Side::Client, Side::Server] {
        let (name, sent) = (side.name(), summary.talk.end(side));
        line[format!("{name}_packets")] = json!(sent.packets);
        line[format!("{name}_again")] = json!(sent.again);
        line[format!("{name}_late")] = json!(sent.late);
    }
    line
}

fn change(line: &ChangeLine, witness: ChangeWitness, begun: Duration) -> Value {
    let unseen: Vec<&str> = line.unseen.iter().map(|state| state.name()).collect();
    json!({
        "kind": "change",
        "witness": witness.of(line).name(),
        "at_ns": moment(line.when, begun),
        "connection": line.connection,
        "side": line.side.map(Side::name),
        "local": address(line.local),
        "peer": address(line.peer),
        "from": line.old.name(),
        "to": line.new.name(),
        "lasted_ns": line.lasted.map(span),
        "unseen": unseen,
        "gap": line.gap,
        "time_wait_unseen": line.unseen_here,
        "time_wait_left_ms": line.left.filter(|_| line.new == TcpState::TimeWait).map(millis),
    })
}

fn ended(summary: &ConnectionSummary, begun: Duration) -> Value {
    let (ending, by) = match summary.ending {
        ConnectionEnding::ClosedFirst(side) => ("closed_first", side),
        ConnectionEnding::Both => ("both_closed", None),
        ConnectionEnding::Aborted(side) => ("aborted", side),
        ConnectionEnding::AbortedBySomebody => ("aborted", None),
        ConnectionEnding::NeverOpen => ("never_open", None),
        ConnectionEnding::Unknown => ("unknown", None),
    };
    let [one, other] =
        if summary.sides_known { ["client", "server"] } else { ["address", "other_address"] };
    let mut line = json!({
        "kind": "ended",
        "at_ns": moment(summary.when, begun),
        "connection": summary.connection,
        one: address(summary.client),
        other: address(summary.server),
        "ending": ending,
        "by": by.map(Side::name),
        "closed_after_ns": summary.closed_after.map(span),
        "age_ns": summary.age.map(span),
        "time_wait_not_found": summary.time_wait_not_found,
        "in_other_network": summary.elsewhere,
        "time_wait": summary.time_wait.iter().map(|s| s.map(Side::name)).collect::<Vec<_>>(),
    });
    let [one, other] = if summary.sides_known { ["client_", "server_"] } else { ["", "other_"] };
    for (end, bytes) in [(one, summary.client_bytes), (other, summary.server_bytes)] {
        let EndBytes { wrote, read } = bytes.unwrap_or(EndBytes::at_least(0, 0));
        line[format!("{end}wrote_bytes")] = amount(wrote);
        line[format!("{end}read_bytes")] = amount(read);
    }
    line
}

/// The bounds of a number of bytes, the upper one `null` if there may be any number more; `null`
/// for a number of which nothing is known.
fn amount(amount: ByteAmount) -> Value {
    if !amount.tells() {
        return Value::Null;
    }
    json!({ "min": amount.least, "max": amount.most() })
}

pub(crate) fn lost(changes: u64, out: &mut impl Write) -> io::Result<()> {
    write(&json!({ "kind": "lost", "changes": changes }), out)
}

pub(crate) fn end(total: &TraceTotal, out: &mut impl Write) -> io::Result<()> {
    let TraceTotal { changes, connections, ended, lost, lost_transfers, packets } = total;
    let line = json!({
        "kind": "end", "changes": changes, "connections": connections, "ended": ended,
        "lost_changes": lost, "lost_sends_and_receives": lost_transfers,
        "opened_by_packets": packets.map(|packets| packets.opened),
        "lost_packets": packets.map(|packets| packets.missed),
    });
    write(&line, out)
}

fn write(line: &Value, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    writeln!(out)
}

/// The bounds of a moment; both are the same where it is known.
fn moment(when: MomentRange, begun: Duration) -> Value {
    let since = |moment: Duration| nanos(moment.saturating_sub(begun));
    json!({ "min": since(when.earliest), "max": since(when.latest) })
}

fn span(span: TimeSpan) -> Value {
    json!({ "min": nanos(span.shortest), "max": nanos(span.longest) })
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
