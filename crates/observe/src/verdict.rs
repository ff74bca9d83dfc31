//! What was observed in plain words: what it means, what shows it, what to try next.
//!
//! | file | idea |
//! |---|---|
//! | `reuse.rs` | were connections used again, and if not, why not? |

mod reuse;

use evidence::{ServerAddr, Side, WireClose};
use report::words::{address, short};

use crate::cause::close_cause;
use crate::connection::{DialOutcome, ObservedConnection};
use crate::observation::Observation;
use crate::stale::{SentAgain, StaleRequest, meets_stale, sent_again};
use crate::tally::ConnectionTally;

/// Something that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its name for programs.
    pub name: &'static str,
    /// The server that it is about; `None` if it is about all.
    pub server: Option<ServerAddr>,
    /// What it is, in a sentence.
    pub sentence: String,
    /// What shows it.
    pub evidence: Vec<String>,
    /// What to try next, if anything is known to help.
    pub next: Option<String>,
}

impl Finding {
    fn new(name: &'static str, server: Option<ServerAddr>, sentence: String) -> Self {
        Self { name, server, sentence, evidence: Vec::new(), next: None }
    }

    fn shown_by(mut self, evidence: impl IntoIterator<Item = String>) -> Self {
        self.evidence.extend(evidence);
        self
    }

    fn next(mut self, next: impl Into<String>) -> Self {
        self.next = Some(next.into());
        self
    }
}

/// Returns what was found, the most important first: of all, then of each server.
#[must_use]
pub fn verdict(of: &Observation) -> Vec<Finding> {
    if of.connections.is_empty() {
        return vec![nothing(of)];
    }
    let mut all = Vec::new();
    for (server, connections) in of.by_server() {
        let tally = ConnectionTally::of(&connections);
        all.extend(dials(server, &connections, &tally, of));
        all.extend(reuse::finding(server, &connections, &tally, of));
        all.extend(twice(server, &connections));
        all.extend(stale(server, &connections));
        all.extend(resets(server, &connections, of));
        all.extend(unused(server, &connections, &tally, of));
    }
    all
}

/// `1 connection`, `2 connections`.
pub(crate) fn many(count: u64, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}

/// The numbers of connections: `#1, #2, #3 …`.
fn ids<'a>(connections: impl IntoIterator<Item = &'a ObservedConnection>) -> String {
    const MOST: usize = 6;
    let ids: Vec<String> = connections.into_iter().map(|it| it.id.to_string()).collect();
    match ids.get(..MOST) {
        Some(first) if ids.len() > MOST => format!("{} …", first.join(", ")),
        _ => ids.join(", "),
    }
}

fn nothing(of: &Observation) -> Finding {
    let sentence = "No TCP connection was dialled.".to_owned();
    let found = Finding::new("nothing", None, sentence);
    match of.counter("IpOutNoRoutes") {
        Some(no_route) if no_route > 0 => found
            .shown_by([format!(
                "{no_route} times the kernel had no way to an address (IpOutNoRoutes)"
            )])
            .next(
                "out of this private network no way leads: let the program talk to a server that \
                 it starts itself on 127.0.0.1, or to the lab's (`{url}` in the command)",
            ),
        _ => found.next(
            "if it should have: does it reach its server by a Unix socket, or by UDP? Those are \
             not observed",
        ),
    }
}

fn dials(
    server: ServerAddr,
    connections: &[&ObservedConnection],
    tally: &ConnectionTally,
    of: &Observation,
) -> Vec<Finding> {
    let mut all = Vec::new();
    let here = address(server.socket_addr());
    if tally.refused > 0 {
        let refused = connections.iter().filter(|it| matches!(it.dial, DialOutcome::Refused(_)));
        let sentence = match tally.opened {
            0 => format!("Nobody listened at {here}: {} refused.", many(tally.refused, "dial")),
            _ => format!("{} of {} dials to {here} were refused.", tally.refused, tally.dialled),
        };
        let elsewhere = of.connections.iter().find(|it| {
            it.is_opened() && it.ends.server.port() == server.port() && it.ends.server != server
        });
        let found = Finding::new("refused", Some(server), sentence)
            .shown_by([format!("{} met a RST", ids(refused.copied()))]);
        all.push(match elsewhere {
            Some(other) => found.next(format!(
                "{} has the same port and was opened: a name with two addresses costs a dial; \
                 name the one that listens, or let the server listen on both",
                address(other.ends.server.socket_addr())
            )),
            None => found,
        });
    }
    if tally.unanswered > 0 {
        let unanswered = connections.iter().filter(|it| it.dial == DialOutcome::Unanswered);
        let syns: u64 = unanswered.clone().map(|it| it.syns).sum();
        let sentence = format!("{} to {here} had no answer.", many(tally.unanswered, "dial"));
        all.push(Finding::new("unanswered", Some(server), sentence).shown_by([format!(
            "{}: {} sent",
            ids(unanswered.copied()),
            many(syns, "SYN")
        )]));
    }
    all
}

fn twice(server: ServerAddr, connections: &[&ObservedConnection]) -> Option<Finding> {
    let again = sent_again(connections);
    if again.is_empty() {
        return None;
    }
    let sentence = match again.len() {
        1 => "A request was sent twice: its connection had ended without an answer.".to_owned(),
        many => format!(
            "{many} requests were sent twice: their connections had ended without an answer."
        ),
    };
    let evidence = again.iter().take(3).map(|it| {
        let first = it.first.end.map(|end| how(end.by)).unwrap_or_default();
        format!(
            "{} {} on {} ({first}), then on {}",
            it.request.method, it.request.target, it.first.id, it.again.id
        )
    });
    let found = Finding::new("sent_twice", Some(server), sentence).shown_by(evidence);
    // Of one that the server's kernel answered with a reset nothing was read.
    let was_unread = |it: &SentAgain<'_>| {
        let reset = it.first.end.is_some_and(|end| end.reset == Some(Side::Server));
        reset && meets_stale(it.first).is_some_and(|stale| stale.after_close.is_some())
    };
    if again.iter().all(was_unread) {
        return Some(found.shown_by([
            "the first met a reset each time: the server had closed before, and has not read it"
                .to_owned(),
        ]));
    }
    let works = |it: &&SentAgain<'_>| {
        !was_unread(it) && matches!(it.request.method.as_str(), "POST" | "PATCH")
    };
    Some(match again.iter().find(works) {
        Some(one) => found.next(format!(
            "a {} may do its work twice: whether the server had read the first is not seen here; \
             give it an idempotency key, or switch retries off",
            one.request.method
        )),
        None => found,
    })
}

fn stale(server: ServerAddr, connections: &[&ObservedConnection]) -> Option<Finding> {
    let met: Vec<_> = connections.iter().filter_map(|it| Some((*it, meets_stale(it)?))).collect();
    if met.is_empty() {
        return None;
    }
    let sentence = format!(
        "{} a connection that its server had closed or was closing.",
        match met.len() {
            1 => "A request met".to_owned(),
            many => format!("{many} requests each met"),
        }
    );
    let evidence = met.iter().take(3).map(|(connection, it)| {
        let close = match it.after_close {
            Some(after) => format!("{} after the server's close", short(after)),
            None => "and crossed the server's close".to_owned(),
        };
        format!(
            "{} on {}: sent after {} of silence, {close}",
            it.request.method,
            connection.id,
            short(it.idle)
        )
    });
    let silence = |(connection, it): &(&ObservedConnection, StaleRequest<'_>)| {
        connection.end.map_or(it.idle, |end| end.silence).min(it.idle)
    };
    let longest = met.iter().map(silence).min().unwrap_or_default();
    Some(Finding::new("stale", Some(server), sentence).shown_by(evidence).next(format!(
        "let the client keep idle connections for less than {}, or the server for longer than the \
         client",
        short(longest)
    )))
}

fn resets(
    server: ServerAddr,
    connections: &[&ObservedConnection],
    of: &Observation,
) -> Option<Finding> {
    let reset: Vec<&ObservedConnection> = connections
        .iter()
        .copied()
        .filter(|it| it.end.is_some_and(|end| matches!(end.by, WireClose::Reset(_))))
        .collect();
    if reset.is_empty() {
        return None;
    }
    let by = |side| {
        let is_by =
            |it: &&&ObservedConnection| it.end.is_some_and(|end| end.by == WireClose::Reset(side));
        reset.iter().filter(is_by).count() as u64
    };
    let (client, server_side) = (by(Side::Client), by(Side::Server));
    let mut ends = Vec::new();
    if client > 0 {
        ends.push(format!("{client} by the client"));
    }
    if server_side > 0 {
        ends.push(format!("{server_side} by the server"));
    }
    let sentence = format!(
        "{} ended in a reset: {}.",
        many(reset.len() as u64, "connection"),
        ends.join(", ")
    );
    let found =
        Finding::new("resets", Some(server), sentence).shown_by([ids(reset.iter().copied())]);
    let total: u64 = ConnectionTally::of(&of.all()).closed_by_reset;
    let unread = of.counter("TcpExtTCPAbortOnClose").unwrap_or(0);
    Some(match unread {
        0 => found,
        all if all == total => found
            .shown_by([format!(
                "the kernel counted {all} closes with bytes unread (TcpExtTCPAbortOnClose)"
            )])
            .next(
                "read responses to their end before closing, or accept that the connection is lost",
            ),
        some => found.shown_by([format!(
            "the kernel counted {} with bytes unread, in all (TcpExtTCPAbortOnClose)",
            many(some, "close")
        )]),
    })
}

fn unused(
    server: ServerAddr,
    connections: &[&ObservedConnection],
    tally: &ConnectionTally,
    of: &Observation,
) -> Option<Finding> {
    if tally.unused == 0 {
        return None;
    }
    let empty: Vec<&ObservedConnection> =
        connections.iter().copied().filter(|it| it.is_opened() && !it.is_used()).collect();
    let sentence =
        format!("{} of {} opened connections carried nothing.", tally.unused, tally.opened);
    let causes = empty.iter().filter_map(|it| close_cause(it, of).map(|cause| (it, cause)));
    let evidence = causes.take(1).map(|(it, _)| {
        let end = it.end.map(|end| how(end.by)).unwrap_or_default();
        format!("{}, such as {}: {end}", ids(empty.iter().copied()), it.id)
    });
    Some(
        Finding::new("unused", Some(server), sentence).shown_by(evidence.collect::<Vec<_>>()).next(
            "a health check, a probe for the port, or a race of dials, of which one was used",
        ),
    )
}

/// A close in words.
pub(crate) fn how(by: WireClose) -> String {
    match by {
        WireClose::First(Side::Client) => "closed by the client",
        WireClose::First(Side::Server) => "closed by the server",
        WireClose::Both => "closed by both",
        WireClose::Reset(Side::Client) => "reset by the client",
        WireClose::Reset(Side::Server) => "reset by the server",
    }
    .to_owned()
}
