//! One socket in depth: its row, and what TCP itself remembers about the connection.

use std::time::Duration;

use crate::{Observed, Socket};

/// The memory of TCP about one end of a connection (Linux: `struct tcp_info` of `linux/tcp.h`).
///
/// An older kernel tells less: what it does not tell is [`Observed::NotObservable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// The smoothed round-trip time. Not observable before the first measurement.
    pub rtt: Observed<Duration>,
    /// Segments sent again since the connection was opened.
    pub retransmits: Observed<u32>,
    /// The time since data was last sent; since the handshake, if none ever was.
    pub last_sent: Observed<Duration>,
    /// The time since data was last received; since the handshake, if none ever was. A FIN is no
    /// data.
    pub last_received: Observed<Duration>,
    /// Data bytes sent, those that were sent again included (since Linux 4.19).
    pub bytes_sent: Observed<u64>,
    /// The bytes that the peer has acknowledged (since Linux 4.1). SYN and FIN count 1 each, so
    /// that it may exceed [`TcpInfo::bytes_sent`].
    pub bytes_acked: Observed<u64>,
    /// Data bytes received, read or unread (since Linux 4.1). A FIN counts 1.
    pub bytes_received: Observed<u64>,
}

impl TcpInfo {
    /// The facts where nothing is told.
    pub const UNSEEN: Self = Self {
        rtt: Observed::NotObservable,
        retransmits: Observed::NotObservable,
        last_sent: Observed::NotObservable,
        last_received: Observed::NotObservable,
        bytes_sent: Observed::NotObservable,
        bytes_acked: Observed::NotObservable,
        bytes_received: Observed::NotObservable,
    };

    /// The time since data last went either way; `None` if that is not told.
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        match (self.last_sent.known(), self.last_received.known()) {
            (Some(sent), Some(received)) => Some(sent.min(received)),
            (sent, received) => sent.or(received),
        }
    }
}

/// A row of the socket table with all that the kernel tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// The row, with its owners.
    pub socket: Socket,
    /// The memory of TCP: [`TcpInfo::UNSEEN`] for a socket that listens, for `TIME_WAIT` and for
    /// a handshake that is not complete, as the kernel keeps no such memory of them.
    pub info: TcpInfo,
    /// The control group (cgroup v2) that the socket is accounted to: its path below the root of
    /// the hierarchy, or `id 4711` where there is no directory of that number any more. Not
    /// observable in `TIME_WAIT` and on systems without control groups.
    pub cgroup: Observed<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_lasts_since_the_later_of_both_directions() {
        let seconds = |s| Observed::Known(Duration::from_secs(s));
        let info = TcpInfo { last_sent: seconds(7), last_received: seconds(5), ..TcpInfo::UNSEEN };
        assert_eq!(info.silent_for(), Some(Duration::from_secs(5)));
        let half = TcpInfo { last_received: seconds(5), ..TcpInfo::UNSEEN };
        assert_eq!(half.silent_for(), Some(Duration::from_secs(5)));
        assert_eq!(TcpInfo::UNSEEN.silent_for(), None);
    }
}
