//! A client's pool of connections, judged from outside the process.

use std::time::Duration;

use evidence::{Inspected, Observed, Owner, ServerAddr, TcpState};

/// The standing of a connection of a pool, from the worst to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConnectionStanding {
    /// The peer has closed, and the process has not noticed or does not care: `CLOSE_WAIT`.
    ClosedByPeer,
    /// Bytes have arrived, and nobody has read them for longer than patience lasts.
    Unread,
    /// A request is on its way, or an answer: bytes moved between two looks, wait in a queue, or
    /// the last word was the client's.
    Busy,
    /// Opened; nothing was sent or received yet.
    Unused,
    /// Silent since an answer: idle in the pool, as far as that can be seen.
    Idle,
    /// The handshake is not complete.
    Opening,
    /// The client has closed it; the kernel finishes.
    Closing,
    /// Open, and no more is told: not by this system.
    Open,
}

/// Two ticks of the slowest clock that Linux is built with (`HZ=100`).
const TWO_TICKS: Duration = Duration::from_millis(20);

impl ConnectionStanding {
    /// `idle`, `busy`, `unread` …
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ClosedByPeer => "closed by peer",
            Self::Unread => "unread",
            Self::Busy => "busy",
            Self::Unused => "never used",
            Self::Idle => "idle",
            Self::Opening => "opening",
            Self::Closing => "closing",
            Self::Open => "open",
        }
    }

    /// Judges one connection by the latest look at its client's end, and the look before, if that
    /// saw it. Bytes that nobody reads for longer than `patience` count as abandoned.
    ///
    /// Where nothing waits and nothing moved, the last word decides: [`ConnectionStanding::Busy`]
    /// if it was the client's, [`ConnectionStanding::Idle`] if it was the server's. Linux tells
    /// both ages in ticks of its clock (4 ms, usually), so that a request and an answer within one
    /// tick have the same age. Such a tie is idle if bytes have been received and nothing has moved
    /// for two ticks, or else busy: without a byte received there has been no answer to be idle
    /// after. A tie that is older may be a request that followed an answer within the tick and is
    /// not answered yet; the kernel tells nothing by which to know it.
    #[must_use]
    pub(crate) fn of(now: &Inspected, before: Option<&Inspected>, patience: Duration) -> Self {
        match now.socket.state {
            TcpState::CloseWait => return Self::ClosedByPeer,
            TcpState::SynSent | TcpState::SynReceived => return Self::Opening,
            TcpState::Established => {}
            _ => return Self::Closing,
        }
        let waits = |queue: Observed<u32>| queue.known().is_some_and(|bytes| bytes > 0);
        let info = &now.info;
        if waits(now.socket.recv_queue) {
            let silent = info.last_received.known().is_some_and(|age| age >= patience);
            return if silent { Self::Unread } else { Self::Busy };
        }
        let moved = before.is_some_and(|before| {
            let bytes = |row: &Inspected| (row.info.bytes_sent, row.info.bytes_received);
            bytes(before) != bytes(now)
        });
        if moved || waits(now.socket.send_queue) {
            return Self::Busy;
        }
        match (info.bytes_sent.known(), info.bytes_received.known()) {
            (Some(0), Some(0)) => return Self::Unused,
            (Some(_), Some(0)) => return Self::Busy,
            _ => {}
        }
        let answered = info.bytes_received.known().is_some_and(|bytes| bytes > 0);
        match (info.last_sent.known(), info.last_received.known()) {
            (Some(sent), Some(received)) if sent < received => Self::Busy,
            (Some(sent), Some(received)) if sent > received => Self::Idle,
            (Some(both), Some(_)) if answered && both > TWO_TICKS => Self::Idle,
            (Some(_), Some(_)) => Self::Busy,
            _ => Self::Open,
        }
    }
}

/// How long something has lasted, as far as the looks show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StandingTime {
    /// This long: its beginning fell between two looks.
    Exactly(Duration),
    /// This long or longer: the first look found it.
    AtLeast(Duration),
}

/// One connection of a pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PoolConnection {
    /// The client's end.
    pub(crate) row: Inspected,
    /// The standing that it seems to have.
    pub(crate) standing: ConnectionStanding,
    /// How long the peer has had it closed; for [`ConnectionStanding::ClosedByPeer`] alone.
    pub(crate) closed_for: Option<StandingTime>,
}

impl PoolConnection {
    /// The bytes that wait to be read, without the peer's FIN ([`evidence::Socket::unread`]).
    #[must_use]
    pub(crate) fn unread(&self) -> u64 {
        self.row.socket.unread().known().unwrap_or(0).into()
    }

    /// Returns true if the peer has closed and the process has certainly not even read that: nobody
    /// looks at this connection. A FIN that came with the last bytes is read along with them, so
    /// that `false` does not mean that it was noticed.
    #[must_use]
    pub(crate) fn is_unnoticed(&self) -> bool {
        let waits = self.row.socket.recv_queue.known().is_some_and(|bytes| bytes > 0);
        self.standing == ConnectionStanding::ClosedByPeer && waits
    }
}

/// The connections of one process to one server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClientPool {
    /// The process, if this user may see it.
    pub(crate) process: Option<Owner>,
    /// The server.
    pub(crate) server: ServerAddr,
    /// Those that are there at the last look.
    pub(crate) connections: Vec<PoolConnection>,
    /// Connections that appeared between the first look and the last, and were seen to be this
    /// process's: the least that it has opened.
    pub(crate) opened: usize,
    /// More connections to the same server that came and went between those looks, and that no
    /// look saw anybody hold: some of them may be this process's, or all. 0 in a pool whose
    /// process is not known and that counts them as [`ClientPool::opened`].
    pub(crate) unattributed: usize,
    /// The time between those looks.
    pub(crate) watched: Duration,
    /// How long the server lets a connection be silent, if that was told.
    pub(crate) idle_timeout: Option<Duration>,
}

/// An ailment of a pool. None of them: it looks healthy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum PoolAilment {
    /// Bodies are not read to their end: their connections serve no other exchange.
    Unread {
        /// How many connections.
        connections: usize,
        /// The bytes in their queues.
        bytes: u64,
        /// How long the longest has been silent.
        silent: Duration,
    },
    /// The peer has closed, the process has not.
    ClosedByPeer {
        /// How many connections.
        connections: usize,
        /// On how many of them, at least, the process has not even read that.
        unnoticed: usize,
        /// How long the longest has been closed.
        longest: Option<StandingTime>,
    },
    /// New connections are opened instead of old ones reused.
    Churn {
        /// Connections that were seen to be opened each second: the least there was.
        opened_per_s: f64,
        /// How many lie idle at the same time.
        idle: usize,
    },
    /// Connections to the same server come and go, and no look saw whose they are: perhaps this
    /// process opens new ones instead of reusing old ones.
    Unattributed {
        /// How many connections.
        connections: usize,
        /// How many came each second, at least.
        came_per_s: f64,
    },
    /// Idle connections that the server is about to close: the next request may meet that.
    StaleSoon {
        /// How many connections.
        connections: usize,
        /// How long the server lets them be silent.
        idle_timeout: Duration,
    },
}

/// From this many new connections a second a pool is said to churn.
const CHURN_PER_S: f64 = 1.0;

impl ClientPool {
    /// How many connections are at `standing`.
    #[must_use]
    pub(crate) fn count(&self, standing: ConnectionStanding) -> usize {
        self.connections.iter().filter(|connection| connection.standing == standing).count()
    }

    /// Connections opened each second, as far as a look saw them and whose they are: the least
    /// there was. `None` after a single look.
    #[must_use]
    pub(crate) fn opened_per_s(&self) -> Option<f64> {
        self.each_second(self.opened)
    }

    fn each_second(&self, count: usize) -> Option<f64> {
        let seconds = self.watched.as_secs_f64();
        (seconds > 0.0).then(|| count as f64 / seconds)
    }

    /// How long the server lets a connection be silent: what was told, or what was seen, where a
    /// connection was closed by the peer between two looks.
    #[must_use]
    pub(crate) fn server_idle_timeout(&self) -> Option<Duration> {
        let seen = self.connections.iter().filter_map(|connection| match connection.closed_for {
            Some(StandingTime::Exactly(ago)) if connection.unread() == 0 => {
                let silent = connection.row.info.silent_for()?.checked_sub(ago)?;
                // A close right after an answer is no idle timeout.
                Some(silent).filter(|silent| *silent >= Duration::from_millis(100))
            }
            _ => None,
        });
        self.idle_timeout.or_else(|| seen.min())
    }

    /// Returns true if the server is about to close this idle connection: four fifths of its time
    /// are up.
    #[must_use]
    pub(crate) fn is_stale_soon(&self, connection: &PoolConnection) -> bool {
        let silent = connection.row.info.silent_for();
        connection.standing == ConnectionStanding::Idle
            && self
                .server_idle_timeout()
                .zip(silent)
                .is_some_and(|(timeout, silent)| silent >= timeout.mul_f64(0.8))
    }

    /// Returns what it suffers from, the worst first.
    #[must_use]
    pub(crate) fn ailments(&self) -> Vec<PoolAilment> {
        let at = |standing| self.connections.iter().filter(move |c| c.standing == standing);
        let mut ailments = Vec::new();
        let unread = self.count(ConnectionStanding::Unread);
        if unread > 0 {
            let silent =
                at(ConnectionStanding::Unread).filter_map(|c| c.row.info.last_received.known());
            ailments.push(PoolAilment::Unread {
                connections: unread,
                bytes: at(ConnectionStanding::Unread).map(PoolConnection::unread).sum(),
                silent: silent.max().unwrap_or_default(),
            });
        }
        let closed = self.count(ConnectionStanding::ClosedByPeer);
        if closed > 0 {
            let time = |lasted: &StandingTime| match *lasted {
                StandingTime::Exactly(time) | StandingTime::AtLeast(time) => time,
            };
            let longest = at(ConnectionStanding::ClosedByPeer).filter_map(|c| c.closed_for);
            let longest = longest.max_by_key(time);
            let unnoticed =
                at(ConnectionStanding::ClosedByPeer).filter(|c| c.is_unnoticed()).count();
            ailments.push(PoolAilment::ClosedByPeer { connections: closed, unnoticed, longest });
        }
        let idle = self.count(ConnectionStanding::Idle);
        if let Some(opened_per_s) = self.opened_per_s().filter(|rate| *rate >= CHURN_PER_S) {
            ailments.push(PoolAilment::Churn { opened_per_s, idle });
        }
        let came_per_s = self.each_second(self.unattributed);
        if let Some(came_per_s) = came_per_s.filter(|rate| *rate >= CHURN_PER_S) {
            ailments.push(PoolAilment::Unattributed { connections: self.unattributed, came_per_s });
        }
        let stale = self.connections.iter().filter(|c| self.is_stale_soon(c)).count();
        if let Some(idle_timeout) = self.server_idle_timeout().filter(|_| stale > 0) {
            ailments.push(PoolAilment::StaleSoon { connections: stale, idle_timeout });
        }
        ailments
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::{Side, Socket, TcpInfo};

    const PATIENCE: Duration = Duration::from_secs(1);

    /// A client's end that has sent 83 bytes and received 131, so many milliseconds ago.
    fn row(state: TcpState, unread: u32, sent_ms: u64, received_ms: u64) -> Inspected {
        let socket = Socket {
            local: "127.0.0.1:40210".parse().unwrap(),
            peer: "127.0.0.1:8080".parse().unwrap(),
            state,
            side: Some(Side::Client),
            recv_queue: Observed::Known(unread),
            send_queue: Observed::Known(0),
            timer: Observed::Known(None),
            cookie: Observed::NotObservable,
            owners: Observed::NotObservable,
        };
        let info = TcpInfo {
            last_sent: Observed::Known(Duration::from_millis(sent_ms)),
            last_received: Observed::Known(Duration::from_millis(received_ms)),
            bytes_sent: Observed::Known(83),
            bytes_received: Observed::Known(131),
            ..TcpInfo::UNSEEN
        };
        Inspected { socket, info, cgroup: Observed::NotObservable }
    }

    fn pool(connections: Vec<PoolConnection>, opened: usize) -> ClientPool {
        ClientPool {
            process: None,
            server: ServerAddr::new("127.0.0.1:8080".parse().unwrap()),
            connections,
            opened,
            unattributed: 0,
            watched: Duration::from_secs(2),
            idle_timeout: None,
        }
    }

    fn connection(row: Inspected, closed_for: Option<StandingTime>) -> PoolConnection {
        let standing = ConnectionStanding::of(&row, None, PATIENCE);
        PoolConnection { row, standing, closed_for }
    }

    #[test]
    fn the_last_word_tells_busy_from_idle() {
        use TcpState::Established;
        let standing = |row: &Inspected| ConnectionStanding::of(row, None, PATIENCE);
        assert_eq!(standing(&row(Established, 0, 500, 480)), ConnectionStanding::Idle);
        assert_eq!(standing(&row(Established, 0, 480, 500)), ConnectionStanding::Busy);
        assert_eq!(standing(&row(Established, 57, 4100, 4000)), ConnectionStanding::Unread);
        assert_eq!(standing(&row(Established, 57, 41, 40)), ConnectionStanding::Busy);
        assert_eq!(
            standing(&row(TcpState::CloseWait, 0, 41, 40)),
            ConnectionStanding::ClosedByPeer
        );
        assert_eq!(standing(&row(TcpState::TimeWait, 0, 41, 40)), ConnectionStanding::Closing);

        let mut new = row(Established, 0, 10, 10);
        new.info.bytes_sent = Observed::Known(0);
        new.info.bytes_received = Observed::Known(0);
        assert_eq!(standing(&new), ConnectionStanding::Unused);
        let now = row(Established, 0, 10, 10);
        assert_eq!(ConnectionStanding::of(&now, Some(&new), PATIENCE), ConnectionStanding::Busy);
        let untold = Inspected { info: TcpInfo::UNSEEN, ..now };
        assert_eq!(standing(&untold), ConnectionStanding::Open);
    }

    #[test]
    fn what_nobody_has_answered_is_busy_and_a_tie_is_idle_after_two_ticks() {
        let known = Observed::Known;
        let unseen = Observed::NotObservable;
        for (sent, received, ages_ms, standing) in [
            (known(0), known(0), (4000, 4000), ConnectionStanding::Unused),
            (known(40), known(0), (4, 4), ConnectionStanding::Busy),
            (known(40), known(0), (4000, 4000), ConnectionStanding::Busy),
            (known(40), known(0), (4000, 4004), ConnectionStanding::Busy),
            (known(83), known(131), (0, 0), ConnectionStanding::Busy),
            (known(83), known(131), (20, 20), ConnectionStanding::Busy),
            (known(83), known(131), (24, 24), ConnectionStanding::Idle),
            (known(83), known(131), (4000, 4000), ConnectionStanding::Idle),
            (known(83), known(131), (4000, 4004), ConnectionStanding::Busy),
            (known(83), known(131), (4, 0), ConnectionStanding::Idle),
            (known(0), known(131), (4004, 4000), ConnectionStanding::Idle), // the server speaks first
            (unseen, known(131), (4000, 4000), ConnectionStanding::Idle),
            (unseen, unseen, (4000, 4000), ConnectionStanding::Busy),
            (unseen, unseen, (4004, 4000), ConnectionStanding::Idle),
        ] {
            let mut row = row(TcpState::Established, 0, ages_ms.0, ages_ms.1);
            (row.info.bytes_sent, row.info.bytes_received) = (sent, received);
            let told = ConnectionStanding::of(&row, None, PATIENCE);
            assert_eq!(told, standing, "{sent:?} sent, {received:?} received, {ages_ms:?} ms ago");
        }
    }

    #[test]
    fn connections_that_come_and_go_unseen_are_no_sign_of_health() {
        let idle = || vec![connection(row(TcpState::Established, 0, 500, 480), None)];
        let with = |unattributed| ClientPool { unattributed, ..pool(idle(), 0) };
        assert_eq!(with(1).ailments(), []);
        let unseen = PoolAilment::Unattributed { connections: 1663, came_per_s: 831.5 };
        assert_eq!(with(1663).ailments(), [unseen]);
    }

    #[test]
    fn a_pool_of_idle_and_busy_connections_is_healthy() {
        let idle = connection(row(TcpState::Established, 0, 500, 480), None);
        let busy = connection(row(TcpState::Established, 0, 480, 500), None);
        assert_eq!(pool(vec![idle, busy], 1).ailments(), []);
    }

    #[test]
    fn a_close_that_was_seen_tells_the_server_s_idle_timeout() {
        let ago = StandingTime::Exactly(Duration::from_secs(1));
        let closed = connection(row(TcpState::CloseWait, 1, 6000, 6000), Some(ago));
        let idle = connection(row(TcpState::Established, 0, 4500, 4500), None);
        let fresh = connection(row(TcpState::Established, 0, 500, 480), None);
        let pool = pool(vec![closed, idle, fresh], 0);
        let idle_timeout = Duration::from_secs(5);
        assert_eq!(pool.server_idle_timeout(), Some(idle_timeout));
        assert_eq!(
            pool.ailments(),
            [
                PoolAilment::ClosedByPeer { connections: 1, unnoticed: 1, longest: Some(ago) },
                PoolAilment::StaleSoon { connections: 1, idle_timeout },
            ]
        );
    }

    #[test]
    fn unread_bodies_and_new_connections_are_told_together() {
        let leak = connection(row(TcpState::Established, 57, 4100, 4000), None);
        let ailments = pool(vec![leak.clone(), leak], 10).ailments();
        let silent = Duration::from_secs(4);
        assert_eq!(
            ailments,
            [
                PoolAilment::Unread { connections: 2, bytes: 114, silent },
                PoolAilment::Churn { opened_per_s: 5.0, idle: 0 },
            ]
        );
    }
}
