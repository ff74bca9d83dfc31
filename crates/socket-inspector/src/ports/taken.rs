//! Ports that are taken whatever the destination, and queues that are full.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use evidence::{AcceptQueue, Side, Socket, TcpState};

use super::budget::PortSettings;

/// The ports that some sockets take from all connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TakenPorts {
    /// Ports of the range that `connect` does not pick, wherever it goes, as somebody has bound them:
    /// sockets that listen, the connections they have accepted, and sockets that are bound and no
    /// more.
    pub(crate) bound: BTreeSet<u16>,
    /// Ports of the range that are in use at any address, towards anybody: `bind` to port 0 before
    /// `connect` gets none of them at the same address.
    pub(crate) used: BTreeSet<u16>,
    /// The sockets that listen and whose queue is full.
    pub(crate) full: Vec<(SocketAddr, AcceptQueue)>,
}

impl TakenPorts {
    /// Finds them among all sockets, and the addresses of those that are bound and no more.
    pub(crate) fn of(sockets: &[Socket], bound: &[SocketAddr], settings: &PortSettings) -> Self {
        let in_range = |port: &u16| settings.is_picked(*port);
        let is_bound = |socket: &&Socket| {
            socket.state == TcpState::Listen || socket.side == Some(Side::Server)
        };
        let of_servers = sockets.iter().filter(is_bound).map(|socket| socket.local.port());
        let bound = bound.iter().map(SocketAddr::port).chain(of_servers).filter(in_range);
        let bound: BTreeSet<u16> = bound.collect();
        let used = sockets.iter().map(|socket| socket.local.port()).filter(in_range);
        let full = sockets.iter().filter_map(|socket| {
            let queue = socket.accept_queue().filter(|queue| queue.is_full())?;
            Some((socket.local, queue))
        });
        Self { used: used.chain(bound.iter().copied()).collect(), full: full.collect(), bound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::Observed;

    fn socket(local: &str, peer: &str, state: TcpState, side: Option<Side>) -> Socket {
        Socket {
            local: local.parse().unwrap(),
            peer: peer.parse().unwrap(),
            state,
            side,
            recv_queue: Observed::Known(3),
            send_queue: Observed::Known(2),
            timer: Observed::Known(None),
            cookie: Observed::NotObservable,
            owners: Observed::NotObservable,
        }
    }

    #[test]
    fn what_is_bound_is_lost_for_all_and_what_is_used_for_a_bind() {
        let settings = PortSettings { range: 40000..=40019, ..super::super::budget::example() };
        let client = |port: u16, peer| {
            let local = format!("127.0.0.1:{port}");
            socket(&local, peer, TcpState::Established, Some(Side::Client))
        };
        let table = [
            socket("0.0.0.0:40001", "0.0.0.0:0", TcpState::Listen, None),
            socket("0.0.0.0:8080", "0.0.0.0:0", TcpState::Listen, None),
            client(40002, "127.0.0.1:9001"),
            client(40002, "127.0.0.1:9002"),
            client(40003, "127.0.0.1:9002"),
            client(50000, "127.0.0.1:9002"),
        ];
        let bound = ["127.0.0.1:40004".parse().unwrap(), "127.0.0.1:7".parse().unwrap()];
        let taken = TakenPorts::of(&table, &bound, &settings);
        assert_eq!(taken.bound, BTreeSet::from([40001, 40004]));
        assert_eq!(taken.used, BTreeSet::from([40001, 40002, 40003, 40004]));
        assert_eq!(taken.full.len(), 2);
    }
}
