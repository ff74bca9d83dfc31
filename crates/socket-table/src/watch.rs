//! The table looked at again and again.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use evidence::{Observed, Socket, SocketTable, TcpState};
use futures_util::stream::{self, Stream};
use tokio::time::MissedTickBehavior;

use crate::address_pair::AddressPair;
use crate::holder_cache::HolderCache;
use crate::{Error, SocketChange, SocketFilter, SocketLedger, SocketSieve, rows};

/// Looks at the table whenever it is asked to, and tells what has changed since the look before.
///
/// ```
/// use std::net::{TcpListener, TcpStream};
///
/// use evidence::TcpState;
/// use socket_table::{SocketFilter, TableWatch};
///
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// let mut watch = TableWatch::new(SocketFilter::default().port(server.local_addr()?.port()));
/// let first = watch.look()?;
/// assert_eq!(first.changes, [], "nothing has changed yet");
///
/// let client = TcpStream::connect(server.local_addr()?)?;
/// let next = watch.look()?;
/// assert_eq!(next.changes.len(), 2, "both ends have come");
/// assert!(next.changes.iter().all(|change| change.to == TcpState::Established));
/// # drop(client);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct TableWatch {
    filter: SocketFilter,
    sieve: SocketSieve,
    /// `None` if nobody asks who holds a socket.
    holders: Option<HolderCache>,
    ledger: SocketLedger,
    /// The sockets that the look before kept, where not everything is kept.
    kept: HashSet<AddressPair>,
    /// When the look before was begun.
    before: Option<Instant>,
}

/// The table at one look.
#[derive(Clone, Debug)]
pub struct TableLook {
    /// The table.
    pub table: SocketTable,
    /// The sockets that are seen from this look on without having changed: everything at the first
    /// look, and later what is found only now to be one of those that are kept.
    pub found: Vec<Socket>,
    /// The changes since the look before, in the order of [`SocketLedger::record`]; nothing at the
    /// first.
    pub changes: Vec<SocketChange>,
    /// How many sockets have gone, or come to `TIME_WAIT`, of which it cannot be told whether they
    /// were to be kept, as no look saw who held them: they did not live to a look at all processes.
    pub unattributed: usize,
    /// When the look before was begun: no change is older. `None` at the first.
    pub since: Option<Instant>,
    /// When this look was over: every change is older.
    pub at: Instant,
}

impl TableWatch {
    /// Watches the sockets that `filter` selects, without asking who holds them.
    #[must_use]
    pub fn new(filter: SocketFilter) -> Self {
        Self { filter, ..Self::default() }
    }

    /// Asks who holds them, too.
    ///
    /// That costs more than the table itself, so that it is rationed: for some hundred
    /// milliseconds the owners of a new socket may be [`Observed::NotObservable`].
    #[must_use]
    pub fn with_owners(self) -> Self {
        let matters = self.sieve.asks_for_owners();
        Self { holders: Some(HolderCache::new(matters)), ..self }
    }

    /// Keeps only what `sieve` keeps, for as long as it is there: what a process holds no more,
    /// as in `TIME_WAIT`, is kept if an earlier look saw it hold it. Those of which no look saw
    /// who held them are counted in [`TableLook::unattributed`].
    #[must_use]
    pub fn narrowed(self, sieve: SocketSieve) -> Self {
        let asks = sieve.asks_for_owners();
        let watch = Self { sieve, ..self };
        if asks || watch.holders.is_some() { watch.with_owners() } else { watch }
    }

    /// Looks now.
    ///
    /// # Errors
    /// Those of [`snapshot_with_owners`](crate::snapshot_with_owners). The next look is not the
    /// worse for it: it tells what has changed since the last that succeeded.
    pub fn look(&mut self) -> Result<TableLook, Error> {
        let begun = Instant::now();
        let rows = rows(&self.filter, false)?;
        let mut sockets: Vec<Socket> = match &mut self.holders {
            None => rows.into_iter().map(|row| row.socket).collect(),
            Some(holders) => {
                let owners = holders.of(&rows)?;
                let held = rows.into_iter().zip(owners);
                held.map(|(row, owners)| Socket { owners, ..row.socket }).collect()
            }
        };
        let at = Instant::now();
        let mut changes = self.ledger.record(&sockets, at);
        let is_first = self.before.is_none();
        let (mut found, mut unattributed) = (vec![], 0);
        if self.sieve != SocketSieve::default() {
            (found, unattributed) = self.keep(&mut sockets, &mut changes);
        } else if is_first {
            found.clone_from(&sockets);
        }
        let since = self.before.replace(begun);
        Ok(TableLook { table: SocketTable { sockets }, found, changes, unattributed, since, at })
    }

    /// Drops what is not kept; returns what is found to be kept now, and how many sockets are gone
    /// of which nobody can tell.
    fn keep(
        &mut self,
        sockets: &mut Vec<Socket>,
        changes: &mut Vec<SocketChange>,
    ) -> (Vec<Socket>, usize) {
        let come = changes.iter().filter(|change| change.from == TcpState::Closed);
        let come: HashSet<AddressPair> =
            come.map(|change| AddressPair::of(&change.socket)).collect();
        // With the owners that it had: who closes a connection does not hold it any more.
        let mut meant: Vec<Socket> = sockets
            .iter()
            .map(|socket| {
                let owners = Observed::Known(self.ledger.owners(socket).into());
                Socket { owners, ..socket.clone() }
            })
            .collect();
        self.sieve.retain(&mut meant, |socket| socket);
        let meant: HashSet<AddressPair> = meant.iter().map(AddressPair::of).collect();
        sockets.retain(|socket| {
            let place = AddressPair::of(socket);
            meant.contains(&place) || (self.kept.contains(&place) && !come.contains(&place))
        });
        let now: HashSet<AddressPair> = sockets.iter().map(AddressPair::of).collect();
        let was = std::mem::replace(&mut self.kept, now);

        let whoever = SocketSieve { pids: vec![], processes: vec![], ..self.sieve.clone() };
        let mut unattributed = 0;
        changes.retain(|change| {
            let place = AddressPair::of(&change.socket);
            let (comes, goes) = (change.from == TcpState::Closed, change.to == TcpState::Closed);
            let was = was.contains(&place) && !comes;
            let is = self.kept.contains(&place) && !goes;
            if was || is {
                return (was || comes) && (is || goes);
            }
            let is_done = change.to == TcpState::TimeWait
                || (goes && !matches!(change.from, TcpState::TimeWait | TcpState::Listen));
            let held =
                matches!(&change.socket.owners, Observed::Known(owners) if !owners.is_empty());
            unattributed += usize::from(is_done && !held && whoever.keeps(&change.socket));
            false
        });
        let told: HashSet<AddressPair> =
            changes.iter().map(|change| AddressPair::of(&change.socket)).collect();
        let is_found = |socket: &&Socket| {
            let place = AddressPair::of(socket);
            !was.contains(&place) && !told.contains(&place)
        };
        (sockets.iter().filter(is_found).cloned().collect(), unattributed)
    }

    /// Returns what the looks so far have shown: since when a socket is in its state, and who held
    /// it.
    #[must_use]
    pub fn ledger(&self) -> &SocketLedger {
        &self.ledger
    }
}

/// Looks at the sockets that `filter` selects, at once and then every so often, without end.
///
/// To look takes some milliseconds, in which the task that polls the stream does nothing else. If
/// the looks are polled late, they are not made up for.
///
/// ```
/// use std::pin::pin;
/// use std::time::Duration;
///
/// use futures_util::StreamExt as _;
/// use socket_table::SocketFilter;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = std::net::TcpListener::bind("127.0.0.1:0")?;
/// let filter = SocketFilter::default().port(server.local_addr()?.port());
/// let mut looks = pin!(socket_table::watch(filter, Duration::from_millis(10)));
///
/// assert_eq!(looks.next().await.unwrap()?.table.sockets.len(), 1); // the listening socket
/// let client = std::net::TcpStream::connect(server.local_addr()?)?;
/// assert_eq!(looks.next().await.unwrap()?.changes.len(), 2);
/// # drop(client);
/// # Ok(())
/// # }
/// ```
///
/// # Panics
/// If `every` is zero, or if it is polled outside of a tokio runtime with time enabled.
pub fn watch(
    filter: SocketFilter,
    every: Duration,
) -> impl Stream<Item = Result<TableLook, Error>> {
    let begin = move || {
        let mut interval = tokio::time::interval(every);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        interval
    };
    stream::unfold((TableWatch::new(filter), None), move |(mut watch, interval)| async move {
        let mut interval = interval.unwrap_or_else(begin);
        interval.tick().await;
        let look = watch.look();
        Some((look, (watch, Some(interval))))
    })
}
