//! How long each phase of an exchange took, worked out from its moments. Pure.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use evidence::{ConnectionId, Moment, ServerAddr, TraceEvent};

/// The phases of one exchange. A phase that did not happen, or that nobody can see, is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Phases {
    /// The connection that carried it.
    pub connection: Option<ConnectionId>,
    /// Whether that had carried an exchange before.
    pub reused: bool,
    /// The server's address.
    pub server: Option<ServerAddr>,
    /// The addresses that the look-up gave.
    pub addresses: Vec<IpAddr>,
    /// Waiting for a place among the connections that its host may have.
    pub slot: Option<Duration>,
    /// The name look-up.
    pub dns: Option<Duration>,
    /// From the first address dialled to the connection.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// Writing the request, from the moment it had its connection.
    pub send: Option<Duration>,
    /// Waiting for the first byte of the response.
    pub wait: Option<Duration>,
    /// Reading the response, from its first byte on.
    pub receive: Option<Duration>,
}

/// The phases, in the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// See [`Phases::slot`].
    Slot,
    /// See [`Phases::dns`].
    Dns,
    /// See [`Phases::connect`].
    Connect,
    /// See [`Phases::tls`].
    Tls,
    /// See [`Phases::send`].
    Send,
    /// See [`Phases::wait`].
    Wait,
    /// See [`Phases::receive`].
    Receive,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Self; 7] =
        [Self::Slot, Self::Dns, Self::Connect, Self::Tls, Self::Send, Self::Wait, Self::Receive];

    /// Its name, as it is told.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Slot => "slot",
            Self::Dns => "DNS",
            Self::Connect => "connect",
            Self::Tls => "TLS",
            Self::Send => "request",
            Self::Wait => "wait",
            Self::Receive => "body",
        }
    }
}

impl Phases {
    /// Works the phases out of the moments of one exchange. `head_at` is when the head of the
    /// response was there: where the first byte cannot be seen, as in HTTP/2, it stands for it.
    #[must_use]
    pub fn of(events: &[TraceEvent], head_at: Option<Instant>, over_at: Instant) -> Self {
        let mut phases = Self::default();
        let last_got = events.iter().rev().find(|e| matches!(e.moment, Moment::GotConn { .. }));
        phases.connection = last_got.and_then(|event| event.connection);
        if let Some(Moment::GotConn { reused, .. }) = last_got.map(|event| &event.moment) {
            phases.reused = *reused;
        }
        phases.slot = events.iter().find_map(|event| match event.moment {
            Moment::WaitedForSlot { waited } => Some(waited),
            _ => None,
        });
        // A dial may have been for nothing, when another connection came back first: then what it
        // took is no phase of this exchange. Without any connection, the dial is all there is.
        let dialled: Vec<&TraceEvent> = events
            .iter()
            .filter(|event| phases.connection.is_none() || event.connection == phases.connection)
            .collect();
        phases.dialled(&dialled, over_at);
        let Some(got) = last_got else { return phases };
        let after = |wanted: fn(&Moment) -> bool| {
            let after_got = events.iter().filter(|event| event.at >= got.at);
            after_got.filter(|event| wanted(&event.moment)).map(|event| event.at).next()
        };
        let written = after(|moment| matches!(moment, Moment::WroteRequest { .. }));
        let first_byte = after(|moment| matches!(moment, Moment::GotFirstResponseByte));
        // The first byte of an interim response is not the one that was waited for.
        let interim = after(|moment| matches!(moment, Moment::Got1xxResponse { .. })).is_some();
        let first_byte = first_byte.filter(|at| !interim && Some(*at) >= written).or(head_at);
        phases.send = written.map(|at| at.saturating_duration_since(got.at));
        let asked = written.unwrap_or(got.at);
        phases.wait = Some(first_byte.unwrap_or(over_at).saturating_duration_since(asked));
        phases.receive = first_byte.map(|at| over_at.saturating_duration_since(at));
        phases
    }

    fn dialled(&mut self, events: &[&TraceEvent], over_at: Instant) {
        let at = |wanted: fn(&Moment) -> bool| {
            events.iter().find(|event| wanted(&event.moment)).map(|event| event.at)
        };
        let span = |from: Option<Instant>, to: Option<Instant>| {
            from.map(|from| to.unwrap_or(over_at).saturating_duration_since(from))
        };
        let dns_start = at(|moment| matches!(moment, Moment::DnsStart { .. }));
        self.dns = span(dns_start, at(|moment| matches!(moment, Moment::DnsDone { .. })));
        let connected = events.iter().find_map(|event| match &event.moment {
            Moment::ConnectDone { server, result: Ok(_) } => Some((event.at, *server)),
            _ => None,
        });
        let last_failed = events.iter().rev().find_map(|event| match &event.moment {
            Moment::ConnectDone { server, result: Err(_) } => Some((event.at, *server)),
            _ => None,
        });
        let connect_start = at(|moment| matches!(moment, Moment::ConnectStart { .. }));
        let connect_done = connected.or(last_failed);
        self.connect = span(connect_start, connect_done.map(|(at, _)| at));
        self.server = connect_done.map(|(_, server)| server);
        let tls_start = at(|moment| matches!(moment, Moment::TlsHandshakeStart));
        self.tls = span(tls_start, at(|moment| matches!(moment, Moment::TlsHandshakeDone { .. })));
        self.addresses = events
            .iter()
            .find_map(|event| match &event.moment {
                Moment::DnsDone { result: Ok(addresses), .. } => Some(addresses.clone()),
                _ => None,
            })
            .unwrap_or_default();
    }

    /// How long `phase` took.
    #[must_use]
    pub fn get(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Slot => self.slot,
            Phase::Dns => self.dns,
            Phase::Connect => self.connect,
            Phase::Tls => self.tls,
            Phase::Send => self.send,
            Phase::Wait => self.wait,
            Phase::Receive => self.receive,
        }
    }

    /// What making the connection took, all in all.
    #[must_use]
    pub fn set_up(&self) -> Duration {
        [self.dns, self.connect, self.tls].into_iter().flatten().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::{ClientAddr, ExchangeId, Observed};

    fn event(at: Instant, moment: Moment) -> TraceEvent {
        TraceEvent { at, exchange: Some(ExchangeId(1)), connection: Some(ConnectionId(1)), moment }
    }

    fn got(reused: bool) -> Moment {
        Moment::GotConn {
            client: ClientAddr::new(([127, 0, 0, 1], 40_000).into()),
            reused,
            was_idle: Observed::Known(reused),
            idle_time: Observed::Known(None),
        }
    }

    fn server() -> ServerAddr {
        ServerAddr::new(([127, 0, 0, 1], 443).into())
    }

    fn ms(ms: u64) -> Option<Duration> {
        Some(Duration::from_millis(ms))
    }

    #[test]
    fn a_new_connection_has_every_phase() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let client = ClientAddr::new(([127, 0, 0, 1], 40_000).into());
        let events = [
            event(at(0), Moment::GetConn { host_port: "a:443".into() }),
            event(at(1), Moment::DnsStart { host: "a".into() }),
            event(at(4), Moment::DnsDone { result: Ok(vec![]), coalesced: false }),
            event(at(4), Moment::ConnectStart { server: server() }),
            event(at(9), Moment::ConnectDone { server: server(), result: Ok(client) }),
            event(at(9), Moment::TlsHandshakeStart),
            event(at(19), Moment::TlsHandshakeDone { result: Err("never mind".into()) }),
            event(at(20), got(false)),
            event(at(22), Moment::WroteRequest { result: Ok(()) }),
            event(at(30), Moment::GotFirstResponseByte),
        ];
        let phases = Phases::of(&events, Some(at(31)), at(35));
        assert_eq!(
            phases,
            Phases {
                connection: Some(ConnectionId(1)),
                reused: false,
                server: Some(server()),
                addresses: vec![],
                slot: None,
                dns: ms(3),
                connect: ms(5),
                tls: ms(10),
                send: ms(2),
                wait: ms(8),
                receive: ms(5),
            }
        );
        assert_eq!(Some(phases.set_up()), ms(18));
    }

    #[test]
    fn a_connection_that_is_reused_has_none_of_its_making() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut events = vec![
            event(at(0), Moment::GetConn { host_port: "a:80".into() }),
            event(at(0), got(true)),
            event(at(1), Moment::WroteRequest { result: Ok(()) }),
            event(at(3), Moment::GotFirstResponseByte),
        ];
        // A dial for another connection, in vain.
        let vain = Moment::ConnectStart { server: server() };
        events.push(TraceEvent { connection: Some(ConnectionId(2)), ..event(at(0), vain) });
        let phases = Phases::of(&events, Some(at(3)), at(4));
        assert!(phases.reused);
        assert_eq!((phases.dns, phases.connect, phases.tls), (None, None, None));
        assert_eq!((phases.send, phases.wait, phases.receive), (ms(1), ms(2), ms(1)));
    }

    #[test]
    fn an_exchange_that_fails_has_the_phases_until_then() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let refused = Moment::ConnectDone { server: server(), result: Err("refused".into()) };
        let events = [
            event(at(0), Moment::GetConn { host_port: "a:80".into() }),
            event(at(1), Moment::ConnectStart { server: server() }),
            event(at(2), refused),
        ];
        let phases = Phases::of(&events, None, at(3));
        assert_eq!((phases.connection, phases.connect, phases.wait), (None, ms(1), None));
    }

    #[test]
    fn an_interim_response_does_not_end_the_wait() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let events = [
            event(at(0), got(false)),
            event(at(2), Moment::GotFirstResponseByte),
            event(at(2), Moment::Got1xxResponse { code: 100, headers: vec![] }),
            event(at(4), Moment::WroteRequest { result: Ok(()) }),
        ];
        let phases = Phases::of(&events, Some(at(9)), at(10));
        assert_eq!((phases.send, phases.wait, phases.receive), (ms(4), ms(5), ms(1)));
    }

    #[test]
    fn without_a_first_byte_the_head_stands_for_it() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let phases = Phases::of(&[event(at(0), got(true))], Some(at(5)), at(7));
        assert_eq!((phases.send, phases.wait, phases.receive), (None, ms(5), ms(2)));
    }
}
