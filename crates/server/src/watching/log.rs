//! The bookkeeping of one connection, for the observer.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use evidence::{ClientAddr, ClosedBy};
use http::{Method, Request, Response, StatusCode};
use wire::{Ending, FirstClose};

use crate::life::conn_state::ConnState;
use crate::listening::socket_facts::SocketFacts;
use crate::lock;
use crate::watching::exchanges::{OpenRequest, ResponseFate, UnwrittenResponses};
use crate::watching::messages::Messages;
use crate::watching::observer::{
    AcceptedId, Observer, ObserverWants, ReceivedHead, RefusedRequest, ServedExchange, ServerEvent,
    ServerMoment,
};
use crate::watching::parts::{BegunPart, BytesKept, PartKeeper, WholePart};
use crate::watching::protocol::ForeignProtocol;
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
    /// The responses of HTTP/1 that are made and not yet written, if a summary is wanted.
    unwritten: UnwrittenResponses,
    state: Option<ConnState>,
    /// Only in HTTP/1, and if every step is wanted, or a summary.
    messages: Option<Messages>,
    /// When the head began that hyper was to come to next.
    head_began: Option<Instant>,
    is_refused: bool,
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
        let messages = (wants.steps || wants.exchanges).then(|| Messages::new(wants.bytes));
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

    /// Keeps the parts of requests, if anybody wants every step, or a summary.
    pub(crate) fn keeper(&self) -> Option<PartKeeper> {
        let wants = self.0.wants;
        let kept = if wants.bytes { BytesKept::Heads } else { BytesKept::Beginnings };
        (wants.steps || wants.exchanges).then(|| PartKeeper::new(kept))
    }

    /// Tells a step, if steps are wanted.
    fn step(&self, moment: ServerMoment) {
        if self.0.wants.steps {
            self.tell(moment);
        }
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
            let bytes = bytes.filter(|_| wants.steps);
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
        body.into_iter().for_each(|body| self.step(body));
        book.head_began = None;
        let open = OpenRequest::new(number, begun, request, wants.exchanges);
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
        open.decided(response.status());
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
            self.tell(ServerMoment::ResponseDone { number: open.number, complete });
            let exchange = if !self.0.wants.exchanges {
                None
            } else if book.messages.is_some() {
                book.unwritten.done(open, complete)
            } else {
                // A stream of HTTP/2 is given up by nobody but the client.
                let fate = match complete {
                    true => ResponseFate::HandedOver,
                    false => ResponseFate::Cut(None, ClosedBy::Client),
                };
                open.over(Instant::now(), fate)
            };
            self.tell_exchange(exchange);
        }
    }

    fn tell_exchange(&self, exchange: Option<ServedExchange>) {
        if let Some(exchange) = exchange {
            self.tell(ServerMoment::Exchange(Box::new(exchange)));
        }
    }

    /// hyper has answered what is no request.
    pub(crate) fn refused(&self, status: Option<StatusCode>) {
        self.tell_refusal(&mut lock(&self.0.book), status);
    }

    fn tell_refusal(&self, book: &mut LogBook, status: Option<StatusCode>) {
        let ObserverWants { steps, exchanges, .. } = self.0.wants;
        let ahead = book.messages.as_ref().and_then(Messages::ahead);
        if let (Some((bytes, begins)), true) = (ahead, steps || exchanges)
            && !std::mem::replace(&mut book.is_refused, true)
        {
            let duration = book.head_began.map_or(Duration::ZERO, |began| began.elapsed());
            self.tell(ServerMoment::Refused(Box::new(RefusedRequest {
                number: book.requests + 1,
                status,
                bytes,
                protocol: ForeignProtocol::of(&begins),
                begins,
                duration,
            })));
        }
    }
}

/// The words of the wire.
impl ConnectionLog {
    /// So many bytes have come, with them these parts of requests, the beginning of another, and
    /// `change`, if the connection was doing something else before.
    pub(crate) fn received(
        &self,
        count: u64,
        parts: Vec<WholePart>,
        begun: Option<BegunPart>,
        change: Option<ConnState>,
    ) {
        self.0.received.fetch_add(count, Ordering::Relaxed);
        let ObserverWants { states, steps, traffic, exchanges, .. } = self.0.wants;
        if !(states || steps || traffic || exchanges) {
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
        let over = book.messages.as_mut().map(|messages| messages.received(parts, begun));
        if book.head_began.is_none() && book.messages.as_ref().is_some_and(Messages::is_ahead) {
            book.head_began = Some(Instant::now());
        }
        over.into_iter().flatten().for_each(|moment| self.step(moment));
    }

    /// Bytes were handed to the socket.
    pub(crate) fn sent(&self, bytes: &[u8]) {
        let count = bytes.len() as u64;
        self.0.sent.fetch_add(count, Ordering::Relaxed);
        let ObserverWants { steps, traffic, exchanges, .. } = self.0.wants;
        if !(steps || traffic || exchanges) {
            return;
        }
        let mut book = lock(&self.0.book);
        if traffic {
            self.tell(ServerMoment::Sent { bytes: count });
        }
        let over = book.messages.as_mut().map(|messages| messages.sent(bytes));
        over.into_iter().flatten().for_each(|moment| self.written(&mut book, moment));
    }

    /// A part of a response is with the socket; its exchange is over if it was the last.
    fn written(&self, book: &mut LogBook, moment: ServerMoment) {
        let exchange = match &moment {
            ServerMoment::ResponseWritten { number, body, .. } if self.0.wants.exchanges => {
                book.unwritten.written(*number, body.content_bytes)
            }
            _ => None,
        };
        self.step(moment);
        self.tell_exchange(exchange);
    }

    /// The connection is over, for this reason as far as it is known.
    pub(crate) fn closed(&self, ending: Ending, why: Option<ServerCloseReason>) {
        let by = match ending.first {
            FirstClose::Here => ClosedBy::Server,
            FirstClose::There => ClosedBy::Client,
            FirstClose::Reset => ClosedBy::Reset,
        };
        let mut book = lock(&self.0.book);
        // hyper lets go of the socket before it lets go of the bodies, but what ended are the
        // responses first, then the connection.
        self.messages_over(&mut book, by);
        if why == Some(ServerCloseReason::BadRequest) {
            self.tell_refusal(&mut book, None);
        }
        self.change(&mut book, ConnState::Closed);
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

    /// Tells what was cut short, and of all that was still to be written.
    fn messages_over(&self, book: &mut LogBook, by: ClosedBy) {
        let (mut is_lost, mut cut_response) = (true, None);
        if let Some(mut messages) = book.messages.take() {
            is_lost = messages.is_lost();
            for moment in messages.closed() {
                self.written(book, moment);
            }
            cut_response =
                messages.cut_response().map(|(number, body)| (number, body.content_bytes));
            messages.cut(book.is_refused).for_each(|moment| self.step(moment));
            book.messages = Some(messages);
        }
        let over = |open: &OpenRequest| {
            // Of what is lost sight of, nothing better is known than what was handed over.
            let written = cut_response.filter(|(number, _)| *number == open.number);
            let bytes = written.map(|(_, bytes)| bytes).or((!is_lost).then_some(0));
            self.tell_exchange(open.over(Instant::now(), ResponseFate::Cut(bytes, by)));
        };
        book.unwritten.rest().iter().for_each(over);
        for open in std::mem::take(&mut book.in_flight) {
            self.tell(ServerMoment::ResponseDone { number: open.number, complete: false });
            over(&open);
        }
    }
}
