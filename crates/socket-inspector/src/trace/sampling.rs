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

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::Observed;
    use proptest::prelude::*;

    fn socket(state: TcpState, side: Option<Side>) -> Socket {
        Socket {
            local: "127.0.0.1:40001".parse().unwrap(),
            peer: "127.0.0.1:8080".parse().unwrap(),
            state,
            side,
            recv_queue: Observed::NotObservable,
            send_queue: Observed::NotObservable,
            timer: Observed::NotObservable,
            owners: Observed::NotObservable,
        }
    }

    #[test]
    fn what_differs_between_two_readings_has_changed_between_them() {
        let ms = Duration::from_millis;
        let mut samples = Samples::new(&[], ms(1));
        let changes = samples.next(&[socket(TcpState::Established, Some(Side::Client))], ms(3));
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].when, When::between(ms(1), ms(3)));
        assert_eq!(changes[0].unseen, [TcpState::SynSent]);
        let changes = samples.next(&[socket(TcpState::TimeWait, None)], ms(4));
        assert_eq!(changes[0].unseen, [TcpState::FinWait1]);
        let changes = samples.next(&[], ms(5));
        assert_eq!((changes[0].old, changes[0].new), (TcpState::TimeWait, TcpState::Closed));
    }

    #[test]
    fn addresses_in_use_again_are_another_connection() {
        let mut samples = Samples::new(&[socket(TcpState::TimeWait, None)], Duration::ZERO);
        let changes = samples.next(&[socket(TcpState::Established, None)], Duration::ZERO);
        let states: Vec<_> = changes.iter().map(|change| (change.old, change.new)).collect();
        use TcpState::{Closed, Established, TimeWait};
        assert_eq!(states, [(TimeWait, Closed), (Closed, Established)]);
    }

    proptest! {
        #[test]
        fn no_state_is_both_seen_and_inferred(
            old in prop::sample::select(TcpState::ALL.to_vec()),
            new in prop::sample::select(TcpState::ALL.to_vec()),
            side in prop::sample::select(vec![None, Some(Side::Client), Some(Side::Server)]),
        ) {
            let passed = passed(old, new, side);
            prop_assert!(!passed.contains(&new) && !passed.contains(&old));
        }
    }
}
