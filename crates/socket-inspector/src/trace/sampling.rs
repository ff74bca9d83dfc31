//! The witness that anybody may call: readings of sock_diag's table, as fast as is sensible, and
//! what has changed from one to the next. The pure part.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use evidence::{Side, Socket, TcpState};

use super::change::{Change, When};
use super::remains::left;

/// The table as it was at the last reading.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    last: HashMap<(SocketAddr, SocketAddr), Socket>,
    /// When that reading was made.
    at: Duration,
}

impl Samples {
    /// Begins with the first reading, which was made at `at`: nothing has changed yet.
    pub(crate) fn new(sockets: &[Socket], at: Duration) -> Self {
        Self { last: by_ends(sockets), at }
    }

    /// What has changed since the last reading, given another that ended at `at`.
    pub(crate) fn next(&mut self, sockets: &[Socket], at: Duration) -> Vec<Change> {
        let when = When::between(self.at, at);
        let now = by_ends(sockets);
        let mut changes = Vec::new();
        for (ends, socket) in &now {
            let old = self.last.get(ends).map_or(TcpState::Closed, |old| old.state);
            if old == TcpState::TimeWait && socket.state != old {
                // The addresses are in use again.
                changes.push(change(when, *ends, socket, old, TcpState::Closed));
                changes.push(change(when, *ends, socket, TcpState::Closed, socket.state));
            } else if old != socket.state {
                changes.push(change(when, *ends, socket, old, socket.state));
            }
        }
        for (ends, socket) in &self.last {
            if !now.contains_key(ends) {
                changes.push(change(when, *ends, socket, socket.state, TcpState::Closed));
            }
        }
        changes.sort_by_key(|change| (change.local, change.peer));
        self.last = now;
        self.at = at;
        changes
    }
}

fn by_ends(sockets: &[Socket]) -> HashMap<(SocketAddr, SocketAddr), Socket> {
    sockets.iter().map(|socket| ((socket.local, socket.peer), socket.clone())).collect()
}

fn change(
    when: When,
    (local, peer): (SocketAddr, SocketAddr),
    socket: &Socket,
    old: TcpState,
    new: TcpState,
) -> Change {
    Change {
        when,
        kernel_address: None,
        local,
        peer,
        old,
        new,
        side: socket.side,
        unseen: passed(old, new, socket.side),
        left: left(socket).filter(|_| new == TcpState::TimeWait),
    }
}

/// The states that an end must have passed through from `old` to `new` (RFC 9293, figure 5), as far
/// as they are certain: a connection that is gone may have been reset in any state.
fn passed(old: TcpState, new: TcpState, side: Option<Side>) -> Vec<TcpState> {
    use TcpState::{
        CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, SynReceived, SynSent,
        TimeWait,
    };
    let opening: &[TcpState] = match (old, side) {
        (Closed, Some(Side::Client)) => &[SynSent, Established],
        (Closed, Some(Side::Server)) => &[SynReceived, Established],
        (Closed | SynSent | SynReceived, _) => &[Established],
        _ => &[],
    };
    let open = |rest: &[TcpState]| [opening, rest].concat();
    match new {
        Established => open(&[]).into_iter().filter(|state| *state != Established).collect(),
        FinWait1 | CloseWait => open(&[]),
        FinWait2 | Closing if old != FinWait1 => open(&[FinWait1]),
        LastAck if old != CloseWait => open(&[CloseWait]),
        // By FIN_WAIT_2 or by CLOSING: nobody can tell.
        TimeWait if !matches!(old, FinWait1 | FinWait2 | Closing) => open(&[FinWait1]),
        _ => Vec::new(),
    }
}
