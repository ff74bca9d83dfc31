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
}

/// One connection that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionSummary {
    /// When the last of its ends that was seen was done with it.
    pub(crate) when: MomentRange,
    pub(crate) connection: u64,
    /// The client's address where the sides are known, else one of the two.
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) sides_known: bool,
    pub(crate) ending: ConnectionEnding,
    /// From the first `ESTABLISHED` to the end; `None` if it was open before anybody watched, or
    /// never.
    pub(crate) age: Option<TimeSpan>,
    /// The ends that hold `TIME_WAIT`.
    pub(crate) time_wait: Vec<Option<Side>>,
    /// The rest of it.
    pub(crate) left: Option<Duration>,
    /// True if an end should have come to hold it but was not found to. There are several reasons:
    /// a reset or a timeout came first, the kernel has no room for more
    /// (`net.ipv4.tcp_max_tw_buckets`), or the connection is in another network namespace, of
    /// which sock_diag does not tell here.
    pub(crate) time_wait_not_found: bool,
    /// The bytes written and read at the address that is called the client's; `None` if nobody
    /// knows: the end is on another machine, or the witness does not tell.
    pub(crate) client_bytes: Option<EndBytes>,
    /// The same at the other address.
    pub(crate) server_bytes: Option<EndBytes>,
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionEnding {
    /// This end sent the first FIN.
    ClosedFirst(Option<Side>),
    /// Both ends sent a FIN before they had the other's.
    Both,
    /// Without a FIN: a reset, or a timeout. This end was seen to be gone first.
    Aborted(Option<Side>),
    /// Without a FIN, and nobody can tell which end was gone first.
    AbortedBySomebody,
    /// The connection never came to be: refused, or nobody answered.
    NeverOpen,
    /// The changes that would tell are missing.
    Unknown,
}

/// The two addresses of a socket, its own first.
type AddressPair = (SocketAddr, SocketAddr);

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
    last_ack: Option<MomentRange>,
    /// The rest of its `TIME_WAIT`.
    left: Option<Duration>,
    /// When it came to be `CLOSED`, and from which state.
    closed: Option<(MomentRange, TcpState)>,
    bytes: Option<EndBytes>,
}

impl StoryEnd {
    fn is_done(&self) -> bool {
        matches!(self.state, TcpState::TimeWait | TcpState::Closed)
    }

    /// Remembers that it came into `state`.
    fn enter(&mut self, state: TcpState, when: MomentRange) {
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
    ends: HashMap<AddressPair, StoryEnd>,
    lingering: HashMap<AddressPair, LingeringEnd>,
    /// First changes of sockets that have no port yet, by the kernel's address of the socket.
    fresh: HashMap<u64, PortlessSocket>,
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
        let key = key(socket.local, socket.peer);
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
    pub(crate) fn bytes(&mut self, local: SocketAddr, peer: SocketAddr, bytes: EndBytes) {
        if let Some(end) = self.ends.get_mut(&key(local, peer)) {
            end.bytes = Some(bytes);
        }
    }

    /// The same from a witness that sees less than there is, and not always more than before.
    pub(crate) fn bytes_at_least(&mut self, local: SocketAddr, peer: SocketAddr, bytes: EndBytes) {
        if let Some(end) = self.ends.get_mut(&key(local, peer)) {
            end.bytes = Some(end.bytes.map_or(bytes, |known| known.at_least_both(bytes)));
        }
    }

    /// Takes note of one change.
    pub(crate) fn change(&mut self, change: StateChange) {
        self.change_with(change, None);
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
        let key = key(change.local, change.peer);
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
        let number = self.number_of(key);
        let side = self.side_of(change, key);
        let known = self.ends.remove(&key);
        let gap = match &known {
            Some(end) => end.state != change.old,
            None => !begins,
        };
        let mut end = known
            .unwrap_or_else(|| StoryEnd { older: !begins, ..new_end(number, side, change.old) });
        end.side = end.side.or(side);

        let mut when = change.when;
        if let (TcpState::TimeWait, Some(other)) = (change.new, self.ends.get(&(key.1, key.0))) {
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
        end.bytes = bytes.or(end.bytes);
        let (number, side) = (end.number, end.side);
        self.ends.insert(key, end);
        if !told {
            self.tell(&StateChange { when, ..change.clone() }, Some(number), side, lasted, gap);
        }
        self.end(key, false);
    }

    /// Tells the end of the connection of `key` if all of its ends that were seen are done, or
    /// anyway if it is `certain`.
    fn end(&mut self, key: AddressPair, certain: bool) {
        let back = (key.1, key.0);
        let Some(end) = self.ends.get(&key) else { return };
        let other = self.ends.get(&back).filter(|o| o.number == end.number && back != key);
        let done = end.is_done() && other.is_none_or(StoryEnd::is_done);
        if !done && !certain {
            return;
        }
        let summary = summary(key, end, other);
        let both = other.is_some();
        self.linger(key);
        if both {
            self.linger(back);
        }
        self.told.push(StoryEvent::Ended(summary));
    }

    /// Forgets an end, but for its `TIME_WAIT`.
    fn linger(&mut self, key: AddressPair) {
        if let Some(end) = self.ends.remove(&key).filter(|end| end.state == TcpState::TimeWait) {
            let number = Some(end.number);
            let lingering = LingeringEnd { number, side: end.side, since: end.since };
            self.lingering.insert(key, lingering);
        }
    }

    /// The number of the connection of which `key` is one end: that of an end that is known, or
    /// the next one.
    fn number_of(&mut self, key: AddressPair) -> u64 {
        let known = self.ends.get(&key).or_else(|| self.ends.get(&(key.1, key.0)));
        if let Some(end) = known {
            return end.number;
        }
        self.numbers = self.numbers.saturating_add(1);
        self.numbers
    }

    /// Which end it is: from how it began, from the witness, from the other end, from the ports.
    fn side_of(&self, change: &StateChange, key: AddressPair) -> Option<Side> {
        let asked = |address: SocketAddr| self.asked_for.contains(&address.port());
        match (change.old, change.new) {
            (TcpState::Closed, TcpState::SynSent) => return Some(Side::Client),
            (TcpState::Listen, _) => return Some(Side::Server),
            _ => {}
        }
        let other = self.ends.get(&(key.1, key.0)).and_then(|end| end.side);
        change.side.or(other.map(opposite)).or_else(|| match (asked(key.0), asked(key.1)) {
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
        }));
    }
}

fn key(local: SocketAddr, peer: SocketAddr) -> AddressPair {
    (canonical(local), canonical(peer))
}

fn opposite(side: Side) -> Side {
    match side {
        Side::Client => Side::Server,
        Side::Server => Side::Client,
    }
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
        last_ack: None,
        left: None,
        closed: None,
        bytes: None,
    }
}

/// Returns what is to be said of a connection in the end.
fn summary(key: AddressPair, end: &StoryEnd, other: Option<&StoryEnd>) -> ConnectionSummary {
    let ends = || std::iter::once(end).chain(other);
    let side = end.side.or_else(|| other.and_then(|other| other.side.map(opposite)));
    let (mine, theirs) = (end.bytes, other.and_then(|other| other.bytes));
    let turned = side == Some(Side::Server);
    let (client, server) = if turned { (key.1, key.0) } else { key };
    let (client_bytes, server_bytes) = if turned { (theirs, mine) } else { (mine, theirs) };
    let last = ends().filter_map(|end| end.since).max_by_key(|when| when.latest);
    let when = last.unwrap_or(MomentRange::at(Duration::ZERO));
    let opened = ends().filter_map(|end| end.established).min();
    let older = ends().any(|end| end.older);
    let waiting = ends().filter(|end| end.state == TcpState::TimeWait);
    ConnectionSummary {
        when,
        connection: end.number,
        client,
        server,
        sides_known: side.is_some(),
        ending: ending(end, other),
        age: opened.filter(|_| !older).map(|opened| opened.until(when)),
        left: waiting.clone().filter_map(|end| end.left).max(),
        time_wait_not_found: ends().any(|end| {
            let from = end.closed.map(|(_, from)| from);
            matches!(from, Some(TcpState::FinWait2 | TcpState::Closing))
        }),
        time_wait: waiting.map(|end| end.side).collect(),
        client_bytes,
        server_bytes,
    }
}

fn ending(end: &StoryEnd, other: Option<&StoryEnd>) -> ConnectionEnding {
    let opposite_of = |end: &StoryEnd| end.side.map(opposite);
    match (end, other) {
        (one, Some(two)) if one.fin_wait && two.fin_wait => return ConnectionEnding::Both,
        (one, _) if one.fin_wait => return ConnectionEnding::ClosedFirst(one.side),
        (_, Some(two)) if two.fin_wait => return ConnectionEnding::ClosedFirst(two.side),
        (one, _) if one.close_wait => return ConnectionEnding::ClosedFirst(opposite_of(one)),
        (_, Some(two)) if two.close_wait => return ConnectionEnding::ClosedFirst(opposite_of(two)),
        _ => {}
    }
    let mut closed: Vec<(MomentRange, &StoryEnd)> = [Some(end), other]
        .into_iter()
        .flatten()
        .filter_map(|end| Some((end.closed?.0, end)))
        .collect();
    closed.sort_by_key(|(when, _)| *when);
    let from = |state| closed.iter().any(|(_, end)| end.closed.is_some_and(|c| c.1 == state));
    match closed.as_slice() {
        _ if !from(TcpState::Established) && from(TcpState::SynSent) => ConnectionEnding::NeverOpen,
        _ if !from(TcpState::Established) => ConnectionEnding::Unknown,
        [(first, end), (second, _)] if first.latest < second.earliest => {
            ConnectionEnding::Aborted(end.side)
        }
        _ => ConnectionEnding::AbortedBySomebody,
    }
}

#[cfg(test)]
mod tests;
