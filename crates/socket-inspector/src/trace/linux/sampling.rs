//! The witness that anybody may call: readings of sock_diag's table, as fast as is sensible, and
//! what has changed from one to the next. The pure part.

use std::time::{Duration, Instant};

use evidence::{Socket, TcpState};
use socket_table::SocketLedger;

use super::change::SocketNetwork;
use super::change::{MomentRange, StateChange};

/// The table as it was at the last reading.
#[derive(Debug, Default)]
pub(crate) struct TableSamples {
    last: SocketLedger,
    /// When that reading was made.
    at: Duration,
}

impl TableSamples {
    /// Begins with the first reading, which was made at `at`: nothing has changed yet.
    pub(crate) fn new(sockets: &[Socket], at: Duration) -> Self {
        let mut last = SocketLedger::default();
        last.record(sockets, Instant::now());
        Self { last, at }
    }

    /// Returns what has changed since the last reading, given another that ended at `at`.
    pub(crate) fn next(&mut self, sockets: &[Socket], at: Duration) -> Vec<StateChange> {
        let when = MomentRange::between(self.at, at);
        self.at = at;
        let changes = self.last.record(sockets, Instant::now()).into_iter();
        changes.map(|change| told(when, change)).collect()
    }
}

fn told(when: MomentRange, change: socket_table::SocketChange) -> StateChange {
    let socket_table::SocketChange { socket, from, to, passed, .. } = change;
    StateChange {
        when,
        kernel_address: None,
        local: socket.local,
        peer: socket.peer,
        old: from,
        new: to,
        side: socket.side,
        unseen: passed,
        left: socket.time_wait_left().filter(|_| to == TcpState::TimeWait),
        network: SocketNetwork::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::{Observed, Side};

    fn socket(state: TcpState, side: Option<Side>) -> Socket {
        Socket {
            local: "127.0.0.1:40001".parse().unwrap(),
            peer: "127.0.0.1:8080".parse().unwrap(),
            state,
            side,
            recv_queue: Observed::NotObservable,
            send_queue: Observed::NotObservable,
            timer: Observed::NotObservable,
            cookie: Observed::NotObservable,
            owners: Observed::NotObservable,
        }
    }

    #[test]
    fn what_differs_between_two_readings_has_changed_between_them() {
        let ms = Duration::from_millis;
        let mut samples = TableSamples::new(&[], ms(1));
        let changes = samples.next(&[socket(TcpState::Established, Some(Side::Client))], ms(3));
        assert_eq!(changes.len(), 1);
        assert_eq!(changes[0].when, MomentRange::between(ms(1), ms(3)));
        assert_eq!(changes[0].unseen, [TcpState::SynSent]);
        let changes = samples.next(&[socket(TcpState::TimeWait, None)], ms(4));
        assert_eq!(changes[0].unseen, [TcpState::FinWait1]);
        let changes = samples.next(&[], ms(5));
        assert_eq!((changes[0].old, changes[0].new), (TcpState::TimeWait, TcpState::Closed));
    }

    #[test]
    fn addresses_in_use_again_are_another_connection() {
        let mut samples = TableSamples::new(&[socket(TcpState::TimeWait, None)], Duration::ZERO);
        let changes = samples.next(&[socket(TcpState::Established, None)], Duration::ZERO);
        let states: Vec<_> = changes.iter().map(|change| (change.old, change.new)).collect();
        use TcpState::{Closed, Established, TimeWait};
        assert_eq!(states, [(TimeWait, Closed), (Closed, Established)]);
    }
}
