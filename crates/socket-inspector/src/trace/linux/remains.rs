//! What remains of a socket that the tracepoint calls closed.
//!
//! When the kernel needs no more than the addresses of a connection it replaces the socket by a
//! small one. The tracepoint tells `FIN_WAIT_2` → `CLOSED` then, and nothing more; the small socket
//! is in `FIN_WAIT_2` until the peer's FIN comes, and in `TIME_WAIT` from then on. It is in
//! sock_diag's table only.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use evidence::{Socket, TcpState};
use socket_table::{AddressPair, SocketFilter, find, snapshot};

use super::change::SocketNetwork;
use super::change::{MomentRange, StateChange};

/// How long Linux keeps `TIME_WAIT`, and by how much its clock for that may differ from this one.
const TIME_WAIT: Duration = Duration::from_secs(60);
const SLACK: Duration = Duration::from_millis(100);

/// With more sockets than this to look for, the table is listed instead.
const FEW: usize = 8;
/// How often the table is listed.
const LISTING: Duration = Duration::from_millis(50);

/// A socket's addresses, and the number of its network.
type RemainKey = (AddressPair, u16);

/// The small sockets that are left.
#[derive(Debug, Default)]
pub(crate) struct SmallSockets {
    ports: Vec<u16>,
    sockets: HashMap<RemainKey, SmallSocket>,
    /// When to look at which of them again.
    due: BTreeSet<(Duration, RemainKey)>,
    listed: Duration,
}

/// A small socket.
#[derive(Clone, Copy, Debug)]
struct SmallSocket {
    state: TcpState,
    network: SocketNetwork,
    /// When the tracepoint told of it.
    since: Duration,
    /// When it was looked at last: the state was `state` then.
    seen: Option<Duration>,
    due: Duration,
}

impl SmallSockets {
    pub(crate) fn new(ports: &[u16]) -> Self {
        Self { ports: ports.to_vec(), listed: Duration::ZERO, ..Self::default() }
    }

    /// Returns true if `change` may leave a small socket behind; if so it is looked for from now
    /// on, and the change is not to be told.
    pub(crate) fn keeps(&mut self, change: &StateChange) -> bool {
        let leaves = matches!(change.old, TcpState::FinWait2 | TcpState::Closing);
        if leaves && change.new == TcpState::Closed {
            let since = change.when.latest;
            let (state, network) = (change.old, change.network);
            let small = SmallSocket { state, network, since, seen: None, due: since };
            self.insert(key(change), small);
            return true;
        }
        false
    }

    /// Takes note of a socket in `TIME_WAIT` that was there before.
    pub(crate) fn seed(&mut self, socket: &Socket, now: Duration) {
        if socket.state == TcpState::TimeWait {
            let due = now.saturating_add(socket.time_wait_left().unwrap_or_default());
            let (state, network) = (TcpState::TimeWait, SocketNetwork::default());
            let small = SmallSocket { state, network, since: now, seen: Some(now), due };
            self.insert((AddressPair::of(socket).canonical(), 0), small);
        }
    }

    /// The end of the small socket with the addresses of `change`, if there is one: the tracepoint
    /// tells of another socket that has them now.
    pub(crate) fn replaced_by(&mut self, change: &StateChange) -> Option<StateChange> {
        let ends = key(change);
        let small = self.sockets.remove(&ends)?;
        self.due.remove(&(small.due, ends));
        let when = MomentRange::between(small.seen.unwrap_or(small.since), change.when.latest);
        Some(StateChange {
            when,
            kernel_address: None,
            old: small.state,
            new: TcpState::Closed,
            unseen: Vec::new(),
            left: None,
            ..change.clone()
        })
    }

    /// Returns true if what is left of a connection between these addresses is older than `when`
    /// and still there, as sock_diag tells at `now`: then no other socket of its network has them.
    pub(crate) fn is_kept(&self, ends: AddressPair, when: Duration, now: Duration) -> bool {
        if !self.sockets.contains_key(&(ends, 0)) {
            return false;
        }
        let left = find(ends.local, ends.peer).ok().flatten().and_then(|s| s.time_wait_left());
        left.is_some() && !is_its_own(when, left, now)
    }

    /// Looks at those that are due, or at all that nobody has seen yet if it is the `last` time,
    /// and says what has changed.
    pub(crate) fn look(
        &mut self,
        now: impl Fn() -> Duration,
        last: bool,
    ) -> Result<Vec<StateChange>, socket_table::Error> {
        let begun = now();
        let due = self.due.iter().take_while(|(due, _)| *due <= begun);
        let due: Vec<RemainKey> = due.map(|(_, ends)| *ends).collect();
        let mut table = HashMap::new();
        if due.len() <= FEW {
            for &(ends, _) in &due {
                if let Some(socket) = find(ends.local, ends.peer)? {
                    table.insert(ends, socket);
                }
            }
        } else {
            if begun.saturating_sub(self.listed) < LISTING && !last {
                return Ok(Vec::new());
            }
            self.listed = begun;
            let filter = SocketFilter { ports: self.ports.clone(), ..SocketFilter::default() }
                .state(TcpState::TimeWait)
                .state(TcpState::FinWait2);
            match snapshot(&filter) {
                // Too much going on: the next look will do.
                Err(socket_table::Error::Unsteady { .. }) if !last => return Ok(Vec::new()),
                sockets => table.extend(
                    sockets?.sockets.into_iter().map(|s| (AddressPair::of(&s).canonical(), s)),
                ),
            }
        }
        let ended = now();
        let changes =
            due.iter().filter_map(|ends| self.judge(*ends, table.get(&ends.0), begun, ended));
        Ok(changes.collect())
    }

    fn insert(&mut self, ends: RemainKey, small: SmallSocket) {
        self.due.insert((small.due, ends));
        if let Some(old) = self.sockets.insert(ends, small)
            && old.due != small.due
        {
            self.due.remove(&(old.due, ends));
        }
    }

    /// Returns what a look at one of them, which found `socket`, means.
    fn judge(
        &mut self,
        ends: RemainKey,
        socket: Option<&Socket>,
        begun: Duration,
        ended: Duration,
    ) -> Option<StateChange> {
        let mut small = *self.sockets.get(&ends)?;
        // A state other than these two is that of a new connection between the same addresses.
        let elsewhere = small.network.elsewhere == Some(true);
        let socket = socket.filter(|socket| {
            let left = socket.time_wait_left();
            !elsewhere && (small.seen.is_some() || is_its_own(small.since, left, ended))
        });
        let now = socket.map(|socket| socket.state).filter(|&state| {
            state == TcpState::TimeWait
                || (state == TcpState::FinWait2 && small.state == TcpState::FinWait2)
        });
        let old = small.state;
        let (new, left) = match now {
            Some(state) => (state, socket.and_then(Socket::time_wait_left)),
            None => (TcpState::Closed, None),
        };
        let when = match (small.seen, new) {
            // Never seen: the tracepoint has told the truth.
            (None, TcpState::Closed) => MomentRange::at(small.since),
            // The kernel goes from CLOSING to TIME_WAIT at once.
            (None, _) if old == TcpState::Closing => MomentRange::at(small.since),
            (seen, _) => MomentRange::between(seen.unwrap_or(small.since).max(small.since), ended),
        };
        small.seen = Some(begun);
        small.state = new;
        let due = match new {
            TcpState::TimeWait => ended.saturating_add(left.unwrap_or_default()),
            _ => ended,
        };
        self.due.remove(&(small.due, ends));
        self.sockets.remove(&ends);
        if new != TcpState::Closed {
            self.insert(ends, SmallSocket { due, ..small });
        }
        (new != old).then_some(StateChange {
            when,
            kernel_address: None,
            local: ends.0.local,
            peer: ends.0.peer,
            old,
            new,
            side: None,
            unseen: Vec::new(),
            left,
            network: small.network,
        })
    }
}

/// The key of the socket that `change` is of.
fn key(change: &StateChange) -> RemainKey {
    (AddressPair { local: change.local, peer: change.peer }, change.network.number)
}

/// Returns true if a `TIME_WAIT` with so much left began when the socket was there already, or
/// later: an older one between the same addresses is that of a connection in another network.
fn is_its_own(since: Duration, left: Option<Duration>, now: Duration) -> bool {
    let begun = left.and_then(|left| (now + left).checked_sub(TIME_WAIT));
    begun.is_none_or(|begun| begun + SLACK >= since)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(moment: u64, old: TcpState, new: TcpState) -> StateChange {
        StateChange {
            when: MomentRange::at(Duration::from_millis(moment)),
            kernel_address: Some(7),
            local: "127.0.0.1:40001".parse().unwrap(),
            peer: "127.0.0.1:8080".parse().unwrap(),
            old,
            new,
            side: None,
            unseen: Vec::new(),
            left: None,
            network: SocketNetwork::default(),
        }
    }

    #[test]
    fn only_an_end_that_closed_first_leaves_something_behind() {
        let mut remains = SmallSockets::default();
        for old in TcpState::ALL {
            let leaves = matches!(old, TcpState::FinWait2 | TcpState::Closing);
            assert_eq!(remains.keeps(&change(1, old, TcpState::Closed)), leaves, "{old}");
        }
        assert!(!remains.keeps(&change(1, TcpState::FinWait1, TcpState::FinWait2)));
    }

    #[test]
    fn what_is_left_of_a_connection_ends_where_another_has_its_addresses() {
        let mut remains = SmallSockets::default();
        assert!(remains.keeps(&change(3, TcpState::FinWait2, TcpState::Closed)));
        let next = change(9, TcpState::Closed, TcpState::SynSent);
        let over = remains.replaced_by(&next).unwrap();
        assert_eq!((over.old, over.new), (TcpState::FinWait2, TcpState::Closed));
        let ms = Duration::from_millis;
        assert_eq!(over.when, MomentRange::between(ms(3), ms(9)));
        assert_eq!(remains.replaced_by(&next), None);
        assert_eq!(remains.look(|| ms(20), true).unwrap(), []);
    }

    #[test]
    fn what_nobody_finds_is_closed_since_the_tracepoint_said_so() {
        let mut remains = SmallSockets::default();
        // No machine has a connection between these two: they are for documentation (RFC 5737).
        let nowhere = StateChange {
            local: "192.0.2.1:1".parse().unwrap(),
            peer: "198.51.100.1:1".parse().unwrap(),
            ..change(3, TcpState::FinWait2, TcpState::Closed)
        };
        assert!(remains.keeps(&nowhere));
        let changes = remains.look(|| Duration::from_millis(20), false).unwrap();
        assert_eq!(changes, [StateChange { kernel_address: None, ..nowhere }]);
        assert_eq!(remains.look(|| Duration::from_millis(30), false).unwrap(), []);
    }
}
