//! The ports that clients of this machine use up, by destination.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::budget::{BurnRate, PortBurner, PortDestination, PortSettings};
use super::likely::LikelyClients;
use evidence::{Socket, SocketTable, TcpState, canonical};

use socket_table::{SocketLedger, ephemeral_ports, setting};

/// Reads what this machine has set for the ports of its clients, as far as it is told: Linux's
/// own values stand for what is not.
#[must_use]
pub(crate) fn port_settings() -> PortSettings {
    let number = |name: &str| setting(name)?.trim().parse::<u64>().ok();
    PortSettings {
        range: ephemeral_ports(),
        reserved: setting("ip_local_reserved_ports").map_or(vec![], |list| ranges(&list)),
        bound: BTreeSet::new(),
        tw_reuse: number("tcp_tw_reuse").and_then(|value| value.try_into().ok()),
        tw_reuse_delay: number("tcp_tw_reuse_delay")
            .map_or(Duration::from_secs(1), Duration::from_millis),
        max_tw_buckets: number("tcp_max_tw_buckets"),
    }
}

/// `8080,9000-9100` as the kernel writes it. What cannot be read is left out.
fn ranges(list: &str) -> Vec<std::ops::RangeInclusive<u16>> {
    let range = |item: &str| {
        let (low, high) = item.split_once('-').unwrap_or((item, item));
        Some(low.trim().parse().ok()?..=high.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).collect()
}

/// An earlier reading, and how long ago it was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EarlierReading<'a> {
    /// The reading.
    pub(crate) table: &'a SocketTable,
    /// The time from it to the later one.
    pub(crate) ago: Duration,
}

/// Counts the ports of `table` that are in use by its clients, by destination, the most used
/// first. `ledger` tells who made what is in `TIME_WAIT` now; an `earlier` reading, how fast ports
/// are used.
///
/// Ports that lie outside the range of [`PortSettings`], because a program asked for one by its
/// number, use up nothing and are not counted. A connection that was opened and reset between two
/// readings is not seen, so that a rate may be too low and is never too high.
#[must_use]
pub(crate) fn destinations(
    table: &SocketTable,
    settings: &PortSettings,
    ledger: &SocketLedger,
    earlier: Option<EarlierReading<'_>>,
) -> Vec<PortDestination> {
    let mut before: HashMap<(IpAddr, SocketAddr), Vec<&Socket>> = HashMap::new();
    for socket in clients(earlier.map_or(&[], |earlier| &earlier.table.sockets), settings) {
        before.entry(route(socket)).or_default().push(socket);
    }
    let mut now: BTreeMap<(IpAddr, SocketAddr), Vec<&Socket>> = BTreeMap::new();
    for socket in clients(&table.sockets, settings) {
        now.entry(route(socket)).or_default().push(socket);
    }
    let destination = |((from, address), sockets): ((IpAddr, SocketAddr), Vec<&Socket>)| {
        let (closed, live): (Vec<&Socket>, Vec<&Socket>) =
            sockets.iter().partition(|socket| socket.state == TcpState::TimeWait);
        let mut time_wait: Vec<Duration> =
            closed.iter().map(|socket| socket.time_wait_left().unwrap_or_default()).collect();
        time_wait.sort();
        let was = before.get(&(from, address)).map_or(&[][..], Vec::as_slice);
        PortDestination {
            address,
            from,
            live: live.len(),
            time_wait,
            burners: burners(&closed, ledger),
            rate: earlier.and_then(|earlier| rate(was, &sockets, earlier.ago)),
        }
    };
    let mut destinations: Vec<PortDestination> = now.into_iter().map(destination).collect();
    destinations.sort_by_key(|destination| std::cmp::Reverse(destination.in_use()));
    destinations
}

/// The clients' ends whose port is one of those that the system picks.
fn clients<'a>(sockets: &'a [Socket], settings: &PortSettings) -> impl Iterator<Item = &'a Socket> {
    let range = settings.range.clone();
    let likely = LikelyClients::of(sockets);
    sockets.iter().filter(move |socket| likely.has(socket) && range.contains(&socket.local.port()))
}

/// The addresses between which a port must be free.
fn route(socket: &Socket) -> (IpAddr, SocketAddr) {
    (socket.local.ip().to_canonical(), canonical(socket.peer))
}

fn burners(closed: &[&Socket], ledger: &SocketLedger) -> Vec<PortBurner> {
    let mut by_process: BTreeMap<Option<String>, usize> = BTreeMap::new();
    for socket in closed {
        let process = ledger.owners(socket).first();
        let process = process.map(|owner| format!("{} ({})", owner.process, owner.pid));
        *by_process.entry(process).or_default() += 1;
    }
    let burner = |(process, ports)| PortBurner { process, ports };
    let mut burners: Vec<PortBurner> = by_process.into_iter().map(burner).collect();
    burners.sort_by_key(|burner| std::cmp::Reverse(burner.ports));
    burners
}

/// Returns what has changed from one reading to the next, each second.
fn rate(before: &[&Socket], now: &[&Socket], time: Duration) -> Option<BurnRate> {
    let seconds = Some(time.as_secs_f64()).filter(|seconds| *seconds > 0.0)?;
    let was: HashMap<SocketAddr, &Socket> = before.iter().map(|s| (s.local, *s)).collect();
    let (mut opened, mut burnt) = (0_u32, 0_u32);
    for socket in now {
        let is_closed = socket.state == TcpState::TimeWait;
        match was.get(&socket.local) {
            None => {
                opened += 1;
                burnt += u32::from(is_closed);
            }
            // A port in TIME_WAIT has been used again if it is open, or its time starts afresh.
            Some(was) if was.state == TcpState::TimeWait => {
                let again = is_closed && socket.time_wait_left() > was.time_wait_left();
                opened += u32::from(again || !is_closed);
                burnt += u32::from(again);
            }
            Some(_) => burnt += u32::from(is_closed),
        }
    }
    let live = |sockets: &[&Socket]| {
        sockets.iter().filter(|socket| socket.state != TcpState::TimeWait).count() as f64
    };
    let each_second = |count: u32| f64::from(count) / seconds;
    Some(BurnRate {
        opened: each_second(opened),
        burnt: each_second(burnt),
        growth: (live(now) - live(before)) / seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::{Observed, Side, Timer, TimerKind};

    fn socket(port: u16, left_s: Option<u64>) -> Socket {
        let left = left_s.map(Duration::from_secs);
        let timer = left.map(|left| Timer { kind: TimerKind::TimeWait, left });
        Socket {
            local: SocketAddr::from(([127, 0, 0, 1], port)),
            peer: SocketAddr::from(([127, 0, 0, 1], 8080)),
            state: if left.is_some() { TcpState::TimeWait } else { TcpState::Established },
            side: Some(Side::Client),
            recv_queue: Observed::Known(0),
            send_queue: Observed::Known(0),
            timer: Observed::Known(timer),
            cookie: Observed::NotObservable,
            owners: Observed::Known([].into()),
        }
    }

    fn settings() -> PortSettings {
        PortSettings { range: 40000..=40099, reserved: vec![], ..port_settings() }
    }

    #[test]
    fn the_kernel_s_list_of_reserved_ports_is_read() {
        assert_eq!(ranges("8080,9000-9100\n"), [8080..=8080, 9000..=9100]);
        assert_eq!(ranges("\n"), []);
    }

    #[test]
    fn a_rate_counts_new_ports_and_those_that_are_used_again() {
        let before = SocketTable {
            sockets: vec![
                socket(40001, Some(30)),
                socket(40002, Some(30)),
                socket(40003, None),
                socket(40004, Some(30)),
            ],
        };
        let now = SocketTable {
            sockets: vec![
                socket(40001, Some(28)), // goes on waiting
                socket(40002, Some(60)), // used again, and closed
                socket(40003, Some(59)), // closed
                socket(40004, None),     // used again, and open
                socket(40005, Some(60)), // opened and closed
                socket(50000, None),     // asked for by its number
            ],
        };
        let earlier = EarlierReading { table: &before, ago: Duration::from_secs(2) };
        let found = destinations(&now, &settings(), &SocketLedger::default(), Some(earlier));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].live, found[0].time_wait.len()), (1, 4));
        assert_eq!(found[0].time_wait[0], Duration::from_secs(28));
        assert_eq!(found[0].rate, Some(BurnRate { opened: 1.5, burnt: 1.5, growth: 0.0 }));
        assert_eq!(found[0].burners, [PortBurner { process: None, ports: 4 }]);
    }

    #[test]
    fn ports_towards_a_server_s_port_within_the_range_are_counted_though_nothing_tells_the_side() {
        let unknown = |local: &str, peer: &str| {
            let (local, peer) = (local.parse().unwrap(), peer.parse().unwrap());
            Socket { local, peer, side: None, ..socket(40001, None) }
        };
        let to_one = ["10.0.0.1:40001", "10.0.0.1:40002", "10.0.0.1:40003"];
        let mut sockets: Vec<Socket> =
            to_one.iter().map(|local| unknown(local, "10.0.0.7:40080")).collect();
        sockets.push(unknown("10.0.0.1:40004", "10.0.0.8:40080"));
        // Both ends of two connections to a server that does not listen any more.
        for client in ["127.0.0.1:40005", "127.0.0.1:40006"] {
            sockets.push(unknown(client, "127.0.0.1:40090"));
            sockets.push(unknown("127.0.0.1:40090", client));
        }
        let now = SocketTable { sockets };
        let found = destinations(&now, &settings(), &SocketLedger::default(), None);
        let told: Vec<(String, usize)> =
            found.iter().map(|there| (there.address.to_string(), there.in_use())).collect();
        let expected = [("10.0.0.7:40080", 3), ("127.0.0.1:40090", 2), ("10.0.0.8:40080", 1)];
        assert_eq!(told, expected.map(|(address, count)| (address.to_owned(), count)));
    }

    #[test]
    fn a_single_look_tells_no_rate() {
        let now = SocketTable { sockets: vec![socket(40001, None)] };
        let found = destinations(&now, &settings(), &SocketLedger::default(), None);
        assert_eq!(found[0].rate, None);
        assert_eq!(found[0].forecast(&settings()), None);
    }
}
