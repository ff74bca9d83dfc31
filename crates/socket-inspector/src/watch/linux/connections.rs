//! The connections that the looks have shown, also those that are over.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Instant;

use evidence::{Observed, Owner, Side, Socket, TcpState, canonical};
use report::words;
use socket_table::{SocketChange, SocketLedger, TimeInState};

/// As many connections that are over are kept; of more, the latest.
pub(crate) const MOST_OVER: usize = 2000;
/// As many states that an end has left are kept: a whole life has fewer.
const MOST_PAST: usize = 8;

/// The two addresses of a connection, the lower first, IPv4 as plain IPv4.
type SortedAddresses = (SocketAddr, SocketAddr);

/// One end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct SeenEnd {
    /// The socket when its state changed last.
    pub(crate) socket: Socket,
    /// The states that it has left, and how long each lasted.
    pub(crate) past: VecDeque<(TcpState, TimeInState)>,
    /// When it was seen to be gone.
    pub(crate) gone: Option<Instant>,
}

impl SeenEnd {
    fn of(socket: &Socket) -> Self {
        Self { socket: socket.clone(), past: VecDeque::new(), gone: None }
    }

    /// Its state; `CLOSED` if it is gone.
    pub(crate) fn state(&self) -> TcpState {
        if self.gone.is_some() { TcpState::Closed } else { self.socket.state }
    }

    /// The processes that hold it, or were last seen to; `None` if it is not known whether any
    /// does.
    pub(crate) fn owners<'a>(&'a self, ledger: &'a SocketLedger) -> Option<&'a [Owner]> {
        let there = ledger.latest(&self.socket).filter(|_| self.gone.is_none());
        match &there.unwrap_or(&self.socket).owners {
            Observed::Known(owners) => Some(owners),
            Observed::NotObservable => None,
        }
    }

    fn leave(&mut self, change: &SocketChange) {
        if let Some(lasted) = change.lasted {
            self.past.push_back((change.from, lasted));
        }
        if self.past.len() > MOST_PAST {
            self.past.pop_front();
        }
    }
}

/// One connection: both of its ends, or the one that is on this machine.
#[derive(Clone, Debug)]
pub(crate) struct SeenConnection {
    /// Counted from 1 in the order in which they were first seen.
    pub(crate) number: u64,
    /// The ends at the lower and at the higher address, as far as they were seen.
    ends: [Option<SeenEnd>; 2],
    /// The addresses in words, which never change and are searched often.
    words: [String; 2],
}

impl SeenConnection {
    fn new(number: u64, addresses: SortedAddresses) -> Self {
        let words = [addresses.0, addresses.1].map(words::address);
        Self { number, ends: [None, None], words }
    }

    /// Its two ends, the client's first; of unknown sides, the one that was seen.
    pub(crate) fn ends(&self) -> [(&str, Option<&SeenEnd>); 2] {
        let [low, high] = [0, 1].map(|end| (self.words[end].as_str(), self.ends[end].as_ref()));
        let client_is_high = match self.client() {
            Some(client) => client == 1,
            None => low.1.is_none(),
        };
        if client_is_high { [high, low] } else { [low, high] }
    }

    /// Returns true if it is known which end is the client's.
    pub(crate) fn sides_known(&self) -> bool {
        self.client().is_some()
    }

    /// The place of the client's end.
    fn client(&self) -> Option<usize> {
        self.ends.iter().enumerate().find_map(|(place, end)| match end.as_ref()?.socket.side? {
            Side::Client => Some(place),
            Side::Server => Some(1 - place),
        })
    }

    /// The ends that were seen.
    pub(crate) fn seen(&self) -> impl Iterator<Item = &SeenEnd> {
        self.ends.iter().flatten()
    }

    /// When the last of its ends was seen to be gone; `None` while one is there.
    pub(crate) fn over(&self) -> Option<Instant> {
        if self.seen().any(|end| end.gone.is_none()) {
            return None;
        }
        self.seen().filter_map(|end| end.gone).max()
    }

    /// The processes that hold an end of it, or were last seen to.
    pub(crate) fn owners<'a>(
        &'a self,
        ledger: &'a SocketLedger,
    ) -> impl Iterator<Item = &'a Owner> {
        self.seen().flat_map(|end| end.owners(ledger).unwrap_or_default())
    }
}

/// All of them, in the order of their numbers.
#[derive(Debug, Default)]
pub(crate) struct SeenConnections {
    all: BTreeMap<u64, SeenConnection>,
    /// The connection of each end that is there: the addresses, and which of them is the end's.
    ends: HashMap<(SortedAddresses, usize), u64>,
    /// Those that are over, in the order of their ends.
    over: VecDeque<u64>,
    numbers: u64,
}

impl SeenConnections {
    /// Takes in a socket that is seen from now on.
    pub(crate) fn found(&mut self, socket: &Socket) {
        if socket.state != TcpState::Listen {
            self.appear(socket);
        }
    }

    /// Takes in what a look has shown to have changed, what is gone first.
    pub(crate) fn follow(&mut self, changes: &[SocketChange], at: Instant) {
        for change in changes.iter().filter(|change| change.socket.state != TcpState::Listen) {
            if change.to == TcpState::Closed {
                self.disappear(change, at);
            } else if change.from == TcpState::Closed {
                self.appear(&change.socket);
            } else if let Some(end) = self.end(&change.socket) {
                end.leave(change);
                end.socket = change.socket.clone();
            } else {
                self.appear(&change.socket);
            }
        }
    }

    /// Forgets those that are over.
    pub(crate) fn forget_over(&mut self) {
        while self.forget_first_over() {}
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &SeenConnection> {
        self.all.values()
    }

    pub(crate) fn get(&self, number: u64) -> Option<&SeenConnection> {
        self.all.get(&number)
    }

    /// How many are there, and how many are over and kept.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.all.len() - self.over.len(), self.over.len())
    }

    /// How many have been seen.
    pub(crate) fn seen(&self) -> u64 {
        self.numbers
    }

    fn appear(&mut self, socket: &Socket) {
        let (addresses, place) = addresses(socket);
        let other_place = 1 - place;
        let number = match self.ends.get(&(addresses, other_place)).copied() {
            Some(known) if self.slot(known, place).is_some_and(|slot| slot.is_none()) => known,
            // The other end has had another one here: `TIME_WAIT` of an earlier connection. It is
            // this one's.
            Some(known) => {
                let number = self.open(addresses);
                let other = self.slot(known, other_place).and_then(Option::take);
                self.put(number, addresses, other_place, other);
                self.note_over(known);
                number
            }
            None => self.open(addresses),
        };
        self.put(number, addresses, place, Some(SeenEnd::of(socket)));
    }

    fn put(&mut self, number: u64, addresses: SortedAddresses, place: usize, end: Option<SeenEnd>) {
        if let Some(slot) = self.slot(number, place) {
            *slot = end;
            self.ends.insert((addresses, place), number);
        }
    }

    fn slot(&mut self, number: u64, place: usize) -> Option<&mut Option<SeenEnd>> {
        self.all.get_mut(&number)?.ends.get_mut(place)
    }

    /// A new connection, of which no end has been seen yet.
    fn open(&mut self, addresses: SortedAddresses) -> u64 {
        self.numbers += 1;
        self.all.insert(self.numbers, SeenConnection::new(self.numbers, addresses));
        self.numbers
    }

    fn disappear(&mut self, change: &SocketChange, at: Instant) {
        let Some(end) = self.end(&change.socket) else { return };
        end.leave(change);
        end.socket = change.socket.clone();
        end.gone = Some(at);
        if let Some(number) = self.ends.remove(&addresses(&change.socket)) {
            self.note_over(number);
        }
    }

    /// Takes note of a connection that may be over.
    fn note_over(&mut self, number: u64) {
        if self.all.get(&number).is_some_and(|it| it.over().is_some()) {
            self.over.push_back(number);
        }
        if self.over.len() > MOST_OVER {
            self.forget_first_over();
        }
    }

    fn forget_first_over(&mut self) -> bool {
        let Some(number) = self.over.pop_front() else { return false };
        self.all.remove(&number);
        true
    }

    /// The end that `socket` is, if it is there.
    fn end(&mut self, socket: &Socket) -> Option<&mut SeenEnd> {
        let (addresses, place) = addresses(socket);
        let number = *self.ends.get(&(addresses, place))?;
        self.slot(number, place)?.as_mut()
    }
}

/// The addresses of the connection that `socket` is an end of, and the place of its own.
fn addresses(socket: &Socket) -> (SortedAddresses, usize) {
    let (local, peer) = (canonical(socket.local), canonical(socket.peer));
    if local <= peer { ((local, peer), 0) } else { ((peer, local), 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use super::super::samples::{client, server};
    use proptest::prelude::*;

    /// The connections after some looks, of which each shows these sockets.
    fn after(looks: &[Vec<Socket>]) -> SeenConnections {
        let (mut ledger, mut connections) = (SocketLedger::default(), SeenConnections::default());
        let start = Instant::now();
        for (look, sockets) in looks.iter().enumerate() {
            let at = start + Duration::from_secs(look as u64);
            let changes = ledger.record(sockets, at);
            if look == 0 {
                sockets.iter().for_each(|socket| connections.found(socket));
            }
            connections.follow(&changes, at);
        }
        connections
    }

    fn states(connection: &SeenConnection) -> [Option<TcpState>; 2] {
        connection.ends().map(|(_, end)| end.map(SeenEnd::state))
    }

    use TcpState::{CloseWait, Closed, Established, FinWait2, TimeWait};

    #[test]
    fn two_ends_are_one_connection_whoever_comes_first() {
        for first_look in [vec![], vec![client(1, Established)], vec![server(1, Established)]] {
            let both = vec![server(1, Established), client(1, Established)];
            let connections = after(&[first_look, both]);
            assert_eq!(connections.count(), (1, 0));
            let connection = connections.get(1).unwrap();
            assert_eq!(states(connection), [Some(Established); 2]);
            assert_eq!(connection.ends()[0].0, "127.0.0.1:40001");
        }
    }

    #[test]
    fn what_is_over_is_kept_with_its_past() {
        let connections = after(&[
            vec![client(1, Established), server(1, Established)],
            vec![client(1, FinWait2), server(1, CloseWait)],
            vec![client(1, TimeWait)],
            vec![],
        ]);
        assert_eq!(connections.count(), (0, 1));
        let connection = connections.get(1).unwrap();
        assert_eq!(states(connection), [Some(Closed); 2]);
        let past = |end: usize| -> Vec<TcpState> {
            connection.ends()[end].1.unwrap().past.iter().map(|(state, _)| *state).collect()
        };
        assert_eq!(past(0), [Established, FinWait2, TimeWait]);
        assert_eq!(past(1), [Established, CloseWait]);
    }

    #[test]
    fn addresses_that_are_used_again_are_another_connection() {
        let connections = after(&[
            vec![client(1, TimeWait)],
            vec![client(1, Established), server(1, Established)],
        ]);
        assert_eq!(connections.count(), (1, 1));
        assert_eq!(states(connections.get(1).unwrap()), [Some(Closed), None]);
        assert_eq!(states(connections.get(2).unwrap()), [Some(Established); 2]);
    }

    /// The server has closed an earlier connection first; its end is replaced when it hears of the
    /// new one.
    #[test]
    fn an_end_belongs_to_the_later_of_two_others() {
        let connections = after(&[
            vec![server(1, TimeWait)],
            vec![server(1, TimeWait), client(1, Established)],
            vec![server(1, Established), client(1, Established)],
            vec![],
        ]);
        assert_eq!(connections.count(), (0, 2));
        assert_eq!(states(connections.get(1).unwrap()), [None, Some(Closed)]);
        assert_eq!(states(connections.get(2).unwrap()), [Some(Closed), Some(Closed)]);
    }

    #[test]
    fn what_is_over_can_be_forgotten() {
        let mut connections = after(&[
            vec![client(1, TimeWait), client(2, Established)],
            vec![client(2, Established)],
        ]);
        connections.forget_over();
        assert_eq!((connections.count(), connections.seen()), ((1, 0), 2));
    }

    proptest! {
        #[test]
        fn every_listed_end_is_in_just_one_connection(
            looks in prop::collection::vec(
                prop::collection::btree_map(
                    (any::<bool>(), 1_u16..4),
                    prop::sample::select(vec![Established, FinWait2, CloseWait, TimeWait]),
                    0..6,
                ),
                1..8,
            )
        ) {
            let sockets = |look: &BTreeMap<(bool, u16), TcpState>| -> Vec<Socket> {
                let end = |(&(is_client, port), &state)| {
                    if is_client { client(port, state) } else { server(port, state) }
                };
                look.iter().map(end).collect()
            };
            let looks: Vec<Vec<Socket>> = looks.iter().map(sockets).collect();
            let connections = after(&looks);
            let mut there: Vec<_> = connections
                .iter()
                .flat_map(SeenConnection::seen)
                .filter(|end| end.gone.is_none())
                .map(|end| (end.socket.local, end.socket.peer, end.socket.state))
                .collect();
            let mut listed: Vec<_> =
                looks[looks.len() - 1].iter().map(|s| (s.local, s.peer, s.state)).collect();
            there.sort();
            listed.sort();
            prop_assert_eq!(there, listed);
            let (open, over) = connections.count();
            prop_assert_eq!(over, connections.iter().filter(|it| it.over().is_some()).count());
            prop_assert_eq!((open + over) as u64, connections.seen());
        }
    }
}
