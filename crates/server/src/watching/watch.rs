//! Whoever wants to know what happens on a connection, under one name.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response, StatusCode, Version};
use tokio::time::Instant;
use wire::http1::{AnsweredMethod, Direction, MessageSplitter, RequestFault, is_one_bodyless_head};
use wire::{Ending, FirstClose, Tap};

use crate::life::clock::{AfterResponse, ConnectionClock};
use crate::life::conn_state::ConnState;
use crate::life::limits::ServerLimits;
use crate::lock;
use crate::watching::exchanges::OpenRequest;
use crate::watching::log::ConnectionLog;
use crate::watching::parts::{PartKeeper, WholePart};
use crate::watching::tally::ServerTally;
use evidence::ServerCloseReason;

/// The knowledge about one connection. All clones are one: the wire, the service and the bodies of
/// requests each hold one.
#[derive(Clone)]
pub(crate) struct ConnectionWatch(Arc<WatchShared>);

struct WatchShared {
    tally: ServerTally,
    log: Option<ConnectionLog>,
    /// Boxed, because a server without limits and observer has none.
    clock: Option<Box<ConnectionClock>>,
    handler: Option<Duration>,
    /// How many requests hyper has read.
    requests: AtomicU64,
    /// The first fault of the requests, with the number of its request.
    fault: Mutex<Option<(u64, RequestFault)>>,
    /// How many heads have begun to come.
    heads: AtomicU64,
    /// True if the client's last byte was one of a body that goes on.
    in_body: AtomicBool,
    /// True if the request's body was let go of before its end, and hyper has not heard of it.
    let_go_of: AtomicBool,
    /// True if a request was refused, so that nothing behind it will be read.
    has_refused: AtomicBool,
    is_http2: AtomicBool,
}

impl ConnectionWatch {
    pub(crate) fn new(
        log: Option<ConnectionLog>,
        limits: ServerLimits,
        tally: ServerTally,
    ) -> Self {
        let clock = (log.is_some() || limits.need_a_clock())
            .then(|| Box::new(ConnectionClock::new(limits)));
        Self(Arc::new(WatchShared {
            tally,
            log,
            clock,
            handler: limits.handler,
            requests: AtomicU64::new(0),
            heads: AtomicU64::new(0),
            fault: Mutex::default(),
            in_body: AtomicBool::new(false),
            let_go_of: AtomicBool::new(false),
            has_refused: AtomicBool::new(false),
            is_http2: AtomicBool::new(false),
        }))
    }

    /// The one who listens to the wire.
    pub(crate) fn ear(&self) -> WireEar {
        let requests = Box::new(MessageSplitter::new(Direction::Requests));
        let keeper = self.0.log.as_ref().and_then(ConnectionLog::keeper).map(Box::new);
        WireEar { watch: self.clone(), requests, keeper }
    }

    /// How long the work on a response may take.
    pub(crate) fn handler_limit(&self) -> Option<Duration> {
        self.0.handler
    }

    /// The connection speaks this version. Said once, before its first request.
    pub(crate) fn speaks(&self, version: Version) {
        if version != Version::HTTP_2 {
            return;
        }
        self.0.is_http2.store(true, Ordering::Relaxed);
        if let Some(clock) = &self.0.clock {
            clock.is_http2();
        }
        if let Some(log) = &self.0.log {
            log.is_http2();
        }
    }

    /// The head of a request was read.
    pub(crate) fn request<B>(&self, request: &Request<B>) -> RequestStart {
        // No more than one task reads a connection, so nobody adds at the same time.
        let count = self.0.requests.load(Ordering::Relaxed) + 1;
        self.0.requests.store(count, Ordering::Relaxed);
        self.0.tally.request(count);
        let fault = self.fault();
        let Some(clock) = &self.0.clock else {
            let in_flight = ResponseInFlight { watch: None, open: None, number: count };
            return RequestStart { in_flight, read_until: None, fault };
        };
        let (state, read_until) = clock.request(count);
        self.state(state);
        let open = self.0.log.as_ref().map(|log| log.request(request));
        let in_flight = ResponseInFlight { watch: Some(self.clone()), open, number: count };
        RequestStart { in_flight, read_until, fault }
    }

    /// Returns the fault of a request that hyper has come to, or of one before.
    fn fault(&self) -> Option<RequestFault> {
        let fault = *lock(&self.0.fault);
        fault.filter(|(at, _)| *at <= self.0.requests.load(Ordering::Relaxed)).map(|(_, it)| it)
    }

    /// Returns true if what came of a body of HTTP/1 is not framed as a body is.
    pub(crate) fn body_is_malformed(&self) -> bool {
        !self.speaks_http2() && self.fault() == Some(RequestFault::Framing)
    }

    fn state(&self, state: Option<ConnState>) {
        if let (Some(log), Some(state)) = (&self.0.log, state) {
            log.state(state);
        }
    }

    /// Why the connection ends, unless that is known already.
    pub(crate) fn because(&self, reason: ServerCloseReason) {
        if let Some(clock) = &self.0.clock {
            clock.because(reason);
        }
    }

    /// Why a request's body broke off. In HTTP/2 that is the end of its stream, and of no more.
    pub(crate) fn body_broke(&self, reason: ServerCloseReason) {
        if !self.speaks_http2() {
            self.because(reason);
        }
    }

    /// Returns true if it speaks HTTP/2.
    pub(crate) fn speaks_http2(&self) -> bool {
        self.0.is_http2.load(Ordering::Relaxed)
    }

    /// A request's body was let go of before its end.
    pub(crate) fn body_unread(&self) {
        self.0.let_go_of.store(true, Ordering::Relaxed);
        if let Some(clock) = &self.0.clock {
            clock.body_unread();
        }
    }

    /// Returns true, once, if the body of a request of HTTP/1 was let go of before its end.
    pub(crate) fn has_let_go_of_a_body(&self) -> bool {
        self.0.let_go_of.swap(false, Ordering::Relaxed) && !self.speaks_http2()
    }

    /// A request was refused: what comes behind it will not be read.
    pub(crate) fn refuses(&self) {
        self.0.has_refused.store(true, Ordering::Relaxed);
    }

    /// Returns true if the client may still be sending what nobody will read: more of a body, or
    /// whatever follows a request that was refused.
    pub(crate) fn more_may_come(&self) -> bool {
        self.0.has_refused.load(Ordering::Relaxed) || self.body_is_coming()
    }

    /// Returns true if more of a request's body is on its way, though nobody reads it.
    pub(crate) fn body_is_coming(&self) -> bool {
        self.0.in_body.load(Ordering::Relaxed)
    }

    /// Returns true if a head has begun to come of which hyper has not made a request.
    pub(crate) fn head_is_ahead(&self) -> bool {
        self.0.heads.load(Ordering::Relaxed) > self.0.requests.load(Ordering::Relaxed)
    }

    /// hyper has answered what is no request with this status, and closes.
    pub(crate) fn refused(&self, status: Option<StatusCode>) {
        let is_so = self.0.clock.as_ref().is_some_and(|clock| clock.refused());
        if let (Some(log), true) = (&self.0.log, is_so) {
            log.refused(status);
        }
    }

    /// The server stops. Returns whether the connection may be dropped on the spot: it has sent
    /// half a first head at most.
    pub(crate) fn stops(&self) -> bool {
        if let Some(clock) = &self.0.clock {
            clock.stops();
        }
        self.0.requests.load(Ordering::Relaxed) == 0 && !self.0.is_http2.load(Ordering::Relaxed)
    }

    /// Waits until a limit has passed: for ever, if there is none.
    pub(crate) async fn ran_out(&self) -> ServerCloseReason {
        match &self.0.clock {
            Some(clock) => clock.ran_out().await,
            None => std::future::pending().await,
        }
    }

    /// A limit has passed. Returns whether the connection may be told to end in order, because
    /// nothing is under way.
    pub(crate) fn ends(&self, reason: ServerCloseReason) -> bool {
        self.because(reason);
        self.0.clock.as_ref().is_some_and(|clock| clock.is_idle())
    }

    /// The client's FIN was read, or a reset was met.
    pub(crate) fn peer_left(&self, how: FirstClose) {
        if let Some(clock) = &self.0.clock {
            clock.peer_left(how);
        }
    }

    /// The socket is let go of.
    pub(crate) fn closed(&self, ending: Ending) {
        let Some(log) = &self.0.log else { return };
        let why = self.0.clock.as_ref().and_then(|clock| clock.why(ending.first));
        log.closed(ending, why);
    }

    /// Gives an idle connection its time once more.
    pub(crate) fn restart(&self) {
        if let Some(clock) = &self.0.clock {
            clock.restart();
        }
    }
}

/// Hears what passes on the wire.
pub(crate) struct WireEar {
    watch: ConnectionWatch,
    /// Boxed, because the task of a connection keeps room for its wire more than once.
    requests: Box<MessageSplitter>,
    /// Puts the parts of requests together for the log, if it wants them.
    keeper: Option<Box<PartKeeper>>,
}

impl WireEar {
    fn known(&self) -> &WatchShared {
        &self.watch.0
    }
}

impl WireEar {
    /// Reads along; returns the parts that are over, if anybody wants them.
    fn read(&mut self, bytes: &[u8]) -> Vec<WholePart> {
        let mut parts = Vec::new();
        let is_plain = self.keeper.as_ref().is_none_or(|keeper| !keeper.keeps_bytes())
            && is_one_bodyless_head(bytes)
            && self.requests.skip_bodyless_head();
        if is_plain {
            parts.extend(self.keeper.as_ref().map(|keeper| keeper.bodyless_head(bytes)));
            return parts;
        }
        let Some(keeper) = &mut self.keeper else {
            self.requests.feed(bytes, AnsweredMethod::default, |_| {});
            return parts;
        };
        self.requests.feed(bytes, AnsweredMethod::default, |part| parts.extend(keeper.take(&part)));
        parts
    }
}

impl Tap for WireEar {
    fn received(&mut self, bytes: &[u8]) {
        let mut begins = false;
        let mut parts = Vec::new();
        if !self.known().is_http2.load(Ordering::Relaxed) {
            let begun = self.requests.heads_begun();
            parts = self.read(bytes);
            begins = self.requests.heads_begun() > begun;
            let known = &self.watch.0;
            known.in_body.store(self.requests.is_within_a_body(), Ordering::Relaxed);
            known.heads.store(self.requests.heads_begun(), Ordering::Relaxed);
            if let Some(fault) = self.requests.fault() {
                *lock(&known.fault) = Some(fault);
            }
        }
        // An empty line, or the rest of a body that nobody wants, begins nothing.
        let clock = self.known().clock.as_ref().filter(|_| begins);
        let change = clock.and_then(|clock| clock.received());
        if let Some(log) = &self.known().log {
            let begun = self.keeper.as_ref().and_then(|keeper| keeper.begun(&self.requests));
            log.received(bytes.len() as u64, parts, begun, change);
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        if let Some(log) = &self.known().log {
            log.sent(bytes);
        }
    }

    fn flushed(&mut self) {
        if let Some(clock) = &self.known().clock {
            let next = if self.watch.head_is_ahead() {
                AfterResponse::Head
            } else if self.watch.body_is_coming() {
                AfterResponse::RestOfABody
            } else {
                AfterResponse::Open
            };
            self.watch.state(clock.flushed(next));
        }
    }

    fn peer_left(&mut self, how: FirstClose) {
        self.watch.peer_left(how);
    }

    fn closed(&mut self, ending: Ending) {
        self.watch.closed(ending);
    }
}

/// The facts about a request that has begun.
pub(crate) struct RequestStart {
    /// Its response is over when this is done with.
    pub(crate) in_flight: ResponseInFlight,
    /// Until when its body may take.
    pub(crate) read_until: Option<Instant>,
    /// The reason for which it, or what came before it, cannot be trusted.
    pub(crate) fault: Option<RequestFault>,
}

/// A response that is being made or sent. Dropped before it is complete, it was given up.
pub(crate) struct ResponseInFlight {
    /// Nobody, if nobody wants to know.
    watch: Option<ConnectionWatch>,
    /// The log's part of it, if there is a log.
    open: Option<OpenRequest>,
    /// The number of its request on this connection.
    number: u64,
}

impl ResponseInFlight {
    fn told(&self) -> Option<(&ConnectionLog, &OpenRequest)> {
        self.watch.as_ref()?.0.log.as_ref().zip(self.open.as_ref())
    }

    /// Its answer is begun.
    pub(crate) fn handler_start(&self) {
        if let Some((log, open)) = self.told() {
            log.handler_start(open);
        }
    }

    /// The head of its response is decided on.
    pub(crate) fn handler_end<B>(&self, response: &Response<B>) {
        if let Some((log, open)) = self.told() {
            log.handler_end(open, response);
        }
    }

    /// Bytes of the response's body are handed over.
    pub(crate) fn handed_over(&self, bytes: usize) {
        if let Some(open) = &self.open {
            open.handed_over(bytes);
        }
    }

    /// Why the connection ends after this response; asked for only if anybody wants to know.
    pub(crate) fn last_because(&self, reason: impl FnOnce() -> Option<ServerCloseReason>) {
        let clock = self.watch.as_ref().and_then(|watch| watch.0.clock.as_ref());
        if let Some((clock, reason)) = clock.and_then(|clock| Some((clock, reason()?))) {
            clock.plan(reason);
        }
    }

    pub(crate) fn complete(mut self) {
        self.over(true);
    }

    fn over(&mut self, complete: bool) {
        let Some(watch) = self.watch.take() else { return };
        if let (Some(log), Some(open)) = (&watch.0.log, &self.open) {
            log.response_done(open, complete);
        }
        if let Some(clock) = &watch.0.clock
            && (complete || watch.0.is_http2.load(Ordering::Relaxed))
        {
            clock.response_over(self.number);
        }
    }
}

impl Drop for ResponseInFlight {
    fn drop(&mut self) {
        self.over(false);
    }
}
