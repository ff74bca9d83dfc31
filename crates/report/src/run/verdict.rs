//! What a run has shown, in sentences: how many connections, why, who closed first, what next.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet};
use std::io;

use evidence::{
    Afterwards, BodyPolicy, ByteCount, CloseReason, ClosedBy, Ends, Exchange, FailureKind,
    NotPooled, Observed, Outcome, Preset, RuleDifference, Setup, Side, TcpState, TimerKind,
    is_success,
};

use super::facts::{enough, most_frequent_loss};
use super::lines::{FACT, as_it_is, fact, prediction};
use super::next::{NextStep, next_step};
use super::{peer, shell};
use crate::page::Page;
use crate::page::heading;
use crate::wire;
use crate::words::{self, BAD, FAINT, GOOD, HEADING};

/// Writes the verdict.
pub(super) fn text(outcome: &Outcome, out: &mut impl Page) -> io::Result<()> {
    heading("Verdict", "", out)?;
    numbers(outcome, out)?;
    writeln!(out)?;
    if let Some(sentence) = rule_differences(&outcome.rule_differences) {
        for line in words::wrap(&sentence, 76) {
            writeln!(out, "  {BAD}{line}{BAD:#}")?;
        }
        writeln!(out)?;
    }
    let sentences = [
        run(outcome),
        count(outcome),
        peer::accept_gap(outcome),
        why(outcome),
        peer::deeds(outcome),
        peer::keep_alive_offers(outcome),
        closers(outcome),
    ];
    let sentences: Vec<String> = sentences.into_iter().flatten().collect();
    for line in words::wrap(&sentences.join(" "), out.prose_width() - 4) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out)?;
    let NextStep { words, question } = next_step(outcome);
    let mut name = "try next";
    for line in shell::lines(&words, out.prose_width() - FACT) {
        let line = words::printable(&line);
        as_it_is(name, &format!("{HEADING}{line}{HEADING:#}"), out)?;
        name = "";
    }
    fact("", &format!("{FAINT}{question}{FAINT:#}"), out)
}

/// Writes what was predicted, what was observed, and what each witness says of it.
fn numbers(outcome: &Outcome, out: &mut impl Page) -> io::Result<()> {
    let opened = outcome.opened();
    let observed = words::count(opened, "connection");
    match &outcome.prediction {
        Some(predicted) if !outcome.interrupted => {
            fact("predicted", &prediction(predicted), out)?;
            let (style, held) = match predicted.holds(opened) {
                true if outcome.failed() > 0 => (BAD, "as predicted, but requests failed"),
                true => (GOOD, "as predicted"),
                false => (BAD, "not as predicted"),
            };
            fact("observed", &format!("{observed}, {style}{held}{style:#}"), out)?;
        }
        _ => fact("observed", &observed, out)?,
    }
    let accepted = outcome.accepted.map_or("not ours to ask".into(), |n| format!("accepted {n}"));
    fact("witnesses", &format!("client's trace  opened {opened}"), out)?;
    fact("", &format!("server          {accepted}"), out)?;
    fact("", &format!("kernel's table  {}", listed(outcome)), out)?;
    if let Some(packets) = wire::witness(outcome) {
        witness("packets", &packets, out)?;
    }
    if outcome.disagreements.is_empty() {
        let but = if outcome.accept_gap.is_none() { "" } else { ", the accept queue considered" };
        return fact("", &format!("{GOOD}they agree{but}{GOOD:#}"), out);
    }
    for disagreement in &outcome.disagreements {
        for line in
            words::wrap(&format!("they disagree on {disagreement}"), out.prose_width() - FACT - 2)
        {
            fact("", &format!("{BAD}{line}{BAD:#}"), out)?;
        }
    }
    Ok(())
}

/// The word of a witness, which may be long.
fn witness(name: &str, word: &str, out: &mut impl Page) -> io::Result<()> {
    const WORD: usize = 16;
    let mut name = name;
    for line in words::wrap(word, out.width().saturating_sub(FACT + WORD)) {
        as_it_is("", &format!("{name:<WORD$}{line}"), out)?;
        name = "";
    }
    Ok(())
}

/// Returns where the rules of the client are no longer Go's; `None` if they are, or if it is no
/// client of Go's.
#[must_use]
pub fn rule_differences(all: &[RuleDifference]) -> Option<String> {
    let each: Vec<String> = all.iter().map(ToString::to_string).collect();
    (!each.is_empty())
        .then(|| format!("The rules of this build differ from Go's: {}.", each.join(", ")))
}

/// Returns what did not go as asked.
fn run(outcome: &Outcome) -> Option<String> {
    let (done, all) = (outcome.exchanges.len(), outcome.setup.exchanges());
    let ended =
        outcome.interrupted.then(|| format!("You ended the run after {done} of {all} requests."));
    let mut kinds: BTreeMap<FailureKind, usize> = BTreeMap::new();
    for failure in outcome.exchanges.iter().filter_map(|exchange| exchange.body.as_ref().err()) {
        *kinds.entry(failure.kind).or_default() += 1;
    }
    let kinds: Vec<String> =
        kinds.iter().map(|(kind, count)| format!("{count} {}", kind.name())).collect();
    let failed = (!kinds.is_empty())
        .then(|| format!("{} of {done} requests failed ({}).", outcome.failed(), kinds.join(", ")));
    let parts: Vec<String> = [ended, failed, statuses(outcome)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Returns what responses said, if one said anything but success.
fn statuses(outcome: &Outcome) -> Option<String> {
    let mut statuses = outcome.statuses();
    let responses: usize = statuses.values().sum();
    statuses.retain(|status, _| !is_success(*status));
    let others: usize = statuses.values().sum();
    let each: Vec<String> =
        statuses.iter().map(|(status, count)| format!("{count} x {status}")).collect();
    (others > 0).then(|| {
        format!(
            "{others} of {} had another status than 2xx ({}).",
            words::count(responses, "response"),
            each.join(", ")
        )
    })
}

fn count(outcome: &Outcome) -> Option<String> {
    let (requests, opened, enough) = (outcome.exchanges.len(), outcome.opened(), enough(outcome));
    if requests == 0 {
        return Some("No exchange was finished, so there is nothing to judge.".into());
    }
    let server_closes = outcome.exchanges.iter().any(|exchange| {
        matches!(
            exchange.afterwards,
            Afterwards::NotPooled(
                NotPooled::ServerSaidClose | NotPooled::Http10 | NotPooled::BodyEndsWithConnection
            )
        )
    });
    let outcome_of_it = match opened.cmp(&enough) {
        // How many would have done for exchanges that failed, nobody knows.
        _ if outcome.failed() > 0 => ".".into(),
        // What would have done is for the client to say only where the server lets it.
        Ordering::Greater if server_closes => ".".into(),
        Ordering::Greater => format!("; {enough} would have done."),
        Ordering::Equal => ", as few as can be.".into(),
        Ordering::Less => match outcome.setup.max_conns_per_host {
            Some(most) if opened >= most => {
                format!(": no more than {most} may be open to a host at a time.")
            }
            _ => format!(": the {enough} workers were never all busy at once."),
        },
    };
    let unused = match opened - outcome.used() {
        0 => String::new(),
        n => format!(
            " {n} of them carried no request: while they were dialled, another one came free."
        ),
    };
    let requests = words::count(requests, "request");
    let opened = words::count(opened, "connection");
    Some(format!("{requests} opened {opened}{outcome_of_it}{unused}"))
}

/// Why connections were lost, or kept.
fn why(outcome: &Outcome) -> Option<String> {
    let setup = &outcome.setup;
    let few = outcome.opened() <= enough(outcome);
    if outcome.opened() == 0 {
        return None;
    }
    if let Some(held) = held(outcome) {
        return Some(held);
    }
    if let Some((reason, count)) = most_frequent_loss(outcome) {
        return match reason {
            CloseReason::NotPooled(refused) => Some(refusal(*refused, count, setup)),
            CloseReason::IdleTimeout(limit) => Some(format!(
                "{} after {} idle, before the next request came.",
                were_closed(count),
                words::span(*limit)
            )),
            _ => None,
        };
    }
    if outcome.failed() > 0 {
        return None;
    }
    if setup.preset == Preset::HyperUtil {
        return hyper_util(setup, few, outcome);
    }
    let used_again = match outcome.exchanges.iter().any(|exchange| exchange.reused) {
        true => " and the next request found it there",
        false => "",
    };
    match setup.body {
        _ if !few => None,
        BodyPolicy::Drop => Some(
            "Nobody read the bodies, but the client drained the rest of each by itself, so its connection was free again."
                .into(),
        ),
        BodyPolicy::Drain | BodyPolicy::Hold => Some(format!(
            "Each response was read to its end, so its connection went back to the pool{used_again}."
        )),
    }
}

/// Bodies that are kept unread, and so their connections.
fn held(outcome: &Outcome) -> Option<String> {
    let held = |exchange: &&Exchange| exchange.afterwards == Afterwards::Held;
    let whose = match outcome.exchanges.iter().filter(held).count() {
        0 => return None,
        1 => "A body that is kept unread kept its connection busy".to_owned(),
        count => format!("{count} bodies that are kept unread kept their connections busy"),
    };
    Some(format!(
        "{whose}: what the reader has not read stands between this response and the next (RFC 9112 section 9.3)."
    ))
}

fn were_closed(count: usize) -> String {
    match count {
        1 => "1 connection was closed".into(),
        count => format!("{count} connections were closed"),
    }
}

fn refusal(refused: NotPooled, count: usize, setup: &Setup) -> String {
    let closed = were_closed(count);
    match refused {
        // A reader that drains lets go of no body: its time was over, or Ctrl-C came.
        NotPooled::BodyUnread { .. } if setup.body == BodyPolicy::Drain => {
            format!("{closed} because the exchange was given up before the end of its body.")
        }
        NotPooled::BodyUnread { left } => {
            let left = left.map_or(String::new(), |left| format!(" ({} left)", ByteCount(left)));
            format!(
                "{closed} because the body was let go of unread{left}: what is left of it stands between this response and the next (RFC 9112 section 9.3)."
            )
        }
        NotPooled::IdleCapReached { per_host } => {
            let next = match setup.requests > 1 && !setup.interval.is_zero() {
                true => ", and the next round dials anew",
                false => "",
            };
            format!(
                "{closed} because the pool keeps {per_host} idle per host: whichever comes back too many has to go{next}."
            )
        }
        NotPooled::TotalCapReached { max_idle } => format!(
            "{closed} because the pool keeps {max_idle} idle in all: the one that has been idle longest has to go."
        ),
        NotPooled::KeepAlivesDisabled => {
            format!("{closed} because keep-alives are disabled: every connection is used once.")
        }
        NotPooled::ClientSaidClose => format!(
            "{closed} because the request said so: `Connection: close` (RFC 9112 section 9.6)."
        ),
        NotPooled::ServerSaidClose => format!(
            "{closed} because the server said so: `Connection: close` (RFC 9112 section 9.6). No client can keep what its server closes."
        ),
        NotPooled::Http10 => format!(
            "{closed} because the server answered in HTTP/1.0 without `keep-alive` (RFC 9112 section 9.3). No client can keep what its server closes."
        ),
        NotPooled::BodyEndsWithConnection => format!(
            "{closed} because the server announced no length: the end of such a body is the end of its connection (RFC 9112 section 6.3)."
        ),
        NotPooled::ProtocolSwitched => {
            format!("{closed} because another protocol than HTTP was to be spoken on it.")
        }
        NotPooled::ConnectionBroken => {
            format!("{closed} because it was broken when its response had ended.")
        }
        NotPooled::TransportClosed => format!("{closed} because the client was closing down."),
    }
}

/// Returns what can be said of a client that does not tell why.
fn hyper_util(setup: &Setup, few: bool, outcome: &Outcome) -> Option<String> {
    Some(match (few, setup.body) {
        (true, BodyPolicy::Drain) => {
            "Each response was read to its end, and the next request got the same connection.".into()
        }
        (true, _) => "Nobody read the bodies, and still the connection was used again: hyper reads by itself what comes along with the head."
            .into(),
        (false, BodyPolicy::Hold) => {
            "The bodies that are kept unread are larger than what hyper reads ahead, so they keep their connections busy."
                .into()
        }
        (false, BodyPolicy::Drop) => {
            "hyper-util's client does not tell why it closes a connection; the bodies were let go of before hyper had read all of them."
                .into()
        }
        (false, BodyPolicy::Drain) => {
            let closed = outcome
                .connections
                .iter()
                .filter_map(|connection| connection.close.as_ref())
                .filter(|close| close.why == Observed::NotObservable)
                .count();
            if closed == 0 {
                return None;
            }
            format!(
                "hyper-util's client closed {} and does not tell why; it was told to keep {} idle per host.",
                words::count(closed, "connection"),
                setup.per_host
            )
        }
    })
}

/// Returns who closed first, so holds `TIME_WAIT`.
fn closers(outcome: &Outcome) -> Option<String> {
    let [client, server] = [ClosedBy::Client, ClosedBy::Server].map(|by| outcome.closed_by(by));
    let mut sentences = Vec::new();
    if client > 0 {
        let when = match closed_at_the_end(outcome) {
            0 => String::new(),
            end if end >= client => ", at the end of the run".into(),
            end => format!(", {end} of them at the end of the run"),
        };
        sentences.push(format!(
            "The client closed {} first{when}, {}",
            them(client, outcome.opened()),
            time_wait(outcome, Side::Client),
        ));
    }
    if server > 0 {
        sentences.push(format!(
            "The server closed {} first, {}",
            them(server, outcome.opened()),
            time_wait(outcome, Side::Server),
        ));
    }
    sentences.extend(peer::resets(outcome));
    sentences.extend(peer::time_waits_cut_short(outcome));
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// Returns where `TIME_WAIT` is, or what it waits for, at the end that closed first: it comes only
/// once the other end has closed, too.
fn time_wait(outcome: &Outcome, side: Side) -> String {
    const RFC: &str = "(RFC 9293 section 3.6)";
    let table = outcome.tables.after_closing.table.as_ref();
    let tally = table.map(|table| table.tally(side)).unwrap_or_default();
    let count = |state: TcpState| tally.get(&state).copied().unwrap_or_default();
    let waiting = count(TcpState::FinWait1) + count(TcpState::FinWait2);
    let state =
        if count(TcpState::FinWait1) == 0 { TcpState::FinWait2 } else { TcpState::FinWait1 };
    let (end, other) = match side {
        Side::Client => ("client", "server"),
        Side::Server => ("server", "client"),
    };
    match (waiting, count(TcpState::TimeWait)) {
        (0, _) => {
            let left = longest(outcome, side);
            format!("so TIME_WAIT is at the {end}'s end{left} {RFC}.")
        }
        (_, 0) => format!(
            "and the {other} has not closed its end, so there is no TIME_WAIT yet, but {state} {RFC}."
        ),
        (waiting, _) => {
            let left = longest(outcome, side);
            format!(
                "so TIME_WAIT is at the {end}'s end{left} {RFC}; {state} {waiting}: there the {other} has not closed its end."
            )
        }
    }
}

/// So many of all connections.
fn them(some: usize, all: usize) -> String {
    match (some, all) {
        (1, 1) => "it".into(),
        (some, all) if some == all => format!("all {all}"),
        (some, _) => some.to_string(),
    }
}

/// How many connections the client kept until the run was over: idle ones, and those of bodies
/// that it held.
fn closed_at_the_end(outcome: &Outcome) -> usize {
    let held = outcome.setup.body == BodyPolicy::Hold;
    let closes = outcome.connections.iter().filter_map(|connection| connection.close.as_ref());
    closes
        .filter(|close| close.by == ClosedBy::Client)
        .filter(|close| held || close.why == Observed::Known(CloseReason::TransportClosed))
        .count()
}

/// The time that the kernel's own timer has left, as it was read.
fn longest(outcome: &Outcome, side: Side) -> String {
    let table = outcome.tables.after_closing.table.as_ref();
    table
        .ok()
        .into_iter()
        .flat_map(|table| &table.sockets)
        .filter(|socket| socket.side == Some(side) && socket.state == TcpState::TimeWait)
        .filter_map(|socket| socket.timer.known().flatten())
        .filter(|timer| timer.kind == TimerKind::TimeWait)
        .map(|timer| timer.left)
        .max()
        .map_or(String::new(), |left| {
            format!(", for {:.0} s more by the kernel's timer", left.as_secs_f64())
        })
}

/// How many of the run's connections the kernel listed, and what became of the others.
fn listed(outcome: &Outcome) -> String {
    let tables = &outcome.tables;
    let (Ok(running), Ok(closed)) = (&tables.while_running.table, &tables.after_closing.table)
    else {
        return "unknown: it cannot be read".into();
    };
    let busiest = tables.busiest.iter().flat_map(|table| &table.sockets);
    let seen: HashSet<Ends> = running
        .sockets
        .iter()
        .chain(&closed.sockets)
        .chain(busiest)
        .filter_map(evidence::Socket::ends)
        .collect();
    let reset = outcome
        .connections
        .iter()
        .filter(|c| c.close.as_ref().is_some_and(|close| close.by == ClosedBy::Reset))
        .filter(|connection| !seen.contains(&connection.ends))
        .count();
    let gone = outcome.opened().saturating_sub(seen.len() + reset);
    let mut text = format!("listed {}", seen.len());
    if reset > 0 {
        text.push_str(&format!("; the {reset} that were reset are gone from it"));
    }
    if gone > 0 {
        text.push_str(&format!("; {gone} had left it before it was read"));
    }
    text
}
