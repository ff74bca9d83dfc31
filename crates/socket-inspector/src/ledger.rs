//! What earlier readings of the table knew, and the latest no longer does.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use evidence::{Observed, Owner, Socket, SocketTable, TcpState};

/// One end of one connection, by its addresses: this end's, then the other's.
type Place = (SocketAddr, SocketAddr);

/// Remembers, from one reading of the table to the next, who held a socket and since when it is in
/// its state.
///
/// A connection in `TIME_WAIT` has no owner any more: who made it is known only if an earlier
/// reading saw the process hold it. A connection that is opened and closed between two readings
/// leaves nothing but its `TIME_WAIT`, whose maker stays unknown. What a reading does not list any
/// more is forgotten, so that a ledger is never longer than the table; give it readings of one and
/// the same [`Filter`](crate::Filter).
///
/// ```
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Instant;
///
/// use evidence::{Side, TcpState};
/// use socket_inspector::{Filter, Ledger, snapshot_with_owners};
///
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// let filter = Filter::default().port(server.local_addr()?.port());
/// let client = TcpStream::connect(server.local_addr()?)?;
/// let accepted = server.accept()?.0;
///
/// let mut ledger = Ledger::default();
/// ledger.record(&snapshot_with_owners(&filter)?, Instant::now());
/// drop(client);
/// drop(accepted);
/// let table = snapshot_with_owners(&filter)?;
/// ledger.record(&table, Instant::now());
///
/// let client = table.sockets.iter().find(|socket| socket.side == Some(Side::Client)).unwrap();
/// # #[cfg(target_os = "linux")]
/// assert_eq!(ledger.owners(client)[0].pid, std::process::id());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    entries: HashMap<Place, Entry>,
    readings: usize,
    /// How many ends have appeared since the first reading.
    appeared: usize,
}

#[derive(Clone, Debug)]
struct Entry {
    owners: Vec<Owner>,
    state: TcpState,
    /// The first reading that showed it in this state, and whether an earlier reading showed that
    /// it was not in it, so that the time is known and not a lower bound.
    since: Instant,
    seen_coming: bool,
    /// Whether a reading has listed it, and not a glance alone.
    counted: bool,
}

impl Ledger {
    /// Takes in a reading that was made at `at`. Returns how many ends of connections it shows
    /// that the reading before did not: 0 for the first, which cannot tell.
    pub fn record(&mut self, table: &SocketTable, at: Instant) -> usize {
        let first = self.readings == 0;
        let mut listed = HashSet::with_capacity(table.sockets.len());
        let mut appeared = 0;
        for socket in table.sockets.iter().filter(|socket| socket.state != TcpState::Listen) {
            let place = (socket.local, socket.peer);
            listed.insert(place);
            let entry = self.entries.entry(place).or_insert_with(|| {
                let seen_coming = !first;
                Entry {
                    owners: vec![],
                    state: socket.state,
                    since: at,
                    seen_coming,
                    counted: false,
                }
            });
            appeared += usize::from(!first && !entry.counted);
            entry.counted = true;
            // Out of TIME_WAIT there is no way but a new connection between the same addresses.
            if entry.state == TcpState::TimeWait && socket.state != TcpState::TimeWait {
                appeared += 1;
                entry.owners.clear();
            }
            if entry.state != socket.state {
                (entry.state, entry.since, entry.seen_coming) = (socket.state, at, true);
            }
            if let Observed::Known(owners) = &socket.owners
                && !owners.is_empty()
            {
                entry.owners.clone_from(owners);
            }
        }
        self.entries.retain(|place, _| listed.contains(place));
        self.readings += 1;
        self.appeared += appeared;
        appeared
    }

    /// Takes in who holds what in `table`, which may list a part of what [`Ledger::record`] is
    /// given: nothing is forgotten, and nothing counts as new.
    pub fn glance(&mut self, table: &SocketTable, at: Instant) {
        for socket in table.sockets.iter().filter(|socket| socket.state != TcpState::Listen) {
            let Observed::Known(owners) = &socket.owners else { continue };
            if owners.is_empty() {
                continue;
            }
            let place = (socket.local, socket.peer);
            let entry = self.entries.entry(place).or_insert_with(|| Entry {
                owners: vec![],
                state: socket.state,
                since: at,
                seen_coming: true,
                counted: false,
            });
            entry.owners.clone_from(owners);
        }
    }

    /// The processes that hold `socket`, or were last seen to; empty if no reading saw any.
    #[must_use]
    pub fn owners(&self, socket: &Socket) -> &[Owner] {
        self.entry(socket).map_or(&[], |entry| &entry.owners)
    }

    /// How long `socket` has been in its state at `now`, as far as the readings show.
    #[must_use]
    pub fn in_state(&self, socket: &Socket, now: Instant) -> Option<InState> {
        let entry = self.entry(socket).filter(|entry| entry.state == socket.state)?;
        let time = now.saturating_duration_since(entry.since);
        Some(if entry.seen_coming { InState::Since(time) } else { InState::AtLeast(time) })
    }

    /// How many readings it has taken in.
    #[must_use]
    pub fn readings(&self) -> usize {
        self.readings
    }

    /// How many ends of connections have appeared since the first reading.
    #[must_use]
    pub fn appeared(&self) -> usize {
        self.appeared
    }

    fn entry(&self, socket: &Socket) -> Option<&Entry> {
        self.entries.get(&(socket.local, socket.peer))
    }
}

/// How long a socket has been in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InState {
    /// This long, up to the distance between two readings: it was seen to change.
    Since(Duration),
    /// This long or longer: the first reading showed it there already.
    AtLeast(Duration),
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::Side;

    fn socket(port: u16, state: TcpState, pid: Option<u32>) -> Socket {
        let owner = pid.map(|pid| Owner { pid, process: "curl".to_owned() });
        Socket {
            local: SocketAddr::from(([127, 0, 0, 1], port)),
            peer: SocketAddr::from(([127, 0, 0, 1], 8080)),
            state,
            side: Some(Side::Client),
            recv_queue: Observed::Known(0),
            send_queue: Observed::Known(0),
            timer: Observed::NotObservable,
            owners: Observed::Known(owner.into_iter().collect()),
        }
    }

    fn record(ledger: &mut Ledger, sockets: &[Socket], at: Instant) -> usize {
        ledger.record(&SocketTable { sockets: sockets.to_vec() }, at)
    }

    #[test]
    fn the_owner_of_what_is_closed_is_who_held_it_before() {
        let mut ledger = Ledger::default();
        let closed = socket(40001, TcpState::TimeWait, None);
        record(&mut ledger, &[socket(40001, TcpState::Established, Some(7))], Instant::now());
        record(&mut ledger, std::slice::from_ref(&closed), Instant::now());
        assert_eq!(ledger.owners(&closed)[0].pid, 7);
        record(&mut ledger, &[], Instant::now());
        assert_eq!(ledger.owners(&closed), [], "what is gone is forgotten");
    }

    #[test]
    fn a_glance_is_enough_to_know_an_owner() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        let closed = socket(40001, TcpState::TimeWait, None);
        record(&mut ledger, &[], now);
        let open = socket(40001, TcpState::Established, Some(7));
        ledger.glance(&SocketTable { sockets: vec![open] }, now);
        assert_eq!(record(&mut ledger, std::slice::from_ref(&closed), now), 1);
        assert_eq!(ledger.owners(&closed)[0].pid, 7);
    }

    #[test]
    fn a_port_that_is_used_again_does_not_keep_its_old_owner() {
        let mut ledger = Ledger::default();
        let now = Instant::now();
        let again = socket(40001, TcpState::Established, None);
        record(&mut ledger, &[socket(40001, TcpState::Established, Some(7))], now);
        record(&mut ledger, &[socket(40001, TcpState::TimeWait, None)], now);
        assert_eq!(record(&mut ledger, std::slice::from_ref(&again), now), 1);
        assert_eq!(ledger.owners(&again), []);
    }

    #[test]
    fn the_first_reading_cannot_tell_what_is_new_or_for_how_long() {
        let mut ledger = Ledger::default();
        let start = Instant::now();
        let later = start + Duration::from_secs(3);
        let (old, new) =
            (socket(40001, TcpState::CloseWait, None), socket(40002, TcpState::CloseWait, None));
        assert_eq!(record(&mut ledger, std::slice::from_ref(&old), start), 0);
        assert_eq!(record(&mut ledger, &[old.clone(), new.clone()], later), 1);
        let later = later + Duration::from_secs(2);
        assert_eq!(ledger.in_state(&old, later), Some(InState::AtLeast(Duration::from_secs(5))));
        assert_eq!(ledger.in_state(&new, later), Some(InState::Since(Duration::from_secs(2))));
        assert_eq!((ledger.readings(), ledger.appeared()), (2, 1));
    }
}
