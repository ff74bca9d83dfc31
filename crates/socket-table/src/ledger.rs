//! What earlier readings of the table knew, and the latest no longer does.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use evidence::{Observed, Owner, Socket, TcpState};

use crate::address_pair::AddressPair;
use crate::passed::passed;

/// Remembers, from one reading of the table to the next, who held a socket and since when it is in
/// its state, and so tells what has changed.
///
/// A connection in `TIME_WAIT` has no owner any more: who made it is known only if an earlier
/// reading saw the process hold it. A connection that is opened and closed between two readings
/// leaves nothing but its `TIME_WAIT`, whose maker stays unknown. What a reading does not list any
/// more is forgotten; give it readings of one and the same [`SocketFilter`](crate::SocketFilter).
///
/// Where the kernel numbers its sockets, as Linux does, another connection between the same
/// addresses is told from the one before, even if both are in the same state.
///
/// ```
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Instant;
///
/// use evidence::TcpState;
/// use socket_table::{SocketFilter, SocketLedger, snapshot_with_owners};
///
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// let filter = SocketFilter::default().port(server.local_addr()?.port());
/// let client = TcpStream::connect(server.local_addr()?)?;
/// let accepted = server.accept()?.0;
///
/// let mut ledger = SocketLedger::default();
/// ledger.record(&snapshot_with_owners(&filter)?.sockets, Instant::now());
/// let local = client.local_addr()?;
/// drop(client);
/// drop(accepted);
/// let table = snapshot_with_owners(&filter)?;
/// let changes = ledger.record(&table.sockets, Instant::now());
///
/// let client = table.sockets.iter().find(|socket| socket.local == local).unwrap();
/// # #[cfg(target_os = "linux")]
/// assert_eq!(ledger.owners(client)[0].pid, std::process::id());
/// assert!(changes.iter().any(|change| change.from == TcpState::Established));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SocketLedger {
    entries: LedgerEntries,
    /// How many there were, and when the latest was made.
    readings: usize,
    at: Option<Instant>,
}

/// The entries by their places. From one reading to the next most of a table stays as it is, in
/// the same order: an entry that stands where it stood is found without a search.
#[derive(Clone, Debug, Default)]
struct LedgerEntries {
    slots: Vec<Option<LedgerEntry>>,
    free: Vec<usize>,
    by_place: HashMap<AddressPair, usize>,
    /// The slots in the order of the latest reading.
    order: Vec<usize>,
}

impl LedgerEntries {
    fn get(&self, place: &AddressPair) -> Option<&LedgerEntry> {
        self.slots.get(*self.by_place.get(place)?)?.as_ref()
    }

    /// The slot of `place`; `guess` is a place in the order of the latest reading to look at first.
    fn slot(&self, place: &AddressPair, guess: usize) -> Option<usize> {
        let guessed = self.order.get(guess).copied();
        let stands_there = |slot: &usize| {
            let entry = self.slots.get(*slot).and_then(Option::as_ref);
            entry.is_some_and(|entry| entry.place() == *place)
        };
        guessed.filter(stands_there).or_else(|| self.by_place.get(place).copied())
    }

    fn insert(&mut self, entry: LedgerEntry) -> usize {
        let place = entry.place();
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let Some(empty) = self.slots.get_mut(slot) {
            *empty = Some(entry);
        }
        self.by_place.insert(place, slot);
        slot
    }

    fn entry(&mut self, slot: usize) -> Option<&mut LedgerEntry> {
        self.slots.get_mut(slot)?.as_mut()
    }

    /// Takes out what `is_gone`.
    fn take_out(&mut self, is_gone: impl Fn(&LedgerEntry) -> bool) -> Vec<LedgerEntry> {
        let mut gone = Vec::new();
        for (slot, held) in self.slots.iter_mut().enumerate() {
            if let Some(entry) = held.take_if(|entry| is_gone(entry)) {
                self.by_place.remove(&entry.place());
                self.free.push(slot);
                gone.push(entry);
            }
        }
        gone
    }
}

#[derive(Clone, Debug)]
struct LedgerEntry {
    /// As it was listed last, but with the processes that were last seen to hold it.
    socket: Socket,
    /// The first reading that showed it in its state.
    since: Instant,
    /// The reading before that, which showed that it was not in it; `None` if there was none.
    not_before: Option<Instant>,
    /// The number of the reading that listed it last; 0 if a glance alone has.
    listed: usize,
    /// Where that reading listed it.
    position: usize,
}

impl LedgerEntry {
    fn place(&self) -> AddressPair {
        AddressPair::of(&self.socket)
    }

    fn of(socket: &Socket, since: Instant, not_before: Option<Instant>) -> Self {
        Self { socket: socket.clone(), since, not_before, listed: 0, position: 0 }
    }

    /// How long it was in its state at `now`, if it was seen in it at `seen` for the last time.
    fn in_state(&self, seen: Instant, now: Instant) -> TimeInState {
        let until = |from: Instant, to: Instant| to.saturating_duration_since(from);
        TimeInState {
            least: until(self.since, seen),
            most: self.not_before.map(|not_before| until(not_before, now)),
        }
    }

    /// Returns true if `socket`, at the same addresses, is the socket of another connection.
    ///
    /// The kernel's number tells, unless the kernel has put a small socket in the place of a closed
    /// one; and out of `TIME_WAIT` there is no way back.
    fn is_left_for(&self, socket: &Socket) -> bool {
        let (from, to) = (self.socket.state, socket.state);
        let replaced =
            from != TcpState::TimeWait && matches!(to, TcpState::FinWait2 | TcpState::TimeWait);
        let another = match (self.socket.cookie, socket.cookie) {
            (Observed::Known(old), Observed::Known(new)) => old != new && !replaced,
            _ => false,
        };
        another || (from == TcpState::TimeWait && to != from)
    }

    /// Takes over what a reading shows.
    fn update(&mut self, socket: &Socket) {
        let Socket { state, side, recv_queue, send_queue, timer, cookie, .. } = *socket;
        self.socket.state = state;
        self.socket.side = side.or(self.socket.side);
        (self.socket.recv_queue, self.socket.send_queue) = (recv_queue, send_queue);
        (self.socket.timer, self.socket.cookie) = (timer, cookie);
        self.hold(socket);
    }

    /// Takes over who holds it, if anybody is seen to.
    fn hold(&mut self, socket: &Socket) {
        let held = matches!(&socket.owners, Observed::Known(owners) if !owners.is_empty());
        let nobody_asked = self.socket.owners == Observed::NotObservable;
        if (held || nobody_asked) && self.socket.owners != socket.owners {
            self.socket.owners.clone_from(&socket.owners);
        }
    }
}

/// One socket has left one state for another between two readings of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketChange {
    /// The socket as the later reading shows it; if it is gone, as the earlier did. The owners are
    /// those that hold it or were last seen to.
    pub socket: Socket,
    /// Its state at the earlier reading; [`TcpState::Closed`] if it was not there.
    pub from: TcpState,
    /// Its state at the later reading; [`TcpState::Closed`] if it is gone.
    pub to: TcpState,
    /// The states between the two that it must have passed through, unseen, as far as that is
    /// certain (RFC 9293, figure 5).
    pub passed: Vec<TcpState>,
    /// How long it was in `from`; `None` if it was not there.
    pub lasted: Option<TimeInState>,
}

impl SocketChange {
    fn of(socket: &Socket, from: TcpState, to: TcpState, lasted: Option<TimeInState>) -> Self {
        Self { socket: socket.clone(), from, to, passed: passed(from, to, socket.side), lasted }
    }
}

impl SocketLedger {
    /// Takes in a reading that was made at `at`. Returns what has changed since the reading before:
    /// first what is gone, as its addresses may be in use again, then the others, each in the order
    /// of the addresses. The first reading shows no change.
    ///
    /// Addresses that are used again are two changes: one socket is gone, another has come.
    pub fn record<'a>(
        &mut self,
        sockets: impl IntoIterator<Item = &'a Socket>,
        at: Instant,
    ) -> Vec<SocketChange> {
        let before = self.at.replace(at);
        self.readings += 1;
        let mut changes = Vec::new();
        let mut order = Vec::with_capacity(self.entries.order.len());
        let mut guess = 0;
        for socket in sockets {
            let known = self.entries.slot(&AddressPair::of(socket), guess);
            let slot =
                known.unwrap_or_else(|| self.entries.insert(LedgerEntry::of(socket, at, before)));
            let Some(entry) = self.entries.entry(slot) else { continue };
            if entry.listed == self.readings && socket.state == TcpState::TimeWait {
                continue; // the addresses of an old connection are those of a new one by now
            }
            if known.is_some() {
                guess = entry.position + 1;
            }
            entry.position = order.len();
            order.push(slot);
            let is_new = entry.listed == 0;
            entry.listed = self.readings;
            let (from, to) = (entry.socket.state, socket.state);
            let lasted = before.map(|before| entry.in_state(before, at));
            if is_new {
                entry.update(socket);
                if before.is_some() {
                    changes.push(SocketChange::of(&entry.socket, TcpState::Closed, to, None));
                }
            } else if entry.is_left_for(socket) {
                changes.push(SocketChange::of(&entry.socket, from, TcpState::Closed, lasted));
                let LedgerEntry { listed, position, .. } = *entry;
                *entry = LedgerEntry { listed, position, ..LedgerEntry::of(socket, at, before) };
                changes.push(SocketChange::of(socket, TcpState::Closed, to, None));
            } else {
                entry.update(socket);
                if from != to {
                    (entry.since, entry.not_before) = (at, before);
                    changes.push(SocketChange::of(&entry.socket, from, to, lasted));
                }
            }
        }
        self.entries.order = order;
        let readings = self.readings;
        for gone in self.entries.take_out(|entry| entry.listed != readings) {
            if gone.listed > 0 {
                let from = gone.socket.state;
                let lasted = before.map(|before| gone.in_state(before, at));
                changes.push(SocketChange::of(&gone.socket, from, TcpState::Closed, lasted));
            }
        }
        let stays = |change: &SocketChange| change.to != TcpState::Closed;
        changes.sort_by_key(|change| (stays(change), AddressPair::of(&change.socket)));
        changes
    }

    /// Takes in who holds which of `sockets`, which may be a part of what [`SocketLedger::record`]
    /// is given: nothing is forgotten, and nothing counts as new.
    pub fn glance<'a>(&mut self, sockets: impl IntoIterator<Item = &'a Socket>, at: Instant) {
        for socket in sockets {
            let Observed::Known(owners) = &socket.owners else { continue };
            if owners.is_empty() {
                continue;
            }
            let known = self.entries.slot(&AddressPair::of(socket), 0);
            let slot =
                known.unwrap_or_else(|| self.entries.insert(LedgerEntry::of(socket, at, self.at)));
            if let Some(entry) = self.entries.entry(slot) {
                entry.hold(socket);
            }
        }
    }

    /// The processes that hold `socket`, or were last seen to; empty if no reading saw any.
    #[must_use]
    pub fn owners(&self, socket: &Socket) -> &[Owner] {
        match self.entry(socket).map(|entry| &entry.socket.owners) {
            Some(Observed::Known(owners)) => owners,
            Some(Observed::NotObservable) | None => &[],
        }
    }

    /// The end that `socket` is, as it was listed last; `None` if the latest reading does not list
    /// it.
    #[must_use]
    pub fn latest(&self, socket: &Socket) -> Option<&Socket> {
        Some(&self.entry(socket)?.socket)
    }

    /// How long `socket` had been in its state at the latest reading, as far as the readings show;
    /// `None` if that does not list it in this state.
    #[must_use]
    pub fn in_state(&self, socket: &Socket) -> Option<TimeInState> {
        let entry = self.entry(socket).filter(|entry| entry.socket.state == socket.state)?;
        Some(entry.in_state(self.at?, self.at?))
    }

    fn entry(&self, socket: &Socket) -> Option<&LedgerEntry> {
        self.entries.get(&AddressPair::of(socket))
    }
}

/// How long a socket has been in a state, as far as readings can tell: it came into it, and left
/// it, at some time between two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeInState {
    /// From the first reading that showed it in this state to the last.
    pub least: Duration,
    /// From the last reading before to the first after; `None` if it was there at the first of all.
    pub most: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use super::*;
    use evidence::Side;
    use proptest::prelude::*;

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
            cookie: Observed::NotObservable,
            owners: Observed::Known(owner.into_iter().collect()),
        }
    }

    /// The states before and after of what has changed.
    fn record(
        ledger: &mut SocketLedger,
        sockets: &[Socket],
        at: Instant,
    ) -> Vec<(TcpState, TcpState)> {
        let changes = ledger.record(sockets, at);
        changes.iter().map(|change| (change.from, change.to)).collect()
    }

    #[test]
    fn the_owner_of_what_is_closed_is_who_held_it_before() {
        let mut ledger = SocketLedger::default();
        let closed = socket(40001, TcpState::TimeWait, None);
        record(&mut ledger, &[socket(40001, TcpState::Established, Some(7))], Instant::now());
        record(&mut ledger, std::slice::from_ref(&closed), Instant::now());
        assert_eq!(ledger.owners(&closed)[0].pid, 7);
        record(&mut ledger, &[], Instant::now());
        assert_eq!(ledger.owners(&closed), [], "what is gone is forgotten");
    }

    #[test]
    fn a_glance_is_enough_to_know_an_owner() {
        let mut ledger = SocketLedger::default();
        let now = Instant::now();
        let closed = socket(40001, TcpState::TimeWait, None);
        record(&mut ledger, &[], now);
        let open = socket(40001, TcpState::Established, Some(7));
        ledger.glance([&open], now);
        let appeared = [(TcpState::Closed, TcpState::TimeWait)];
        assert_eq!(record(&mut ledger, std::slice::from_ref(&closed), now), appeared);
        assert_eq!(ledger.owners(&closed)[0].pid, 7);
    }

    #[test]
    fn a_port_that_is_used_again_does_not_keep_its_old_owner() {
        let mut ledger = SocketLedger::default();
        let now = Instant::now();
        let again = socket(40001, TcpState::Established, None);
        record(&mut ledger, &[socket(40001, TcpState::Established, Some(7))], now);
        record(&mut ledger, &[socket(40001, TcpState::TimeWait, None)], now);
        let changes = record(&mut ledger, std::slice::from_ref(&again), now);
        use TcpState::{Closed, Established, TimeWait};
        assert_eq!(changes, [(TimeWait, Closed), (Closed, Established)]);
        assert_eq!(ledger.owners(&again), []);
    }

    #[test]
    fn the_first_reading_cannot_tell_what_is_new_or_for_how_long() {
        let mut ledger = SocketLedger::default();
        let start = Instant::now();
        let later = start + Duration::from_secs(3);
        let (old, new) =
            (socket(40001, TcpState::CloseWait, None), socket(40002, TcpState::CloseWait, None));
        assert_eq!(record(&mut ledger, std::slice::from_ref(&old), start), []);
        let appeared = [(TcpState::Closed, TcpState::CloseWait)];
        assert_eq!(record(&mut ledger, &[old.clone(), new.clone()], later), appeared);
        let later = later + Duration::from_secs(2);
        record(&mut ledger, &[old.clone(), new.clone()], later);
        let s = Duration::from_secs;
        assert_eq!(ledger.in_state(&old), Some(TimeInState { least: s(5), most: None }));
        assert_eq!(ledger.in_state(&new), Some(TimeInState { least: s(2), most: Some(s(5)) }));
    }

    #[test]
    fn a_change_tells_what_was_passed_and_how_long_the_old_state_lasted() {
        let mut ledger = SocketLedger::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut next = |sockets: &[Socket], seconds| ledger.record(sockets, at(seconds));
        next(&[], 0);
        let opened = next(&[socket(40001, TcpState::Established, Some(7))], 1);
        assert_eq!((opened[0].from, opened[0].lasted), (TcpState::Closed, None));
        assert_eq!(opened[0].passed, [TcpState::SynSent]);

        let closed = next(&[socket(40001, TcpState::TimeWait, None)], 4);
        assert_eq!(closed[0].passed, [TcpState::FinWait1]);
        let s = Duration::from_secs;
        assert_eq!(closed[0].lasted, Some(TimeInState { least: s(0), most: Some(s(4)) }));
        let held = Owner { pid: 7, process: "curl".to_owned() };
        assert_eq!(closed[0].socket.owners, Observed::Known([held].into()), "who held it last");

        let gone = next(&[], 9);
        assert_eq!((gone[0].socket.state, gone[0].to), (TcpState::TimeWait, TcpState::Closed));
        assert_eq!(gone[0].lasted, Some(TimeInState { least: s(0), most: Some(s(8)) }));
        assert_eq!(next(&[], 10), []);
    }

    /// A reading cannot tell by addresses and states alone that there was another connection.
    #[test]
    fn another_socket_at_the_same_addresses_is_another_connection() {
        use TcpState::{Closed, Established, FinWait2, SynSent, TimeWait};
        let another = &[(Established, Closed), (Closed, Established)][..];
        let numbered = |state, cookie| Socket {
            cookie: Observed::Known(cookie),
            ..socket(40001, state, None)
        };
        let table: [(&str, _, _, &[(TcpState, TcpState)]); 7] = [
            ("the same", (Established, 1), (Established, 1), &[]),
            ("another", (Established, 1), (Established, 2), another),
            ("used again", (TimeWait, 1), (TimeWait, 2), &[(TimeWait, Closed), (Closed, TimeWait)]),
            ("reset", (Established, 1), (SynSent, 2), &[(Established, Closed), (Closed, SynSent)]),
            ("its remainder", (Established, 1), (TimeWait, 2), &[(Established, TimeWait)]),
            ("half of it", (FinWait2, 1), (FinWait2, 2), &[]),
            ("the other half", (FinWait2, 2), (TimeWait, 2), &[(FinWait2, TimeWait)]),
        ];
        for (case, (from, old), (to, new), expected) in table {
            let mut ledger = SocketLedger::default();
            record(&mut ledger, &[numbered(from, old)], Instant::now());
            let changes = record(&mut ledger, &[numbered(to, new)], Instant::now());
            assert_eq!(changes, expected, "{case}");
        }
    }

    #[test]
    fn both_ends_of_an_old_connection_are_gone_before_a_new_one_comes() {
        let both = |cookie| {
            let client = Socket {
                cookie: Observed::Known(cookie),
                ..socket(40001, TcpState::Established, None)
            };
            let server = Socket { local: client.peer, peer: client.local, ..client.clone() };
            [client, server]
        };
        let mut ledger = SocketLedger::default();
        record(&mut ledger, &both(1), Instant::now());
        use TcpState::{Closed, Established};
        let changes = record(&mut ledger, &both(2), Instant::now());
        let (gone, come) = ((Established, Closed), (Closed, Established));
        assert_eq!(changes, [gone, gone, come, come]);
    }

    /// While a connection is made of the addresses of an old one, a reading may list both.
    #[test]
    fn addresses_that_are_listed_twice_are_the_new_connection() {
        let [old, new] =
            [TcpState::TimeWait, TcpState::Established].map(|s| socket(40001, s, None));
        for both in [[old.clone(), new.clone()], [new.clone(), old.clone()]] {
            let mut ledger = SocketLedger::default();
            record(&mut ledger, std::slice::from_ref(&old), Instant::now());
            let changes = record(&mut ledger, &both, Instant::now());
            use TcpState::{Closed, Established, TimeWait};
            assert_eq!(changes, [(TimeWait, Closed), (Closed, Established)]);
        }
    }

    /// No socket is listed as closed.
    fn listed_state() -> impl Strategy<Value = TcpState> {
        prop::sample::select(TcpState::ALL.to_vec())
            .prop_filter("listed", |state| *state != TcpState::Closed)
    }

    proptest! {
        /// Whoever takes the changes to the table before has the table.
        #[test]
        fn the_changes_lead_from_one_table_to_the_next(
            tables in prop::collection::vec(
                prop::collection::btree_map(
                    40001_u16..40009,
                    listed_state(),
                    0..8,
                ),
                1..8,
            )
        ) {
            let mut ledger = SocketLedger::default();
            let mut followed: Option<BTreeMap<u16, TcpState>> = None;
            for table in tables {
                let sockets: Vec<Socket> =
                    table.iter().map(|(port, state)| socket(*port, *state, None)).collect();
                let changes = ledger.record(&sockets, Instant::now());
                let states = followed.get_or_insert_with(|| table.clone());
                for SocketChange { socket, from, to, .. } in changes {
                    let port = socket.local.port();
                    let was = states.remove(&port).unwrap_or(TcpState::Closed);
                    prop_assert_eq!(was, from);
                    if to != TcpState::Closed {
                        states.insert(port, to);
                    }
                }
                prop_assert_eq!(&*states, &table);
            }
        }
    }
}
