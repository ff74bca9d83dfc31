//! Which packets belong to which accepted connection. Pure; something is kept of open connections
//! alone.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use evidence::{ClientAddr, ClosedBy, Segment, ServerAddr, Side};
use packets::LiveTalk;
use server::AcceptedId;

/// So long the packets of the other end are waited for after the server's close.
const PATIENCE: Duration = Duration::from_secs(1);

/// So many handshakes are remembered that no accept has been told of: they wait in the queue, are
/// those of another server's connections, or never come to an end.
const MOST_UNACCEPTED: usize = 16 * 1024;

/// All that is known of connections that are open, and of those just closed.
pub(crate) struct WireLives {
    server: ServerAddr,
    peers: HashMap<ClientAddr, PeerLives>,
    /// Those that the server has closed and of which nothing has been said yet.
    closed: Vec<(AcceptedId, ClientAddr)>,
    unaccepted: usize,
    /// The order of handshakes.
    begun: u64,
    /// Up to when packets have been read.
    drained: Option<Instant>,
    deaf: bool,
    dropped: u64,
}

/// The connections of one address of a client's, one after the other.
#[derive(Default)]
struct PeerLives {
    lives: VecDeque<WireLife>,
    /// The one to which the packets belong that come now.
    heard: usize,
}

/// One connection.
#[derive(Default)]
struct WireLife {
    talk: LiveTalk,
    accepted: Option<AcceptedId>,
    close: Option<ServerClose>,
    /// Its place in the order of handshakes.
    begun: u64,
    /// What the kernel had dropped when it began.
    dropped_before: u64,
    /// When the last packet came that was counted, on the clock of the run.
    last: Option<Duration>,
    shown: bool,
}

/// The server's word on a close.
#[derive(Clone, Copy)]
struct ServerClose {
    at: Instant,
    by: ClosedBy,
}

/// A connection whose packets have come to an end, or are no longer waited for.
pub(crate) struct WireEnd {
    pub(crate) connection: AcceptedId,
    pub(crate) client: ClientAddr,
    /// What the packets say.
    pub(crate) talk: LiveTalk,
    /// Who closed first, as the server saw it.
    pub(crate) by: ClosedBy,
    /// When the last packet came; `None` if none did.
    pub(crate) last: Option<Duration>,
    /// How many packets, of any connection, were dropped by the kernel during its life.
    pub(crate) dropped: u64,
    /// False if packets may have come that nobody has read.
    pub(crate) is_read: bool,
}

impl WireLives {
    pub(crate) fn of(server: ServerAddr) -> Self {
        Self {
            server,
            peers: HashMap::new(),
            closed: Vec::new(),
            unaccepted: 0,
            begun: 0,
            drained: None,
            deaf: false,
            dropped: 0,
        }
    }

    /// Takes a packet.
    pub(crate) fn packet(&mut self, segment: &Segment, interface: u32, dropped: u64) {
        self.dropped = self.dropped.max(dropped);
        let Some((from, client)) = self.sender(segment) else { return };
        let is_dial = from == Side::Client && LiveTalk::is_dial(segment);
        if !self.peers.contains_key(&client) && !is_dial {
            return; // of a connection that is over, or of another server's
        }
        let (begun, dropped_before) = (self.begun, self.dropped);
        let peer = self.peers.entry(client).or_default();
        if peer.current().is_none_or(|life| life.talk.is_left_by(segment)) {
            let fresh = WireLife { begun, dropped_before, ..WireLife::default() };
            self.unaccepted += usize::from(peer.begin(fresh));
            self.begun += 1;
        }
        if let Some(life) = peer.current() {
            life.talk.hear(from, segment, interface);
            life.last = Some(segment.at);
        }
        if self.unaccepted > MOST_UNACCEPTED {
            self.forget_unaccepted();
        }
    }

    /// Takes notice of up to when packets have been read.
    pub(crate) fn drained(&mut self, at: Instant) {
        self.drained = Some(at);
    }

    /// Nothing more will be heard.
    pub(crate) fn deaf(&mut self) {
        self.deaf = true;
    }

    pub(crate) fn accepted(&mut self, connection: AcceptedId, client: ClientAddr) {
        let (begun, dropped_before) = (self.begun, self.dropped);
        let peer = self.peers.entry(client).or_default();
        let mut waiting = peer.lives.iter_mut().filter(|life| life.accepted.is_none());
        if let Some(life) = waiting.next() {
            life.accepted = Some(connection);
            self.unaccepted = self.unaccepted.saturating_sub(1);
            return;
        }
        // Its packets are still to be read, or its handshake was over before anybody listened.
        let accepted = Some(connection);
        peer.lives.push_back(WireLife { accepted, begun, dropped_before, ..WireLife::default() });
    }

    pub(crate) fn closed(
        &mut self,
        connection: AcceptedId,
        client: ClientAddr,
        by: ClosedBy,
        at: Instant,
    ) {
        if let Some(life) = self.life(connection, client) {
            life.close = Some(ServerClose { at, by });
            self.closed.push((connection, client));
        }
    }

    pub(crate) fn shown(&mut self, connection: AcceptedId) {
        let client = self.closed.iter().find(|(closed, _)| *closed == connection);
        if let Some((_, client)) = client.copied()
            && let Some(life) = self.life(connection, client)
        {
            life.shown = true;
        }
    }

    pub(crate) fn has_closed(&self) -> bool {
        !self.closed.is_empty()
    }

    /// Takes those out whose packets have come to an end. `at_last` those, too, of which more might
    /// come.
    pub(crate) fn ended(&mut self, at_last: bool) -> Vec<WireEnd> {
        let mut ended = Vec::new();
        let mut index = 0;
        while let Some((connection, client)) = self.closed.get(index).copied() {
            match self.end(connection, client, at_last) {
                Some(end) => {
                    self.closed.remove(index);
                    ended.push(end);
                }
                None => index += 1,
            }
        }
        ended
    }

    fn end(
        &mut self,
        connection: AcceptedId,
        client: ClientAddr,
        at_last: bool,
    ) -> Option<WireEnd> {
        let (drained, deaf, dropped) = (self.drained, self.deaf, self.dropped);
        let life = self.life(connection, client)?;
        let close = life.close?;
        let read_up_to = |moment: Instant| drained.is_some_and(|drained| drained >= moment);
        let waited = read_up_to(close.at + PATIENCE) || deaf || at_last;
        // Where events come faster than they are written, the line of the close may never come.
        let in_turn = life.shown || read_up_to(close.at + 2 * PATIENCE) || at_last;
        if !in_turn || !(life.talk.is_over() || waited) {
            return None;
        }
        let is_read = life.talk.is_over() || read_up_to(close.at);
        let end = WireEnd {
            connection,
            client,
            talk: std::mem::take(&mut life.talk),
            by: close.by,
            last: life.last,
            dropped: dropped.saturating_sub(life.dropped_before),
            is_read,
        };
        self.forget(connection, client);
        Some(end)
    }

    /// Which end sent it, and to or from which client; `None` if it is no packet of the server's.
    fn sender(&self, segment: &Segment) -> Option<(Side, ClientAddr)> {
        let is_server = |address: std::net::SocketAddr| {
            let (own, address) =
                (self.server.socket_addr(), ServerAddr::new(address).socket_addr());
            own.port() == address.port() && (own.ip().is_unspecified() || own.ip() == address.ip())
        };
        let (source, destination) = (segment.source, segment.destination);
        match (is_server(source), is_server(destination)) {
            (false, true) => Some((Side::Client, ClientAddr::new(source))),
            (true, false) => Some((Side::Server, ClientAddr::new(destination))),
            (true, true) if self.peers.contains_key(&ClientAddr::new(destination)) => {
                Some((Side::Server, ClientAddr::new(destination)))
            }
            // The client has the same port as the server.
            (true, true) => Some((Side::Client, ClientAddr::new(source))),
            (false, false) => None,
        }
    }

    fn life(&mut self, connection: AcceptedId, client: ClientAddr) -> Option<&mut WireLife> {
        let peer = self.peers.get_mut(&client)?;
        peer.lives.iter_mut().find(|life| life.accepted == Some(connection))
    }

    fn forget(&mut self, connection: AcceptedId, client: ClientAddr) {
        let Some(peer) = self.peers.get_mut(&client) else { return };
        if let Some(place) = peer.lives.iter().position(|life| life.accepted == Some(connection)) {
            peer.lives.remove(place);
            if place <= peer.heard {
                peer.heard = peer.heard.saturating_sub(1);
            }
        }
        if peer.lives.is_empty() {
            self.peers.remove(&client);
        }
    }

    /// Forgets the older half of the handshakes that nobody has accepted.
    fn forget_unaccepted(&mut self) {
        let mut waiting: Vec<u64> = self.waiting().map(|life| life.begun).collect();
        waiting.sort_unstable();
        let middle = waiting.get(waiting.len() / 2).copied().unwrap_or_default();
        self.peers.retain(|_, peer| {
            peer.lives.retain(|life| life.accepted.is_some() || life.begun > middle);
            peer.heard = peer.heard.min(peer.lives.len().saturating_sub(1));
            !peer.lives.is_empty()
        });
        self.unaccepted = self.waiting().count();
    }

    fn waiting(&self) -> impl Iterator<Item = &WireLife> {
        self.peers.values().flat_map(|peer| &peer.lives).filter(|life| life.accepted.is_none())
    }
}

impl PeerLives {
    /// Lets the packets from now on be another connection's. Returns true if nobody has accepted it,
    /// and there is one more of this kind.
    fn begin(&mut self, fresh: WireLife) -> bool {
        let (next, count) = (self.heard + 1, self.lives.len());
        match self.current() {
            Some(life) if life.accepted.is_none() => {
                *life = fresh; // nobody took it: it never came to be
                false
            }
            Some(_) if next < count => {
                self.heard = next;
                false
            }
            _ => {
                self.heard = count;
                self.lives.push_back(fresh);
                true
            }
        }
    }

    fn current(&mut self) -> Option<&mut WireLife> {
        self.lives.get_mut(self.heard)
    }
}

#[cfg(test)]
mod tests;
