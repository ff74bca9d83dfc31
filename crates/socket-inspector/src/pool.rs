//! Pools as the table shows them: the connections of one process to one server, over some looks.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use evidence::pool::{Lasted, Pool, PoolConnection, Standing};
use evidence::{Inspected, Observed, Owner, ServerAddr, TcpState};

use crate::Ledger;

/// Bytes that moved within this time mean that a connection is at work.
const STRIDE: Duration = Duration::from_millis(200);

/// Looks at connections, until [`PoolWatch::pools`] tells what they have shown.
#[derive(Clone, Debug, Default)]
pub struct PoolWatch {
    ledger: Ledger,
    first: Option<Instant>,
    last: Option<Instant>,
    /// An earlier look, some [`STRIDE`] ago.
    before: Vec<Inspected>,
    before_at: Option<Instant>,
    now: Vec<Inspected>,
    /// The connections that appeared after the first look, with whose they are.
    opened: HashMap<(SocketAddr, SocketAddr), (Option<Owner>, ServerAddr)>,
}

impl PoolWatch {
    /// Takes in a look: the clients' ends that are of interest, as [`inspect`](crate::inspect)
    /// lists them.
    pub fn look(&mut self, clients: Vec<Inspected>, at: Instant) {
        let known: HashSet<_> = self.now.iter().map(place).collect();
        self.ledger.record(clients.iter().map(|row| &row.socket), at);
        if self.first.is_some() {
            for row in clients.iter().filter(|row| !known.contains(&place(row))) {
                self.opened.insert(place(row), (self.holder(row), server(row)));
            }
        }
        self.first.get_or_insert(at);
        let previous = self.last.replace(at);
        let now = std::mem::replace(&mut self.now, clients);
        if self.before_at.is_none_or(|before| at.saturating_duration_since(before) >= STRIDE) {
            (self.before, self.before_at) = (now, previous);
        }
    }

    /// What the looks have shown. `patience` is how long arrived bytes may lie unread;
    /// `idle_timeout`, how long the servers let a connection be silent, if that is known.
    #[must_use]
    pub fn pools(&self, patience: Duration, idle_timeout: Option<Duration>) -> Vec<Pool> {
        let (Some(first), Some(last)) = (self.first, self.last) else { return vec![] };
        let before: HashMap<_, &Inspected> =
            self.before.iter().map(|row| (place(row), row)).collect();
        let mut pools: BTreeMap<(Option<Owner>, ServerAddr), Pool> = BTreeMap::new();
        let empty = |(process, server): (Option<Owner>, ServerAddr)| Pool {
            process,
            server,
            connections: vec![],
            opened: 0,
            watched: last - first,
            idle_timeout,
        };
        // One that opens and closes all the time may have none left at the last look.
        for key in self.opened.values() {
            pools.entry(key.clone()).or_insert_with(|| empty(key.clone())).opened += 1;
        }
        let held = |row: &&Inspected| row.socket.state != TcpState::TimeWait;
        for row in self.now.iter().filter(held) {
            let key = (self.holder(row), server(row));
            let pool = pools.entry(key.clone()).or_insert_with(|| empty(key));
            let standing = Standing::of(row, before.get(&place(row)).copied(), patience);
            let closed_for = self.ledger.in_state(&row.socket).map(|time| match time.most {
                Some(_) => Lasted::Exactly(time.least),
                None => Lasted::AtLeast(time.least),
            });
            let closed_for = closed_for.filter(|_| standing == Standing::ClosedByPeer);
            pool.connections.push(PoolConnection { row: row.clone(), standing, closed_for });
        }
        let mut pools: Vec<Pool> = pools.into_values().collect();
        for pool in &mut pools {
            pool.connections.sort_by_key(|connection| {
                (connection.standing, std::cmp::Reverse(connection.row.info.silent_for()))
            });
        }
        pools
    }

    /// Who holds the connection, or did at an earlier look.
    fn holder(&self, row: &Inspected) -> Option<Owner> {
        let held = match &row.socket.owners {
            Observed::Known(owners) => owners.first(),
            Observed::NotObservable => None,
        };
        held.or(self.ledger.owners(&row.socket).first()).cloned()
    }
}

fn place(row: &Inspected) -> (SocketAddr, SocketAddr) {
    (row.socket.local, row.socket.peer)
}

fn server(row: &Inspected) -> ServerAddr {
    ServerAddr::new(row.socket.peer)
}
