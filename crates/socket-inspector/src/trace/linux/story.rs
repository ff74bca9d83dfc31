//! From single changes to the story of each connection: a state machine without input or output.
//!
//! Changes may come in any order and some may be missing: what does not follow from what is known
//! is told as a gap, and no duration is made up for it.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use evidence::{Side, TcpState, canonical};

use super::bytes::EndBytes;
use super::change::{MomentRange, StateChange, TimeSpan};
use summary::summary;
pub(crate) use summary::{ConnectionEnding, ConnectionSummary};

mod summary;

/// How long the first change of a fresh client socket is kept back for its port to be known.
const PATIENCE: Duration = Duration::from_millis(100);

/// An event that is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoryEvent {
    Change(ChangeLine),
    Ended(ConnectionSummary),
}

impl StoryEvent {
    /// When it happened, to tell things in their order.
    pub(crate) fn when(&self) -> MomentRange {
        match self {
            Self::Change(line) => line.when,
            Self::Ended(summary) => summary.when,
        }
    }
}

/// One change of one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ChangeLine {
    pub(crate) when: MomentRange,
    /// The number of its connection, counted from 1; `None` for a socket that listens.
    pub(crate) connection: Option<u64>,
    pub(crate) side: Option<Side>,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) old: TcpState,
    pub(crate) new: TcpState,
    /// How long it was in `old`; `None` if nobody saw when that began.
    pub(crate) lasted: Option<TimeSpan>,
    pub(crate) unseen: Vec<TcpState>,
    /// True if at least one change before this one is missing.
    pub(crate) gap: bool,
    pub(crate) left: Option<Duration>,
    /// True if the socket is in another network, and sock_diag would have to tell whether it has
    /// gone to `TIME_WAIT`.
    pub(crate) unseen_here: bool,
    /// True if the socket is in another network than this program, as far as is known.
    pub(crate) elsewhere: bool,
}

/// The two addresses of a socket, its own first, and the number of its network.
type EndKey = (SocketAddr, SocketAddr, u16);

/// The key of the other end of the same connection.
fn back(key: EndKey) -> EndKey {
    (key.1, key.0, key.2)
}

/// The knowledge about one end of a connection.
#[derive(Clone, Debug)]
struct StoryEnd {
    number: u64,
    side: Option<Side>,
    state: TcpState,
    /// When it came into `state`; `None` if it was so before anybody watched.
    since: Option<MomentRange>,
    established: Option<MomentRange>,
    /// True if it was open before anybody watched.
    older: bool,
    fin_wait: bool,
    close_wait: bool,
    /// When it sent its FIN before the peer's had come, or had the peer's before it sent its own.
    first_fin: Option<MomentRange>,
    last_ack: Option<MomentRange>,
    /// The rest of its `TIME_WAIT`.
    left: Option<Duration>,
    /// When it came to be `CLOSED`, and from which state.
    closed: Option<(MomentRange, TcpState)>,
    bytes: Option<EndBytes>,
    /// True if it is known to be in another network than sock_diag tells of.
    elsewhere: bool,
    /// True if its connection has been told to its end, though this end was not done: it was seen
    /// too late, or the other's addresses were in use again too early.
    told: bool,
}

impl StoryEnd {
    fn is_done(&self) -> bool {
        matches!(self.state, TcpState::TimeWait | TcpState::Closed)
    }

    /// Remembers that it came into `state`.
    fn enter(&mut self, state: TcpState, when: MomentRange) {
        // Any other state of the close may be told without this one: then nobody knows the moment.
        if matches!(state, TcpState::FinWait1 | TcpState::CloseWait) {
            self.first_fin = self.first_fin.or(Some(when));
        }
        match state {
            TcpState::Established => self.established = self.established.or(Some(when)),
            TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing | TcpState::TimeWait => {
                self.fin_wait = true;
            }
            TcpState::CloseWait => self.close_wait = true,
            TcpState::LastAck => {
                self.close_wait = true;
                self.last_ack = Some(when);
            }
            TcpState::Closed => self.closed = Some((when, self.state)),
            TcpState::Listen | TcpState::SynSent | TcpState::SynReceived => {}
        }
        self.state = state;
        self.since = Some(when);
    }
}

/// An end in `TIME_WAIT` whose connection has been told to its end.
#[derive(Clone, Copy, Debug)]
struct LingeringEnd {
    number: Option<u64>,
    side: Option<Side>,
    since: Option<MomentRange>,
}

/// The first change of a socket that has no port yet.
#[derive(Clone, Debug)]
struct PortlessSocket {
    change: StateChange,
    /// True if it has been told, as its port was too long in coming.
    told: bool,
}

/// Everything that is known about the connections that are watched.
#[derive(Debug, Default)]
pub(crate) struct ConnectionStory {
    /// Ports asked for: servers' where nothing better is known.
    asked_for: BTreeSet<u16>,
    /// When it was known what was there already: changes up to then may be known, too.
    seeded: Duration,
    numbers: u64,
    ends: HashMap<EndKey, StoryEnd>,
    lingering: HashMap<EndKey, LingeringEnd>,
    /// First changes of sockets that have no port yet, by the kernel's address of the socket.
    fresh: HashMap<u64, PortlessSocket>,
    /// The ends that one reading has shown to be done, until all that it shows is known.
    reading: Option<Vec<EndKey>>,
    told: Vec<StoryEvent>,
}

impl ConnectionStory {
    pub(crate) fn new(ports: &[u16]) -> Self {
        Self { asked_for: ports.iter().copied().collect(), ..Self::default() }
    }

    /// Returns what there is to tell since it was asked last, in the order in which it happened.
    pub(crate) fn take(&mut self) -> Vec<StoryEvent> {
        let mut told = std::mem::take(&mut self.told);
        told.sort_by_key(|told| (told.when().latest, told.when().earliest));
        told
    }

    /// How many connections there were so far.
    pub(crate) fn connections(&self) -> u64 {
        self.numbers
    }

    /// Takes note of a socket that was there before anybody watched, as was known at `at`.
    pub(crate) fn seed(&mut self, socket: &evidence::Socket, at: Duration) {
        self.seeded = at;
        let key = key(socket.local, socket.peer, 0);
        match socket.state {
            TcpState::Listen | TcpState::Closed => {}
            TcpState::TimeWait => {
                let lingering = LingeringEnd { number: None, side: socket.side, since: None };
                self.lingering.insert(key, lingering);
            }
            state => {
                let number = self.number_of(key);
                let end = StoryEnd { state, older: true, ..new_end(number, socket.side, state) };
                self.ends.insert(key, end);
            }
        }
    }

    /// Takes note of what the processes at one end have written and read so far. Nothing is kept
    /// of an end that is not known.
    pub(crate) fn bytes(&mut self, change: &StateChange, bytes: EndBytes) {
        let key = key(change.local, change.peer, change.network.number);
        if let Some(end) = self.ends.get_mut(&key) {
            end.bytes = Some(bytes);
        }
    }

    /// The same from a witness that sees less than there is, and not always more than before.
    pub(crate) fn bytes_at_least(&mut self, local: SocketAddr, peer: SocketAddr, bytes: EndBytes) {
        if let Some(end) = self.ends.get_mut(&key(local, peer, 0)) {
            end.bytes = Some(end.bytes.map_or(bytes, |known| known.at_least_both(bytes)));
        }
    }

    /// Takes note of one change.
    pub(crate) fn change(&mut self, change: StateChange) {
        self.change_with(change, None);
    }

    /// Takes note of what one reading of the table shows, compared with the one before.
    ///
    /// Nobody knows in which order these changes came, and a connection may first be seen when both
    /// of its ends are closing. So none is told to its end before all of them are known.
    pub(crate) fn reading(&mut self, mut changes: Vec<StateChange>) {
        // Addresses that are in use again begin another connection after the one before.
        changes.sort_by_key(|change| change.old == TcpState::Closed);
        self.reading = Some(Vec::new());
        for change in changes {
            self.change(change);
        }
        for key in self.reading.take().unwrap_or_default() {
            self.end(key, false);
        }
    }

    /// Takes note of one change, and of what was written and read at that end up to it.
    pub(crate) fn change_with(&mut self, mut change: StateChange, bytes: Option<EndBytes>) {
        if change.old == change.new {
            return; // the kernel announces FIN_WAIT_1 once more when a half-closed end is closed
        }
        change.local.set_ip(change.local.ip().to_canonical());
        change.peer.set_ip(change.peer.ip().to_canonical());
        if change.new == TcpState::Listen
            || (change.old == TcpState::Listen && change.new == TcpState::Closed)
        {
            self.tell(&change, None, None, None, false);
            return;
        }
        if let Some(address) = change.kernel_address {
            if change.local.port() == 0 {
                let fresh = PortlessSocket { change, told: false };
                if let Some(abandoned) = self.fresh.insert(address, fresh) {
                    self.tell_fresh(&abandoned);
                }
                return;
            }
            if let Some(PortlessSocket { change: mut first, told }) = self.fresh.remove(&address) {
                first.local = change.local;
                first.network = change.network;
                self.follow(&first, None, told);
            }
        }
        self.follow(&change, bytes, false);
    }

    /// Tells what was kept back for too long: a socket that takes its time to connect.
    pub(crate) fn tick(&mut self, now: Duration) {
        let late = |fresh: &PortlessSocket| {
            !fresh.told && now.saturating_sub(fresh.change.when.latest) > PATIENCE
        };
        let overdue: Vec<u64> =
            self.fresh.iter().filter(|(_, fresh)| late(fresh)).map(|(at, _)| *at).collect();
        for address in overdue {
            if let Some(mut fresh) = self.fresh.remove(&address) {
                self.tell_fresh(&fresh);
                fresh.told = true;
                self.fresh.insert(address, fresh);
            }
        }
    }

    fn tell_fresh(&mut self, fresh: &PortlessSocket) {
        if !fresh.told {
            self.tell(&fresh.change, None, Some(Side::Client), None, false);
        }
    }

    /// A change of a socket that has both of its addresses.
    fn follow(&mut self, change: &StateChange, bytes: Option<EndBytes>, told: bool) {
        let key = key(change.local, change.peer, change.network.number);
        if change.old == TcpState::TimeWait
            && let Some(old) = self.lingering.remove(&key)
        {
            let lasted = old.since.map(|since| since.until(change.when));
            self.tell(change, old.number, old.side, lasted, false);
            return;
        }
        if let Some(end) = self.ends.get(&key)
            && end.older
            && change.when.latest <= self.seeded
            && end.state != change.old
        {
            return; // what was there already came about by this very change
        }
        let begins = matches!(change.old, TcpState::Closed | TcpState::Listen);
        if begins && self.ends.contains_key(&key) {
            self.end(key, true); // its end was missed: the addresses are in use again
        }
        let late = self.late_end_of(change, key);
        let number = late.unwrap_or_else(|| self.number_of(key));
        let side = self.side_of(change, key);
        let known = self.ends.remove(&key);
        let gap = match &known {
            Some(end) => end.state != change.old,
            None => !begins,
        };
        let mut end = known
            .unwrap_or_else(|| StoryEnd { older: !begins, ..new_end(number, side, change.old) });
        end.side = end.side.or(side);
        end.told |= late.is_some();

        let mut when = change.when;
        if let (TcpState::TimeWait, Some(other)) = (change.new, self.ends.get(&back(key))) {
            // The peer's FIN brought this about, and its ACK has let the peer go.
            when = when.within(other.last_ack, other.closed.map(|(when, _)| when));
        }
        let since = end.since.filter(|_| !gap && !begins);
        let lasted = since.map(|since| since.until(when));
        end.state = change.old;
        for &state in change.unseen.iter().chain([&change.new]) {
            end.enter(state, when);
        }
        end.left = change.left;
        end.elsewhere |= change.network.elsewhere == Some(true);
        end.bytes = bytes.or(end.bytes);
        let (number, side) = (end.number, end.side);
        self.ends.insert(key, end);
        if !told {
            self.tell(&StateChange { when, ..change.clone() }, Some(number), side, lasted, gap);
        }
        match &mut self.reading {
            Some(done) => done.push(key),
            None => self.end(key, false),
        }
    }

    /// Tells the end of the connection of `key` if all of its ends that were seen are done, or
    /// anyway if it is `certain`.
    fn end(&mut self, key: EndKey, certain: bool) {
        let back = back(key);
        let Some(end) = self.ends.get(&key) else { return };
        let other = self.ends.get(&back).filter(|o| o.number == end.number && back != key);
        let done = end.is_done() && other.is_none_or(StoryEnd::is_done);
        if !done && !certain {
            return;
        }
        let is_told = end.told;
        let summary = summary(key, end, other);
        let other_is_done = other.map(StoryEnd::is_done);
        self.linger(key);
        match other_is_done {
            Some(true) => self.linger(back),
            Some(false) => self.ends.get_mut(&back).into_iter().for_each(|end| end.told = true),
            None => {}
        }
        if !is_told {
            self.told.push(StoryEvent::Ended(summary));
        }
    }

    /// Forgets an end, but for its `TIME_WAIT`.
    fn linger(&mut self, key: EndKey) {
        if let Some(end) = self.ends.remove(&key).filter(|end| end.state == TcpState::TimeWait) {
            let number = Some(end.number);
            let lingering = LingeringEnd { number, side: end.side, since: end.since };
            self.lingering.insert(key, lingering);
        }
    }

    /// The number of the connection of which `key` is one end: that of an end that is known, or
    /// the next one.
    fn number_of(&mut self, key: EndKey) -> u64 {
        let other = || self.ends.get(&back(key)).filter(|end| !end.told);
        if let Some(end) = self.ends.get(&key).or_else(other) {
            return end.number;
        }
        self.numbers = self.numbers.saturating_add(1);
        self.numbers
    }

    /// The number of the connection that has been told to its end when only the other end, in
    /// `TIME_WAIT`, had been seen: `key` is the end that was missing. Where the other end is in
    /// `TIME_WAIT` this one has sent its FIN, so that any other state is another connection's.
    fn late_end_of(&self, change: &StateChange, key: EndKey) -> Option<u64> {
        let back = back(key);
        let closing =
            matches!(change.new, TcpState::LastAck | TcpState::Closing | TcpState::TimeWait);
        let is_new = change.old == TcpState::Closed && closing && key != back;
        if !is_new || self.ends.contains_key(&key) || self.ends.contains_key(&back) {
            return None;
        }
        self.lingering.get(&back)?.number
    }

    /// Which end it is: from how it began, from the witness, from the other end, from the ports.
    fn side_of(&self, change: &StateChange, key: EndKey) -> Option<Side> {
        let asked = |address: SocketAddr| self.asked_for.contains(&address.port());
        match (change.old, change.new) {
            (TcpState::Closed, TcpState::SynSent) => return Some(Side::Client),
            (TcpState::Listen, _) => return Some(Side::Server),
            _ => {}
        }
        let back = back(key);
        let other = self.ends.get(&back).map(|end| end.side);
        let other = other.or_else(|| self.lingering.get(&back).map(|end| end.side)).flatten();
        change.side.or(other.map(Side::opposite)).or_else(|| match (asked(key.0), asked(key.1)) {
            (true, false) => Some(Side::Server),
            (false, true) => Some(Side::Client),
            _ => None,
        })
    }

    fn tell(
        &mut self,
        change: &StateChange,
        connection: Option<u64>,
        side: Option<Side>,
        lasted: Option<TimeSpan>,
        gap: bool,
    ) {
        self.told.push(StoryEvent::Change(ChangeLine {
            when: change.when,
            connection,
            side,
            local: change.local,
            peer: change.peer,
            old: change.old,
            new: change.new,
            lasted,
            unseen: change.unseen.clone(),
            gap,
            left: change.left,
            unseen_here: leaves_remains(change) && change.network.elsewhere == Some(true),
            elsewhere: change.network.elsewhere == Some(true) || change.network.number != 0,
        }));
    }
}

fn key(local: SocketAddr, peer: SocketAddr, network: u16) -> EndKey {
    (canonical(local), canonical(peer), network)
}

/// Returns true if the tracepoint tells the end of a socket in whose place the kernel may have put a
/// small one.
fn leaves_remains(change: &StateChange) -> bool {
    matches!(change.old, TcpState::FinWait2 | TcpState::Closing) && change.new == TcpState::Closed
}

/// An end of which nothing is known but its state.
fn new_end(number: u64, side: Option<Side>, state: TcpState) -> StoryEnd {
    StoryEnd {
        number,
        side,
        state,
        since: None,
        established: None,
        older: false,
        fin_wait: false,
        close_wait: false,
        first_fin: None,
        last_ack: None,
        left: None,
        closed: None,
        bytes: None,
        elsewhere: false,
        told: false,
    }
}

#[cfg(test)]
mod tests;
