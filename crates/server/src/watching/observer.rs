//! What the server tells to whoever asks.

use std::fmt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use evidence::{ClientAddr, ClosedBy, TcpState};
use http::{HeaderValue, Method, StatusCode, Uri, Version};

use crate::life::conn_state::ConnState;
use crate::listening::socket_facts::SocketFacts;
use crate::watching::protocol::ForeignProtocol;
use evidence::ServerCloseReason;

/// A connection as the server numbers it: in the order in which it was accepted, from 1. Not the
/// client's number, which counts dials; the two meet in the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AcceptedId(pub u64);

impl fmt::Display for AcceptedId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something the server saw on a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerEvent {
    /// When, on the monotonic clock.
    pub at: Instant,
    /// On which connection.
    pub connection: AcceptedId,
    /// From whom.
    pub peer: ClientAddr,
    /// What.
    pub moment: ServerMoment,
}

/// A sight of the server. In HTTP/2 exchanges overlap: further requests may come before a response
/// is done, and responses in another order than their requests.
///
/// Everybody is told of [`Accepted`](Self::Accepted), [`Request`](Self::Request),
/// [`ResponseDone`](Self::ResponseDone) and [`Closed`](Self::Closed); of the rest, who wants it
/// ([`ObserverWants`]). Lengths on the wire are told for HTTP/1.1 alone: the frames of HTTP/2, in
/// which several messages interleave and heads are compressed, are not taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServerMoment {
    /// `accept` returned the connection.
    Accepted,
    /// Its socket, after the server has set its options ([`ObserverWants::steps`]).
    Socket(Box<SocketFacts>),
    /// The connection passed from one state to another ([`ObserverWants::states`]).
    State {
        /// The state before; `None` at the very first.
        from: Option<ConnState>,
        /// The state now.
        to: ConnState,
        /// The kernel's word on the server's end at that moment, so before the close if that is
        /// what comes ([`ObserverWants::tcp`]). `None` if it was not asked, or has forgotten it.
        tcp: Option<TcpState>,
    },
    /// The first byte came of what ought to become a request ([`ObserverWants::steps`]). Not told
    /// of a request whose first byte came together with the end of the one before (pipelining), nor
    /// in HTTP/2.
    FirstByte,
    /// The head of a request was read.
    Request {
        /// Its number on this connection, from 1.
        number: u64,
    },
    /// The content of that head ([`ObserverWants::steps`] or [`ObserverWants::exchanges`]).
    RequestHead(Box<ReceivedHead>),
    /// A request's body was read from the socket to its end ([`ObserverWants::steps`], HTTP/1.1).
    /// Not told if there is none.
    RequestBody {
        /// The number of its request on this connection.
        number: u64,
        /// The body as it was on the wire.
        body: WireBody,
    },
    /// The request's answer is begun ([`ObserverWants::steps`]).
    HandlerStart {
        /// The number of the request on this connection.
        number: u64,
    },
    /// The response's head is decided on, its body may still be to come ([`ObserverWants::steps`]).
    HandlerEnd {
        /// The number of the request on this connection.
        number: u64,
        /// The status it will have.
        status: StatusCode,
    },
    /// The last byte of a response's head was taken over by the socket ([`ObserverWants::steps`],
    /// HTTP/1.1). Interim responses, such as 100, have heads, too.
    HeadWritten {
        /// The number of its request on this connection.
        number: u64,
        /// Its length, from its first byte to its empty line.
        bytes: u64,
        /// True if it is informational (1xx), so that another one follows.
        interim: bool,
        /// The head itself ([`ObserverWants::bytes`]).
        raw: Option<Bytes>,
    },
    /// The last byte of a response was taken over by the socket ([`ObserverWants::steps`],
    /// HTTP/1.1).
    ResponseWritten {
        /// The number of its request on this connection.
        number: u64,
        /// The length of its head, as in [`HeadWritten`](Self::HeadWritten).
        head_bytes: u64,
        /// Its body on the wire.
        body: WireBody,
    },
    /// The connection is over, and this part of a message did not come to its end
    /// ([`ObserverWants::steps`], HTTP/1.1). Told before the close.
    CutShort {
        /// The number of its request on this connection.
        number: u64,
        /// The part.
        part: CutPart,
        /// The bytes that came of it, or that the socket took.
        bytes: WireBody,
    },
    /// What came is no request: it was answered with an error, or the connection was closed
    /// ([`ObserverWants::steps`] or [`ObserverWants::exchanges`], HTTP/1.1).
    Refused(Box<RefusedRequest>),
    /// The response was handed to the connection, or given up.
    ResponseDone {
        /// The number of its request on this connection.
        number: u64,
        /// True if the whole body was handed over; `false` if the client was gone before.
        complete: bool,
    },
    /// A summary of an exchange that is over ([`ObserverWants::exchanges`]).
    Exchange(Box<ServedExchange>),
    /// Bytes were read from the socket ([`ObserverWants::traffic`]).
    Received {
        /// How many.
        bytes: u64,
    },
    /// Bytes were taken over by the socket ([`ObserverWants::traffic`]).
    Sent {
        /// How many.
        bytes: u64,
    },
    /// The connection was closed at the server's end.
    Closed {
        /// The end that closed first, as seen from the server.
        by: ClosedBy,
        /// Why, where the server knows it.
        why: Option<ServerCloseReason>,
        /// How many requests it carried.
        requests: u64,
        /// The time since it was accepted.
        age: Duration,
        /// Bytes of the client that lay unread in the kernel then; a reset tells the client.
        unread: u64,
        /// Bytes that were read from the socket.
        received: u64,
        /// Bytes that were taken over by the socket.
        sent: u64,
    },
}

/// A part of a message that did not come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutPart {
    /// The head of a request. Its length has no content.
    RequestHead,
    /// The body of a request.
    RequestBody,
    /// The body of a response.
    ResponseBody,
}

/// Bytes that were refused: no request could be read from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRequest {
    /// The number that it would have had on this connection, from 1.
    pub number: u64,
    /// The status of the answer; `None` if the connection was closed without one.
    pub status: Option<StatusCode>,
    /// How many bytes had come of it.
    pub bytes: u64,
    /// The first of them, at most [`WireBody::KEPT`].
    pub begins: Bytes,
    /// The protocol that these belong to, if they tell one.
    pub protocol: Option<ForeignProtocol>,
    /// The time from the first of these bytes to the answer.
    pub duration: Duration,
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedHead {
    /// Its number on this connection, from 1.
    pub number: u64,
    /// The method.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// The version of HTTP.
    pub version: Version,
    /// Its length on the wire, from its first byte to its empty line; `None` in HTTP/2, and if
    /// nobody wants [`ObserverWants::steps`].
    pub bytes: Option<u64>,
    /// The head itself ([`ObserverWants::bytes`]).
    pub raw: Option<Bytes>,
}

/// A body as it was on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WireBody {
    /// Its length with all its framing.
    pub bytes: u64,
    /// Its length without the framing of chunks (RFC 9112 section 7.1).
    pub content_bytes: u64,
    /// Its first bytes with all their framing, at most [`WireBody::KEPT`]
    /// ([`ObserverWants::bytes`]).
    pub raw: Option<Bytes>,
}

impl WireBody {
    /// How many bytes of a body are kept for whoever wants to see them.
    pub const KEPT: usize = 96;
}

/// An exchange that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedExchange {
    /// Its number on this connection, from 1.
    pub number: u64,
    /// The method.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The `Referer` of the request.
    pub referer: Option<HeaderValue>,
    /// The `User-Agent` of the request.
    pub user_agent: Option<HeaderValue>,
    /// The status of the response; `None` if the client was gone before there was one.
    pub status: Option<StatusCode>,
    /// Bytes of the response's body that the socket has taken, without any framing. In HTTP/2 those
    /// that were handed to the connection, which may still hold some.
    pub body_bytes: u64,
    /// The time from the head of the request to the end of the response, or to its being given up.
    pub duration: Duration,
    /// True if the whole response was taken.
    pub complete: bool,
    /// Who ended a response that is not complete, or the connection with it.
    pub ended_by: Option<ClosedBy>,
}

/// The target of a request as HTTP/1.1 writes it: HTTP/2 has an authority beside it, which is left
/// out (RFC 9113 section 8.3.1).
#[must_use]
pub fn target(uri: &Uri, version: Version) -> String {
    match uri.path_and_query() {
        Some(path) if version >= Version::HTTP_2 => path.as_str().to_owned(),
        _ => uri.to_string(),
    }
}

/// Which moments an observer wants to be told of, beyond those of which everybody is told. What
/// nobody wants is not even looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObserverWants {
    /// Changes of state.
    pub states: bool,
    /// With them, what TCP says of the connection: a question to the kernel each time.
    pub tcp: bool,
    /// Every step of an exchange, with the lengths on the wire.
    pub steps: bool,
    /// A summary of each exchange when it is over.
    pub exchanges: bool,
    /// Numbers of bytes as they pass.
    pub traffic: bool,
    /// The bytes of heads, and the first of bodies, with the steps.
    pub bytes: bool,
}

impl ObserverWants {
    /// Returns what either of two wants.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            states: self.states || other.states,
            tcp: self.tcp || other.tcp,
            steps: self.steps || other.steps,
            exchanges: self.exchanges || other.exchanges,
            traffic: self.traffic || other.traffic,
            bytes: self.bytes || other.bytes,
        }
    }

    /// Returns true if `moment` is among them.
    #[must_use]
    pub fn covers(self, moment: &ServerMoment) -> bool {
        use ServerMoment as M;
        match moment {
            M::Accepted | M::Request { .. } | M::ResponseDone { .. } | M::Closed { .. } => true,
            M::State { .. } => self.states,
            M::RequestHead(_) | M::Refused(_) => self.steps || self.exchanges,
            M::Exchange(_) => self.exchanges,
            M::Received { .. } | M::Sent { .. } => self.traffic,
            M::Socket(_)
            | M::FirstByte
            | M::RequestBody { .. }
            | M::HandlerStart { .. }
            | M::HandlerEnd { .. }
            | M::HeadWritten { .. }
            | M::CutShort { .. }
            | M::ResponseWritten { .. } => self.steps,
        }
    }
}

/// Somebody who wants to know what the server sees.
///
/// Called from the tasks that serve a connection, for each connection one call at a time, so it
/// must not block. Without an observer the server does no bookkeeping at all.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn event(&self, event: ServerEvent);

    /// Returns what it wants to be told of: always the same. By default no more than what everybody
    /// is told of.
    fn wants(&self) -> ObserverWants {
        ObserverWants::default()
    }
}

impl<F: Fn(ServerEvent) + Send + Sync + 'static> Observer for F {
    fn event(&self, event: ServerEvent) {
        self(event);
    }
}
