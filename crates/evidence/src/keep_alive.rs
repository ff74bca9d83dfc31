//! What a server says of a connection in the head of a response, and how long it offers to keep it.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{CloseReason, Connection, ConnectionId, Exchange, Observed};

/// No more of a field's value than this is kept: what nobody reads must not fill the memory.
const KEPT_CHARS: usize = 256;

/// By how much two clocks may part that start at two ends of a connection: the server's when it has
/// written a response, the client's when it has read it.
const CLOCKS_PART: Duration = Duration::from_millis(50);

/// The fields of a response's head that concern its connection, as they stood there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionFields {
    /// The value of `Connection` (RFC 9110 section 7.6.1); `None` if the head had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// The value of `Keep-Alive`; `None` if the head had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<String>,
}

impl ConnectionFields {
    /// The fields of a head that had these lines of `Connection` and of `Keep-Alive`. Several lines
    /// are one list (RFC 9110 section 5.3), of which the first 256 characters are kept.
    #[must_use]
    pub fn of<'a>(
        connection: impl IntoIterator<Item = &'a [u8]>,
        keep_alive: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        Self { connection: list(connection), keep_alive: list(keep_alive) }
    }

    /// Returns true if the head had neither.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connection.is_none() && self.keep_alive.is_none()
    }

    /// Returns what the server offers: `None` if there is no `Keep-Alive` with a parameter that is
    /// known, or if the same head says `Connection: close`, which takes the offer back.
    #[must_use]
    pub fn offer(&self) -> Option<KeepAliveOffer> {
        let mut options = self.connection.iter().flat_map(|value| value.split(','));
        if options.any(|option| option.trim().eq_ignore_ascii_case("close")) {
            return None;
        }
        KeepAliveOffer::read(self.keep_alive.as_ref()?)
    }
}

fn list<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> Option<String> {
    let lines: Vec<_> = lines.into_iter().map(String::from_utf8_lossy).collect();
    (!lines.is_empty()).then(|| lines.join(", ").chars().take(KEPT_CHARS).collect())
}

/// The promise of a `Keep-Alive` field, such as `timeout=5, max=100`. The field is older than
/// HTTP/1.1 and in none of its present standards; servers send it all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAliveOffer {
    /// `timeout`: how long the server will keep the connection while it is idle.
    pub timeout: Option<Duration>,
    /// `max`: how many requests it will take on it.
    pub max: Option<u64>,
}

impl KeepAliveOffer {
    /// Reads the value of a `Keep-Alive` field. `None` if it has neither parameter with a number.
    #[must_use]
    pub fn read(value: &str) -> Option<Self> {
        let number = |wanted: &str| {
            value.split(',').find_map(|parameter| {
                let (name, value) = parameter.split_once('=')?;
                let value = value.trim().trim_matches('"');
                // A `+` is none of a number's here.
                let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
                (is_number && name.trim().eq_ignore_ascii_case(wanted))
                    .then(|| value.parse::<u64>().ok())
                    .flatten()
            })
        };
        let offer =
            Self { timeout: number("timeout").map(Duration::from_secs), max: number("max") };
        (offer.timeout.is_some() || offer.max.is_some()).then_some(offer)
    }
}

/// The offers of a run's responses to keep the connection, and what came of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferTally {
    /// How many responses made one.
    pub offers: usize,
    /// Out of how many whose head came.
    pub responses: usize,
    /// The first one, as it stood in the head.
    pub first: String,
    /// True if all the others said the same.
    pub same: bool,
    /// The shortest time and the longest; `None` if no response named one.
    pub timeouts: Option<(Duration, Duration)>,
    /// How long each connection that the server closed had been idle then, by the client's trace,
    /// the shortest time first.
    pub idle_closes: Vec<Duration>,
    /// How many of those came sooner than the last response on the connection had offered.
    pub sooner: usize,
    /// Connections that the server closed, and of which the client does not tell if they were idle.
    pub unseen: usize,
}

impl OfferTally {
    /// Counts what the responses of a run offered; `None` if none made an offer.
    pub(crate) fn of(exchanges: &[Exchange], connections: &[Connection]) -> Option<Self> {
        let fields = || exchanges.iter().map(|exchange| &exchange.connection_fields);
        let mut texts =
            fields().filter(|it| it.offer().is_some()).filter_map(|it| it.keep_alive.as_deref());
        let first = texts.next()?.to_owned();
        let same = texts.all(|text| text == first);
        let times = || fields().filter_map(|it| it.offer()?.timeout);
        // The last word on each connection: exchanges come in the order of their start.
        let offered: HashMap<ConnectionId, Option<Duration>> = exchanges
            .iter()
            .filter_map(|exchange| {
                let offer = exchange.connection_fields.offer();
                exchange.status?;
                Some((exchange.connection?, offer.and_then(|offer| offer.timeout)))
            })
            .collect();
        let mut tally = Self {
            offers: fields().filter(|it| it.offer().is_some()).count(),
            responses: exchanges.iter().filter(|exchange| exchange.status.is_some()).count(),
            first,
            same,
            timeouts: times().min().zip(times().max()),
            idle_closes: Vec::new(),
            sooner: 0,
            unseen: 0,
        };
        for connection in connections {
            let Some(close) = &connection.close else { continue };
            let server = [CloseReason::ServerClosed, CloseReason::ServerReset];
            if !close.why.as_ref().known().is_some_and(|why| server.contains(why)) {
                continue;
            }
            match close.idle {
                Observed::Known(Some(idle)) => {
                    let offered = offered.get(&connection.id).copied().flatten();
                    let is_sooner = |offered| idle.saturating_add(CLOCKS_PART) < offered;
                    tally.sooner += usize::from(offered.is_some_and(is_sooner));
                    tally.idle_closes.push(idle);
                }
                Observed::Known(None) => {}
                Observed::NotObservable => tally.unseen += 1,
            }
        }
        tally.idle_closes.sort_unstable();
        Some(tally)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(timeout: u64) -> Option<Duration> {
        Some(Duration::from_secs(timeout))
    }

    #[test]
    fn an_offer_is_read_as_servers_write_it_and_nothing_else_is_one() {
        for (value, timeout, max) in [
            ("timeout=5", seconds(5), None),
            ("timeout=5, max=100", seconds(5), Some(100)),
            ("max=99,Timeout = \"15\"", seconds(15), Some(99)),
            ("timeout=0", seconds(0), None),
            ("timeout=soon, max=3", None, Some(3)),
            ("timeout=99999999999999999999, max=1", None, Some(1)),
        ] {
            let offer = KeepAliveOffer { timeout, max };
            assert_eq!(KeepAliveOffer::read(value), Some(offer), "{value}");
        }
        for value in ["", "300", "timeout", "timeout=", "timeout=+5", "timeout=-1", "time out=5"] {
            assert_eq!(KeepAliveOffer::read(value), None, "{value}");
        }
    }

    #[test]
    fn a_close_in_the_same_head_takes_the_offer_back() {
        let fields = |connection: &'static str| {
            ConnectionFields::of([connection.as_bytes()], [&b"timeout=5"[..], b"max=7"])
        };
        let offer = KeepAliveOffer { timeout: seconds(5), max: Some(7) };
        assert_eq!(fields("keep-alive").offer(), Some(offer));
        assert_eq!(fields("x, Close").offer(), None);
        assert_eq!(ConnectionFields::default().offer(), None);
    }

    #[test]
    fn of_a_value_that_never_ends_little_is_kept() {
        let long = vec![b'x'; 100_000];
        let fields = ConnectionFields::of([&long[..]], []);
        assert_eq!(fields.connection.map(|value| value.len()), Some(256));
        assert!(fields.keep_alive.is_none());
    }
}
