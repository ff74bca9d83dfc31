//! Were connections used again, and if not, why not?

use std::time::Duration;

use evidence::{ServerAddr, Side, WireClose};
use report::words::{address, short};

use super::{Finding, how, ids, many};
use crate::cause::{CloseCause, close_cause};
use crate::connection::ObservedConnection;
use crate::exchange::{SeenExchange, SeenResponse, SpokenProtocol};
use crate::observation::Observation;
use crate::tally::ConnectionTally;

/// Returns what is to be said of a server's connections, if any was opened.
pub(super) fn finding(
    server: ServerAddr,
    connections: &[&ObservedConnection],
    tally: &ConnectionTally,
    of: &Observation,
) -> Option<Finding> {
    let here = address(server.socket_addr());
    if tally.opened == 0 {
        return None;
    }
    if tally.exchanges == 0 {
        return unread(server, connections, tally);
    }
    let connections_of = many(tally.used, "connection");
    let exchanges = many(tally.exchanges, "exchange");
    if tally.reusable == 0 {
        let sentence = match tally.exchanges {
            1 => format!("One exchange with {here}, so nothing could be used again."),
            _ => format!(
                "{exchanges} with {here}, all under way at once, so no connection could be used again."
            ),
        };
        return Some(Finding::new("nothing_to_reuse", Some(server), sentence));
    }
    if tally.reused >= tally.reusable {
        let sentence =
            format!("Connections to {here} are reused: {connections_of} for {exchanges}.");
        return Some(Finding::new("reused", Some(server), sentence));
    }
    let name = if tally.reused == 0 { "not_reused" } else { "partly_reused" };
    let lost = tally.reusable - tally.reused;
    let sentence = match tally.reused {
        0 if tally.used == tally.exchanges => format!(
            "No connection to {here} is used again: {exchanges}, each on a connection of its own."
        ),
        _ => format!(
            "Of {} to {here} that could have gone over a connection that was there, {lost} did not.",
            many(tally.reusable, "exchange")
        ),
    };
    let causes = causes(connections, of);
    let evidence = causes.iter().map(CauseGroup::sentence);
    let found = Finding::new(name, Some(server), sentence).shown_by(evidence);
    let main = causes.iter().max_by_key(|group| group.connections.len());
    Some(match main.and_then(CauseGroup::next) {
        Some(next) => found.next(next),
        None => found,
    })
}

/// Connections of which nobody can read the messages.
fn unread(
    server: ServerAddr,
    connections: &[&ObservedConnection],
    tally: &ConnectionTally,
) -> Option<Finding> {
    let spoken = |protocol| connections.iter().filter(|it| it.protocol == protocol).count();
    let what = [
        (SpokenProtocol::Tls, "TLS"),
        (SpokenProtocol::Http2, "HTTP/2"),
        (SpokenProtocol::Other, "another protocol than HTTP"),
    ];
    let (protocol, name) = what.into_iter().find(|(protocol, _)| spoken(*protocol) > 0)?;
    let sentence = format!(
        "{} to {} carried {name}, which is not read here: opens, closes and bytes are told, not \
         exchanges.",
        many(spoken(protocol) as u64, "connection"),
        address(server.socket_addr())
    );
    let bytes: [u64; 2] = connections
        .iter()
        .fold([0; 2], |[sent, received], it| [sent + it.client_bytes, received + it.server_bytes]);
    let evidence =
        format!("{} opened, {} bytes sent, {} received", tally.opened, bytes[0], bytes[1]);
    Some(Finding::new("not_read", Some(server), sentence).shown_by([evidence]))
}

/// Connections that were not used again for the same cause.
struct CauseGroup<'a> {
    /// How they ended; `None` if they were still open when another was dialled.
    end: Option<(WireClose, CloseCause)>,
    connections: Vec<&'a ObservedConnection>,
}

/// The state of a connection at some moment, as far as its exchanges tell it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ReuseState {
    /// Open, its exchanges over, and nobody had said that it would be closed.
    AtRest,
    /// Open, with an exchange under way or none begun yet.
    Busy,
    /// Closed, or about to be, as a message had said.
    Over,
}

impl ReuseState {
    fn at(connection: &ObservedConnection, at: Duration) -> Self {
        if connection.open_until().is_some_and(|until| until <= at) {
            return Self::Over;
        }
        let spans = connection.exchange_spans();
        let mut begun = spans.iter().filter(|(began, _)| *began < at).peekable();
        let has_begun = begun.peek().is_some();
        if !has_begun || begun.any(|(_, ended)| ended.is_none_or(|ended| ended > at)) {
            return Self::Busy;
        }
        let last = connection.exchanges.iter().rfind(|it| it.request.began < at);
        let keeps = |last: &SeenExchange| {
            !last.request.says_close
                && last.response.as_ref().is_some_and(SeenResponse::keeps_connection)
        };
        if last.is_none_or(keeps) { Self::AtRest } else { Self::Over }
    }
}

/// The causes for which connections were dialled although there had been others: each time the
/// connection that could have been used instead, and why it was not. Where all others were busy there
/// is none.
fn causes<'a>(connections: &[&'a ObservedConnection], of: &Observation) -> Vec<CauseGroup<'a>> {
    let mut groups: Vec<CauseGroup<'a>> = Vec::new();
    let used: Vec<&ObservedConnection> =
        connections.iter().copied().filter(|it| it.is_used()).collect();
    for dialled in &used {
        let at = dialled.dialled;
        let before: Vec<(&ObservedConnection, ReuseState)> = used
            .iter()
            .filter(|it| it.dialled < at)
            .map(|it| (*it, ReuseState::at(it, at)))
            .collect();
        let latest = |state: ReuseState| {
            let them = before.iter().filter(|(_, it)| *it == state).map(|(it, _)| *it);
            them.max_by_key(|it| last_ended(it, at))
        };
        let (instead, end) = match (latest(ReuseState::AtRest), latest(ReuseState::Over)) {
            (Some(at_rest), _) => (at_rest, None),
            (None, Some(over)) if !before.iter().any(|(_, it)| *it == ReuseState::Busy) => {
                let end = over.end.zip(close_cause(over, of));
                (over, end.map(|(end, cause)| (end.by, cause)))
            }
            _ => continue,
        };
        match groups.iter_mut().find(|group| key(group.end) == key(end)) {
            Some(group) if group.connections.iter().any(|it| it.id == instead.id) => {}
            Some(group) => group.connections.push(instead),
            None => groups.push(CauseGroup { end, connections: vec![instead] }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.connections.len()));
    groups
}

/// When the last exchange of a connection that was over at `at` had ended.
fn last_ended(connection: &ObservedConnection, at: Duration) -> Option<Duration> {
    let ended = connection.exchange_spans().into_iter().filter_map(|(_, ended)| ended);
    ended.filter(|ended| *ended <= at).max()
}

/// What groups connections: who closed, and why. What a message said is the cause, whoever carried it
/// out first.
fn key(end: Option<(WireClose, CloseCause)>) -> Option<(Option<Side>, &'static str)> {
    let side = |by| match by {
        WireClose::First(side) | WireClose::Reset(side) => Some(side),
        WireClose::Both => None,
    };
    end.map(|(by, cause)| (side(by).filter(|_| !cause.is_said()), cause.name()))
}

impl CauseGroup<'_> {
    fn sentence(&self) -> String {
        let count = self.connections.len() as u64;
        let ids = ids(self.connections.iter().copied());
        let Some((by, cause)) = self.end else {
            return format!(
                "{} answered and still open when another was dialled ({ids})",
                many(count, "connection")
            );
        };
        let why = match cause {
            CloseCause::RequestAsked => "as the request had asked (Connection: close)".to_owned(),
            CloseCause::ResponseSaid => "as the response had said (Connection: close)".to_owned(),
            CloseCause::OldVersion => "behind a response of HTTP/1.0".to_owned(),
            CloseCause::EndsBody => "to end a body that has no length".to_owned(),
            CloseCause::AmidResponse => "before the response was whole".to_owned(),
            CloseCause::WithoutAnswer => "without an answer to its request".to_owned(),
            CloseCause::NothingCarried => "without having carried anything".to_owned(),
            CloseCause::ProgramEnded => "as the program ended".to_owned(),
            CloseCause::IdleTimeout { silence, announced: true, .. } => {
                format!("after {} of silence, as its Keep-Alive had announced", short(silence))
            }
            CloseCause::IdleTimeout { silence, .. } => {
                format!("after {} of silence each time: an idle timeout", short(silence))
            }
            CloseCause::AfterSilence(silence) => format!("after {} of silence", short(silence)),
            CloseCause::GoAway(by) => format!(
                "behind a GOAWAY of the {}'s",
                if by == Side::Client { "client" } else { "server" }
            ),
            CloseCause::BehindResponse => {
                "right behind a response, though neither side had asked for it".to_owned()
            }
            CloseCause::NotRead => "for a reason that is not read".to_owned(),
        };
        let how = if cause.is_said() { "closed".to_owned() } else { how(by) };
        format!("{} {how}, {why} ({ids})", many(count, "connection"))
    }

    /// What to try.
    fn next(&self) -> Option<String> {
        let Some((by, cause)) = self.end else {
            return Some(
                "read every response to its end and close it, and use one client (session, pool) \
                 for all requests: an open connection that nobody gives back cannot be used again"
                    .to_owned(),
            );
        };
        let is_server =
            matches!(by, WireClose::First(Side::Server) | WireClose::Reset(Side::Server));
        let next = match cause {
            CloseCause::RequestAsked => {
                "look for what switches keep-alive off in the client: a header Connection: close, \
                 an agent without keepAlive, DisableKeepAlives"
            }
            CloseCause::ResponseSaid => {
                "it is the server's wish: look for its keep-alive setting, or a limit of requests \
                 for each connection"
            }
            CloseCause::OldVersion | CloseCause::EndsBody => {
                "let the server answer in HTTP/1.1, with Content-Length or chunked"
            }
            CloseCause::IdleTimeout { .. } | CloseCause::AfterSilence(_) if is_server => {
                "let the server keep idle connections for longer, or send requests sooner"
            }
            CloseCause::IdleTimeout { .. } | CloseCause::AfterSilence(_) => {
                "let the client keep idle connections for longer"
            }
            CloseCause::GoAway(Side::Server) => {
                "it is the server's wish: look for its idle timeout, or a limit of requests for each \
                 connection"
            }
            CloseCause::GoAway(Side::Client) => {
                "does the program make a new client (session, agent, pool) for each request? Make \
                 one, and use it for all"
            }
            CloseCause::BehindResponse if is_server => {
                "look for what switches keep-alive off in the server"
            }
            CloseCause::BehindResponse => {
                "does the program make a new client (session, agent, pool) for each request, or \
                 start another program? Make one client, and use it for all"
            }
            CloseCause::ProgramEnded => {
                "connections end with the process that has them: one process for all requests"
            }
            CloseCause::AmidResponse => "read responses to their end",
            CloseCause::WithoutAnswer | CloseCause::NothingCarried | CloseCause::NotRead => {
                return None;
            }
        };
        Some(next.to_owned())
    }
}
