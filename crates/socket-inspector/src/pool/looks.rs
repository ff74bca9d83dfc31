//! Pools as the table shows them: the connections of one process to one server, over some looks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use evidence::{AcceptQueue, Inspected, Observed, Owner, ServerAddr, Side, Socket, TcpState};
use socket_table::{AddressPair, SocketLedger, SocketSieve};

use super::client_pool::ClientPool;
use super::lives::ConnectionLives;
use super::standing::{ConnectionStanding, PoolConnection, StandingTime};

/// Bytes that moved within this time mean that a connection is at work.
const STRIDE: Duration = Duration::from_millis(200);

/// Looks at connections, until [`PoolWatch::pools`] tells what they have shown.
///
/// Who holds a connection is found by a walk through all processes, after the table is read: a
/// connection that is closed by then has a holder no more. So a watch wants to see everybody's
/// connections, even if it is of one process: those that come and go, and that no look saw anybody
/// hold, may be its own ([`ClientPool::unattributed`]).
#[derive(Clone, Debug, Default)]
pub(crate) struct PoolWatch {
    /// The processes whose pools are of interest; everybody's if it asks for none.
    whose: SocketSieve,
    ledger: SocketLedger,
    /// The servers' ends on this machine.
    servers: SocketLedger,
    lives: ConnectionLives,
    /// The sockets that listen, at the latest look.
    listening: Vec<Socket>,
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
    /// A watch for the pools of the processes that `whose` asks for.
    #[must_use]
    pub(crate) fn of_processes(whose: SocketSieve) -> Self {
        Self { whose, ..Self::default() }
    }

    /// Takes in a look: all sockets, whoever holds them, as [`inspect`](socket_table::inspect)
    /// lists them.
    pub(crate) fn look(&mut self, rows: Vec<Inspected>, at: Instant) {
        let (listening, ends): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.socket.state == TcpState::Listen);
        self.listening = listening.into_iter().map(|row| row.socket).collect();
        let (servers, mut clients): (Vec<_>, Vec<_>) =
            ends.into_iter().partition(|row| row.socket.side == Some(Side::Server));
        let changes = self.ledger.record(clients.iter().map(|row| &row.socket), at);
        let mut vanished = HashSet::new();
        for change in &changes {
            let place = AddressPair::of(&change.socket);
            if change.to == TcpState::Closed {
                self.holder_unseen.remove(&place);
                if change.from != TcpState::TimeWait {
                    vanished.insert(place);
                }
            }
            // A socket that is on its way into TIME_WAIT may be missing from a look.
            let was_missing = change.to == TcpState::TimeWait && self.vanished.contains(&place);
            let was_told = self.lives.was_left_by_server(&change.socket);
            if change.from == TcpState::Closed && !was_missing && !was_told {
                self.count(&change.socket);
            }
        }
        self.vanished = vanished;
        let asked = &self.whose;
        let ago = self.last.map_or(Duration::ZERO, |last| at.saturating_duration_since(last));
        self.lives.look(&changes, &clients, &servers, ago, |socket| holder(asked, socket));
        self.look_at_servers(&clients, &servers, at);
        clients.iter().for_each(|row| self.attribute(&row.socket));

        self.first.get_or_insert(at);
        let previous = self.last.replace(at);
        clients.retain(|row| row.socket.state != TcpState::TimeWait);
        let now = std::mem::replace(&mut self.now, clients);
        if self.before_at.is_none_or(|before| at.saturating_duration_since(before) >= STRIDE) {
            (self.before, self.before_at) = (now, previous);
        }
    }

    /// Counts the connections of which only the server's end, on this machine, was seen, when it
    /// had closed first.
    fn look_at_servers(&mut self, clients: &[Inspected], servers: &[Inspected], at: Instant) {
        let changes = self.servers.record(servers.iter().map(|row| &row.socket), at);
        let here: HashSet<IpAddr> =
            clients.iter().chain(servers).map(|row| row.socket.local.ip().to_canonical()).collect();
        for change in changes {
            let ip = change.socket.peer.ip().to_canonical();
            let closed = matches!(change.to, TcpState::TimeWait | TcpState::FinWait2);
            let is_here = ip.is_loopback() || here.contains(&ip);
            if change.from == TcpState::Closed
                && closed
                && is_here
                && !self.lives.knows(&change.socket)
            {
                self.lives.left_by_server(&change.socket);
                let key = (None, ServerAddr::new(change.socket.local));
                *self.came.entry(key).or_default() += 1;
            }
        }
    }

    /// Counts a connection that has come.
    fn count(&mut self, socket: &Socket) {
        let holder = holder(&self.whose, socket);
        if holder.is_none() {
            if socket.side != Some(Side::Client) {
                return; // perhaps a server's end
            }
            self.holder_unseen.insert(AddressPair::of(socket));
        }
        *self.came.entry((holder, ServerAddr::new(socket.peer))).or_default() += 1;
    }

    /// Gives a connection that has been counted as nobody's to the process that is seen to hold it.
    fn attribute(&mut self, socket: &Socket) {
        let Some(holder) = holder(&self.whose, socket) else { return };
        if self.holder_unseen.remove(&AddressPair::of(socket)) {
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
        let lives = self.lives.of_pools();
        let empty = |(process, server): (Option<Owner>, ServerAddr)| ClientPool {
            server,
            connections: vec![],
            opened: 0,
            unattributed: 0,
            watched: last - first,
            idle_timeout,
            lives: lives.get(&(process.clone(), server)).copied().unwrap_or_default(),
            queue: self.accept_queue(server),
            process,
        };
        let mut pools: BTreeMap<(Option<Owner>, ServerAddr), ClientPool> = BTreeMap::new();
        // One that opens and closes all the time may have none left at the last look.
        for (key, opened) in self.came.iter().filter(|(key, n)| **n > 0 && self.wants(&key.0)) {
            pools.entry(key.clone()).or_insert_with(|| empty(key.clone())).opened = *opened;
        }
        let before: HashMap<AddressPair, &Inspected> =
            self.before.iter().map(|row| (AddressPair::of(&row.socket), row)).collect();
        for row in &self.now {
            let holder = self.last_holder(&row.socket);
            if !self.wants(&holder) {
                continue;
            }
            let key = (holder, ServerAddr::new(row.socket.peer));
            let pool = pools.entry(key.clone()).or_insert_with(|| empty(key));
            let earlier = before.get(&AddressPair::of(&row.socket)).copied();
            let standing = ConnectionStanding::of(row, earlier, patience);
            let closed_for = self.closed_for(row, standing);
            pool.connections.push(PoolConnection { row: row.clone(), standing, closed_for });
        }
        let unattributed = self.unattributed();
        if pools.is_empty() && self.whose.asks_for_owners() {
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
            self.holder_unseen.contains(&AddressPair::of(socket))
                && is_held_by_somebody(socket.state)
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
        !self.whose.asks_for_owners()
            || holder.as_ref().is_some_and(|holder| self.whose.means(holder))
    }

    /// The queue of who listens at this address on this machine.
    fn accept_queue(&self, server: ServerAddr) -> Option<AcceptQueue> {
        let address = server.socket_addr();
        let listens_there = |socket: &&Socket| {
            let ip = socket.local.ip().to_canonical();
            socket.local.port() == address.port()
                && (ip == address.ip() || (ip.is_unspecified() && self.is_here(address.ip())))
        };
        let queues = self.listening.iter().filter(listens_there);
        queues.filter_map(Socket::accept_queue).max_by_key(|queue| queue.waiting)
    }

    /// Returns true if it is seen to be an address of this machine.
    fn is_here(&self, ip: IpAddr) -> bool {
        let local = |row: &Inspected| row.socket.local.ip().to_canonical() == ip;
        ip.is_loopback() || self.now.iter().any(local)
    }

    /// Returns who holds `socket`, or did at an earlier look. Where one process is asked for, what
    /// it has closed does not belong to its pool any more.
    fn last_holder(&self, socket: &Socket) -> Option<Owner> {
        let any = !self.whose.asks_for_owners();
        let did = || self.ledger.owners(socket).first().filter(|_| any).cloned();
        holder(&self.whose, socket).or_else(did)
    }

    /// How many connections came while looking, whosever they are.
    #[must_use]
    pub(crate) fn came(&self) -> usize {
        self.came.values().sum()
    }

    /// The time between the first look and the last.
    #[must_use]
    pub(crate) fn watched(&self) -> Duration {
        self.first.zip(self.last).map(|(first, last)| last - first).unwrap_or_default()
    }
}

/// Returns who holds `socket` as it is listed: a process that is asked for, if one of them is.
fn holder(whose: &SocketSieve, socket: &Socket) -> Option<Owner> {
    let Observed::Known(owners) = &socket.owners else { return None };
    let asked_for = owners.iter().find(|owner| whose.asks_for_owners() && whose.means(owner));
    asked_for.or(owners.first()).cloned()
}

/// Returns true if a socket in this state is open at this end, so that a process must hold it.
fn is_held_by_somebody(state: TcpState) -> bool {
    use TcpState::{CloseWait, Established, SynReceived, SynSent};
    matches!(state, SynSent | SynReceived | Established | CloseWait)
}

#[cfg(test)]
mod tests;
