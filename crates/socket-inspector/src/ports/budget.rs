//! The budget of ports that clients of this machine live on.
//!
//! A connection is known by its four numbers, so each destination (address and port) has a budget
//! of its own: as many connections as there are ephemeral ports, `TIME_WAIT` included.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use evidence::{Observed, Side, SocketTable, TcpState};

use super::likely::LikelyClients;

/// How long Linux keeps `TIME_WAIT`: a constant of the kernel (`TCP_TIMEWAIT_LEN`), which no
/// setting changes.
pub(crate) const TIME_WAIT: Duration = Duration::from_secs(60);

/// The settings of this machine for the ports of its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortSettings {
    /// `ip_local_port_range`: the ports that the system picks from.
    pub(crate) range: RangeInclusive<u16>,
    /// `ip_local_reserved_ports`: those of them that it leaves out.
    pub(crate) reserved: Vec<RangeInclusive<u16>>,
    /// Ports that somebody has bound: no connection is given one, wherever it goes.
    pub(crate) bound: BTreeSet<u16>,
    /// `tcp_tw_reuse`: 0 never, 1 always, 2 over loopback; `None` if it cannot be read.
    pub(crate) tw_reuse: Option<u8>,
    /// `tcp_tw_reuse_delay`: how long a port is kept in `TIME_WAIT` before it is used again
    /// (since Linux 6.14; before, one second).
    pub(crate) tw_reuse_delay: Duration,
    /// `tcp_max_tw_buckets`: the `TIME_WAIT`s that all clients and servers together may leave.
    pub(crate) max_tw_buckets: Option<u64>,
}

impl PortSettings {
    /// How many ports the system picks from.
    #[must_use]
    pub(crate) fn usable(&self) -> usize {
        self.range.clone().filter(|port| self.is_picked(*port)).count()
    }

    /// Returns true if the system may pick this port for a client.
    pub(crate) fn is_picked(&self, port: u16) -> bool {
        let reserved = self.reserved.iter().any(|range| range.contains(&port));
        self.range.contains(&port) && !reserved && !self.bound.contains(&port)
    }

    /// How long a port stays away after a connection from `local` to `destination` was closed.
    ///
    /// With `tcp_tw_reuse` the next `connect` to the same destination may take it earlier, as far
    /// as both ends use TCP timestamps, as nearly all do.
    #[must_use]
    pub(crate) fn hold(&self, destination: SocketAddr) -> Duration {
        let loopback = destination.ip().to_canonical().is_loopback();
        match self.tw_reuse {
            Some(1) => self.tw_reuse_delay.min(TIME_WAIT),
            Some(2) if loopback => self.tw_reuse_delay.min(TIME_WAIT),
            _ => TIME_WAIT,
        }
    }
}

/// The sockets of which a reading of the table could not tell of the ports in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct UnseenPorts {
    /// Sockets of which nothing tells whether they are a client's, and that are not counted.
    pub(crate) sides: usize,
    /// Those that are counted, as their peer's address is that of more of them than their own is.
    pub(crate) likely: usize,
    /// Clients' sockets that belong to a process which this user may not look into: they are
    /// counted, and what they leave in `TIME_WAIT` seems to be made by nobody.
    pub(crate) owners: usize,
}

impl UnseenPorts {
    /// Returns what `table`, whose owners have been asked for, does not tell.
    #[must_use]
    pub(crate) fn of(table: &SocketTable) -> Self {
        let likely = LikelyClients::of(&table.sockets);
        let ends = table.sockets.iter().filter(|socket| socket.state != TcpState::Listen);
        ends.fold(Self::default(), |unseen, socket| match socket.side {
            None if likely.has(socket) => Self { likely: unseen.likely + 1, ..unseen },
            None => Self { sides: unseen.sides + 1, ..unseen },
            Some(Side::Client) if socket.owners == Observed::NotObservable => {
                Self { owners: unseen.owners + 1, ..unseen }
            }
            Some(_) => unseen,
        })
    }
}

/// An end that has closed connections whose ports are not free yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PortBurner {
    /// The process, by name and id; `None` for ports that no reading saw anybody hold.
    pub(crate) process: Option<String>,
    /// Its ports in `TIME_WAIT`.
    pub(crate) ports: usize,
}

/// The ports in use towards one destination.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PortDestination {
    /// The address that connections are made to.
    pub(crate) address: SocketAddr,
    /// The address of this machine that they come from. Each has a budget of its own.
    pub(crate) from: IpAddr,
    /// Ports in use that are not in `TIME_WAIT`.
    pub(crate) live: usize,
    /// The time until each port in `TIME_WAIT` is given up by the kernel, the shortest first.
    pub(crate) time_wait: Vec<Duration>,
    /// The ends that have burnt those ports, the greatest first.
    pub(crate) burners: Vec<PortBurner>,
    /// How fast ports are used; `None` after a single look.
    pub(crate) rate: Option<BurnRate>,
}

impl PortDestination {
    /// Ports in use, `TIME_WAIT` included.
    #[must_use]
    pub(crate) fn in_use(&self) -> usize {
        self.live + self.time_wait.len()
    }

    /// Returns what becomes of it if nothing changes; `None` after a single look.
    #[must_use]
    pub(crate) fn forecast(&self, settings: &PortSettings) -> Option<PortForecast> {
        let hold = settings.hold(self.address);
        let early = TIME_WAIT.saturating_sub(hold);
        let frees: Vec<Duration> =
            self.time_wait.iter().map(|left| left.saturating_sub(early)).collect();
        Some(forecast(settings.usable(), self.live, &frees, self.rate?, hold))
    }
}

/// How fast ports towards one destination are used, each second.
///
/// It is what two readings show, and so the least there was: between them a port may be used, and
/// used again, and nobody sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct BurnRate {
    /// Connections opened, as far as they were seen.
    pub(crate) opened: f64,
    /// Ports that went into `TIME_WAIT`.
    pub(crate) burnt: f64,
    /// By how much the number of live connections grew; below 0 if it shrank.
    pub(crate) growth: f64,
}

/// The fate of a budget of ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PortForecast {
    /// Every port is in use: a `connect` to this destination fails with `EADDRNOTAVAIL`.
    Exhausted,
    /// It is exhausted after this time.
    In(Duration),
    /// As many ports come free as are seen to be used: it goes on for ever, if no more are used
    /// than were seen. A [`BurnRate`] is the least there was, so that this is not certain.
    Steady,
}

/// Says when a budget of `usable` ports is exhausted, of which `live` are in use and others come
/// free after the times `frees`.
///
/// It assumes that all goes on as it does: live connections grow by [`BurnRate::growth`], and every
/// second [`BurnRate::burnt`] ports are closed and come free after `hold`. What burns fewer than
/// `usable / hold` ports a second goes on for ever. As a rate is the least there was, ports may
/// run out earlier than it says.
#[must_use]
pub(crate) fn forecast(
    usable: usize,
    live: usize,
    frees: &[Duration],
    rate: BurnRate,
    hold: Duration,
) -> PortForecast {
    let (growth, burnt, hold) = (rate.growth.max(0.0), rate.burnt.max(0.0), hold.as_secs_f64());
    let usable = usable as f64;
    let mut frees: Vec<f64> =
        frees.iter().map(Duration::as_secs_f64).filter(|free| *free > 0.0).collect();
    frees.sort_by(f64::total_cmp);

    // Between two moments at which a port comes free, use grows along a straight line.
    let mut moments = frees.clone();
    moments.push(hold);
    moments.sort_by(f64::total_cmp);
    let in_use = |at: f64, free: usize| {
        (live + frees.len() - free) as f64 + growth * at + burnt * at.min(hold)
    };
    let mut at = 0.0;
    for next in moments.into_iter().chain([f64::INFINITY]) {
        let free = frees.partition_point(|free| *free <= at);
        let missing = usable - in_use(at, free);
        if missing <= 0.0 {
            return if at == 0.0 { PortForecast::Exhausted } else { after(at) };
        }
        let slope = growth + if at < hold { burnt } else { 0.0 };
        let full = at + missing / slope; // never, if the slope is 0
        if full < next {
            return after(full);
        }
        at = next;
    }
    PortForecast::Steady
}

/// Returns what lies further ahead than a century is no forecast.
fn after(seconds: f64) -> PortForecast {
    match Duration::try_from_secs_f64(seconds) {
        Ok(time) if seconds < 100.0 * 365.0 * 86_400.0 => PortForecast::In(time),
        _ => PortForecast::Steady,
    }
}

/// Settings as most machines have them.
#[cfg(test)]
pub(crate) fn example() -> PortSettings {
    PortSettings {
        range: 32768..=60999,
        reserved: vec![],
        bound: BTreeSet::new(),
        tw_reuse: Some(2),
        tw_reuse_delay: Duration::from_secs(1),
        max_tw_buckets: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOLD: Duration = TIME_WAIT;

    fn burning(burnt: f64) -> BurnRate {
        BurnRate { opened: burnt, burnt, growth: 0.0 }
    }

    fn settings() -> PortSettings {
        PortSettings {
            range: 32768..=60999,
            reserved: vec![],
            bound: BTreeSet::new(),
            tw_reuse: Some(2),
            tw_reuse_delay: Duration::from_secs(1),
            max_tw_buckets: None,
        }
    }

    #[test]
    fn what_is_not_told_of_a_socket_is_counted_once() {
        let socket = |side, state, owners| evidence::Socket {
            local: "127.0.0.1:40210".parse().unwrap(),
            peer: "127.0.0.1:8080".parse().unwrap(),
            state,
            side,
            recv_queue: Observed::Known(0),
            send_queue: Observed::Known(0),
            timer: Observed::Known(None),
            cookie: Observed::NotObservable,
            owners,
        };
        let (open, hidden) = (TcpState::Established, Observed::NotObservable);
        let sockets = vec![
            socket(None, TcpState::Listen, hidden.clone()),
            socket(None, open, hidden.clone()),
            socket(None, open, Observed::Known([].into())),
            socket(Some(Side::Client), open, hidden.clone()),
            socket(Some(Side::Client), TcpState::TimeWait, Observed::Known([].into())),
            socket(Some(Side::Server), open, hidden),
        ];
        assert_eq!(
            UnseenPorts::of(&SocketTable { sockets }),
            UnseenPorts { sides: 0, likely: 2, owners: 1 }
        );
    }

    #[test]
    fn ports_that_come_free_after_60_seconds_bound_what_may_be_burnt() {
        assert_eq!(forecast(28_232, 0, &[], burning(470.0), HOLD), PortForecast::Steady);
        let PortForecast::In(left) = forecast(28_232, 0, &[], burning(743.0), HOLD) else {
            panic!("28232 ports at 743 a second last 38 s");
        };
        assert_eq!(left.as_secs(), 37);
        assert_eq!(forecast(20, 3, &[HOLD; 17], burning(0.0), HOLD), PortForecast::Exhausted);
    }

    #[test]
    fn connections_that_are_never_closed_end_every_budget() {
        let leak = BurnRate { opened: 2.0, burnt: 0.0, growth: 2.0 };
        assert_eq!(forecast(100, 0, &[], leak, HOLD), PortForecast::In(Duration::from_secs(50)));
        assert_eq!(forecast(1000, 0, &[], leak, HOLD), PortForecast::In(Duration::from_secs(500)));
    }

    #[test]
    fn a_port_is_held_as_long_as_the_settings_say() {
        let (loopback, remote) = ("[::1]:80".parse().unwrap(), "10.0.0.7:80".parse().unwrap());
        let hold = |tw_reuse| {
            let settings = PortSettings { tw_reuse, ..settings() };
            (settings.hold(loopback).as_secs(), settings.hold(remote).as_secs())
        };
        assert_eq!(hold(Some(0)), (60, 60));
        assert_eq!(hold(Some(1)), (1, 1));
        assert_eq!(hold(Some(2)), (1, 60));
        assert_eq!(hold(None), (60, 60));
    }

    #[test]
    fn reserved_ports_are_no_part_of_the_budget() {
        assert_eq!(settings().usable(), 28_232);
        let reserved = vec![32768..=32867, 8080..=8080];
        assert_eq!(PortSettings { reserved, ..settings() }.usable(), 28_132);
    }

    #[test]
    fn with_reuse_a_port_in_time_wait_counts_for_a_second() {
        let mut there = PortDestination {
            address: "127.0.0.1:80".parse().unwrap(),
            from: "127.0.0.1".parse().unwrap(),
            live: 0,
            time_wait: vec![Duration::from_secs(30); 28_232],
            burners: vec![],
            rate: Some(burning(100.0)),
        };
        assert_eq!(there.forecast(&settings()), Some(PortForecast::Steady));
        there.address = "10.0.0.7:80".parse().unwrap();
        assert_eq!(there.forecast(&settings()), Some(PortForecast::Exhausted));
        there.rate = None;
        assert_eq!(there.forecast(&settings()), None);
    }

    fn seconds(forecast: PortForecast) -> f64 {
        match forecast {
            PortForecast::Exhausted => 0.0,
            PortForecast::In(left) => left.as_secs_f64(),
            PortForecast::Steady => f64::INFINITY,
        }
    }

    prop_compose! {
        fn budget()(
            usable in 1_usize..3000,
            live in 0_usize..1000,
            frees in prop::collection::vec(0_u64..60_000, 0..200),
            burnt in 0.0..200.0_f64,
            growth in prop_oneof![Just(0.0), -5.0..5.0_f64],
            hold in 1_u64..=60,
        ) -> (usize, usize, Vec<Duration>, BurnRate, Duration) {
            let frees = frees.into_iter().map(Duration::from_millis).collect();
            let rate = BurnRate { opened: burnt, burnt, growth };
            (usable, live, frees, rate, Duration::from_secs(hold))
        }
    }

    proptest! {
        #[test]
        fn a_faster_use_never_lasts_longer(
            (usable, live, frees, rate, hold) in budget(), more in 0.0..50.0_f64,
        ) {
            let faster = BurnRate { burnt: rate.burnt + more, ..rate };
            let (slow, fast) = (
                seconds(forecast(usable, live, &frees, rate, hold)),
                seconds(forecast(usable, live, &frees, faster, hold)),
            );
            prop_assert!(fast <= slow + 1e-6, "{fast} after {slow}");
        }

        #[test]
        fn a_larger_budget_never_lasts_shorter(
            (usable, live, frees, rate, hold) in budget(), more in 0_usize..500,
        ) {
            let small = seconds(forecast(usable, live, &frees, rate, hold));
            let large = seconds(forecast(usable + more, live, &frees, rate, hold));
            prop_assert!(small <= large + 1e-6, "{small} before {large}");
        }

        #[test]
        fn it_is_steady_exactly_if_the_ports_never_run_out(
            (usable, live, frees, rate, hold) in budget(),
        ) {
            // Step by step, as a machine would live through it.
            let (growth, burnt) = (rate.growth.max(0.0), rate.burnt);
            let in_use = |at: f64| {
                let waiting = frees.iter().filter(|free| free.as_secs_f64() > at).count();
                (live + waiting) as f64 + growth * at + burnt * at.min(hold.as_secs_f64())
            };
            let told = seconds(forecast(usable, live, &frees, rate, hold));
            for tenth in 0..700 {
                let at = f64::from(tenth) / 10.0;
                if at < told - 1e-6 {
                    prop_assert!(in_use(at) < usable as f64 + 1e-6, "full at {at}, told {told}");
                }
            }
            if told.is_finite() {
                prop_assert!(in_use(told) >= usable as f64 - 1e-3, "free at {told}");
            }
        }
    }
}
