//! A connection of a client's pool, and how it stands, judged from outside the process.

use std::time::Duration;

use evidence::{Inspected, Observed, TcpState};

/// The standing of a connection of a pool, from the worst to the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ConnectionStanding {
    /// The peer has closed, and the process has not noticed or does not care: `CLOSE_WAIT`.
    ClosedByPeer,
    /// Both ends are this one socket: it has connected to itself.
    ToItself,
    /// The other end's TCP has been silent for several retransmissions or probes.
    Unanswered,
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

/// From so many in a row on, retransmissions and probes without an answer are told: one may be lost
/// on any network.
const MANY: u8 = 2;

/// Two ticks of the slowest clock that Linux is built with (`HZ=100`).
const TWO_TICKS: Duration = Duration::from_millis(20);

impl ConnectionStanding {
    /// `idle`, `busy`, `unread` …
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::ClosedByPeer => "closed by peer",
            Self::ToItself => "connected to itself",
            Self::Unanswered => "unanswered",
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
        if now.socket.is_connected_to_itself() {
            return Self::ToItself;
        }
        match now.socket.state {
            TcpState::CloseWait => return Self::ClosedByPeer,
            TcpState::SynSent | TcpState::SynReceived => return Self::Opening,
            TcpState::Established => {}
            _ => return Self::Closing,
        }
        let info = &now.info;
        if info.resent_in_a_row() >= MANY || info.probes.known().unwrap_or(0) >= MANY {
            return Self::Unanswered;
        }
        let waits = |queue: Observed<u32>| queue.known().is_some_and(|bytes| bytes > 0);
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
