//! One row of the kernel's socket table, and what a whole table says.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::micros;
use crate::{ClientAddr, Ends, Observed, ServerAddr, TcpState, canonical};

/// Which end of a connection a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The end that dialled.
    Client,
    /// The end that listened.
    Server,
}

impl Side {
    /// `client` or `server`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }

    /// The other one.
    #[must_use]
    pub fn opposite(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// Its process id.
    pub pid: u32,
    /// Its name, as the system tells it.
    pub process: String,
}

/// The event for which the kernel waits on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimerKind {
    /// Retransmission: unacknowledged data is sent again when it runs out.
    Retransmit,
    /// TCP keepalive (`SO_KEEPALIVE`): a probe goes out when it runs out. Not HTTP keep-alive.
    KeepAlive,
    /// `TIME_WAIT`: the addresses are free again when it runs out.
    TimeWait,
    /// The peer's window is closed: a probe goes out when it runs out.
    ZeroWindowProbe,
}

impl TimerKind {
    /// The name `ss -o` prints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Retransmit => "on",
            Self::KeepAlive => "keepalive",
            Self::TimeWait => "timewait",
            Self::ZeroWindowProbe => "persist",
        }
    }
}

/// A running kernel timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// The event when it runs out.
    pub kind: TimerKind,
    /// The time left until then.
    #[serde(rename = "left_us", with = "micros")]
    pub left: Duration,
}

/// One row of the socket table: one end of a connection, or a listening socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Socket {
    /// This end's address.
    pub local: SocketAddr,
    /// The other end's address; port 0 for a listening socket.
    pub peer: SocketAddr,
    /// This end's state.
    pub state: TcpState,
    /// Which end this is, where that can be told.
    pub side: Option<Side>,
    /// Bytes received that the process has not read yet, as the kernel counts them: with the
    /// peer's FIN ([`Socket::unread`] is without). For a listening socket: connections that wait
    /// to be accepted.
    #[serde(rename = "recv_queue_bytes")]
    pub recv_queue: Observed<u32>,
    /// Bytes written that the peer has not acknowledged (for a listening socket: its backlog).
    #[serde(rename = "send_queue_bytes")]
    pub send_queue: Observed<u32>,
    /// The running timer, if any.
    pub timer: Observed<Option<Timer>>,
    /// The kernel's own number of this socket (Linux: `SO_COOKIE`), by which it is told from a
    /// later one between the same addresses. What Linux leaves in the place of a closed socket, in
    /// `FIN_WAIT_2` or `TIME_WAIT`, has another number than that.
    pub cookie: Observed<u64>,
    /// The processes that hold it. Known to be empty when none does, as in `TIME_WAIT`: the
    /// process has closed it, only the kernel still remembers. Not observable when nobody asked,
    /// or when the system does not let this user look into the process. Shared, as readings of a
    /// long table tell the same again and again.
    pub owners: Observed<Arc<[Owner]>>,
}

impl Socket {
    /// The connection this socket is one end of; `None` if it listens or its side is unknown.
    #[must_use]
    pub fn ends(&self) -> Option<Ends> {
        if self.state == TcpState::Listen {
            return None;
        }
        Some(match self.side? {
            Side::Client => {
                Ends { client: ClientAddr::new(self.local), server: ServerAddr::new(self.peer) }
            }
            Side::Server => {
                Ends { client: ClientAddr::new(self.peer), server: ServerAddr::new(self.local) }
            }
        })
    }

    /// Bytes received that the process has not read yet; 0 for a listening socket.
    ///
    /// Linux tells the distance from what was read to what has arrived (`rcv_nxt − copied_seq`),
    /// and a FIN takes a number there like a byte. So after the peer has closed it counts 1, until
    /// the process reads the end, or the last bytes, where the FIN lies right behind them: it is
    /// no byte and not counted here. [`Socket::recv_queue`] has the kernel's number.
    #[must_use]
    pub fn unread(&self) -> Observed<u32> {
        let fin_has_come =
            matches!(self.state, TcpState::CloseWait | TcpState::LastAck | TcpState::Closing);
        match self.state {
            TcpState::Listen => self.recv_queue.map(|_| 0),
            _ => self.recv_queue.map(|queue| queue.saturating_sub(fin_has_come.into())),
        }
    }

    /// The connections that wait to be accepted; `None` unless it listens and the system tells.
    #[must_use]
    pub fn accept_queue(&self) -> Option<AcceptQueue> {
        let (waiting, backlog) = (self.recv_queue.known()?, self.send_queue.known()?);
        (self.state == TcpState::Listen).then_some(AcceptQueue { waiting, backlog })
    }

    /// Returns true if it is both ends of its connection: where nobody listens, `connect` may be
    /// given the very port that it dials, and the two handshakes meet (RFC 9293, section 3.5).
    #[must_use]
    pub fn is_connected_to_itself(&self) -> bool {
        self.state != TcpState::Listen && canonical(self.local) == canonical(self.peer)
    }

    /// The time until the kernel gives up its addresses; `None` unless it is in `TIME_WAIT`.
    #[must_use]
    pub fn time_wait_left(&self) -> Option<Duration> {
        let timer = self.timer.known().flatten().filter(|_| self.state == TcpState::TimeWait);
        timer.map(|timer| timer.left)
    }
}

/// The connections that wait at a listening socket to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptQueue {
    /// Connections that are through the handshake and that no process has accepted.
    pub waiting: u32,
    /// The number of them that the process has asked for.
    pub backlog: u32,
}

impl AcceptQueue {
    /// Returns true if no more fits: Linux lets one more wait than the backlog says, and drops the
    /// SYNs of others as long as that many do.
    #[must_use]
    pub fn is_full(self) -> bool {
        self.waiting > self.backlog
    }
}

/// One connection as the table shows it: both ends, or the one that is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The two addresses.
    pub ends: Ends,
    /// The client's end, if it is in the table.
    pub client: Option<Socket>,
    /// The server's end, if it is in the table.
    pub server: Option<Socket>,
}

/// The sockets of one reading of the kernel's table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketTable {
    /// The rows, in the order they were read.
    pub sockets: Vec<Socket>,
}

impl SocketTable {
    /// How many sockets of `side` are in which state.
    #[must_use]
    pub fn tally(&self, side: Side) -> BTreeMap<TcpState, usize> {
        tally(self.sockets.iter().filter(|socket| socket.side == Some(side)))
    }

    /// The number of sockets of `side` in `state`.
    #[must_use]
    pub fn count(&self, side: Side, state: TcpState) -> usize {
        self.sockets.iter().filter(|s| s.side == Some(side) && s.state == state).count()
    }

    /// The rows joined to connections; see [`pair`].
    #[must_use]
    pub fn pairs(&self) -> Vec<Pair> {
        pair(&self.sockets)
    }
}

/// Counts sockets by state.
#[must_use]
pub fn tally<'a>(sockets: impl IntoIterator<Item = &'a Socket>) -> BTreeMap<TcpState, usize> {
    let mut counts = BTreeMap::new();
    for socket in sockets {
        *counts.entry(socket.state).or_default() += 1;
    }
    counts
}

/// Joins the two ends of each connection, in the order in which the first of them is listed.
///
/// Sockets that listen and sockets whose side is unknown take no part. While `TIME_WAIT` lasts,
/// one pair of addresses may be listed twice at one end (an old connection and the new one that
/// reuses its port); the later row wins.
#[must_use]
pub fn pair(sockets: &[Socket]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    let mut place_of: HashMap<Ends, usize> = HashMap::new();
    for socket in sockets {
        let (Some(ends), Some(side)) = (socket.ends(), socket.side) else { continue };
        let place = *place_of.entry(ends).or_insert_with(|| {
            pairs.push(Pair { ends, client: None, server: None });
            pairs.len() - 1
        });
        if let Some(pair) = pairs.get_mut(place) {
            match side {
                Side::Client => pair.client = Some(socket.clone()),
                Side::Server => pair.server = Some(socket.clone()),
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn socket(side: Side, client_port: u16, state: TcpState) -> Socket {
        let client = SocketAddr::from(([127, 0, 0, 1], client_port));
        let server = SocketAddr::from(([127, 0, 0, 1], 8080));
        let (local, peer) = match side {
            Side::Client => (client, server),
            Side::Server => (server, client),
        };
        Socket {
            local,
            peer,
            state,
            side: Some(side),
            recv_queue: Observed::Known(0),
            send_queue: Observed::Known(0),
            timer: Observed::NotObservable,
            cookie: Observed::NotObservable,
            owners: Observed::NotObservable,
        }
    }

    #[test]
    fn two_ends_of_one_connection_make_one_pair() {
        let table = [
            socket(Side::Server, 40001, TcpState::Established),
            socket(Side::Client, 40002, TcpState::TimeWait),
            socket(Side::Client, 40001, TcpState::Established),
        ];
        let pairs = pair(&table);
        assert_eq!(pairs.len(), 2);
        assert_eq!(pairs[0].client.as_ref(), Some(&table[2]));
        assert_eq!(pairs[0].server.as_ref(), Some(&table[0]));
        assert_eq!(pairs[1].client.as_ref(), Some(&table[1]));
        assert_eq!(pairs[1].server, None);
    }

    #[test]
    fn a_fin_is_no_byte_that_waits_to_be_read() {
        let unread = |state, queue| {
            let recv_queue = Observed::Known(queue);
            Socket { recv_queue, ..socket(Side::Client, 40001, state) }.unread()
        };
        for state in [TcpState::CloseWait, TcpState::LastAck, TcpState::Closing] {
            assert_eq!(unread(state, 0), Observed::Known(0), "{state:?}, the end is read");
            assert_eq!(unread(state, 1), Observed::Known(0), "{state:?}");
            assert_eq!(unread(state, 57), Observed::Known(56), "{state:?}");
        }
        assert_eq!(unread(TcpState::Established, 57), Observed::Known(57));
        assert_eq!(unread(TcpState::FinWait2, 57), Observed::Known(57));
        assert_eq!(unread(TcpState::Listen, 3), Observed::Known(0), "connections are no bytes");
        let unseen = Socket {
            recv_queue: Observed::NotObservable,
            ..socket(Side::Client, 40001, TcpState::CloseWait)
        };
        assert_eq!(unseen.unread(), Observed::NotObservable);
    }

    #[test]
    fn a_queue_is_full_when_more_wait_than_the_backlog_says() {
        let queue = |state, waiting| {
            let (recv_queue, send_queue) = (Observed::Known(waiting), Observed::Known(1));
            let socket = Socket { recv_queue, send_queue, ..socket(Side::Server, 0, state) };
            socket.accept_queue().map(AcceptQueue::is_full)
        };
        assert_eq!(queue(TcpState::Listen, 1), Some(false));
        assert_eq!(queue(TcpState::Listen, 2), Some(true));
        assert_eq!(queue(TcpState::Established, 2), None, "bytes are no connections");
    }

    #[test]
    fn a_listening_socket_is_no_end_of_a_connection() {
        let listening = socket(Side::Server, 0, TcpState::Listen);
        assert_eq!(pair(&[listening]), []);
    }

    proptest! {
        #[test]
        fn no_socket_is_lost_and_none_is_counted_twice(
            rows in prop::collection::hash_set((any::<bool>(), 1_u16..40), 0..60)
        ) {
            let sockets: Vec<Socket> = rows
                .iter()
                .map(|&(client, port)| {
                    let side = if client { Side::Client } else { Side::Server };
                    socket(side, port, TcpState::Established)
                })
                .collect();
            let in_pairs: usize = pair(&sockets)
                .iter()
                .map(|pair| usize::from(pair.client.is_some()) + usize::from(pair.server.is_some()))
                .sum();
            prop_assert_eq!(in_pairs, sockets.len());
            prop_assert_eq!(tally(&sockets).values().sum::<usize>(), sockets.len());
        }
    }
}
