//! A trace for people: one line a change, one line a connection that is over.

use std::io::{self, Write};
use std::time::Duration;

use evidence::{Side, TcpState};
use report::words::{self, FAINT, HEADING, STRIKING};

use super::change::{MomentRange, TimeSpan};
use super::story::{ChangeLine, ConnectionEnding, ConnectionSummary, StoryEvent};
use super::wire_story::{PacketLine, WireEvent, WireSummary};
use super::witness::{ChangeWitness, TraceTotal, TraceWitness};

mod bytes;

/// The width of an IPv4 address with its port.
const ADDRESS: usize = 21;
const WIDTH: usize = 100;
/// What a close takes if both ends are about it: a longer one is told.
const REST: Duration = Duration::from_millis(1);

pub(crate) fn witness(
    witness: &TraceWitness,
    packets: Result<bool, &str>,
    ports: &[u16],
    out: &mut impl Write,
) -> io::Result<()> {
    let about = match ports {
        [] => "every port".to_owned(),
        ports => {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            format!("port {}", ports.join(", "))
        }
    };
    let (name, explained) = match witness {
        TraceWitness::Tracepoint { no_bytes } => {
            let bytes = match no_bytes {
                None => "Bytes are what processes wrote to a socket and read from it.".to_owned(),
                Some(why) => format!("No bytes: {why}."),
            };
            let changes = "It tells every change, those of containers too; how TIME_WAIT begins \
                           and ends is told by sock_diag,\nof this network namespace alone.";
            ("tracepoint sock:inet_sock_set_state", format!("{changes}\n{bytes}"))
        }
        TraceWitness::Sampling { instead } => (
            "sampling of sock_diag",
            format!(
                "{}What is shorter than the time between two readings is not seen: times are \
                 ranges, bytes are the least that there were, and what is in brackets is inferred.",
                instead.as_ref().map_or(String::new(), |why| format!("No tracepoint: {why}. "))
            ),
        ),
    };
    let (more, explained) = match packets {
        Ok(false) => ("", explained),
        Err(why) => ("", format!("{explained}\nN{}.", why.strip_prefix('n').unwrap_or(why))),
        Ok(true) => {
            let letters = "BY tells who saw it: T the tracepoint, D sock_diag, P the packets of this \
                           network namespace.";
            (", and packets", format!("{explained}\n{letters}"))
        }
    };
    writeln!(out, "{HEADING}Witness: {name}{more}, {about}{HEADING:#}")?;
    for line in explained.lines().flat_map(|line| words::wrap(&words::printable(line), WIDTH)) {
        writeln!(out, "{FAINT}{line}{FAINT:#}")?;
    }
    let [time, number, end, address, change, after] =
        ["TIME", "#", "END", "ADDRESS", "CHANGE", "AFTER"];
    let by = if packets == Ok(true) { "BY " } else { "" };
    writeln!(
        out,
        "\n{FAINT}{time:>11}  {by}{number:<6} {end:<6} {address:<ADDRESS$}  {change:<24}  \
         {after}{FAINT:#}"
    )
}

/// Writes what happened; if there are several witnesses, with the letter of the one that saw it, where
/// `changes_by` sees changes.
pub(crate) fn told(
    told: &StoryEvent,
    changes_by: Option<ChangeWitness>,
    begun: Duration,
    out: &mut impl Write,
) -> io::Result<()> {
    match told {
        StoryEvent::Change(line) => {
            let letter = changes_by.map(|witness| witness.of(line).letter());
            change(line, letter, begun, out)
        }
        StoryEvent::Ended(summary) => ended(summary, out),
    }
}

/// Writes what packets tell, beside a witness that sees changes.
pub(crate) fn wire(
    told: &WireEvent,
    beside: ChangeWitness,
    begun: Duration,
    out: &mut impl Write,
) -> io::Result<()> {
    match told {
        WireEvent::Packet(line) => packet(line, begun, out),
        WireEvent::Ended(summary) => packets_ended(summary, beside, out),
    }
}

/// `0.812490  P  #1  client 127.0.0.1:56002  [F.] the first`.
fn packet(line: &PacketLine, begun: Duration, out: &mut impl Write) -> io::Result<()> {
    let time = moment(MomentRange::at(line.at), begun);
    let number = line.connection.map_or(String::new(), |number| format!("#{number}"));
    let end = line.side.map_or("", Side::name);
    let address = words::shortened(&words::address(line.local), ADDRESS);
    let first = if line.first { ", the first to end it" } else { "" };
    let flags = line.flags;
    writeln!(out, "{time:>11}  P  {number:<6} {end:<6} {address:<ADDRESS$}  [{flags}] sent{first}")
}

fn packets_ended(
    summary: &WireSummary,
    beside: ChangeWitness,
    out: &mut impl Write,
) -> io::Result<()> {
    let WireSummary { connection, client, server, talk, agrees, .. } = summary;
    let (begin, who) = match connection {
        Some(number) => (format!("#{number}"), String::new()),
        None => {
            let (client, server) = (words::address(*client), words::address(*server));
            (String::new(), format!(" alone saw {client} → {server}"))
        }
    };
    let beside = match beside {
        ChangeWitness::Tracepoint => "the tracepoint",
        ChangeWitness::SockDiag => "sock_diag",
    };
    let word = match agrees {
        Some(true) => format!(", as {beside} saw it"),
        Some(false) => format!(", which DIFFERS from what {beside} saw"),
        None => String::new(),
    };
    let then = talk.then_words().map(|then| format!("; {then}")).unwrap_or_default();
    let again = talk.again_words().map(|again| format!("; {again}")).unwrap_or_default();
    let words = format!("packets{who}: {}{word}{then}{again}", talk.first_words());
    for (place, line) in words::wrap(&words, WIDTH - 5).iter().enumerate() {
        writeln!(out, "{:<4} {line}", if place == 0 { begin.as_str() } else { "" })?;
    }
    Ok(())
}

fn change(
    line: &ChangeLine,
    letter: Option<&str>,
    begun: Duration,
    out: &mut impl Write,
) -> io::Result<()> {
    let ChangeLine { side, local, old, new, .. } = line;
    let time = moment(line.when, begun);
    let number = line.connection.map_or(String::new(), |number| format!("#{number}"));
    let end = side.map_or("", Side::name);
    let address = words::shortened(&words::address(*local), ADDRESS);
    let style = words::state_style(*new);
    let gap = " ".repeat(21_usize.saturating_sub(old.name().len() + new.name().len()));
    let after = match (line.lasted, line.gap) {
        _ if line.unseen_here => "? TIME_WAIT is not seen there".to_owned(),
        (_, true) => "? a change is missing".to_owned(),
        (Some(lasted), false) => span(lasted),
        (None, false) => String::new(),
    };
    let by = letter.map_or(String::new(), |letter| format!("{letter}  "));
    let shown = format!(
        "{time:>11}  {by}{number:<6} {end:<6} {address:<ADDRESS$}  {old} → {style}{new}{style:#}{gap}  \
         {after}"
    );
    writeln!(out, "{}", shown.trim_end())?;
    if !line.unseen.is_empty() {
        let states: Vec<&str> = line.unseen.iter().map(|state| state.name()).collect();
        let shorter = words::short(line.when.latest.saturating_sub(line.when.earliest));
        let by = states.join(", ");
        writeln!(out, "{FAINT}{:>50}(by {by}: < {shorter}){FAINT:#}", "")?;
    }
    Ok(())
}

fn ended(summary: &ConnectionSummary, out: &mut impl Write) -> io::Result<()> {
    let ConnectionSummary { connection, client, server, .. } = summary;
    let how = ending(summary.ending);
    let age = times(summary);
    let left = summary.left.map_or(String::new(), |left| format!(" {}", words::short(left)));
    let first = match summary.ending {
        ConnectionEnding::ClosedFirst(side) => Some(side),
        _ => None,
    };
    let time_wait = match summary.time_wait.as_slice() {
        [] if summary.time_wait_not_found && summary.elsewhere => {
            ", in another network namespace".to_owned()
        }
        [] if summary.time_wait_not_found => ", TIME_WAIT not found here".to_owned(),
        [] => String::new(),
        [side] if Some(*side) == first => format!(", {}{left}", TcpState::TimeWait),
        sides => {
            let ends: Vec<&str> = sides.iter().map(|side| end(*side)).collect();
            format!(", {} at {}{left}", TcpState::TimeWait, ends.join(" and "))
        }
    };
    let arrow = if summary.sides_known { "→" } else { "↔" };
    let ends = format!("{} {arrow} {}", words::address(*client), words::address(*server));
    let begin = format!("{:<4} {ends}", format!("#{connection}"));
    let said = format!("{how}{age}{time_wait}");
    let fits = begin.chars().count() + 2 + said.chars().count() <= WIDTH;
    let between = if fits { "  " } else { "\n     " };
    writeln!(out, "{STRIKING}{begin}{STRIKING:#}{between}{STRIKING}{said}{STRIKING:#}")?;
    for line in bytes::lines(summary) {
        writeln!(out, "     {line}")?;
    }
    Ok(())
}

/// After how long it was closed, and after how long over, if that is another time for certain.
fn times(summary: &ConnectionSummary) -> String {
    match (summary.closed_after, summary.age, summary.ending) {
        (_, _, ConnectionEnding::NeverOpen) => String::new(),
        (Some(closed), Some(age), _) if age.shortest >= closed.longest + REST => {
            format!(" after {}, over after {}", span(closed), span(age))
        }
        (Some(closed), ..) => format!(" after {}", span(closed)),
        (None, Some(age), _) => format!(", over after {}", span(age)),
        (None, None, _) => ", age unknown".to_owned(),
    }
}

fn end(side: Option<Side>) -> &'static str {
    side.map_or("one end", Side::name)
}

fn ending(ending: ConnectionEnding) -> String {
    match ending {
        ConnectionEnding::ClosedFirst(side) => format!("{} closed first", end(side)),
        ConnectionEnding::Both => "both closed at once".to_owned(),
        ConnectionEnding::Aborted(side) => format!("aborted by {}", end(side)),
        ConnectionEnding::AbortedBySomebody => "aborted".to_owned(),
        ConnectionEnding::NeverOpen => "never open".to_owned(),
        ConnectionEnding::Unknown => "end not seen".to_owned(),
    }
}

pub(crate) fn lost(changes: u64, out: &mut impl Write) -> io::Result<()> {
    let lost = count(changes, "change");
    writeln!(out, "{STRIKING}{lost} lost before this line: the buffer was full{STRIKING:#}")
}

/// `1 change`, `12 changes`.
fn count(number: u64, noun: &str) -> String {
    words::count(usize::try_from(number).unwrap_or(usize::MAX), noun)
}

pub(crate) fn end_of_all(total: &TraceTotal, out: &mut impl Write) -> io::Result<()> {
    let changes = count(total.changes, "change");
    let connections = count(total.connections, "connection");
    let lost = match total.lost {
        Some(0) => "; no change was lost".to_owned(),
        Some(lost) => format!("; {} lost", count(lost, "change")),
        None => ", as far as samples show".to_owned(),
    };
    writeln!(out, "\n{changes} of {connections}, {} of them ended{lost}", total.ended)?;
    if let Some(packets) = total.packets {
        let opened = count(packets.opened, "connection");
        let missed = match packets.missed {
            0 => "no packet was missed".to_owned(),
            missed => format!("{} missed", count(missed, "packet")),
        };
        writeln!(out, "packets: {opened} begun; {missed}")?;
    }
    match total.lost_transfers {
        None | Some(0) => Ok(()),
        Some(lost) => {
            let lost = count(lost, "record");
            writeln!(out, "{lost} of bytes lost: numbers with ≥ are the least that there were")
        }
    }
}

/// Seconds since the trace began, to the microsecond where that is known.
fn moment(when: MomentRange, begun: Duration) -> String {
    let seconds = when.latest.saturating_sub(begun).as_secs_f64();
    if when.earliest == when.latest { format!("{seconds:.6}") } else { format!("≤ {seconds:.3}") }
}

/// `0.018 ms`, `50.2 ms`, `1.2 to 3.4 ms`, `< 2.0 ms`.
fn span(span: TimeSpan) -> String {
    let TimeSpan { shortest, longest } = span;
    if shortest == longest {
        return exact(longest);
    }
    if shortest.is_zero() {
        return format!("< {}", exact(longest));
    }
    let (low, high) = (exact(shortest), exact(longest));
    match (low.split_once(' '), high.split_once(' ')) {
        _ if low == high => low,
        (Some((number, unit)), Some((_, other))) if unit == other => format!("{number} to {high}"),
        _ => format!("{low} to {high}"),
    }
}

fn exact(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1e3;
    if ms < 0.9995 { format!("{ms:.3} ms") } else { words::short(time) }
}

#[cfg(test)]
mod tests;
