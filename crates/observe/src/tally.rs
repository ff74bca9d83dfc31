//! What connections come to, as numbers.

use std::collections::HashSet;
use std::time::Duration;

use evidence::{Side, TcpState, WireClose};

use crate::connection::{DialOutcome, ObservedConnection};
use crate::exchange::SeenExchange;
use crate::stale::{meets_stale, sent_again};

/// The numbers of some connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionTally {
    /// Connections that were dialled.
    pub dialled: u64,
    /// Those whose handshake was completed.
    pub opened: u64,
    /// Those that were refused.
    pub refused: u64,
    /// Those whose dial nobody answered, as far as was heard.
    pub unanswered: u64,
    /// Opened ones that carried something.
    pub used: u64,
    /// Opened ones that carried nothing.
    pub unused: u64,
    /// Exchanges that began.
    pub exchanges: u64,
    /// Exchanges whose response came whole.
    pub answered: u64,
    /// Exchanges on a connection that had carried one before.
    pub reused: u64,
    /// Exchanges that could have been on such a connection, had nobody closed any: all but as many
    /// as were under way at once.
    pub reusable: u64,
    /// The most connections that were open at once.
    pub most_open: u64,
    /// The most exchanges that were under way at once.
    pub most_at_once: u64,
    /// Connections that the client closed first.
    pub closed_by_client: u64,
    /// Connections that the server closed first.
    pub closed_by_server: u64,
    /// Connections that both closed before either knew of the other.
    pub closed_by_both: u64,
    /// Connections that a reset ended.
    pub closed_by_reset: u64,
    /// Connections that a reset ended, or that had one after their close.
    pub resets: u64,
    /// Connections whose end nobody heard.
    pub left_open: u64,
    /// Client ends that came into `TIME_WAIT`.
    pub time_wait_client: u64,
    /// Server ends that came into `TIME_WAIT`.
    pub time_wait_server: u64,
    /// Requests that were sent again after their connection had ended without an answer.
    pub sent_twice: u64,
    /// Requests on a connection that its server had closed, or was closing.
    pub stale: u64,
    /// The longest time between a response and the next request on its connection.
    pub longest_idle: Option<Duration>,
}

impl ConnectionTally {
    /// Counts these connections, which all lead to one server, or sums up over all servers if they
    /// do not.
    #[must_use]
    pub fn of(connections: &[&ObservedConnection]) -> Self {
        let count = |is: &dyn Fn(&ObservedConnection) -> bool| {
            connections.iter().filter(|it| is(it)).count() as u64
        };
        let closed = |by: WireClose| count(&|it| it.end.is_some_and(|end| end.by == by));
        let exchanges: Vec<(Duration, Option<Duration>)> =
            connections.iter().flat_map(|it| it.exchange_spans()).collect();
        let waits = |end: usize| count(&|it| it.states[end] == Some(TcpState::TimeWait));
        let used = count(&|it| it.is_opened() && it.is_used());
        let opened = count(&|it| it.is_opened());
        let carrying = count(&|it| !it.exchange_spans().is_empty());
        Self {
            dialled: connections.len() as u64,
            opened,
            refused: count(&|it| matches!(it.dial, DialOutcome::Refused(_))),
            unanswered: count(&|it| it.dial == DialOutcome::Unanswered),
            used,
            unused: opened - used,
            exchanges: exchanges.len() as u64,
            answered: exchanges.iter().filter(|(_, ended)| ended.is_some()).count() as u64,
            reused: (exchanges.len() as u64).saturating_sub(carrying),
            reusable: reusable(connections),
            most_open: most_open(connections),
            most_at_once: most_at_once(connections),
            closed_by_client: closed(WireClose::First(Side::Client)),
            closed_by_server: closed(WireClose::First(Side::Server)),
            closed_by_both: closed(WireClose::Both),
            closed_by_reset: closed(WireClose::Reset(Side::Client))
                + closed(WireClose::Reset(Side::Server)),
            resets: count(&|it| it.has_reset()),
            left_open: count(&|it| it.is_opened() && it.end.is_none()),
            time_wait_client: waits(0),
            time_wait_server: waits(1),
            sent_twice: sent_again(connections).len() as u64,
            stale: connections.iter().filter(|it| meets_stale(it).is_some()).count() as u64,
            longest_idle: connections.iter().flat_map(|it| idle_times(it)).max(),
        }
    }

    /// Reused exchanges, in per cent of those that could have been; `None` if none could.
    #[must_use]
    pub fn reuse_percent(&self) -> Option<f64> {
        // Whoever sends requests one behind the other reuses more than one would think of.
        let reused = self.reused.min(self.reusable);
        (self.reusable > 0).then(|| 100.0 * reused as f64 / self.reusable as f64)
    }

    /// The numbers by the names under which expectations speak of them.
    #[must_use]
    pub fn named(&self) -> Vec<(&'static str, f64)> {
        let count = |number: u64| number as f64;
        let mut named = vec![
            ("dialled", count(self.dialled)),
            ("opened", count(self.opened)),
            ("refused", count(self.refused)),
            ("unanswered", count(self.unanswered)),
            ("used", count(self.used)),
            ("unused", count(self.unused)),
            ("exchanges", count(self.exchanges)),
            ("answered", count(self.answered)),
            ("reused", count(self.reused)),
            ("reusable", count(self.reusable)),
            ("most_open", count(self.most_open)),
            ("most_at_once", count(self.most_at_once)),
            ("closed_by.client", count(self.closed_by_client)),
            ("closed_by.server", count(self.closed_by_server)),
            ("closed_by.both", count(self.closed_by_both)),
            ("closed_by.reset", count(self.closed_by_reset)),
            ("resets", count(self.resets)),
            ("left_open", count(self.left_open)),
            ("time_wait.client", count(self.time_wait_client)),
            ("time_wait.server", count(self.time_wait_server)),
            ("sent_twice", count(self.sent_twice)),
            ("stale", count(self.stale)),
            ("longest_idle", self.longest_idle.unwrap_or_default().as_secs_f64()),
        ];
        named.extend(self.reuse_percent().map(|percent| ("reuse", percent)));
        named
    }
}

/// The names of expectations, with what they mean.
pub const NUMBERS: [(&str, &str); 24] = [
    ("dialled", "connections that were dialled"),
    ("opened", "connections whose handshake was completed"),
    ("refused", "connections that were refused"),
    ("unanswered", "dials that nobody answered"),
    ("used", "opened connections that carried something"),
    ("unused", "opened connections that carried nothing"),
    ("exchanges", "HTTP requests (of HTTP/2: streams)"),
    ("answered", "requests whose response came whole"),
    ("reused", "exchanges on a connection that had carried one before"),
    ("reusable", "exchanges that could have been, had nobody closed any"),
    ("reuse", "the first of these in per cent of the second"),
    ("most_open", "the most connections open at once"),
    ("most_at_once", "the most exchanges under way at once"),
    ("closed_by.client", "connections that the client closed first"),
    ("closed_by.server", "connections that the server closed first"),
    ("closed_by.both", "connections that both closed at the same time"),
    ("closed_by.reset", "connections that a reset ended"),
    ("resets", "connections with a reset, also after their close"),
    ("left_open", "connections whose end was not heard"),
    ("time_wait.client", "client ends that came into TIME_WAIT"),
    ("time_wait.server", "server ends that came into TIME_WAIT"),
    ("sent_twice", "requests sent again after their connection had ended"),
    ("stale", "requests on a connection that its server had closed"),
    ("longest_idle", "the longest time between two exchanges, in seconds"),
];

/// The times for which a connection lay idle between two exchanges.
#[must_use]
pub fn idle_times(connection: &ObservedConnection) -> Vec<Duration> {
    let pairs = connection.exchanges.windows(2);
    let idle = |pair: &[SeenExchange]| {
        let [before, after] = pair else { return None };
        after.request.began.checked_sub(before.ended()?)
    };
    pairs.filter_map(idle).collect()
}

/// The exchanges that could have been on a connection which had carried one: of each server all but
/// as many as were under way at once.
fn reusable(connections: &[&ObservedConnection]) -> u64 {
    let servers: HashSet<_> = connections.iter().map(|it| it.ends.server).collect();
    let of_server = |server| {
        let all: Vec<&ObservedConnection> =
            connections.iter().copied().filter(|it| it.ends.server == server).collect();
        let exchanges: usize = all.iter().map(|it| it.exchange_spans().len()).sum();
        (exchanges as u64).saturating_sub(most_at_once(&all))
    };
    servers.into_iter().map(of_server).sum()
}

fn most_open(connections: &[&ObservedConnection]) -> u64 {
    let span = |it: &&&ObservedConnection| match it.dial {
        DialOutcome::Opened(at) => Some((at, it.open_until())),
        _ => None,
    };
    most(connections.iter().filter_map(|it| span(&it)))
}

/// The most exchanges under way at once. One that is never answered is under way until its connection
/// ends. Of those that a client sends behind one another without waiting, only one counts: one
/// connection carries them all.
fn most_at_once(connections: &[&ObservedConnection]) -> u64 {
    let spans = connections.iter().flat_map(|connection| {
        let mut spans: Vec<(Duration, Option<Duration>)> = Vec::new();
        for (began, ended) in connection.exchange_spans() {
            let end = ended.or(connection.open_until());
            match spans.last_mut() {
                Some((_, last)) if last.is_none_or(|last| began < last) => {
                    // The later of the two, of which one that is not over is the latest.
                    *last = last.and_then(|last| end.map(|end| end.max(last)));
                }
                _ => spans.push((began, end)),
            }
        }
        spans
    });
    most(spans)
}

/// The most of these spans at any moment. One that ends when another begins is not beside it.
fn most(spans: impl Iterator<Item = (Duration, Option<Duration>)>) -> u64 {
    let mut steps: Vec<(Duration, i64)> = Vec::new();
    for (from, until) in spans {
        steps.push((from, 1));
        steps.extend(until.map(|until| (until, -1)));
    }
    steps.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, step) in steps {
        now += step;
        most = most.max(now);
    }
    u64::try_from(most).unwrap_or(0)
}
