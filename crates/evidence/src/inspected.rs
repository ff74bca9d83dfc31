//! One socket in depth: its row, and what TCP itself remembers about the connection.

use std::time::Duration;

use crate::{Observed, Side, Socket, TcpState};

/// The memory of TCP about one end of a connection (Linux: `struct tcp_info` of `linux/tcp.h`).
///
/// An older kernel tells less: what it does not tell is [`Observed::NotObservable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    /// The smoothed round-trip time. Not observable before the first measurement.
    pub rtt: Observed<Duration>,
    /// Segments sent again since the connection was opened.
    pub retransmits: Observed<u32>,
    /// How often the oldest unacknowledged segment, or the SYN, was sent again since an
    /// acknowledgement last came: each time the kernel waits twice as long. 0 if all is well.
    pub timeouts: Observed<u8>,
    /// Probes without an answer, of TCP keepalive or of a window that is closed.
    pub probes: Observed<u8>,
    /// The time since data was last sent; since the handshake, if none ever was. Not observable
    /// while there was no handshake: the kernel would count from the start of the machine.
    pub last_sent: Observed<Duration>,
    /// The time since data was last received; since the handshake, if none ever was. A FIN is no
    /// data. Not observable where [`TcpInfo::last_sent`] is not.
    pub last_received: Observed<Duration>,
    /// Data bytes sent, those that were sent again included (since Linux 4.19).
    pub bytes_sent: Observed<u64>,
    /// Those of them that were sent again (since Linux 4.19).
    pub bytes_resent: Observed<u64>,
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
        timeouts: Observed::NotObservable,
        probes: Observed::NotObservable,
        last_sent: Observed::NotObservable,
        last_received: Observed::NotObservable,
        bytes_sent: Observed::NotObservable,
        bytes_resent: Observed::NotObservable,
        bytes_acked: Observed::NotObservable,
        bytes_received: Observed::NotObservable,
    };

    /// The data bytes that were sent without those that are known to have been sent again.
    fn sent_less_resent(&self) -> Observed<u64> {
        match (self.bytes_sent, self.bytes_resent, self.retransmits) {
            (Observed::Known(sent), Observed::Known(again), _) => {
                Observed::Known(sent.saturating_sub(again))
            }
            (sent, _, Observed::Known(0)) => sent,
            _ => Observed::NotObservable,
        }
    }

    /// How often the same bytes, or the SYN, were sent again in a row; 0 if that is not told.
    #[must_use]
    pub fn resent_in_a_row(&self) -> u8 {
        self.timeouts.known().unwrap_or(0)
    }

    /// The time since data was last sent; not observable if none ever was.
    #[must_use]
    pub fn since_sent(&self) -> Observed<Duration> {
        since(self.last_sent, self.bytes_sent)
    }

    /// The time since data was last received; not observable if none ever was.
    #[must_use]
    pub fn since_received(&self) -> Observed<Duration> {
        since(self.last_received, self.bytes_received)
    }

    /// The time since data last went either way; since the handshake, if none ever did; `None` if
    /// that is not told.
    #[must_use]
    pub fn silent_for(&self) -> Option<Duration> {
        match (self.last_sent.known(), self.last_received.known()) {
            (Some(sent), Some(received)) => Some(sent.min(received)),
            (sent, received) => sent.or(received),
        }
    }
}

/// The age of the last byte, if there was any.
fn since(age: Observed<Duration>, bytes: Observed<u64>) -> Observed<Duration> {
    if bytes == Observed::Known(0) { Observed::NotObservable } else { age }
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

impl Inspected {
    /// The data bytes that this end has sent, each counted once however often it was sent again; not
    /// observable if the kernel does not tell what of it was.
    ///
    /// Linux counts what was sent again only where it left the machine: with a network device that
    /// is down, the same bytes are counted at each attempt. So where all can be told, it is no more
    /// than what was acknowledged and what is in the queue.
    #[must_use]
    pub fn sent_once(&self) -> Observed<u64> {
        let sent = self.info.sent_less_resent();
        let has_not_closed =
            matches!(self.socket.state, TcpState::Established | TcpState::CloseWait);
        // Of a server's end the kernel does not count the SYN.
        if !has_not_closed || self.socket.side != Some(Side::Client) {
            return sent;
        }
        match (sent, self.info.bytes_acked, self.socket.send_queue) {
            (Observed::Known(sent), Observed::Known(acked), Observed::Known(queue)) => {
                let most = acked.saturating_sub(1).saturating_add(queue.into());
                Observed::Known(sent.min(most))
            }
            (sent, ..) => sent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_again_was_sent_once() {
        use Observed::Known;
        let sent_once = |side, queue, info| {
            let socket = Socket {
                local: "10.0.0.1:40000".parse().unwrap(),
                peer: "10.0.0.7:443".parse().unwrap(),
                state: TcpState::Established,
                side: Some(side),
                recv_queue: Known(0),
                send_queue: Known(queue),
                timer: Observed::NotObservable,
                cookie: Observed::NotObservable,
                owners: Observed::NotObservable,
            };
            Inspected { socket, info, cgroup: Observed::NotObservable }.sent_once()
        };
        let info = TcpInfo { bytes_sent: Known(135), ..TcpInfo::UNSEEN };
        let counted = TcpInfo { bytes_resent: Known(81), ..info };
        assert_eq!(sent_once(Side::Client, 27, counted), Known(54));
        assert_eq!(sent_once(Side::Server, 27, counted), Known(54));
        // What never left the machine is not counted as sent again.
        let uncounted = TcpInfo { bytes_resent: Known(0), bytes_acked: Known(28), ..info };
        assert_eq!(sent_once(Side::Client, 27, uncounted), Known(54));
        // What waits in the queue has not been sent.
        assert_eq!(sent_once(Side::Client, 4711, uncounted), Known(135));
        let older = TcpInfo { retransmits: Known(3), ..info };
        let told = sent_once(Side::Client, 27, older);
        assert_eq!(told, Observed::NotObservable, "an older kernel does not tell");
        let calm = TcpInfo { retransmits: Known(0), ..info };
        assert_eq!(sent_once(Side::Client, 27, calm), Known(135));
    }

    #[test]
    fn of_bytes_that_never_went_there_is_no_last_one() {
        use Observed::Known;
        let age = Known(Duration::from_secs(7));
        let info = TcpInfo { last_sent: age, last_received: age, ..TcpInfo::UNSEEN };
        assert_eq!((info.since_sent(), info.since_received()), (age, age));
        let silent = TcpInfo { bytes_sent: Known(0), bytes_received: Known(1), ..info };
        assert_eq!(silent.since_sent(), Observed::NotObservable);
        assert_eq!(silent.since_received(), age);
        assert_eq!(silent.silent_for(), Some(Duration::from_secs(7)));
    }

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
