//! What the other end did: facts that the client and the kernel saw, and no guess at its reasons.

use std::time::Duration;

use evidence::{
    AcceptGap, BodyPolicy, Close, CloseReason, ClosedBy, Observed, OfferTally, Outcome,
};

use crate::words;

/// Returns what the server did to connections and to requests, if it did anything but answer.
pub(super) fn deeds(outcome: &Outcome) -> Option<String> {
    let mut sentences = Vec::new();
    match because(outcome, |why| *why == CloseReason::ServerClosed) {
        0 => {}
        count => sentences.push(format!(
            "The server closed {} without having said so in a response.",
            words::count(count, "connection")
        )),
    }
    for (what, count) in malformed(outcome) {
        sentences.push(format!(
            "{} closed because of what the server sent: {what}.",
            was(count, "connection")
        ));
    }
    // Every exchange is given a connection once; who is given another, sends its request again.
    let given: u64 = outcome.connections.iter().map(|connection| connection.exchanges).sum();
    match given.saturating_sub(outcome.exchanges.len() as u64) {
        0 => {}
        again => sentences.push(format!(
            "{} sent again on another connection, because the first was gone before an answer (RFC 9110 section 9.2.2).",
            was(usize::try_from(again).unwrap_or(usize::MAX), "request")
        )),
    }
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// Returns what responses offered in `Keep-Alive` fields, and how long the server kept what was idle.
#[must_use]
pub fn keep_alive_offers(outcome: &Outcome) -> Option<String> {
    let tally = outcome.keep_alive_offers()?;
    let OfferTally { offers, responses, first, same, timeouts, idle_closes, sooner, unseen } =
        &tally;
    let whose = match (*offers, *responses) {
        (1, 1) => "The response".to_owned(),
        (some, all) if some == all => format!("All {all} responses"),
        (some, all) => format!("{some} of {all} responses"),
    };
    let (start, end) = match timeouts {
        Some(times) => {
            let (least, most) = (words::span(times.0), words::span(times.1));
            let time = if least == most { least } else { format!("{least} to {most}") };
            (format!("{whose} offered to keep an idle connection for {time} ("), ")")
        }
        None => (format!("{whose} said "), ""),
    };
    let value = words::printable(first);
    let others = if *same { "" } else { " in the first" };
    let mut text =
        format!("{start}Keep-Alive: {value}{others}{end}; this client does not read that.");
    if let [least, .., most] | [least @ most] = &idle_closes[..] {
        let fit = match (timeouts, *sooner) {
            (None, _) => String::new(),
            (Some(_), 0) => ", no sooner than offered".to_owned(),
            (Some(_), sooner) if sooner == idle_closes.len() => ", sooner than offered".to_owned(),
            (Some(_), sooner) => format!(", {sooner} of them sooner than offered"),
        };
        text.push_str(&format!(
            " {} been idle for {} by the client's trace when the server closed {}{fit}.",
            words::count(idle_closes.len(), "connection") + " had",
            range(*least, *most),
            if idle_closes.len() == 1 { "it" } else { "them" },
        ));
    }
    if *unseen > 0 {
        text.push_str(&format!(
            " For how long the {unseen} that the server closed had been idle, this client does not tell.",
        ));
    }
    Some(text)
}

fn range(least: Duration, most: Duration) -> String {
    let (least, most) = (words::short(least), words::short(most));
    if least == most { least } else { format!("{least} to {most}") }
}

/// Returns what is known about the connections that ended in a reset.
pub(super) fn resets(outcome: &Outcome) -> Option<String> {
    let all = outcome.closed_by(ClosedBy::Reset);
    let of_server = because(outcome, |why| *why == CloseReason::ServerReset).min(all);
    let others = all - of_server;
    let mut sentences = Vec::new();
    if of_server > 0 {
        sentences.push(format!("The server reset {}.", words::count(of_server, "connection")));
    }
    if others > 0 && outcome.setup.body == BodyPolicy::Drain {
        sentences.push(format!("{} ended in a reset.", words::count(others, "connection")));
    } else if others > 0 {
        sentences.push(format!(
            "{} ended in a reset: bytes of the response were unread or still coming when the client closed, and its kernel answers that with RST (RFC 2525 section 2.17).",
            words::count(others, "connection"),
        ));
    }
    (all > 0).then(|| format!("{} After a reset nobody holds TIME_WAIT.", sentences.join(" ")))
}

/// Returns what is known of `TIME_WAIT`s that are gone before their time, if any are.
#[must_use]
pub fn time_waits_cut_short(outcome: &Outcome) -> Option<String> {
    let gone = outcome.time_waits_cut_short;
    (gone > 0).then(|| {
        format!(
            "{} gone before the time: resets were sent, no fewer than that, and a reset ends it (RFC 1337).",
            match gone {
                1 => "1 TIME_WAIT is".to_owned(),
                gone => format!("{gone} TIME_WAITs are"),
            }
        )
    })
}

/// Returns why the server accepted another number of connections than the client opened, if it did
/// and that is explained.
#[must_use]
pub fn accept_gap(outcome: &Outcome) -> Option<String> {
    let AcceptGap { in_queue, half_open, given_up } = outcome.accept_gap;
    let connections = |count| words::count(count, "connection");
    let mut sentences = Vec::new();
    if in_queue > 0 {
        let were = if in_queue == 1 { "was" } else { "were" };
        sentences.push(format!(
            "{} of the client's {were} still in the accept queue when the run was over: the kernel has them, the program had not accepted them.",
            connections(in_queue)
        ));
    }
    if half_open > 0 {
        let were = if half_open == 1 { "was" } else { "were" };
        sentences.push(format!(
            "{} {were} open for the client alone: the accept queue overflowed, no fewer times than that (TcpExtListenOverflows), and then the server's kernel drops the last ACK of a handshake.",
            connections(half_open)
        ));
    }
    if given_up > 0 {
        sentences.push(format!(
            "The server accepted {} that the client's trace does not tell of; no request came on any, and the client gave up dials, no fewer than that, before it had heard that they were through.",
            connections(given_up)
        ));
    }
    (!sentences.is_empty()).then(|| sentences.join(" "))
}

/// How many connections were closed for a reason that the client knows.
fn because(outcome: &Outcome, is: impl Fn(&CloseReason) -> bool) -> usize {
    reasons(outcome).filter(|why| is(why)).count()
}

fn reasons(outcome: &Outcome) -> impl Iterator<Item = &CloseReason> {
    outcome.connections.iter().filter_map(|connection| match &connection.close {
        Some(Close { why: Observed::Known(why), .. }) => Some(why),
        _ => None,
    })
}

/// What was wrong with what the server sent, and how often.
fn malformed(outcome: &Outcome) -> Vec<(&str, usize)> {
    let mut all: Vec<(&str, usize)> = Vec::new();
    for why in reasons(outcome) {
        let CloseReason::Malformed(what) = why else { continue };
        match all.iter_mut().find(|(known, _)| known == what) {
            Some((_, count)) => *count += 1,
            None => all.push((what, 1)),
        }
    }
    all
}

/// `1 request was`, `3 requests were`.
fn was(count: usize, noun: &str) -> String {
    let were = if count == 1 { "was" } else { "were" };
    format!("{} {were}", words::count(count, noun))
}
