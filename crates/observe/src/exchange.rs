//! The exchanges of a connection, read from the bytes of both directions.

use std::collections::VecDeque;
use std::time::Duration;

use evidence::{KeepAliveOffer, Side};
use wire::http1::{
    AnsweredMethod, Direction, HeadFacts, LengthField, LineKind, MessagePart, MessageSplitter,
    UnfinishedPart,
};

use wire::tls::{RecordSplitter, TlsPart, TlsVersion};

use crate::http2::Http2Reader;
use crate::stream::StreamPiece;

/// So much of a line is kept: a target may be longer than anybody reads.
const KEPT_CHARS: usize = 512;
/// So many bytes that nobody heard are passed over at once.
const ZEROS: [u8; 4096] = [0; 4096];
/// The first bytes of HTTP/2 (RFC 9113 section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The protocol that a connection speaks, by the first bytes of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SpokenProtocol {
    /// The client sent nothing.
    #[default]
    Nothing,
    /// HTTP/1.0 or HTTP/1.1.
    Http1,
    /// HTTP/2 without TLS, from the beginning on.
    Http2,
    /// TLS, whatever is within.
    Tls,
    /// Something else.
    Other,
}

/// The words of both ends of a connection before TLS encrypts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeenTls {
    /// The name of the server that the client wants (SNI).
    pub server_name: Option<String>,
    /// The protocols that the client offers (ALPN).
    pub offers: Vec<String>,
    /// The one of them that the server has chosen; TLS 1.3 encrypts that.
    pub chosen: Option<String>,
    /// The version that the server has chosen.
    pub version: Option<TlsVersion>,
    /// True if the client offers to go on with an earlier session.
    pub offers_session: bool,
    /// True if the server goes on with it.
    pub resumes: bool,
}

/// A request as its bytes tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenRequest {
    /// The method.
    pub method: String,
    /// The target, as it was written.
    pub target: String,
    /// The value of `Host`.
    pub host: Option<String>,
    /// The minor version of HTTP/1.
    pub minor_version: u8,
    /// When its first byte was heard.
    pub began: Duration,
    /// When its last byte was heard; `None` if it was not.
    pub ended: Option<Duration>,
    /// The bytes of its head.
    pub head_bytes: u64,
    /// The bytes of its body, with their framing.
    pub body_bytes: u64,
    /// A number that bodies of equal bytes share, and others most likely do not. `None` if some of
    /// its bytes were not heard.
    pub body_digest: Option<u64>,
    /// True if it asks for the connection to be closed: `Connection: close`, or HTTP/1.0 without
    /// `keep-alive`.
    pub says_close: bool,
}

/// A response as its bytes tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenResponse {
    /// The status code.
    pub status: u16,
    /// The minor version of HTTP/1.
    pub minor_version: u8,
    /// When its first byte was heard.
    pub began: Duration,
    /// When its last byte was heard; `None` if it was not.
    pub ended: Option<Duration>,
    /// The bytes of its body, with their framing.
    pub body_bytes: u64,
    /// True if it says `Connection: close`.
    pub says_close: bool,
    /// True if it says `Connection: keep-alive`.
    pub says_keep_alive: bool,
    /// The offer of its `Keep-Alive`.
    pub offer: Option<KeepAliveOffer>,
    /// True if only the end of the connection ends its body.
    pub ends_with_connection: bool,
    /// True if the connection is another protocol's behind it: 101, or success for `CONNECT`.
    pub is_handover: bool,
}

impl SeenResponse {
    /// Returns true if the connection may carry another exchange behind it, as far as it says.
    #[must_use]
    pub fn keeps_connection(&self) -> bool {
        let persists = self.minor_version > 0 || self.says_keep_alive;
        persists && !self.says_close && !self.ends_with_connection && !self.is_handover
    }
}

/// A request, and its response if one came.
#[derive(Clone, Debug, PartialEq)]
pub struct SeenExchange {
    /// The request.
    pub request: SeenRequest,
    /// Its final response.
    pub response: Option<SeenResponse>,
}

impl SeenExchange {
    /// When the last byte of both was heard; `None` while something is to come.
    #[must_use]
    pub fn ended(&self) -> Option<Duration> {
        let request = self.request.ended?;
        Some(self.response.as_ref()?.ended?.max(request))
    }
}

/// Reads both directions of a connection.
#[derive(Debug)]
pub(crate) struct ExchangeReader {
    pub(crate) protocol: SpokenProtocol,
    pub(crate) exchanges: Vec<SeenExchange>,
    /// Responses that nobody had asked for.
    pub(crate) unasked: u64,
    /// True if what came is no message any more, or bytes are missing where a message begins.
    pub(crate) is_lost: bool,
    /// The words of both ends before TLS encrypts.
    pub(crate) tls: SeenTls,
    tls_splitters: [RecordSplitter; 2],
    /// The frames of HTTP/2, and what came before anybody knew that it is.
    pub(crate) http2: Http2Reader,
    opening: Vec<u8>,
    requests: MessageSplitter,
    responses: MessageSplitter,
    /// How responses are read that are to come.
    methods: VecDeque<AnsweredMethod>,
    /// How many requests have their final response.
    answered: usize,
    head: HeadNotes,
    answer_head: HeadNotes,
    /// The response whose body is being read.
    answering: bool,
}

/// The notes of a head whose lines come.
#[derive(Debug, Default)]
struct HeadNotes {
    began: Option<Duration>,
    start: String,
    host: Option<String>,
    connection: String,
    keep_alive: Option<String>,
}

impl HeadNotes {
    fn line(&mut self, kind: LineKind<'_>, bytes: &[u8]) {
        match kind {
            LineKind::Start => self.start = text(bytes.trim_ascii_end()),
            LineKind::Field { name, value } if name.eq_ignore_ascii_case(b"host") => {
                self.host = Some(text(value));
            }
            LineKind::Field { name, value } if name.eq_ignore_ascii_case(b"connection") => {
                self.connection.push(',');
                self.connection.push_str(&text(value));
            }
            LineKind::Field { name, value } if name.eq_ignore_ascii_case(b"keep-alive") => {
                self.keep_alive = Some(text(value));
            }
            _ => {}
        }
    }

    fn says(&self, option: &str) -> bool {
        self.connection.split(',').any(|word| word.trim().eq_ignore_ascii_case(option))
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().take(KEPT_CHARS).collect()
}

impl ExchangeReader {
    pub(crate) fn new() -> Self {
        Self {
            protocol: SpokenProtocol::default(),
            exchanges: Vec::new(),
            unasked: 0,
            is_lost: false,
            tls: SeenTls::default(),
            tls_splitters: Default::default(),
            http2: Http2Reader::new(),
            opening: Vec::new(),
            requests: MessageSplitter::new(Direction::Requests),
            responses: MessageSplitter::new(Direction::Responses),
            methods: VecDeque::new(),
            answered: 0,
            head: HeadNotes::default(),
            answer_head: HeadNotes::default(),
            answering: false,
        }
    }

    /// Takes what one end has sent.
    pub(crate) fn take(&mut self, from: Side, piece: StreamPiece<'_>, at: Duration) {
        if from == Side::Client && matches!(self.protocol, SpokenProtocol::Nothing) {
            match piece {
                StreamPiece::Bytes(bytes) => self.open(bytes, at),
                StreamPiece::Missing(_) => self.protocol = SpokenProtocol::Other,
            }
            return;
        }
        match (self.protocol, piece) {
            (SpokenProtocol::Tls, StreamPiece::Bytes(bytes)) => self.feed_tls(from, bytes),
            (SpokenProtocol::Tls, StreamPiece::Missing(length)) => {
                self.tls_splitters[usize::from(from == Side::Server)].skip(length);
            }
            (SpokenProtocol::Http2, piece) => self.http2.take(from, piece, at),
            _ => {}
        }
        if self.protocol != SpokenProtocol::Http1 {
            return;
        }
        match piece {
            StreamPiece::Bytes(bytes) => self.feed(from, bytes, at),
            StreamPiece::Missing(length) => self.pass_over(from, length, at),
        }
    }

    /// One end sends nothing more.
    pub(crate) fn close(&mut self, from: Side, at: Duration) {
        if self.protocol != SpokenProtocol::Http1 {
            return;
        }
        match from {
            Side::Client => self.requests.close(|_| {}),
            Side::Server => {
                let mut has_ended = false;
                self.responses.close(|part| has_ended |= matches!(part, MessagePart::End(_)));
                if has_ended {
                    self.end_response(at);
                }
            }
        }
    }

    /// Tells the protocol by the first bytes, as soon as they suffice.
    fn open(&mut self, bytes: &[u8], at: Duration) {
        self.opening.extend(bytes);
        let opening = std::mem::take(&mut self.opening);
        self.protocol = match protocol(&opening) {
            Some(protocol) => protocol,
            None => {
                self.head.began.get_or_insert(at);
                self.opening = opening;
                return;
            }
        };
        match self.protocol {
            SpokenProtocol::Http1 => self.feed(Side::Client, &opening, at),
            SpokenProtocol::Tls => self.feed_tls(Side::Client, &opening),
            SpokenProtocol::Http2 => {
                self.http2.take(Side::Client, StreamPiece::Bytes(&opening), at);
            }
            _ => {}
        }
    }

    fn feed_tls(&mut self, from: Side, bytes: &[u8]) {
        let Self { tls, tls_splitters: [of_client, of_server], .. } = self;
        let splitter = if from == Side::Client { of_client } else { of_server };
        splitter.feed(bytes, |part| match part {
            TlsPart::ClientHello { hello, .. } => {
                tls.server_name = hello.server_name;
                tls.offers = hello.protocols;
                tls.offers_session = hello.offers_session;
            }
            TlsPart::ServerHello { hello, .. } if !hello.is_retry => {
                tls.version = Some(hello.version);
                tls.chosen = hello.protocol;
                tls.resumes = hello.resumes;
            }
            _ => {}
        });
    }

    fn feed(&mut self, from: Side, bytes: &[u8], at: Duration) {
        match from {
            Side::Client => self.feed_requests(bytes, at),
            Side::Server => self.feed_responses(bytes, at),
        }
    }

    fn feed_requests(&mut self, bytes: &[u8], at: Duration) {
        let Self { requests, exchanges, methods, head, .. } = self;
        requests.feed(bytes, AnsweredMethod::default, |part| match part {
            MessagePart::Line(line) => {
                head.began.get_or_insert(at);
                head.line(line.kind, line.bytes);
            }
            MessagePart::Head(facts) => {
                methods.push_back(facts.method);
                exchanges.push(SeenExchange {
                    request: request(std::mem::take(head), facts.bytes, at),
                    response: None,
                });
            }
            MessagePart::Body(body) => {
                let Some(exchange) = exchanges.last_mut() else { return };
                let request = &mut exchange.request;
                request.body_bytes += body.len() as u64;
                request.body_digest = request.body_digest.map(|so_far| digest(so_far, body));
            }
            MessagePart::End(_) => {
                if let Some(exchange) = exchanges.last_mut() {
                    exchange.request.ended = Some(at);
                }
            }
        });
        if matches!(self.requests.unfinished(), Some(UnfinishedPart::Head { .. })) {
            self.head.began.get_or_insert(at);
        }
        self.is_lost |= self.requests.is_lost() && !self.is_handed_over();
    }

    fn feed_responses(&mut self, bytes: &[u8], at: Duration) {
        let Self { responses, methods, answer_head, exchanges, answered, unasked, .. } = self;
        let mut handover = false;
        let answering = &mut self.answering;
        responses.feed(
            bytes,
            || methods.pop_front().unwrap_or_default(),
            |part| match part {
                MessagePart::Line(line) => {
                    answer_head.began.get_or_insert(at);
                    answer_head.line(line.kind, line.bytes);
                }
                MessagePart::Head(facts) => {
                    let notes = std::mem::take(answer_head);
                    if facts
                        .status
                        .is_some_and(|status| (100..200).contains(&status) && status != 101)
                    {
                        return;
                    }
                    let Some(exchange) = exchanges.get_mut(*answered) else {
                        *unasked += 1;
                        *answering = false;
                        return;
                    };
                    *answered += 1;
                    let response = response(&notes, &facts, &exchange.request.method, at);
                    handover = response.is_handover;
                    exchange.response = Some(response);
                    *answering = true;
                }
                MessagePart::Body(body) => {
                    let last = answered.checked_sub(1).filter(|_| *answering);
                    let last = last.and_then(|last| exchanges.get_mut(last));
                    if let Some(response) = last.and_then(|last| last.response.as_mut()) {
                        response.body_bytes += body.len() as u64;
                    }
                }
                MessagePart::End(_) => {
                    let last = answered.checked_sub(1).filter(|_| *answering);
                    let last = last.and_then(|last| exchanges.get_mut(last));
                    if let Some(response) = last.and_then(|last| last.response.as_mut()) {
                        response.ended = Some(at);
                    }
                    *answering = false;
                }
            },
        );
        if matches!(self.responses.unfinished(), Some(UnfinishedPart::Head { .. })) {
            self.answer_head.began.get_or_insert(at);
        }
        if handover {
            self.end_response(at);
            self.requests.close(|_| {});
        }
        self.is_lost |= self.responses.is_lost() && !self.is_handed_over();
    }

    /// Bytes that nobody heard: within a body their number is enough.
    fn pass_over(&mut self, from: Side, length: u64, at: Duration) {
        let splitter = match from {
            Side::Client => &self.requests,
            Side::Server => &self.responses,
        };
        if !splitter.is_within_a_body() {
            self.lose(from);
            return;
        }
        if from == Side::Client
            && let Some(last) = self.exchanges.last_mut()
        {
            last.request.body_digest = None;
        }
        let heads = splitter.heads_begun();
        let mut left = length;
        while left > 0 {
            let next = left.min(ZEROS.len() as u64);
            self.feed(from, &ZEROS[..usize::try_from(next).unwrap_or(ZEROS.len())], at);
            left -= next;
        }
        let splitter = match from {
            Side::Client => &self.requests,
            Side::Server => &self.responses,
        };
        // A message began in what nobody heard.
        if splitter.heads_begun() != heads {
            self.lose(from);
        }
    }

    fn lose(&mut self, from: Side) {
        self.is_lost = true;
        match from {
            Side::Client => self.requests.close(|_| {}),
            Side::Server => self.responses.close(|_| {}),
        }
    }

    fn end_response(&mut self, at: Duration) {
        let last = self.answered.checked_sub(1).and_then(|last| self.exchanges.get_mut(last));
        if let Some(response) = last.and_then(|last| last.response.as_mut()) {
            response.ended.get_or_insert(at);
        }
    }

    fn is_handed_over(&self) -> bool {
        let mut responses = self.exchanges.iter().filter_map(|it| it.response.as_ref());
        responses.any(|response| response.is_handover)
    }
}

/// The protocol that begins with these bytes; `None` if they are too few to tell.
fn protocol(opening: &[u8]) -> Option<SpokenProtocol> {
    if opening.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(opening) {
        return None;
    }
    if opening.starts_with(HTTP2_PREFACE) {
        return Some(SpokenProtocol::Http2);
    }
    match opening {
        [0x16, 3, ..] => return Some(SpokenProtocol::Tls),
        [0x16] => return None,
        _ => {}
    }
    let opening = opening.trim_ascii_start(); // empty lines before the head mean nothing
    let line = opening.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_whole = line.len() < opening.len();
    let method =
        line.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'-').count();
    let begins_well = method > 0 && line.get(method).is_none_or(|byte| *byte == b' ');
    match (begins_well, is_whole) {
        (false, _) if !opening.is_empty() => Some(SpokenProtocol::Other),
        (_, false) => (opening.len() > 8192).then_some(SpokenProtocol::Other),
        (_, true) => {
            let line = line.trim_ascii_end();
            let is_http = line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0");
            Some(if is_http { SpokenProtocol::Http1 } else { SpokenProtocol::Other })
        }
    }
}

/// Goes on with the digest of a body (FNV-1a): it does not matter how the body was cut.
fn digest(so_far: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(so_far, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn request(notes: HeadNotes, head_bytes: u64, at: Duration) -> SeenRequest {
    let mut words = notes.start.split(' ');
    let method = words.next().unwrap_or_default().to_owned();
    let target = words.next().unwrap_or_default().to_owned();
    let minor_version = u8::from(notes.start.ends_with(".1"));
    let persists = minor_version > 0 || notes.says("keep-alive");
    SeenRequest {
        method,
        target,
        says_close: notes.says("close") || !persists,
        host: notes.host,
        minor_version,
        began: notes.began.unwrap_or(at),
        ended: None,
        head_bytes,
        body_bytes: 0,
        body_digest: Some(0xcbf2_9ce4_8422_2325),
    }
}

fn response(notes: &HeadNotes, facts: &HeadFacts, method: &str, at: Duration) -> SeenResponse {
    let status = facts.status.unwrap_or_default();
    let minor_version = u8::from(notes.start.starts_with("HTTP/1.1"));
    let has_body = !matches!(status, 204 | 304) && method != "HEAD";
    let told = facts.chunked == Some(true) || facts.length != LengthField::Absent;
    let is_handover = status == 101 || (method == "CONNECT" && (200..300).contains(&status));
    SeenResponse {
        status,
        minor_version,
        began: notes.began.unwrap_or(at),
        ended: None,
        body_bytes: 0,
        says_close: notes.says("close"),
        says_keep_alive: notes.says("keep-alive"),
        offer: notes.keep_alive.as_deref().and_then(KeepAliveOffer::read),
        ends_with_connection: has_body && !told && !is_handover,
        is_handover,
    }
}

#[cfg(test)]
mod tests;
