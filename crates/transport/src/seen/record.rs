//! What is known about one connection: how far the talk on it is, and why it ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Instant;

use evidence::{
    CloseReason, ClosedBy, ConnectionId, Ends, ExchangeId, Moment, NotPooled, Observed,
};
use http::{HeaderMap, StatusCode};
use wire::http1::{HeadLine, LengthField, LineKind};
use wire::{Ending, FirstClose};

use crate::config::HttpVersion;
use crate::failure::phase::Phase;
use crate::lock;
use crate::rules;
use crate::seen::first_bytes::FirstBytes;
use crate::seen::talk::{Talk, Telling, Writing};
use crate::seen::trace::Tracer;

/// Which connection carried a response. In the response's extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// Its number.
    pub id: ConnectionId,
    /// Its two addresses.
    pub ends: Ends,
}

/// The knowledge about one connection, shared by everybody who has to do with it.
pub(crate) struct Record {
    pub(crate) info: ConnectionInfo,
    /// Never [`HttpVersion::Negotiated`]; unknown during a TLS handshake.
    version: OnceLock<HttpVersion>,
    tracer: Tracer,
    established: Instant,
    /// Exchanges that were given this connection.
    exchanges: AtomicU64,
    why: Mutex<Option<CloseReason>>,
    exchange: Mutex<ExchangeStage>,
    /// Of HTTP/1.1 only.
    talk: Mutex<Talk>,
    /// Of HTTP/2 only.
    beginning: Mutex<FirstBytes>,
    peer_left: Mutex<Option<FirstClose>>,
    /// The event that ended TLS on it, if that was no goodbye.
    tls_ended: OnceLock<String>,
    /// The reason for which no final response is waited for any longer.
    no_final: OnceLock<String>,
    /// Set while the client closes down, by a client that cannot tell why it closes a connection.
    client_closing: Arc<AtomicBool>,
    /// True if the client's bodies wait for `100 Continue` where a request expects that.
    bodies_wait: bool,
}

/// The stage of an exchange: somebody may be about to learn why the connection ends. A
/// `Connection: close` in the head of a response is a reason, and so is a body that is malformed;
/// but hyper may close before whoever reads has come to it.
#[derive(Default)]
enum ExchangeStage {
    /// Nobody is.
    #[default]
    None,
    /// Somebody waits for the head of a response.
    AwaitsHead,
    /// Somebody waits for the head, and the connection has been closed meanwhile.
    AwaitsHeadAndClosed(ClosedNotTold),
    /// Somebody may read a body.
    InBody,
    /// The client has closed the connection, and whoever reads the body may meet the reason.
    InBodyAndClosed(ClosedNotTold),
}

/// A close that is not told yet.
struct ClosedNotTold {
    at: Instant,
    ending: Ending,
}

impl Record {
    pub(crate) fn new(
        info: ConnectionInfo,
        tracer: Tracer,
        client_closing: Arc<AtomicBool>,
        bodies_wait: bool,
    ) -> Self {
        Self {
            info,
            version: OnceLock::new(),
            tracer,
            established: Instant::now(),
            exchanges: AtomicU64::new(0),
            why: Mutex::default(),
            exchange: Mutex::default(),
            talk: Mutex::default(),
            beginning: Mutex::default(),
            peer_left: Mutex::default(),
            tls_ended: OnceLock::new(),
            no_final: OnceLock::new(),
            client_closing,
            bodies_wait,
        }
    }

    /// Returns what is spoken on it: HTTP/1.1, unless [`Self::speak`] has said something else.
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

    /// Returns true if a byte of the answer to the last request has come.
    pub(crate) fn response_started(&self) -> bool {
        let talk = lock(&self.talk);
        // An exchange that has the connection, but has not written yet, has no answer either.
        talk.response_started && talk.next.is_none()
    }

    /// Returns true if a request is written in part. hyper goes on writing it even if its sender is
    /// gone.
    pub(crate) fn is_amid_a_request(&self) -> bool {
        !matches!(lock(&self.talk).writing, Writing::Complete)
    }

    /// Returns what was under way, as far as the bytes on the wire tell.
    pub(crate) fn phase(&self) -> Phase {
        if self.version() == HttpVersion::Http2 {
            return Phase::Wait;
        }
        let talk = lock(&self.talk);
        let writes =
            matches!(talk.writing, Writing::Head(_) | Writing::Body { .. } | Writing::CutShort);
        match () {
            () if talk.requests == 0 || talk.next.is_some() => Phase::Request,
            () if talk.response_started => Phase::Head,
            () if writes => Phase::Request,
            () => Phase::Wait,
        }
    }

    /// The body of the request will not be sent; to Go that is a request written without an error.
    /// If it is being sent all the same, or if the connection is gone, that has been told.
    pub(crate) fn body_is_withheld(&self) {
        if self.version() == HttpVersion::Http2 {
            return;
        }
        let talk = &mut *lock(&self.talk);
        if let Writing::Waiting { .. } = talk.writing {
            talk.writing = Writing::Withheld;
            self.tell(&mut talk.told, || Moment::WroteRequest { result: Ok(()) });
        }
    }

    /// The connection is gone; if a request was being written, it never will be.
    fn request_is_cut_short(&self, by: FirstClose) {
        let talk = &mut *lock(&self.talk);
        let result = match talk.writing {
            // An answer instead of `100 Continue`, and a close that was quicker than its reader.
            Writing::Waiting { .. } if talk.response_started => Ok(()),
            Writing::Head(_) | Writing::Waiting { .. } | Writing::Body { .. } => Err(match by {
                FirstClose::Here => "the client closed the connection".to_owned(),
                FirstClose::There => "the server closed the connection".to_owned(),
                FirstClose::Reset => "the server reset the connection".to_owned(),
            }),
            Writing::Complete | Writing::Withheld | Writing::CutShort => return,
        };
        talk.writing = Writing::CutShort;
        self.tell(&mut talk.told, || Moment::WroteRequest { result });
    }

    /// An interim response has come.
    pub(crate) fn interim(&self, status: StatusCode, headers: &HeaderMap) {
        if self.version() == HttpVersion::Http2 {
            return;
        }
        // hyper goes on with what it has read already.
        if self.gave_up_on_final().is_some() {
            return;
        }
        let talk = &mut *lock(&self.talk);
        talk.interim += 1;
        let is_heard = self.tracer.is_heard();
        if let Some(much) = rules::too_much_interim(talk.interim, talk.answer.bytes, is_heard) {
            self.close_because(CloseReason::Failed(format!("{much} and no final one")));
            let _ = self.no_final.set(much);
            return;
        }
        if status == StatusCode::CONTINUE && std::mem::take(&mut talk.awaits_100) {
            self.tell(&mut talk.told, || Moment::Got100Continue);
            if let Writing::Waiting { left } = talk.writing {
                talk.writing = Writing::Body { left };
            }
        }
        self.tell(&mut talk.told, || Moment::Got1xxResponse {
            code: status.as_u16(),
            headers: headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
                .collect(),
        });
    }

    /// Returns what there was too much of instead of a final response, if it was given up on: then
    /// nothing more is read.
    pub(crate) fn gave_up_on_final(&self) -> Option<&str> {
        self.no_final.get().map(String::as_str)
    }

    /// Returns true if the server's first bytes show that it speaks something else: in HTTP/1.1 it
    /// waits to be asked, in HTTP/2 it does not.
    pub(crate) fn server_speaks_something_else(&self) -> bool {
        match self.version() {
            HttpVersion::Http1 | HttpVersion::Negotiated => lock(&self.talk).server_spoke_first,
            HttpVersion::Http2 => !lock(&self.beginning).are_settings(),
        }
    }

    /// Returns true if the answer begins as one of HTTP/1 does.
    pub(crate) fn answers_in_http1(&self) -> bool {
        self.is_http1() && lock(&self.talk).answer.first.are_http1()
    }

    /// Returns how an answer begins that is none in the version it was asked in; `None` if nobody
    /// can tell, or if it is about HTTP/1 that was asked for.
    pub(crate) fn speaks(&self) -> Option<String> {
        match self.version() {
            HttpVersion::Http2 => lock(&self.beginning).words(),
            HttpVersion::Http1 | HttpVersion::Negotiated => {
                let talk = lock(&self.talk);
                let first = &talk.answer.first;
                if first.are_http1() { None } else { first.words() }
            }
        }
    }

    /// Returns what the head of the answer has too much of, as far as that can be told.
    pub(crate) fn too_much_in_head(&self) -> Option<String> {
        lock(&self.talk).answer.too_much()
    }

    /// How the peer has left, if it has.
    pub(crate) fn peer_left(&self) -> Option<FirstClose> {
        *lock(&self.peer_left)
    }

    /// Notes why the client is about to close the connection. The first reason is the true one.
    pub(crate) fn close_because(&self, why: CloseReason) {
        lock(&self.why).get_or_insert(why);
    }

    /// TLS has ended on it with an error, in these words.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is no TLS"))]
    pub(crate) fn tls_has_ended(&self, because: String) {
        self.close_because(CloseReason::Tls(because.clone()));
        let _ = self.tls_ended.set(because);
    }

    /// Returns what ended TLS, if that was an error.
    pub(crate) fn tls_ended(&self) -> Option<&str> {
        self.tls_ended.get().map(String::as_str)
    }

    /// A close is not told before [`Self::head_is_read`]: the head may hold its reason.
    pub(crate) fn head_is_awaited(&self) {
        *lock(&self.exchange) = ExchangeStage::AwaitsHead;
    }

    /// The head has been read, and a reason it gives is noted. From now on only a close for which
    /// there is no reason yet is not told before [`Self::exchange_is_over`].
    pub(crate) fn head_is_read(&self) {
        let mut exchange = lock(&self.exchange);
        let before = std::mem::replace(&mut *exchange, ExchangeStage::InBody);
        if let ExchangeStage::AwaitsHeadAndClosed(closed) = before {
            self.tell_close_or_wait(exchange, closed);
        }
    }

    /// Whoever had the connection has no more to say about its end.
    pub(crate) fn exchange_is_over(&self) {
        let before = std::mem::take(&mut *lock(&self.exchange));
        if let ExchangeStage::AwaitsHeadAndClosed(closed) | ExchangeStage::InBodyAndClosed(closed) =
            before
        {
            self.tell_close(&closed);
        }
    }

    /// Bytes of requests went out.
    pub(crate) fn sent(&self, mut bytes: &[u8]) {
        if self.version() == HttpVersion::Http2 {
            return;
        }
        let talk = &mut *lock(&self.talk);
        talk.begin_request_if_it_is_time();
        let Talk { told, writing, awaits_100, .. } = talk;
        if let Writing::Head(head) = writing {
            let line = |line: HeadLine<'_>| {
                if let LineKind::Field { name, value } = line.kind {
                    let (name, value) = (text(name), text(value));
                    self.tell(told, || Moment::WroteHeaderField { name, value });
                }
            };
            let Some((facts, behind)) = head.read(bytes, line) else { return };
            bytes = behind;
            self.tell(told, || Moment::WroteHeaders);
            // This crate sends no body without announcing its length.
            let left = match facts.length {
                LengthField::Bytes(length) => length,
                LengthField::Absent | LengthField::Unreadable => 0,
            };
            *awaits_100 = facts.expects_continue && left > 0;
            let waits = *awaits_100 && self.bodies_wait;
            if waits {
                self.tell(told, || Moment::Wait100Continue);
            }
            *writing = if waits { Writing::Waiting { left } } else { Writing::Body { left } };
        }
        if let Writing::Waiting { left } = writing
            && !bytes.is_empty()
        {
            *writing = Writing::Body { left: *left };
        }
        if let Writing::Body { left } = writing {
            *left = left.saturating_sub(bytes.len() as u64);
            if *left == 0 {
                *writing = Writing::Complete;
                self.tell(told, || Moment::WroteRequest { result: Ok(()) });
            }
        }
    }

    /// Bytes of responses came.
    pub(crate) fn received(&self, bytes: &[u8]) {
        if self.version() == HttpVersion::Http2 {
            lock(&self.beginning).read(bytes);
            return;
        }
        let talk = &mut *lock(&self.talk);
        talk.server_spoke_first |= talk.requests == 0;
        talk.answer.read(bytes);
        if talk.requests > 0 && !talk.response_started {
            talk.response_started = true;
            self.tell(&mut talk.told, || Moment::GotFirstResponseByte);
        }
    }

    /// The peer is known to have gone.
    pub(crate) fn peer_has_left(&self, how: FirstClose) {
        *lock(&self.peer_left) = Some(how);
    }

    /// The client's end is closed.
    pub(crate) fn closed(&self, ending: Ending) {
        self.request_is_cut_short(ending.first);
        let closed = ClosedNotTold { at: Instant::now(), ending };
        self.tell_close_or_wait(lock(&self.exchange), closed);
    }

    fn tell_close_or_wait(
        &self,
        mut exchange: MutexGuard<'_, ExchangeStage>,
        closed: ClosedNotTold,
    ) {
        let has_no_reason = closed.ending.first == FirstClose::Here && lock(&self.why).is_none();
        match *exchange {
            ExchangeStage::AwaitsHead => *exchange = ExchangeStage::AwaitsHeadAndClosed(closed),
            ExchangeStage::InBody if has_no_reason => {
                *exchange = ExchangeStage::InBodyAndClosed(closed);
            }
            _ => {
                drop(exchange);
                self.tell_close(&closed);
            }
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
            // What the client was about to close was gone already, whether it knew that or not.
            (
                Some(
                    CloseReason::TransportClosed
                    | CloseReason::RequestGivenUp
                    | CloseReason::NotPooled(NotPooled::BodyUnread { .. }),
                ),
                Some(CloseReason::ServerReset),
            ) => Some(CloseReason::ServerReset),
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

    fn tell(&self, told: &mut Telling, moment: impl FnOnce() -> Moment) {
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
