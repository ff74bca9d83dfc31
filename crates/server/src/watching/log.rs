//! The bookkeeping of one connection, for the observer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use evidence::{ClientAddr, ClosedBy};
use http::header::{REFERER, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use wire::{Ending, FirstClose};

use crate::life::conn_state::ConnState;
use crate::listening::socket_facts::SocketFacts;
use crate::lock;
use crate::watching::messages::Messages;
use crate::watching::observer::{
    AcceptedId, Observer, ObserverWants, ReceivedHead, ServedExchange, ServerEvent, ServerMoment,
};
use crate::watching::parts::{PartKeeper, WholePart};
use evidence::ServerCloseReason;

/// The bookkeeping of one connection; exists only while somebody observes. All clones are
/// one.
#[derive(Clone)]
pub(crate) struct ConnectionLog(Arc<LogShared>);

struct LogShared {
    observer: Arc<dyn Observer>,
    wants: ObserverWants,
    connection: AcceptedId,
    peer: ClientAddr,
    /// Both ends as the socket itself tells them, if the kernel is to be asked about it.
    ends: Option<(SocketAddr, SocketAddr)>,
    accepted_at: Instant,
    received: AtomicU64,
    sent: AtomicU64,
    /// Locked while the observer is told, so that it hears of each thing in its turn: the requests
    /// of an HTTP/2 connection are answered in tasks of their own.
    book: Mutex<LogBook>,
}

#[derive(Default)]
struct LogBook {
    requests: u64,
    /// The requests that are not answered yet, in their order. HTTP/1.1 has no more than one at a
    /// time.
    in_flight: Vec<OpenRequest>,
    state: Option<ConnState>,
    /// Only if every step is wanted.
    messages: Option<Messages>,
}

/// A request that is being answered, as the connection and its answer know it.
#[derive(Clone)]
pub(crate) struct OpenRequest {
    pub(crate) number: u64,
    /// Only if a summary is wanted.
    about: Option<Arc<ExchangeSoFar>>,
}

struct ExchangeSoFar {
    begun: Instant,
    exchange: ServedExchange,
    status: Mutex<Option<StatusCode>>,
    body_bytes: AtomicU64,
}

impl ConnectionLog {
    /// Starts the bookkeeping of a connection and tells that it was accepted.
    pub(crate) fn open(
        observer: Arc<dyn Observer>,
        connection: AcceptedId,
        peer: ClientAddr,
        stream: &tokio::net::TcpStream,
    ) -> Self {
        let accepted_at = Instant::now();
        let wants = observer.wants();
        let messages = wants.steps.then(|| Messages::new(wants.bytes));
        let book = Mutex::new(LogBook { messages, ..LogBook::default() });
        let (received, sent) = Default::default();
        let ends =
            if wants.tcp { stream.local_addr().ok().zip(stream.peer_addr().ok()) } else { None };
        let entry = LogShared {
            observer,
            wants,
            connection,
            peer,
            ends,
            accepted_at,
            received,
            sent,
            book,
        };
        let log = Self(Arc::new(entry));
        log.tell_at(accepted_at, ServerMoment::Accepted);
        if wants.steps {
            log.tell(ServerMoment::Socket(Box::new(SocketFacts::of(stream))));
        }
        log.state(ConnState::New);
        log
    }

    fn tell(&self, moment: ServerMoment) {
        self.tell_at(Instant::now(), moment);
    }

    fn tell_at(&self, at: Instant, moment: ServerMoment) {
        let LogShared { observer, connection, peer, .. } = &*self.0;
        observer.event(ServerEvent { at, connection: *connection, peer: *peer, moment });
    }

    /// The connection is in this state now. Told if it was in another.
    pub(crate) fn state(&self, to: ConnState) {
        if self.0.wants.states {
            self.change(&mut lock(&self.0.book), to);
        }
    }

    fn change(&self, book: &mut LogBook, to: ConnState) {
        let is_news = book.state != Some(to) && book.state != Some(ConnState::Closed);
        if self.0.wants.states && is_news {
            let from = book.state.replace(to);
            let tcp = self
                .0
                .ends
                .and_then(|(local, peer)| Some(socket_table::find(local, peer).ok()??.state));
            self.tell(ServerMoment::State { from, to, tcp });
        }
    }

    /// The connection speaks HTTP/2, whose frames are not taken apart.
    pub(crate) fn is_http2(&self) {
        lock(&self.0.book).messages = None;
    }

    /// Keeps the parts of requests, if anybody wants every step.
    pub(crate) fn keeper(&self) -> Option<PartKeeper> {
        let wants = self.0.wants;
        wants.steps.then(|| PartKeeper::new(wants.bytes))
    }

    /// Tells of a request. Called by the task that reads the connection, so that none is told of
    /// after the close.
    pub(crate) fn request<B>(&self, request: &Request<B>) -> OpenRequest {
        let wants = self.0.wants;
        let mut book = lock(&self.0.book);
        book.requests += 1;
        let number = book.requests;
        let begun = Instant::now();
        self.tell_at(begun, ServerMoment::Request { number });
        if wants.steps || wants.exchanges {
            let is_head = request.method() == Method::HEAD;
            let head = book.messages.as_mut().and_then(|m| m.request(number, is_head));
            let (bytes, raw) = head.map_or((None, None), |(bytes, raw)| (Some(bytes), raw));
            self.tell_at(
                begun,
                ServerMoment::RequestHead(Box::new(ReceivedHead {
                    number,
                    method: request.method().clone(),
                    uri: request.uri().clone(),
                    version: request.version(),
                    bytes,
                    raw,
                })),
            );
        }
        let body = book.messages.as_mut().and_then(Messages::early_body);
        body.into_iter().for_each(|body| self.tell(body));
        let about = wants.exchanges.then(|| Arc::new(ExchangeSoFar::new(begun, number, request)));
        let open = OpenRequest { number, about };
        book.in_flight.push(open.clone());
        open
    }

    /// The answer to a request is begun.
    pub(crate) fn handler_start(&self, open: &OpenRequest) {
        if self.0.wants.steps {
            let _in_turn = lock(&self.0.book);
            self.tell(ServerMoment::HandlerStart { number: open.number });
        }
    }

    /// The head of a response is decided on.
    pub(crate) fn handler_end<B>(&self, open: &OpenRequest, response: &Response<B>) {
        if let Some(about) = &open.about {
            *lock(&about.status) = Some(response.status());
        }
        if self.0.wants.steps {
            let _in_turn = lock(&self.0.book);
            let (number, status) = (open.number, response.status());
            self.tell(ServerMoment::HandlerEnd { number, status });
        }
    }

    /// Tells of the response to this request, unless that is told already.
    pub(crate) fn response_done(&self, open: &OpenRequest, complete: bool) {
        let mut book = lock(&self.0.book);
        if let Some(place) = book.in_flight.iter().position(|it| it.number == open.number) {
            book.in_flight.remove(place);
            self.tell_done(open, complete);
        }
    }

    fn tell_done(&self, open: &OpenRequest, complete: bool) {
        let at = Instant::now();
        self.tell_at(at, ServerMoment::ResponseDone { number: open.number, complete });
        if let Some(about) = &open.about {
            let exchange = about.over(at, complete);
            self.tell_at(at, ServerMoment::Exchange(Box::new(exchange)));
        }
    }
}

impl OpenRequest {
    /// Bytes of its response's body are handed over.
    pub(crate) fn handed_over(&self, bytes: usize) {
        if let Some(about) = &self.about {
            about.body_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }
}

impl ExchangeSoFar {
    fn new<B>(begun: Instant, number: u64, request: &Request<B>) -> Self {
        let header = |name| request.headers().get(name).cloned();
        let exchange = ServedExchange {
            number,
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            referer: header(REFERER),
            user_agent: header(USER_AGENT),
            status: None,
            body_bytes: 0,
            duration: std::time::Duration::ZERO,
            complete: false,
        };
        Self { begun, exchange, status: Mutex::default(), body_bytes: AtomicU64::default() }
    }

    fn over(&self, at: Instant, complete: bool) -> ServedExchange {
        ServedExchange {
            status: *lock(&self.status),
            body_bytes: self.body_bytes.load(Ordering::Relaxed),
            duration: at.saturating_duration_since(self.begun),
            complete,
            ..self.exchange.clone()
        }
    }
}

/// The words of the wire.
impl ConnectionLog {
    /// So many bytes have come, with them these parts of requests, and `change`, if the connection
    /// was doing something else before.
    pub(crate) fn received(&self, count: u64, parts: Vec<WholePart>, change: Option<ConnState>) {
        self.0.received.fetch_add(count, Ordering::Relaxed);
        let ObserverWants { states, steps, traffic, .. } = self.0.wants;
        if !(states || steps || traffic) {
            return;
        }
        let mut book = lock(&self.0.book);
        if traffic {
            self.tell(ServerMoment::Received { bytes: count });
        }
        if let Some(change) = change {
            if steps && change == ConnState::Active {
                self.tell(ServerMoment::FirstByte);
            }
            self.change(&mut book, change);
        }
        let over = book.messages.as_mut().map(|messages| messages.received(parts));
        over.into_iter().flatten().for_each(|moment| self.tell(moment));
    }

    /// Bytes were handed to the socket.
    pub(crate) fn sent(&self, bytes: &[u8]) {
        let count = bytes.len() as u64;
        self.0.sent.fetch_add(count, Ordering::Relaxed);
        let ObserverWants { steps, traffic, .. } = self.0.wants;
        if !(steps || traffic) {
            return;
        }
        let mut book = lock(&self.0.book);
        if traffic {
            self.tell(ServerMoment::Sent { bytes: count });
        }
        let over = book.messages.as_mut().map(|messages| messages.sent(bytes));
        over.into_iter().flatten().for_each(|moment| self.tell(moment));
    }

    /// The connection is over, for this reason as far as it is known.
    pub(crate) fn closed(&self, ending: Ending, why: Option<ServerCloseReason>) {
        // hyper lets go of the socket before it lets go of the bodies, but what ended are the
        // responses first, then the connection.
        let mut book = lock(&self.0.book);
        let over = book.messages.as_mut().map(Messages::closed);
        over.into_iter().flatten().for_each(|moment| self.tell(moment));
        for open in std::mem::take(&mut book.in_flight) {
            self.tell_done(&open, false);
        }
        self.change(&mut book, ConnState::Closed);
        let by = match ending.first {
            FirstClose::Here => ClosedBy::Server,
            FirstClose::There => ClosedBy::Client,
            FirstClose::Reset => ClosedBy::Reset,
        };
        self.tell(ServerMoment::Closed {
            by,
            why,
            requests: book.requests,
            age: self.0.accepted_at.elapsed(),
            unread: ending.unread,
            received: self.0.received.load(Ordering::Relaxed),
            sent: self.0.sent.load(Ordering::Relaxed),
        });
    }
}
