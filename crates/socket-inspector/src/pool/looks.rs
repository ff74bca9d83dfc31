//! Pools as the table shows them: the connections of one process to one server, over some looks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::pool::standing::{ClientPool, ConnectionStanding, PoolConnection, StandingTime};
use evidence::{Inspected, Observed, Owner, ServerAddr, Side, Socket, TcpState};

use socket_table::SocketLedger;

/// Bytes that moved within this time mean that a connection is at work.
const STRIDE: Duration = Duration::from_millis(200);

/// The addresses of a client's end: its own, then the server's.
type AddressPair = (SocketAddr, SocketAddr);

/// Looks at connections, until [`PoolWatch::pools`] tells what they have shown.
///
/// Who holds a connection is found by a walk through all processes, after the table is read: a
/// connection that is closed by then has a holder no more. So a watch wants to see everybody's
/// connections, even if it is of one process: those that come and go, and that no look saw anybody
/// hold, may be its own ([`ClientPool::unattributed`]).
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolWatch {
    /// The process whose pools are of interest; everybody's if there is none.
    pid: Option<u32>,
    ledger: SocketLedger,
    first: Option<Instant>,
    last: Option<Instant>,
    /// An earlier look, some [`STRIDE`] ago.
    before: Vec<Inspected>,
    before_at: Option<Instant>,
    /// The latest look, without `TIME_WAIT`.
    now: Vec<Inspected>,
    /// How many connections have come since the first look, by whose they are and where they go.
    came: BTreeMap<(Option<Owner>, ServerAddr), usize>,
    /// Those of them that the latest look lists and that no look has seen anybody hold.
    holder_unseen: HashSet<AddressPair>,
    /// The connections that the latest look did not list any more, though it was not in `TIME_WAIT`
    /// before.
    vanished: HashSet<AddressPair>,
}

impl PoolWatch {
    /// A watch for the pools of one process.
    #[must_use]
    pub(crate) fn of_process(pid: u32) -> Self {
        Self { pid: Some(pid), ..Self::default() }
    }

    /// Takes in a look: the clients' ends, whoever holds them, as
    /// [`inspect`](socket_table::inspect) lists them.
    pub(crate) fn look(&mut self, mut clients: Vec<Inspected>, at: Instant) {
        let changes = self.ledger.record(clients.iter().map(|row| &row.socket), at);
        let mut vanished = HashSet::new();
        for change in &changes {
            let place = place(&change.socket);
            if change.to == TcpState::Closed {
                self.holder_unseen.remove(&place);
                if change.from != TcpState::TimeWait {
                    vanished.insert(place);
                }
            }
            // A socket that is on its way into TIME_WAIT may be missing from a look.
            let was_missing = change.to == TcpState::TimeWait && self.vanished.contains(&place);
            if change.from == TcpState::Closed && !was_missing {
                self.count(&change.socket);
            }
        }
        self.vanished = vanished;
        clients.iter().for_each(|row| self.attribute(&row.socket));

        self.first.get_or_insert(at);
        let previous = self.last.replace(at);
        clients.retain(|row| row.socket.state != TcpState::TimeWait);
        let now = std::mem::replace(&mut self.now, clients);
        if self.before_at.is_none_or(|before| at.saturating_duration_since(before) >= STRIDE) {
            (self.before, self.before_at) = (now, previous);
        }
    }

    /// Counts a connection that has come.
    fn count(&mut self, socket: &Socket) {
        let holder = self.holder(socket);
        if holder.is_none() {
            if socket.side != Some(Side::Client) {
                return; // perhaps a server's end
            }
            self.holder_unseen.insert(place(socket));
        }
        *self.came.entry((holder, ServerAddr::new(socket.peer))).or_default() += 1;
    }

    /// Gives a connection that has been counted as nobody's to the process that is seen to hold it.
    fn attribute(&mut self, socket: &Socket) {
        let Some(holder) = self.holder(socket) else { return };
        if self.holder_unseen.remove(&place(socket)) {
            let server = ServerAddr::new(socket.peer);
            if let Some(count) = self.came.get_mut(&(None, server)) {
                *count = count.saturating_sub(1);
            }
            *self.came.entry((Some(holder), server)).or_default() += 1;
        }
    }

    /// Returns what the looks have shown. `patience` is how long arrived bytes may lie unread;
    /// `idle_timeout`, how long the servers let a connection be silent, if that is known.
    ///
    /// If no look saw a connection of the process that is asked for, but connections came and went
    /// that may have been its own, there is a pool of no process for each of their servers, with
    /// nothing in it but their number.
    #[must_use]
    pub(crate) fn pools(
        &self,
        patience: Duration,
        idle_timeout: Option<Duration>,
    ) -> Vec<ClientPool> {
        let (Some(first), Some(last)) = (self.first, self.last) else { return vec![] };
        let empty = |(process, server): (Option<Owner>, ServerAddr)| ClientPool {
            process,
            server,
            connections: vec![],
            opened: 0,
            unattributed: 0,
            watched: last - first,
            idle_timeout,
        };
        let mut pools: BTreeMap<(Option<Owner>, ServerAddr), ClientPool> = BTreeMap::new();
        // One that opens and closes all the time may have none left at the last look.
        for (key, opened) in self.came.iter().filter(|(key, n)| **n > 0 && self.wants(&key.0)) {
            pools.entry(key.clone()).or_insert_with(|| empty(key.clone())).opened = *opened;
        }
        let before: HashMap<AddressPair, &Inspected> =
            self.before.iter().map(|row| (place(&row.socket), row)).collect();
        for row in &self.now {
            let holder = self.last_holder(&row.socket);
            if !self.wants(&holder) {
                continue;
            }
            let key = (holder, ServerAddr::new(row.socket.peer));
            let pool = pools.entry(key.clone()).or_insert_with(|| empty(key));
            let earlier = before.get(&place(&row.socket)).copied();
            let standing = ConnectionStanding::of(row, earlier, patience);
            let closed_for = self.closed_for(row, standing);
            pool.connections.push(PoolConnection { row: row.clone(), standing, closed_for });
        }
        let unattributed = self.unattributed();
        if pools.is_empty() && self.pid.is_some() {
            let came = unattributed.iter().filter(|(_, count)| **count > 0);
            return came
                .map(|(server, count)| ClientPool {
                    unattributed: *count,
                    ..empty((None, *server))
                })
                .collect();
        }
        let mut pools: Vec<ClientPool> = pools.into_values().collect();
        for pool in &mut pools {
            if pool.process.is_some() {
                pool.unattributed = unattributed.get(&pool.server).copied().unwrap_or_default();
            }
            pool.connections.sort_by_key(|connection| {
                (connection.standing, std::cmp::Reverse(connection.row.info.silent_for()))
            });
        }
        pools
    }

    /// How long the peer has had a connection closed, if it has.
    fn closed_for(&self, row: &Inspected, standing: ConnectionStanding) -> Option<StandingTime> {
        let time = self.ledger.in_state(&row.socket).map(|time| match time.most {
            Some(_) => StandingTime::Exactly(time.least),
            None => StandingTime::AtLeast(time.least),
        });
        time.filter(|_| standing == ConnectionStanding::ClosedByPeer)
    }

    /// How many connections came and went, to each server, that no look saw anybody hold.
    fn unattributed(&self) -> BTreeMap<ServerAddr, usize> {
        let nobodys = self.came.iter().filter(|((process, _), _)| process.is_none());
        let mut counts: BTreeMap<ServerAddr, usize> =
            nobodys.map(|((_, server), count)| (*server, *count)).collect();
        // What is open now has not gone: most likely it is another user's.
        let open = self.now.iter().map(|row| &row.socket).filter(|socket| {
            self.holder_unseen.contains(&place(socket)) && is_held_by_somebody(socket.state)
        });
        for socket in open {
            if let Some(count) = counts.get_mut(&ServerAddr::new(socket.peer)) {
                *count = count.saturating_sub(1);
            }
        }
        counts
    }

    /// Returns true if the pools of `holder` are of interest.
    fn wants(&self, holder: &Option<Owner>) -> bool {
        self.pid.is_none_or(|pid| holder.as_ref().is_some_and(|holder| holder.pid == pid))
    }

    /// Returns who holds `socket` as it is listed: the process that is asked for, if that is one of
    /// them.
    fn holder(&self, socket: &Socket) -> Option<Owner> {
        let Observed::Known(owners) = &socket.owners else { return None };
        let asked_for = owners.iter().find(|owner| Some(owner.pid) == self.pid);
        asked_for.or(owners.first()).cloned()
    }

    /// Returns who holds `socket`, or did at an earlier look. Where one process is asked for, what
    /// it has closed does not belong to its pool any more.
    fn last_holder(&self, socket: &Socket) -> Option<Owner> {
        let did = || self.ledger.owners(socket).first().filter(|_| self.pid.is_none()).cloned();
        self.holder(socket).or_else(did)
    }
}

fn place(socket: &Socket) -> AddressPair {
    (socket.local, socket.peer)
}

/// Returns true if a socket in this state is open at this end, so that a process must hold it.
fn is_held_by_somebody(state: TcpState) -> bool {
    use TcpState::{CloseWait, Established, SynReceived, SynSent};
    matches!(state, SynSent | SynReceived | Established | CloseWait)
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::{TcpInfo, Timer, TimerKind};

    const PATIENCE: Duration = Duration::from_secs(1);
    const MINE: u32 = 7;

    fn row(port: u16, state: TcpState, pids: &[u32]) -> Inspected {
        let owner = |pid: &u32| Owner { pid: *pid, process: "client".to_owned() };
        let socket = Socket {
            local: SocketAddr::from(([127, 0, 0, 1], port)),
            peer: SocketAddr::from(([127, 0, 0, 1], 8080)),
            state,
            side: Some(Side::Client),
            recv_queue: Observed::Known(0),
            send_queue: Observed::Known(0),
            timer: Observed::Known(None),
            cookie: Observed::NotObservable,
            owners: Observed::Known(pids.iter().map(owner).collect()),
        };
        Inspected { socket, info: TcpInfo::UNSEEN, cgroup: Observed::NotObservable }
    }

    fn open(port: u16, pids: &[u32]) -> Inspected {
        row(port, TcpState::Established, pids)
    }

    fn waits(port: u16, left_s: u64) -> Inspected {
        let mut row = row(port, TcpState::TimeWait, &[]);
        let timer = Timer { kind: TimerKind::TimeWait, left: Duration::from_secs(left_s) };
        row.socket.timer = Observed::Known(Some(timer));
        row
    }

    /// Tells what `watch` tells of its pools after `looks`, a second apart: process, connections
    /// left, opened, unattributed.
    fn told<const N: usize>(
        mut watch: PoolWatch,
        looks: [Vec<Inspected>; N],
    ) -> Vec<(Option<u32>, usize, usize, usize)> {
        let start = Instant::now();
        for (second, rows) in (0..).zip(looks) {
            watch.look(rows, start + Duration::from_secs(second));
        }
        let tell = |pool: ClientPool| {
            let pid = pool.process.map(|owner| owner.pid);
            (pid, pool.connections.len(), pool.opened, pool.unattributed)
        };
        watch.pools(PATIENCE, None).into_iter().map(tell).collect()
    }

    #[test]
    fn a_port_that_is_used_again_is_counted_each_time() {
        let looks = || {
            [
                vec![],
                vec![open(1, &[MINE])],
                vec![waits(1, 60)],
                vec![open(1, &[MINE])], // out of TIME_WAIT
                vec![],
                vec![open(1, &[MINE])], // the server had closed first
            ]
        };
        assert_eq!(told(PoolWatch::of_process(MINE), looks()), [(Some(MINE), 1, 3, 0)]);
        assert_eq!(told(PoolWatch::default(), looks()), [(Some(MINE), 1, 3, 0)]);
    }

    /// A port that has been used for so many connections, one after the other.
    fn used(connections: u64) -> Inspected {
        let mut row = waits(2, 60);
        row.socket.cookie = Observed::Known(connections);
        row
    }

    #[test]
    fn what_comes_and_goes_unseen_is_counted_beside_what_is_seen() {
        let looks = || {
            [
                vec![open(1, &[MINE]), used(1), waits(3, 8)],
                vec![open(1, &[MINE]), used(2), waits(3, 7), waits(4, 60), open(5, &[])],
                vec![open(1, &[MINE]), used(2), waits(3, 6), waits(4, 59), waits(5, 60)],
            ]
        };
        assert_eq!(told(PoolWatch::of_process(MINE), looks()), [(Some(MINE), 1, 0, 3)]);
        assert_eq!(told(PoolWatch::default(), looks()), [(None, 0, 3, 0), (Some(MINE), 1, 0, 3)]);
    }

    #[test]
    fn a_process_that_no_look_saw_holding_anything_may_be_whose_they_are() {
        let looks = || [vec![], vec![waits(1, 60), open(2, &[])], vec![waits(1, 59), waits(2, 60)]];
        assert_eq!(told(PoolWatch::of_process(MINE), looks()), [(None, 0, 0, 2)]);
        assert_eq!(told(PoolWatch::default(), looks()), [(None, 0, 2, 0)]);
    }

    #[test]
    fn a_holder_that_is_seen_late_is_a_holder() {
        let looks = [vec![], vec![open(1, &[])], vec![open(1, &[8, MINE])], vec![waits(1, 60)]];
        assert_eq!(told(PoolWatch::of_process(MINE), looks), [(Some(MINE), 0, 1, 0)]);
    }

    #[test]
    fn other_processes_are_not_unattributed() {
        let looks = [vec![], vec![open(1, &[8]), open(2, &[9])], vec![waits(1, 60), open(2, &[9])]];
        assert_eq!(told(PoolWatch::of_process(MINE), looks), []);
    }

    #[test]
    fn what_stays_open_has_not_gone() {
        let mut hidden = open(1, &[]);
        hidden.socket.owners = Observed::NotObservable; // another user's
        let looks = || [vec![], vec![hidden.clone()], vec![hidden.clone()]];
        assert_eq!(told(PoolWatch::of_process(MINE), looks()), []);
        assert_eq!(told(PoolWatch::default(), looks()), [(None, 1, 1, 0)]);
    }

    #[test]
    fn a_look_that_misses_a_socket_does_not_make_it_two() {
        let looks = [vec![], vec![open(1, &[MINE])], vec![], vec![waits(1, 60)]];
        assert_eq!(told(PoolWatch::of_process(MINE), looks), [(Some(MINE), 0, 1, 0)]);
    }

    #[test]
    fn an_end_whose_side_is_unknown_may_be_a_server_s() {
        let mut unknown = waits(1, 60);
        unknown.socket.side = None;
        let looks = [vec![], vec![unknown]];
        assert_eq!(told(PoolWatch::of_process(MINE), looks), []);
    }
}
