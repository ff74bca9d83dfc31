//! The exchanges of a connection, read from the bytes of both directions.
//!
//! | file | idea |
//! |---|---|
//! | `seen.rs` | what is seen of messages and of TLS |
//! | `protocol.rs` | which protocol it is |

mod protocol;
mod seen;

use std::collections::VecDeque;
use std::time::Duration;

use evidence::{KeepAliveOffer, Side};
use wire::http1::{
    AnsweredMethod, Direction, HeadFacts, LengthField, LineKind, MessagePart, MessageSplitter,
    UnfinishedPart,
};

use wire::tls::{RecordSplitter, TlsPart};

use crate::http2::Http2Reader;
use crate::stream::StreamPiece;

pub use seen::{SeenExchange, SeenRequest, SeenResponse, SeenTls, SpokenProtocol};

use protocol::protocol;

/// So much of a line is kept: a target may be longer than anybody reads.
const KEPT_CHARS: usize = 512;
/// So many bytes that nobody heard are passed over at once.
const ZEROS: [u8; 4096] = [0; 4096];

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
