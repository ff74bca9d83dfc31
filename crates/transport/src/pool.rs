//! Idle connections, and requests that wait for one.
//!
//! What is decided about them is in `rules.rs`; here it is carried out. A connection of HTTP/2
//! serves everybody who waits, and stays in the pool meanwhile. It does not count as idle towards
//! the limits on idle connections: Go counts it, but never closes it for them.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use evidence::{CloseReason, ConnectionId, ExchangeId, NotPooled};
use hyper::client::conn::http1::SendRequest;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::config::Limits;
use crate::dial::target::Target;
use crate::expect::OutgoingBody;
use crate::failure::error::Error;
use crate::lock;
use crate::read_ahead::Demand;
use crate::rules;
use crate::seen::record::Record;
use crate::shared::{SharedConnection, SharedStream};
use crate::timer::IdleTimer;

/// The right to send the next request on a connection. Dropping it closes the connection.
pub(crate) struct Lease {
    pub(crate) sender: SendRequest<OutgoingBody>,
    pub(crate) record: Arc<Record>,
    pub(crate) target: Target,
    pub(crate) demand: Arc<Demand>,
}

impl Lease {
    /// Closes the connection, for this reason, whatever hyper is still busy with.
    pub(crate) fn close(self, why: CloseReason) {
        self.record.close_because(why);
        if !self.target.tls {
            self.demand.give_up();
        }
        // With TLS it is hyper that says goodbye, once its sender is gone.
    }

    /// Closes the connection without a goodbye, in TLS too.
    pub(crate) fn kill(self, why: CloseReason) {
        self.record.close_because(why);
        self.demand.give_up();
    }
}

impl Drop for Lease {
    /// Only a caller that goes away in the midst of a request drops a lease without a reason.
    fn drop(&mut self) {
        self.record.close_because(CloseReason::RequestGivenUp);
        self.record.exchange_is_over();
        if self.record.is_amid_a_request() {
            // hyper would write the request to its end before it closes.
            self.demand.give_up();
        }
    }
}

/// A connection for an exchange.
pub(crate) struct Checkout {
    pub(crate) lease: Lease,
    /// Since when it was idle; `None` if it is new or was handed over directly.
    pub(crate) idle_since: Option<Instant>,
    /// True if the transport had it before: then its server may have closed it in the meantime.
    pub(crate) from_pool: bool,
}

/// A connection that an exchange may use.
pub(crate) enum Grant {
    /// For itself.
    Http1(Checkout),
    /// Beside others.
    Http2(SharedStream),
}

impl Grant {
    pub(crate) fn record(&self) -> &Arc<Record> {
        match self {
            Self::Http1(checkout) => &checkout.lease.record,
            Self::Http2(stream) => stream.record(),
        }
    }

    /// Since when the connection was idle, if it was.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        match self {
            Self::Http1(checkout) => checkout.idle_since,
            Self::Http2(stream) => stream.idle_since,
        }
    }
}

type Delivery = Result<Grant, Error>;

/// A request that waits for a connection, from wherever it comes first.
pub(crate) struct WaitingRequest {
    pub(crate) target: Target,
    pub(crate) exchange: ExchangeId,
    slot: Mutex<Option<oneshot::Sender<Delivery>>>,
    /// When it was allowed to dial after it had to wait for that.
    may_dial_since: OnceLock<Instant>,
}

impl WaitingRequest {
    pub(crate) fn new(
        target: Target,
        exchange: ExchangeId,
    ) -> (Arc<Self>, oneshot::Receiver<Delivery>) {
        let (slot, delivered) = oneshot::channel();
        let slot = Mutex::new(Some(slot));
        let may_dial_since = OnceLock::new();
        (Arc::new(Self { target, exchange, slot, may_dial_since }), delivered)
    }

    /// How long it has waited since `asked` because of the limit on connections, if it has a
    /// connection now. The time of its own dial does not count.
    pub(crate) fn waited(&self, asked: Instant) -> Duration {
        let over = self.may_dial_since.get().copied().unwrap_or_else(Instant::now);
        over.duration_since(asked)
    }

    fn is_waiting(&self) -> bool {
        lock(&self.slot).as_ref().is_some_and(|slot| !slot.is_closed())
    }

    /// Waits until the request has been given up, or has its connection.
    pub(crate) async fn is_over(&self) {
        std::future::poll_fn(|cx| match lock(&self.slot).as_mut() {
            Some(slot) => slot.poll_closed(cx),
            None => Poll::Ready(()),
        })
        .await;
    }

    /// Delivers, unless something else came first or the request was given up: then it comes back.
    pub(crate) fn deliver(&self, delivery: Delivery) -> Result<(), Delivery> {
        match lock(&self.slot).take() {
            Some(slot) => slot.send(delivery),
            None => Err(delivery),
        }
    }
}

/// The pool of one transport.
pub(crate) struct Pool {
    limits: Limits,
    state: Mutex<PoolState>,
}

#[derive(Default)]
struct PoolState {
    hosts: HashMap<Target, HostPool>,
    closed: bool,
}

#[derive(Default)]
struct HostPool {
    /// Longest idle first, so that the last is the most recently used.
    idle: Vec<IdleConnection>,
    /// Connections of HTTP/2, idle or not. Further ones only if the first is full.
    shared: Vec<Arc<SharedConnection>>,
    /// Requests that take the next connection that comes back.
    waiting: VecDeque<Arc<WaitingRequest>>,
    /// Connections and dials under way.
    connections: usize,
    /// Requests that may not dial before another connection is gone.
    may_not_dial: VecDeque<Arc<WaitingRequest>>,
}

impl HostPool {
    /// How long each idle connection has been idle, the one that came back first at the front.
    fn ages(&self, now: Instant) -> impl Iterator<Item = Duration> {
        self.idle.iter().map(move |idle| now.saturating_duration_since(idle.since))
    }

    /// Takes the idle connection that the next request gets.
    fn take_idle(&mut self) -> Option<IdleConnection> {
        let ages: Vec<Duration> = self.ages(Instant::now()).collect();
        let place = rules::which_idle(&ages).filter(|place| *place < self.idle.len())?;
        Some(self.idle.remove(place))
    }

    /// Takes the request that the next connection goes to.
    fn take_waiting(&mut self) -> Option<Arc<WaitingRequest>> {
        self.waiting.remove(rules::which_waiting(self.waiting.len())?)
    }

    /// A stream on a connection of HTTP/2 that takes another one; see [`SharedConnection::open`].
    fn open_stream(&self, must: bool) -> Option<SharedStream> {
        self.shared.iter().find_map(|shared| shared.open(must))
    }
}

struct IdleConnection {
    lease: Lease,
    since: Instant,
    _timer: Option<IdleTimer>,
}

/// The pool's answer to a request that asks for a connection.
pub(crate) enum PoolAnswer {
    /// An idle connection, or one that is shared.
    Granted(Grant),
    /// Nothing: it waits, and dials for itself.
    WaitAndDial,
    /// Nothing: it waits for a connection to come back, or for the right to dial.
    Wait,
}

impl Pool {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    /// Takes a connection of HTTP/2, or the most recently used idle one, or puts the request in
    /// line.
    pub(crate) fn ask(&self, want: &Arc<WaitingRequest>) -> PoolAnswer {
        let mut state = lock(&self.state);
        let host = state.hosts.entry(want.target.clone()).or_default();
        if let Some(stream) = host.open_stream(false) {
            return PoolAnswer::Granted(Grant::Http2(stream));
        }
        while let Some(IdleConnection { lease, since, .. }) = host.take_idle() {
            if lease.sender.is_closed() {
                // The server was first; the wire tells so.
                lease.close(CloseReason::ServerClosed);
                continue;
            }
            // Only after a suspend of the machine: else the timer has closed it in time.
            if let Some(limit) = self.limits.idle_timeout
                && rules::is_too_old(since.elapsed(), &self.limits)
            {
                lease.close(CloseReason::IdleTimeout(limit));
                continue;
            }
            let checkout = Checkout { lease, idle_since: Some(since), from_pool: true };
            return PoolAnswer::Granted(Grant::Http1(checkout));
        }
        let may_dial = rules::may_dial(host.connections, &self.limits);
        if !may_dial && let Some(stream) = host.open_stream(true) {
            return PoolAnswer::Granted(Grant::Http2(stream));
        }
        push(&mut host.waiting, want);
        if !may_dial {
            push(&mut host.may_not_dial, want);
            return PoolAnswer::Wait;
        }
        host.connections += 1;
        PoolAnswer::WaitAndDial
    }

    /// Takes back a connection whose exchange is done, or that was dialled in vain: hands it to
    /// the request that has waited longest, or keeps it idle, or says why not.
    pub(crate) fn put(self: &Arc<Self>, lease: Lease) -> Result<(), NotPooled> {
        let mut state = lock(&self.state);
        if let Err(refused) = rules::returns(state.closed, &self.limits) {
            return refuse(lease, refused);
        }
        let host = state.hosts.entry(lease.target.clone()).or_default();
        let mut lease = lease;
        while let Some(want) = host.take_waiting() {
            let handed_over = Checkout { lease, idle_since: None, from_pool: true };
            match want.deliver(Ok(Grant::Http1(handed_over))) {
                Ok(()) => return Ok(()),
                Err(Ok(Grant::Http1(back))) => lease = back.lease,
                // Such a connection was delivered, so nothing else can come back.
                Err(_) => return Err(NotPooled::ConnectionBroken),
            }
        }
        if let Err(refused) = rules::keeps(host.idle.len(), &self.limits) {
            return refuse(lease, refused);
        }
        let id = lease.record.info.id;
        let since = Instant::now();
        let timer = self.start_timer(&lease, since);
        host.idle.push(IdleConnection { lease, since, _timer: timer });
        let evicted = self.evict(&mut state);
        drop(state);
        let Some((max_idle, evicted)) = evicted else { return Ok(()) };
        let itself = evicted.lease.record.info.id == id;
        let refused = NotPooled::TotalCapReached { max_idle };
        evicted.lease.close(CloseReason::NotPooled(refused));
        if itself { Err(refused) } else { Ok(()) }
    }

    /// Takes in a connection of HTTP/2 that was dialled for `want`, which gets a stream on it, and
    /// with it everybody who waits. It is not kept if there is one already that takes streams.
    pub(crate) fn share(&self, fresh: &Arc<SharedConnection>, want: &WaitingRequest) {
        let mut state = lock(&self.state);
        let once = match rules::returns(state.closed, &self.limits) {
            // It is not idle while its stream is open, so the cap on idle ones is no reason.
            Ok(()) => None,
            Err(NotPooled::IdleCapReached { .. }) => {
                state.closed.then_some(NotPooled::TransportClosed)
            }
            Err(refused) => Some(refused),
        };
        let host = state.hosts.entry(want.target.clone()).or_default();
        // What cannot be delivered is dropped, which closes the stream.
        let grant = |stream: Option<SharedStream>, want: &WaitingRequest| {
            let _ = stream.map(|stream| want.deliver(Ok(Grant::Http2(stream))));
        };
        let own = || fresh.open(true).map(SharedStream::on_new_connection);
        if let Some(refused) = once {
            grant(own(), want);
            return fresh.close(CloseReason::NotPooled(refused));
        }
        if let Some(stream) = host.open_stream(false) {
            grant(Some(stream), want);
            return fresh.close(CloseReason::NotNeeded);
        }
        host.shared.push(Arc::clone(fresh));
        grant(own(), want);
        if !rules::serves_all_who_wait(&self.limits) {
            return;
        }
        for waiting in std::mem::take(&mut host.waiting) {
            match waiting.is_waiting().then(|| host.open_stream(false)) {
                Some(None) => host.waiting.push_back(waiting),
                Some(stream) => grant(stream, &waiting),
                None => {}
            }
        }
    }

    /// Removes the connection that has to go if there are too many over all hosts.
    fn evict(&self, state: &mut PoolState) -> Option<(usize, IdleConnection)> {
        let max_idle = self.limits.max_idle?;
        let now = Instant::now();
        let hosts = state.hosts.values();
        let ages: Vec<Duration> = hosts.flat_map(|host| host.ages(now)).collect();
        let mut place = rules::which_evicted(&ages, &self.limits)?;
        for host in state.hosts.values_mut() {
            match place.checked_sub(host.idle.len()) {
                Some(further) => place = further,
                None => return Some((max_idle, host.idle.remove(place))),
            }
        }
        None
    }

    fn start_timer(self: &Arc<Self>, lease: &Lease, since: Instant) -> Option<IdleTimer> {
        let limit = self.limits.idle_timeout?;
        // A time beyond what the clock can tell never comes.
        let deadline = since.checked_add(limit)?;
        let pool: Weak<Self> = Arc::downgrade(self);
        let (target, id) = (lease.target.clone(), lease.record.info.id);
        // Without a runtime there is no timer; the next request checks the time all the same.
        let task = Handle::try_current().ok()?.spawn(async move {
            tokio::time::sleep_until(deadline.into()).await;
            let Some(pool) = pool.upgrade() else { return };
            if let Some(idle) = pool.remove(&target, id) {
                idle.lease.close(CloseReason::IdleTimeout(limit));
            }
        });
        Some(IdleTimer(task.abort_handle()))
    }

    fn remove(&self, target: &Target, id: ConnectionId) -> Option<IdleConnection> {
        let mut state = lock(&self.state);
        let idle = &mut state.hosts.get_mut(target)?.idle;
        let place = idle.iter().position(|idle| idle.lease.record.info.id == id)?;
        Some(idle.remove(place))
    }

    /// A connection is gone, or a dial failed. Returns the request that may dial in its stead.
    pub(crate) fn gone(
        &self,
        target: &Target,
        id: Option<ConnectionId>,
    ) -> Option<Arc<WaitingRequest>> {
        if let Some(idle) = id.and_then(|id| self.remove(target, id)) {
            idle.lease.close(CloseReason::ServerClosed);
        }
        let mut state = lock(&self.state);
        let host = state.hosts.get_mut(target)?;
        host.shared.retain(|shared| Some(shared.record.info.id) != id);
        host.connections = host.connections.saturating_sub(1);
        while let Some(want) = host.may_not_dial.pop_front() {
            if want.is_waiting() {
                host.connections += 1;
                let _ = want.may_dial_since.set(Instant::now());
                return Some(want);
            }
        }
        None
    }

    /// Closes the idle connections, and refuses all that come back from now on.
    pub(crate) fn close(&self) {
        let mut idle = Vec::new();
        let mut shared = Vec::new();
        {
            let mut state = lock(&self.state);
            state.closed = true;
            for host in state.hosts.values_mut() {
                idle.append(&mut host.idle);
                shared.append(&mut host.shared);
            }
        }
        for shared in shared {
            shared.close(CloseReason::TransportClosed);
        }
        for IdleConnection { lease, .. } in idle {
            lease.close(CloseReason::TransportClosed);
        }
    }
}

/// Puts a request at the end of a line, whose head is somebody who still waits.
fn push(line: &mut VecDeque<Arc<WaitingRequest>>, want: &Arc<WaitingRequest>) {
    while line.front().is_some_and(|first| !first.is_waiting()) {
        line.pop_front();
    }
    line.push_back(Arc::clone(want));
}

fn refuse(lease: Lease, refused: NotPooled) -> Result<(), NotPooled> {
    lease.close(CloseReason::NotPooled(refused));
    Err(refused)
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.close();
    }
}
