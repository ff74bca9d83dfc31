//! Turns what client and server tell, moment by moment, into facts about exchanges and
//! connections.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use evidence::{
    ClientAddr, CloseReason, ClosedBy, ConnectionId, Ends, ExchangeId, InFlight, Moment, NotPooled,
    Observed, RunEvent, ServerAddr, ServerCloseReason, TraceEvent,
};
use server::{ServerEvent, ServerMoment};
use tokio::sync::Notify;
use transport::GIVEN_UP;

use crate::lock;

/// Hears the client's trace.
#[derive(Default)]
pub(crate) struct ClientWitness {
    notes: Mutex<ClientNotes>,
    /// Rung when more connections are open than ever before.
    pub(crate) busier: Notify,
    /// Rung when a connection is closed.
    pub(crate) one_less: Notify,
}

#[derive(Default)]
struct ClientNotes {
    exchanges: HashMap<ExchangeId, ExchangeNotes>,
    connections: BTreeMap<ConnectionId, ConnectionNotes>,
    /// Connections whose client has decided not to pool them, but that are not closed yet.
    doomed: BTreeSet<ConnectionId>,
    /// Exchanges that are over, but whose client has not decided on the connection: it may be
    /// draining what the reader left of the body.
    undecided: BTreeSet<ExchangeId>,
    /// Dials that are under way, or were given up before anybody was told how they ended.
    unfinished_dials: usize,
    /// Connections whose body the reader keeps, so that nobody looks at them.
    held: BTreeSet<ConnectionId>,
    open: usize,
    most_open: usize,
    /// Every event, if somebody wants to read them.
    events: Option<Vec<TraceEvent>>,
}

/// The trace's word on one exchange.
#[derive(Clone, Debug)]
pub(crate) struct ExchangeNotes {
    pub(crate) asked_at: Instant,
    pub(crate) connection: Option<ConnectionId>,
    pub(crate) client: Option<ClientAddr>,
    pub(crate) reused: bool,
    pub(crate) idle_before: Observed<Option<Duration>>,
    pub(crate) first_byte_at: Option<Instant>,
    /// `Some(None)`: pooled; `Some(Some(why))`: not.
    pub(crate) put: Option<Option<NotPooled>>,
}

/// The trace's word on one connection.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionNotes {
    pub(crate) ends: Ends,
    /// How many exchanges were given this connection.
    pub(crate) exchanges: u64,
    /// The last exchange that was given it.
    pub(crate) last: Option<ExchangeId>,
    /// Since when it lies in the pool, if it does.
    pub(crate) idle_since: Option<Instant>,
    pub(crate) closed: Option<ClosedNotes>,
}

/// How the client saw a connection end.
#[derive(Clone, Debug)]
pub(crate) struct ClosedNotes {
    pub(crate) at: Instant,
    pub(crate) by: ClosedBy,
    pub(crate) why: Observed<CloseReason>,
    pub(crate) unread: u64,
    /// How long it had been in the pool, if it was there.
    pub(crate) idle: Option<Duration>,
}

impl ClientWitness {
    /// Keeps every event, for [`Self::take_events`].
    pub(crate) fn keep_events(&self) {
        self.lock().events = Some(Vec::new());
    }

    /// The events since the last call, in the order of their moments.
    pub(crate) fn take_events(&self, started: Instant) -> Vec<RunEvent> {
        let mut events = self.lock().events.as_mut().map(std::mem::take).unwrap_or_default();
        events.sort_by_key(|event| event.at);
        events.into_iter().map(|event| event.on_clock(started)).collect()
    }

    /// Returns what is known about an exchange that is over. Forgets it, but if `will_decide`,
    /// waits to hear what its client decides on the connection, unless it has heard that already.
    pub(crate) fn take_exchange(
        &self,
        number: ExchangeId,
        will_decide: bool,
    ) -> Option<ExchangeNotes> {
        let mut notes = self.lock();
        let exchange = notes.exchanges.remove(&number)?;
        if will_decide && exchange.put.is_none() {
            notes.undecided.insert(number);
        }
        Some(exchange)
    }

    /// A held body is about to be let go of: the client will decide on its connection.
    pub(crate) fn will_decide(&self, number: ExchangeId) {
        self.lock().undecided.insert(number);
    }

    /// How many dials have neither opened a connection nor failed: they are under way, or nobody
    /// waited for them any more.
    pub(crate) fn unfinished_dials(&self) -> usize {
        self.lock().unfinished_dials
    }

    /// The reader keeps the body that is on this connection.
    pub(crate) fn holds(&self, connection: ConnectionId) {
        self.lock().held.insert(connection);
    }

    /// The reader has let go of all that it held.
    pub(crate) fn holds_nothing(&self) {
        self.lock().held.clear();
    }

    /// Returns true if the open connections are those whose client's end is `listed`. One that the
    /// reader holds may be missing: if the server has reset it, nobody notices before it is read.
    pub(crate) fn open_are(&self, listed: &HashSet<Ends>) -> bool {
        let notes = self.lock();
        let is_open = |notes: &&ConnectionNotes| notes.closed.is_none();
        let open: HashSet<Ends> =
            notes.connections.values().filter(is_open).map(|it| it.ends).collect();
        let mut missing =
            notes.connections.iter().filter(|(_, it)| is_open(it) && !listed.contains(&it.ends));
        listed.is_subset(&open) && missing.all(|(id, _)| notes.held.contains(id))
    }

    /// How many of them are open.
    pub(crate) fn open(&self) -> usize {
        self.lock().open
    }

    /// How many of them have been closed.
    pub(crate) fn closed(&self) -> usize {
        let notes = self.lock();
        notes.connections.len() - notes.open
    }

    /// The addresses of all of them.
    pub(crate) fn all_ends(&self) -> Vec<Ends> {
        self.lock().connections.values().map(|connection| connection.ends).collect()
    }

    pub(crate) fn connections(&self) -> BTreeMap<ConnectionId, ConnectionNotes> {
        self.lock().connections.clone()
    }

    /// Returns true if every connection is decided on, and every decided close has been carried
    /// out.
    pub(crate) fn is_quiet(&self) -> bool {
        let notes = self.lock();
        notes.doomed.is_empty() && notes.undecided.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, ClientNotes> {
        lock(&self.notes)
    }
}

impl transport::Listener for ClientWitness {
    fn event(&self, event: TraceEvent) {
        let mut notes = self.lock();
        notes.note(&event);
        let one_less = matches!(event.moment, Moment::ConnectionClosed { .. });
        let busier = notes.open > notes.most_open;
        notes.most_open = notes.most_open.max(notes.open);
        if let Some(events) = &mut notes.events {
            let mut event = event;
            // What is kept is written, and passed on.
            transport::hide_in_moment(&mut event.moment);
            events.push(event);
        }
        drop(notes);
        if busier {
            self.busier.notify_one();
        }
        if one_less {
            self.one_less.notify_one();
        }
    }
}

impl ClientNotes {
    fn note(&mut self, event: &TraceEvent) {
        let TraceEvent { at, exchange, connection, moment } = event;
        if let (Moment::GetConn { .. }, Some(exchange)) = (moment, exchange) {
            // A silent retry asks again; the exchange began with the first time.
            self.exchanges.entry(*exchange).or_insert_with(|| ExchangeNotes::begun(*at));
        }
        let mut about = exchange.and_then(|exchange| self.exchanges.get_mut(&exchange));
        match moment {
            Moment::ConnectStart { .. } => self.unfinished_dials += 1,
            Moment::ConnectDone { result: Err(cause), .. } if cause != GIVEN_UP => {
                self.unfinished_dials = self.unfinished_dials.saturating_sub(1);
            }
            Moment::ConnectDone { server, result: Ok(client) } => {
                self.unfinished_dials = self.unfinished_dials.saturating_sub(1);
                if let Some(id) = connection {
                    let ends = Ends { client: *client, server: *server };
                    let fresh = ConnectionNotes::opened(ends);
                    self.connections.insert(*id, fresh);
                    self.open += 1;
                }
            }
            Moment::GotConn { client, reused, idle_time, .. } => {
                if let Some(about) = &mut about {
                    about.connection = *connection;
                    about.client = Some(*client);
                    about.reused = *reused;
                    about.idle_before = *idle_time;
                    about.first_byte_at = None;
                }
                if let Some(notes) = connection.and_then(|id| self.connections.get_mut(&id)) {
                    notes.exchanges += 1;
                    (notes.last, notes.idle_since) = (*exchange, None);
                }
            }
            Moment::GotFirstResponseByte => {
                if let Some(about) = &mut about {
                    about.first_byte_at = Some(*at);
                }
            }
            Moment::PutIdleConn { refused } => {
                if let Some(about) = &mut about {
                    about.put = Some(*refused);
                }
                if let Some(exchange) = exchange {
                    self.undecided.remove(exchange);
                }
                if let (None, Some(id)) = (refused, connection)
                    && let Some(notes) = self.connections.get_mut(id)
                    // The next one may have it before this is told.
                    && notes.last == *exchange
                {
                    notes.idle_since = Some(*at);
                }
                // The server may have been quicker, and closed it already.
                if let (Some(_), Some(id)) = (refused, connection)
                    && self.connections.get(id).is_some_and(|notes| notes.closed.is_none())
                {
                    self.doomed.insert(*id);
                }
            }
            Moment::ConnectionClosed { by, why, unread, .. } => {
                let Some(id) = connection else { return };
                self.doomed.remove(id);
                self.open = self.open.saturating_sub(1);
                if let Some(notes) = self.connections.get_mut(id) {
                    let (by, why, unread) = (*by, why.clone(), *unread);
                    let since = notes.idle_since.take();
                    let idle = since.map(|since| at.saturating_duration_since(since));
                    notes.closed = Some(ClosedNotes { at: *at, by, why, unread, idle });
                }
            }
            _ => {}
        }
    }
}

impl ConnectionNotes {
    pub(crate) fn opened(ends: Ends) -> Self {
        Self { ends, exchanges: 0, last: None, idle_since: None, closed: None }
    }
}

impl ExchangeNotes {
    pub(crate) fn begun(asked_at: Instant) -> Self {
        Self {
            asked_at,
            connection: None,
            client: None,
            reused: false,
            idle_before: Observed::NotObservable,
            first_byte_at: None,
            put: None,
        }
    }
}

/// Hears the servers that are ours.
#[derive(Default)]
pub(crate) struct ServerWitness(Mutex<ServerNotes>);

#[derive(Default)]
struct ServerNotes {
    /// Accepted connections, and how the server saw each end.
    accepted: Vec<AcceptedNotes>,
    /// Where in `accepted` a server's connection is.
    places: HashMap<(ServerAddr, server::AcceptedId), usize>,
    load: Load,
}

/// The server's word on one connection.
#[derive(Clone, Debug)]
pub(crate) struct AcceptedNotes {
    pub(crate) at: Instant,
    pub(crate) ends: Ends,
    /// True if a request came on it.
    pub(crate) asked: bool,
    pub(crate) closed_by: Option<ClosedBy>,
    pub(crate) why: Option<ServerCloseReason>,
}

/// How often the servers named which reason.
pub(crate) fn reasons(accepted: &[AcceptedNotes]) -> BTreeMap<ServerCloseReason, usize> {
    let mut reasons = BTreeMap::new();
    for reason in accepted.iter().filter_map(|accepted| accepted.why) {
        *reasons.entry(reason).or_default() += 1;
    }
    reasons
}

/// The time from the first of these to the last.
pub(crate) fn span_of_accepts(accepted: &[AcceptedNotes]) -> Duration {
    let moments = || accepted.iter().map(|accepted| accepted.at);
    match (moments().min(), moments().max()) {
        (Some(first), Some(last)) => last.duration_since(first),
        _ => Duration::ZERO,
    }
}

impl ServerWitness {
    pub(crate) fn accepted(&self) -> Vec<AcceptedNotes> {
        lock(&self.0).accepted.clone()
    }

    pub(crate) fn in_flight(&self) -> InFlight {
        lock(&self.0).load.in_flight()
    }
}

/// The ear at one of the servers.
pub(crate) struct ServerEar {
    pub(crate) witness: Arc<ServerWitness>,
    pub(crate) server: ServerAddr,
}

impl server::Observer for ServerEar {
    fn event(&self, event: ServerEvent) {
        let notes = &mut *lock(&self.witness.0);
        let key = (self.server, event.connection);
        match event.moment {
            ServerMoment::Accepted => {
                let ends = Ends { client: event.peer, server: self.server };
                notes.places.insert(key, notes.accepted.len());
                notes.accepted.push(AcceptedNotes {
                    at: event.at,
                    ends,
                    asked: false,
                    closed_by: None,
                    why: None,
                });
            }
            ServerMoment::Closed { by, why, .. } => {
                let place = notes.places.get(&key);
                if let Some(notes) = place.and_then(|&place| notes.accepted.get_mut(place)) {
                    notes.closed_by = Some(by);
                    notes.why = why;
                }
            }
            ServerMoment::Request { .. } => {
                notes.load.one_more(event.at);
                let place = notes.places.get(&key);
                if let Some(notes) = place.and_then(|&place| notes.accepted.get_mut(place)) {
                    notes.asked = true;
                }
            }
            ServerMoment::ResponseDone { .. } => notes.load.one_less(event.at),
            _ => {} // not asked for
        }
    }
}

/// How many requests are being answered, and for how long it was how many.
#[derive(Default)]
struct Load {
    requests: usize,
    now: usize,
    most: usize,
    /// The sum of the times of all requests, up to the last change.
    request_time: Duration,
    first_at: Option<Instant>,
    last_at: Option<Instant>,
}

impl Load {
    fn one_more(&mut self, at: Instant) {
        self.change(at);
        self.now += 1;
        self.requests += 1;
        self.most = self.most.max(self.now);
    }

    fn one_less(&mut self, at: Instant) {
        self.change(at);
        self.now = self.now.saturating_sub(1);
    }

    fn change(&mut self, at: Instant) {
        if let Some(last) = self.last_at {
            let since = at.saturating_duration_since(last);
            self.request_time += since * u32::try_from(self.now).unwrap_or(u32::MAX);
        }
        self.first_at.get_or_insert(at);
        self.last_at = Some(at);
    }

    fn in_flight(&self) -> InFlight {
        let span = match (self.first_at, self.last_at) {
            (Some(first), Some(last)) => last.saturating_duration_since(first),
            _ => Duration::ZERO,
        };
        let mean = match span {
            Duration::ZERO => 0.0,
            span => self.request_time.as_secs_f64() / span.as_secs_f64(),
        };
        InFlight { requests: self.requests, most: self.most, mean }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(port: u16) -> Ends {
        let [client, server] = [port, 80].map(|port| ([127, 0, 0, 1], port).into());
        Ends { client: ClientAddr::new(client), server: ServerAddr::new(server) }
    }

    #[test]
    fn only_an_open_connection_that_is_held_may_be_missing_from_the_kernels_table() {
        let witness = ClientWitness::default();
        for (id, port) in [(1, 1001), (2, 1002)] {
            let connection = ConnectionNotes::opened(ends(port));
            witness.lock().connections.insert(ConnectionId(id), connection);
        }
        let listed = |ports: &[u16]| witness.open_are(&ports.iter().copied().map(ends).collect());
        assert!(listed(&[1001, 1002]));
        assert!(!listed(&[1001]), "one more is open, as far as the client knows");
        assert!(!listed(&[1001, 1002, 1003]), "one of these the client takes for closed");
        witness.holds(ConnectionId(2));
        assert!(listed(&[1001]) && listed(&[1001, 1002]));
        assert!(!listed(&[1002]), "that one is not held");
        witness.holds_nothing();
        assert!(!listed(&[1001]));
    }

    #[test]
    fn the_mean_number_in_flight_weighs_each_number_with_its_time() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut load = Load::default();
        load.one_more(at(0));
        load.one_more(at(10));
        load.one_less(at(30));
        load.one_less(at(40));
        // 1 for 10 ms, 2 for 20 ms, 1 for 10 ms.
        assert_eq!(load.in_flight(), InFlight { requests: 2, most: 2, mean: 1.5 });
        assert_eq!(Load::default().in_flight(), InFlight { requests: 0, most: 0, mean: 0.0 });
    }
}
