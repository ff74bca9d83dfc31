//! How long each phase of an exchange took, worked out from its moments. Pure.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evidence::{ConnectionId, Moment, ServerAddr, TraceEvent};

/// The facts about the phases of one exchange, and of its connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FetchPhases {
    /// The connection that carried it.
    pub(crate) connection: Option<ConnectionId>,
    /// True if that had carried an exchange before.
    pub(crate) reused: bool,
    /// A connection that it had got and that broke before anything was answered, if there was one:
    /// then it was silently tried again.
    pub(crate) broke: Option<ConnectionId>,
    /// A connection that was dialled for it, though another one carried it in the end.
    pub(crate) dialled_in_vain: Option<ConnectionId>,
    /// The server's address, if it was dialled for this exchange.
    pub(crate) server: Option<ServerAddr>,
    /// The addresses that the look-up gave.
    pub(crate) addresses: Vec<IpAddr>,
    times: BTreeMap<FetchPhase, Duration>,
}

/// The phases, in the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FetchPhase {
    /// A first attempt, on a connection that broke before anything was answered.
    Retry,
    /// Waiting for a place among the connections that its host may have.
    Slot,
    /// The name look-up.
    Dns,
    /// From the first address dialled to the connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// Writing the request, from the moment it had its connection.
    Send,
    /// The pause between its head and its body, for the server's word (`Expect: 100-continue`). If
    /// that never comes, writing the body is part of it.
    Expect,
    /// Waiting for the first byte of the response.
    Wait,
    /// Reading the response, from its first byte on.
    Receive,
    /// The time that no other phase explains: the client's own work, between the others.
    Other,
}

impl FetchPhase {
    /// Every phase.
    pub(crate) const ALL: [Self; 10] = [
        Self::Retry,
        Self::Slot,
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Send,
        Self::Expect,
        Self::Wait,
        Self::Receive,
        Self::Other,
    ];

    /// The phases that a connection costs which is not there yet.
    pub(crate) const SET_UP: [Self; 3] = [Self::Dns, Self::Connect, Self::Tls];

    /// Its name, as it is told.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Slot => "slot",
            Self::Dns => "DNS",
            Self::Connect => "connect",
            Self::Tls => "TLS",
            Self::Send => "request",
            Self::Expect => "expect",
            Self::Wait => "wait",
            Self::Receive => "body",
            Self::Other => "other",
        }
    }
}

/// The moments of an exchange the phases are measured between.
struct ExchangeTry<'a> {
    /// Since the last time a connection was asked for.
    events: Vec<&'a TraceEvent>,
    /// When the head of the response was there. Where the first byte cannot be seen, as in HTTP/2,
    /// it stands for it.
    head_at: Option<Instant>,
    over_at: Instant,
}

impl FetchPhases {
    /// Works the phases out of the moments of one exchange, asked for at `asked_at` and over at
    /// `over_at`; the head of its response, if any, was there at `head_at`. Later moments than
    /// `over_at` are left out: they are what giving up leads to.
    #[must_use]
    pub(crate) fn of<'a>(
        events: impl Iterator<Item = &'a TraceEvent>,
        asked_at: Instant,
        head_at: Option<Instant>,
        over_at: Instant,
    ) -> Self {
        let all: Vec<&TraceEvent> = events.filter(|event| event.at <= over_at).collect();
        let last_get = all.iter().rposition(|e| matches!(e.moment, Moment::GetConn { .. }));
        let (before, events) = all.split_at(last_get.unwrap_or_default());
        let mut phases = Self::default();
        let broken = before.iter().find(|e| matches!(e.moment, Moment::GotConn { .. }));
        if let (Some(broken), Some(again)) = (broken, events.first()) {
            phases.broke = broken.connection;
            phases.took(FetchPhase::Retry, broken.at, again.at);
        }
        let attempt = ExchangeTry { events: events.to_vec(), head_at, over_at };
        phases.made(&attempt);
        phases.exchanged(&attempt);
        let known: Duration = phases.times.values().sum();
        let total = over_at.saturating_duration_since(asked_at);
        phases.times.insert(FetchPhase::Other, total.saturating_sub(known));
        phases
    }

    fn took(&mut self, phase: FetchPhase, from: Instant, to: Instant) {
        self.times.insert(phase, to.saturating_duration_since(from));
    }

    /// How the connection was made, if it was.
    fn made(&mut self, attempt: &ExchangeTry<'_>) {
        let ExchangeTry { events, over_at, .. } = attempt;
        if let Some(got) = events.iter().find(|e| matches!(e.moment, Moment::GotConn { .. })) {
            self.connection = got.connection;
            self.reused = matches!(got.moment, Moment::GotConn { reused: true, .. });
        }
        if let Some(waited) = events.iter().find_map(|event| match event.moment {
            Moment::WaitedForSlot { waited } => Some(waited),
            _ => None,
        }) {
            self.times.insert(FetchPhase::Slot, waited);
        }
        // A dial may have been for nothing, when another connection came back first: then what it
        // took is no phase of this exchange. Without any connection, the dial is all there is.
        let is_dial = |event: &TraceEvent| {
            matches!(event.moment, Moment::DnsStart { .. } | Moment::ConnectStart { .. })
        };
        let in_vain = |event: &&&TraceEvent| {
            self.connection.is_some() && event.connection != self.connection && is_dial(event)
        };
        self.dialled_in_vain = events.iter().find(in_vain).and_then(|event| event.connection);
        let own: Vec<&TraceEvent> = events
            .iter()
            .filter(|event| self.connection.is_none() || event.connection == self.connection)
            .copied()
            .collect();
        let at = |wanted: fn(&Moment) -> bool| {
            own.iter().find(|event| wanted(&event.moment)).map(|event| event.at)
        };
        let connected = own.iter().find_map(|event| match &event.moment {
            Moment::ConnectDone { server, result: Ok(_) } => Some((event.at, *server)),
            _ => None,
        });
        let last_failed = own.iter().rev().find_map(|event| match &event.moment {
            Moment::ConnectDone { server, result: Err(_) } => Some((event.at, *server)),
            _ => None,
        });
        let dialled = own.iter().rev().find_map(|event| match &event.moment {
            Moment::ConnectStart { server } => Some(*server),
            _ => None,
        });
        let connect_done = connected.or(last_failed);
        self.server = connect_done.map(|(_, server)| server).or(dialled);
        let spans = [
            (
                FetchPhase::Dns,
                at(|moment| matches!(moment, Moment::DnsStart { .. })),
                at(|moment| matches!(moment, Moment::DnsDone { .. })),
            ),
            (
                FetchPhase::Connect,
                at(|moment| matches!(moment, Moment::ConnectStart { .. })),
                connect_done.map(|(at, _)| at),
            ),
            (
                FetchPhase::Tls,
                at(|moment| matches!(moment, Moment::TlsHandshakeStart)),
                at(|moment| matches!(moment, Moment::TlsHandshakeDone { .. })),
            ),
        ];
        for (phase, from, to) in spans {
            if let Some(from) = from {
                self.took(phase, from, to.unwrap_or(*over_at));
            }
        }
        self.addresses = own
            .iter()
            .find_map(|event| match &event.moment {
                Moment::DnsDone { result: Ok(addresses), .. } => Some(addresses.clone()),
                _ => None,
            })
            .unwrap_or_default();
    }

    /// Tells what happened on the connection.
    fn exchanged(&mut self, attempt: &ExchangeTry<'_>) {
        let ExchangeTry { events, head_at, over_at, .. } = attempt;
        let Some(got) = events.iter().find(|e| matches!(e.moment, Moment::GotConn { .. })) else {
            return;
        };
        let after_got = events.iter().filter(|event| event.at >= got.at);
        let after = |wanted: fn(&Moment) -> bool| {
            after_got.clone().find(|event| wanted(&event.moment)).map(|event| event.at)
        };
        let written = after(|moment| matches!(moment, Moment::WroteRequest { .. }));
        let is_http1 = written.is_some()
            || after(|m| matches!(m, Moment::WroteHeaderField { .. } | Moment::WroteHeaders))
                .is_some();
        let asked = if is_http1 { written.unwrap_or(*over_at) } else { got.at };
        let expects = after(|moment| matches!(moment, Moment::Wait100Continue));
        let expect = expects.map(|from| {
            let word = after(|moment| matches!(moment, Moment::Got100Continue));
            word.unwrap_or(asked).min(asked).saturating_duration_since(from)
        });
        if is_http1 {
            let send = asked.saturating_duration_since(got.at);
            self.times.insert(FetchPhase::Send, send.saturating_sub(expect.unwrap_or_default()));
            if let Some(expect) = expect {
                self.times.insert(FetchPhase::Expect, expect);
            }
            if written.is_none() && head_at.is_none() {
                return;
            }
        }
        let first_byte = after(|moment| matches!(moment, Moment::GotFirstResponseByte));
        // The first byte of an interim response is not the one that was waited for.
        let interim = after(|moment| matches!(moment, Moment::Got1xxResponse { .. })).is_some();
        let first_byte = first_byte.filter(|at| !interim && *at >= asked).or(*head_at);
        self.took(FetchPhase::Wait, asked, first_byte.unwrap_or(*over_at));
        if let Some(first_byte) = first_byte {
            self.took(FetchPhase::Receive, first_byte.max(asked), *over_at);
        }
    }

    /// How long `phase` took. `None` if it did not happen, or nobody could see it.
    #[must_use]
    pub(crate) fn get(&self, phase: FetchPhase) -> Option<Duration> {
        self.times.get(&phase).copied()
    }

    /// Returns what making the connection took, all in all.
    #[must_use]
    pub(crate) fn set_up(&self) -> Duration {
        FetchPhase::SET_UP.into_iter().filter_map(|phase| self.get(phase)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::{ClientAddr, ExchangeId, Observed};

    fn client() -> ClientAddr {
        ClientAddr::new(([127, 0, 0, 1], 40_000).into())
    }

    fn server() -> ServerAddr {
        ServerAddr::new(([127, 0, 0, 1], 443).into())
    }

    fn get() -> Moment {
        Moment::GetConn { host_port: "a:443".into() }
    }

    fn got(reused: bool) -> Moment {
        Moment::GotConn {
            client: client(),
            reused,
            was_idle: Observed::Known(reused),
            idle_time: Observed::Known(None),
        }
    }

    fn written() -> Moment {
        Moment::WroteRequest { result: Ok(()) }
    }

    /// The phases of moments at milliseconds on connections, with the head at `head`, over at
    /// `over`; and each that happened, in milliseconds.
    fn phases(
        moments: &[(u64, u64, Moment)],
        head: Option<u64>,
        over: u64,
    ) -> (FetchPhases, Vec<(&'static str, u64)>) {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let events: Vec<TraceEvent> = moments
            .iter()
            .map(|(ms, connection, moment)| TraceEvent {
                at: at(*ms),
                exchange: Some(ExchangeId(1)),
                connection: Some(ConnectionId(*connection)),
                moment: moment.clone(),
            })
            .collect();
        let phases = FetchPhases::of(events.iter(), start, head.map(at), at(over));
        let times = FetchPhase::ALL.into_iter().filter_map(|phase| {
            Some((phase.name(), u64::try_from(phases.get(phase)?.as_millis()).unwrap()))
        });
        let times = times.collect();
        (phases, times)
    }

    #[test]
    fn a_new_connection_has_every_phase() {
        let (phases, times) = phases(
            &[
                (1, 1, get()),
                (1, 1, Moment::DnsStart { host: "a".into() }),
                (4, 1, Moment::DnsDone { result: Ok(vec![]), coalesced: false }),
                (4, 1, Moment::ConnectStart { server: server() }),
                (9, 1, Moment::ConnectDone { server: server(), result: Ok(client()) }),
                (9, 1, Moment::TlsHandshakeStart),
                (19, 1, Moment::TlsHandshakeDone { result: Err("never mind".into()) }),
                (20, 1, got(false)),
                (22, 1, written()),
                (30, 1, Moment::GotFirstResponseByte),
            ],
            Some(31),
            35,
        );
        assert_eq!((phases.connection, phases.reused), (Some(ConnectionId(1)), false));
        assert_eq!(phases.server, Some(server()));
        let expected = [("DNS", 3), ("connect", 5), ("TLS", 10), ("request", 2), ("wait", 8)];
        assert_eq!(times[..5], expected);
        assert_eq!(times[5..], [("body", 5), ("other", 2)]);
        assert_eq!(phases.set_up(), Duration::from_millis(18));
    }

    #[test]
    fn a_connection_that_is_reused_has_none_of_its_making() {
        let (phases, times) = phases(
            &[
                (0, 1, get()),
                // A dial for another connection, in vain.
                (0, 2, Moment::ConnectStart { server: server() }),
                (0, 1, got(true)),
                (1, 1, written()),
                (3, 1, Moment::GotFirstResponseByte),
            ],
            Some(3),
            4,
        );
        assert!(phases.reused);
        assert_eq!(phases.dialled_in_vain, Some(ConnectionId(2)));
        assert_eq!(times, [("request", 1), ("wait", 2), ("body", 1), ("other", 0)]);
    }

    #[test]
    fn an_exchange_that_fails_has_the_phases_until_then() {
        let refused = Moment::ConnectDone { server: server(), result: Err("refused".into()) };
        let moments =
            [(0, 1, get()), (1, 1, Moment::ConnectStart { server: server() }), (2, 1, refused)];
        let (phases, times) = phases(&moments, None, 3);
        assert_eq!(phases.connection, None);
        assert_eq!(times, [("connect", 1), ("other", 2)]);
    }

    #[test]
    fn a_first_attempt_on_a_connection_that_broke_is_told_apart() {
        let moments = [
            (0, 1, get()),
            (1, 1, got(true)),
            (2, 1, written()),
            (301, 1, get()),
            (302, 2, Moment::ConnectStart { server: server() }),
            (304, 2, Moment::ConnectDone { server: server(), result: Ok(client()) }),
            (304, 2, got(false)),
            (305, 2, written()),
            (306, 2, Moment::GotFirstResponseByte),
        ];
        let (phases, times) = phases(&moments, Some(306), 307);
        assert_eq!(
            (phases.broke, phases.connection),
            (Some(ConnectionId(1)), Some(ConnectionId(2)))
        );
        assert_eq!(times[..3], [("retry", 300), ("connect", 2), ("request", 1)]);
    }

    #[test]
    fn a_request_that_is_never_written_waits_for_nothing() {
        let moments = [(0, 1, got(false)), (1, 1, Moment::WroteHeaders)];
        assert_eq!(phases(&moments, None, 9).1, [("request", 9), ("other", 0)]);
        // What comes after the end is what giving up leads to.
        let moments = [(0, 1, got(false)), (1, 1, Moment::WroteHeaders), (10, 1, written())];
        assert_eq!(phases(&moments, None, 9).1, [("request", 9), ("other", 0)]);
    }

    #[test]
    fn an_interim_response_does_not_end_the_wait() {
        let moments = [
            (0, 1, got(false)),
            (1, 1, Moment::WroteHeaders),
            (1, 1, Moment::Wait100Continue),
            (3, 1, Moment::GotFirstResponseByte),
            (3, 1, Moment::Got100Continue),
            (3, 1, Moment::Got1xxResponse { code: 100, headers: vec![] }),
            (4, 1, written()),
        ];
        let (_, times) = phases(&moments, Some(9), 10);
        assert_eq!(times, [("request", 2), ("expect", 2), ("wait", 5), ("body", 1), ("other", 0)]);
    }

    #[test]
    fn without_a_first_byte_the_head_stands_for_it() {
        let (_, times) = phases(&[(0, 1, got(true))], Some(5), 7);
        assert_eq!(times, [("wait", 5), ("body", 2), ("other", 0)]);
    }
}
