//! What is seen on the socket itself: when bytes really met it, and who closed it.
//!
//! In HTTP/2 exchanges share the wire in frames, and their heads are compressed: which bytes belong
//! to whom is not seen here, so no moment of an exchange is told. That the server speaks HTTP/2 is
//! seen, and so is the end.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use ::hyper_util::client::legacy::connect::{Connected, Connection};
use evidence::{CloseReason, ClosedBy, ConnectionId, Ends, ExchangeId, Moment, Observed};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use wire::{Ending, FirstClose, Tap, Wire};

use crate::head::RequestHead;
use crate::lock;
use crate::rules::HttpVersion;
use crate::trace::Tracer;

/// Which connection carried a response. In the response's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its number.
    pub id: ConnectionId,
    /// Its two addresses.
    pub ends: Ends,
}

/// What is known about one connection, by everybody who has to do with it.
pub(crate) struct Record {
    pub(crate) info: ConnectionInfo,
    /// Never [`HttpVersion::Negotiated`]; unknown during a TLS handshake.
    version: OnceLock<HttpVersion>,
    tracer: Tracer,
    established: Instant,
    /// Exchanges that were given this connection.
    exchanges: AtomicU64,
    why: Mutex<Option<CloseReason>>,
    head: Mutex<Head>,
    /// Of HTTP/1.1 only.
    talk: Mutex<Talk>,
    /// Of HTTP/2 only.
    beginning: Mutex<Beginning>,
    peer_left: Mutex<Option<FirstClose>>,
    /// Set while the client closes down, by a client that cannot tell why it closes a connection.
    client_closing: Arc<AtomicBool>,
}

/// Whether the head of a response is being waited for. Its `Connection: close` is a reason to
/// close, but hyper may close before whoever waits for the head has read it.
#[derive(Default)]
enum Head {
    /// Nobody waits for one.
    #[default]
    NotAwaited,
    /// Somebody does.
    Awaited,
    /// Somebody does, and the connection has been closed meanwhile.
    AwaitedAndClosed(ClosedNotTold),
}

/// A close that is not told yet.
struct ClosedNotTold {
    at: Instant,
    ending: Ending,
}

/// Where the talk on the wire is: HTTP/1.1 without pipelining alternates, so bytes that go out
/// after a request is complete and its answer has started belong to the next exchange.
#[derive(Default)]
struct Talk {
    told: Told,
    /// The exchange that will write next, if that is known already.
    next: Option<ExchangeId>,
    requests: u64,
    writing: Writing,
    /// The request says `Expect: 100-continue`, and the server has not said so yet.
    awaits_100: bool,
    response_started: bool,
    /// Bytes came before any request was sent: HTTP/1.1 servers do not do that.
    server_spoke_first: bool,
}

impl Talk {
    /// Bytes go out: with them the next request begins, unless they are a part of the last one.
    fn begin_request_if_it_is_time(&mut self) {
        let is_over = self.response_started && matches!(self.writing, Writing::Complete);
        if self.requests == 0 || is_over {
            self.told.exchange = self.next.take();
            self.told.unclaimed.clear();
            self.requests += 1;
            self.writing = Writing::Head(RequestHead::default());
            self.awaits_100 = false;
            self.response_started = false;
        }
    }
}

/// Whose moments are told.
#[derive(Default)]
struct Told {
    exchange: Option<ExchangeId>,
    /// Moments of an exchange whose number is not known yet.
    unclaimed: Vec<(Instant, Moment)>,
}

/// How far a request is written.
#[derive(Default)]
enum Writing {
    Head(RequestHead),
    Body {
        left: u64,
    },
    /// Nothing is left to write.
    #[default]
    Complete,
    /// The head is written, and nothing else will be; hyper does not know that.
    Withheld,
}

/// What the server begins with. In HTTP/2 that is a frame of SETTINGS, sent without waiting for any
/// request (RFC 9113 section 3.4).
#[derive(Default)]
struct Beginning {
    bytes: usize,
    is_settings: bool,
}

impl Beginning {
    /// Takes further bytes, of which one may be the fourth: the type of the first frame.
    fn received(&mut self, bytes: &[u8]) {
        const PLACE_OF_TYPE: usize = 3;
        const SETTINGS: u8 = 4;
        if let Some(place) = PLACE_OF_TYPE.checked_sub(self.bytes)
            && let Some(frame_type) = bytes.get(place)
        {
            self.is_settings = *frame_type == SETTINGS;
        }
        self.bytes += bytes.len();
    }
}

impl Record {
    pub(crate) fn new(
        info: ConnectionInfo,
        tracer: Tracer,
        client_closing: Arc<AtomicBool>,
    ) -> Self {
        Self {
            info,
            version: OnceLock::new(),
            tracer,
            established: Instant::now(),
            exchanges: AtomicU64::new(0),
            why: Mutex::default(),
            head: Mutex::default(),
            talk: Mutex::default(),
            beginning: Mutex::default(),
            peer_left: Mutex::default(),
            client_closing,
        }
    }

    /// What is spoken on it: HTTP/1.1, unless [`Self::speak`] has said something else.
    pub(crate) fn version(&self) -> HttpVersion {
        self.version.get().copied().unwrap_or(HttpVersion::Http1)
    }

    pub(crate) fn is_http1(&self) -> bool {
        self.version() != HttpVersion::Http2
    }

    /// HTTP/2 is spoken on it, or HTTP/1.1. Before anything is.
    pub(crate) fn speak(&self, version: HttpVersion) {
        let _ = self.version.set(version);
    }

    /// Counts an exchange that was given the connection; returns whether one was before.
    pub(crate) fn count_exchange(&self) -> bool {
        self.exchanges.fetch_add(1, Ordering::Relaxed) > 0
    }

    /// Takes what is seen on the wire from now on as the doing of `exchange`.
    ///
    /// For a client that chooses its connection without telling, this may come after the request
    /// was written: moments that were kept back for it are told now.
    pub(crate) fn claim(&self, exchange: ExchangeId) {
        if self.version() == HttpVersion::Http2 {
            return;
        }
        let mut talk = lock(&self.talk);
        if talk.requests > 0 && talk.told.exchange.is_none() {
            talk.told.exchange = Some(exchange);
            let kept = std::mem::take(&mut talk.told.unclaimed);
            drop(talk);
            for (at, moment) in kept {
                self.tracer.tell_at(at, Some(exchange), Some(self.info.id), || moment);
            }
        } else {
            talk.next = Some(exchange);
        }
    }

    /// How many requests reached the socket, at least in part.
    pub(crate) fn requests_written(&self) -> u64 {
        lock(&self.talk).requests
    }

    /// Whether a byte of the answer to the last request has come.
    pub(crate) fn response_started(&self) -> bool {
        let talk = lock(&self.talk);
        // An exchange that has the connection, but has not written yet, has no answer either.
        talk.response_started && talk.next.is_none()
    }

    /// Whether a request is written in part. hyper goes on writing it even if its sender is gone.
    pub(crate) fn is_amid_a_request(&self) -> bool {
        !matches!(lock(&self.talk).writing, Writing::Complete)
    }

    /// The body of the request will not be sent; to Go that is a request written without an error.
    pub(crate) fn body_is_withheld(&self) {
        if self.version() == HttpVersion::Http2 {
            return;
        }
        let talk = &mut *lock(&self.talk);
        talk.writing = Writing::Withheld;
        self.tell(&mut talk.told, || Moment::WroteRequest { result: Ok(()) });
    }

    /// The connection is gone; if a request was being written, it never will be.
    fn request_is_cut_short(&self, by: FirstClose) {
        let talk = &mut *lock(&self.talk);
        if let Writing::Head(_) | Writing::Body { .. } = std::mem::take(&mut talk.writing) {
            let cause = match by {
                FirstClose::Here => "the client closed the connection",
                FirstClose::There => "the server closed the connection",
                FirstClose::Reset => "the server reset the connection",
            };
            self.tell(&mut talk.told, || Moment::WroteRequest { result: Err(cause.into()) });
        }
    }

    /// An interim response has come.
    pub(crate) fn interim(&self, status: StatusCode, headers: &HeaderMap) {
        if self.version() == HttpVersion::Http2 {
            return;
        }
        let talk = &mut *lock(&self.talk);
        if status == StatusCode::CONTINUE && std::mem::take(&mut talk.awaits_100) {
            self.tell(&mut talk.told, || Moment::Got100Continue);
        }
        self.tell(&mut talk.told, || Moment::Got1xxResponse {
            code: status.as_u16(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect(),
        });
    }

    /// Whether the server's first bytes show that it speaks something else: in HTTP/1.1 it waits to
    /// be asked, in HTTP/2 it does not.
    pub(crate) fn server_speaks_something_else(&self) -> bool {
        match self.version() {
            HttpVersion::Http1 | HttpVersion::Negotiated => lock(&self.talk).server_spoke_first,
            HttpVersion::Http2 => !lock(&self.beginning).is_settings,
        }
    }

    /// How the peer has left, if it has.
    pub(crate) fn peer_left(&self) -> Option<FirstClose> {
        *lock(&self.peer_left)
    }

    /// Notes why the client is about to close the connection. The first reason is the true one.
    pub(crate) fn close_because(&self, why: CloseReason) {
        lock(&self.why).get_or_insert(why);
    }

    /// A close is not told before [`Self::head_is_read`]: the head may hold its reason.
    pub(crate) fn head_is_awaited(&self) {
        *lock(&self.head) = Head::Awaited;
    }

    /// The head has been read, and a reason it gives is noted; or nobody waits for it any more.
    pub(crate) fn head_is_read(&self) {
        let before = std::mem::take(&mut *lock(&self.head));
        if let Head::AwaitedAndClosed(closed) = before {
            self.tell_close(&closed);
        }
    }

    fn tell_close(&self, ClosedNotTold { at, ending }: &ClosedNotTold) {
        let (by, seen_on_the_wire) = match ending.first {
            FirstClose::Here => (ClosedBy::Client, None),
            FirstClose::There => (ClosedBy::Server, Some(CloseReason::ServerClosed)),
            FirstClose::Reset => (ClosedBy::Reset, Some(CloseReason::ServerReset)),
        };
        let closing = self.client_closing.load(Ordering::Relaxed);
        let noted = lock(&self.why).take();
        let why = match (noted, seen_on_the_wire) {
            // That an exchange failed is what its end looks like from above; the wire knows better.
            (Some(CloseReason::Failed(_)), Some(seen)) => Some(seen),
            (Some(noted), _) => Some(noted),
            (None, seen) => seen,
        };
        let why = why
            .or(closing.then_some(CloseReason::TransportClosed))
            .map_or(Observed::NotObservable, Observed::Known);
        let exchanges = match self.version() {
            HttpVersion::Http1 | HttpVersion::Negotiated => self.requests_written(),
            HttpVersion::Http2 => self.exchanges.load(Ordering::Relaxed),
        };
        self.tracer.tell_at(*at, None, Some(self.info.id), || Moment::ConnectionClosed {
            by,
            why,
            age: at.duration_since(self.established),
            exchanges,
            unread: ending.unread,
        });
    }

    fn tell(&self, told: &mut Told, moment: impl FnOnce() -> Moment) {
        if !self.tracer.is_heard() {
            return;
        }
        match told.exchange {
            Some(_) => self.tracer.tell(told.exchange, Some(self.info.id), moment),
            None => told.unclaimed.push((Instant::now(), moment())),
        }
    }
}

/// Bytes as text; what is none is replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The ear on a client's socket.
pub(crate) struct ClientTap(pub(crate) Arc<Record>);

impl Tap for ClientTap {
    fn sent(&mut self, mut bytes: &[u8]) {
        let Self(record) = self;
        if record.version() == HttpVersion::Http2 {
            return;
        }
        let talk = &mut *lock(&record.talk);
        talk.begin_request_if_it_is_time();
        let Talk { told, writing, awaits_100, .. } = talk;
        if let Writing::Head(head) = writing {
            let field = |name: &[u8], value: &[u8]| {
                record.tell(told, || Moment::WroteHeaderField {
                    name: text(name),
                    value: text(value),
                });
            };
            let Some(behind) = head.read(bytes, field) else { return };
            bytes = behind;
            record.tell(told, || Moment::WroteHeaders);
            *awaits_100 = head.body_waits();
            if *awaits_100 {
                record.tell(told, || Moment::Wait100Continue);
            }
            *writing = Writing::Body { left: head.body_bytes() };
        }
        if let Writing::Body { left } = writing {
            *left = left.saturating_sub(bytes.len() as u64);
            if *left == 0 {
                *writing = Writing::Complete;
                record.tell(told, || Moment::WroteRequest { result: Ok(()) });
            }
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        if self.0.version() == HttpVersion::Http2 {
            lock(&self.0.beginning).received(bytes);
            return;
        }
        let talk = &mut *lock(&self.0.talk);
        talk.server_spoke_first |= talk.requests == 0;
        if talk.requests > 0 && !talk.response_started {
            talk.response_started = true;
            self.0.tell(&mut talk.told, || Moment::GotFirstResponseByte);
        }
    }

    fn peer_left(&mut self, how: FirstClose) {
        *lock(&self.0.peer_left) = Some(how);
    }

    fn closed(&mut self, ending: Ending) {
        self.0.request_is_cut_short(ending.first);
        let closed = ClosedNotTold { at: Instant::now(), ending };
        let mut head = lock(&self.0.head);
        if matches!(*head, Head::Awaited) {
            *head = Head::AwaitedAndClosed(closed);
        } else {
            drop(head);
            self.0.tell_close(&closed);
        }
    }
}

/// A stream of bytes, with TLS on the wire or without.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An established connection: what hyper reads from and writes to.
pub(crate) struct ClientWire {
    wire: Box<dyn Io>,
    pub(crate) record: Arc<Record>,
}

impl ClientWire {
    pub(crate) fn plain(stream: TcpStream, record: Arc<Record>) -> Self {
        let wire = Wire::new(stream, ClientTap(Arc::clone(&record)));
        Self { wire: Box::new(wire), record }
    }

    /// What is listened in on by others.
    pub(crate) fn tapped(wire: Box<dyn Io>, record: Arc<Record>) -> Self {
        Self { wire, record }
    }
}

impl AsyncRead for ClientWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.wire).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientWire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

/// A connection's record as hyper-util's client carries it along.
#[derive(Clone)]
pub(crate) struct Carried(pub(crate) Arc<Record>);

impl Connection for ClientWire {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(Carried(Arc::clone(&self.record)));
        match self.record.version() {
            HttpVersion::Http2 => connected.negotiated_h2(),
            HttpVersion::Http1 | HttpVersion::Negotiated => connected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_http_2_begins_with_settings_however_its_bytes_are_cut() {
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 200];
        for (bytes, expected) in
            [(&settings[..], true), (b"HTTP/1.1 400 \r\n", false), (b"\x04", false)]
        {
            for cut in 0..bytes.len() {
                let (first, second) = bytes.split_at(cut);
                let mut beginning = Beginning::default();
                beginning.received(first);
                beginning.received(second);
                beginning.received(b"\x04\x00");
                assert_eq!(beginning.is_settings, expected, "cut at {cut}");
            }
        }
    }
}
