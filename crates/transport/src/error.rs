//! What can go wrong in an exchange, told apart by what it means.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use evidence::{ByteCount, ConnectionId, FailureKind, ServerAddr};
use http::uri::InvalidUri;
use wire::FirstClose;

use crate::rules::HttpVersion;
use crate::wire::{ConnectionInfo, Record};

/// Another library's error, kept as it came.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// An exchange that failed: what was attempted, on what, and the cause.
///
/// A close between messages, a close inside a message and a reset are three different findings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The text is no URL.
    #[error("`{url}` is no URL")]
    BadUrl {
        /// The text.
        url: String,
        /// The cause.
        source: InvalidUri,
    },
    /// The URL is not one this client can fetch.
    #[error("cannot fetch `{url}`: {because}")]
    UnsupportedUrl {
        /// The URL.
        url: String,
        /// Why not.
        because: &'static str,
    },
    /// The host's name has no address.
    #[error("cannot look up `{host}`")]
    NameNotFound {
        /// The name.
        host: String,
        /// The resolver's words.
        source: io::Error,
    },
    /// No address could be connected to; this is the cause of the first, as in Go.
    #[error("cannot connect to {server}")]
    Connect {
        /// The address that was tried first; of the family that was, if both were.
        server: ServerAddr,
        /// The system's words.
        source: io::Error,
    },
    /// Nothing answered the dial in time.
    #[error("cannot connect to {server}: no answer within {limit:?}")]
    ConnectTimedOut {
        /// The address being tried.
        server: ServerAddr,
        /// The limit.
        limit: Duration,
    },
    /// The TLS handshake failed, or did not agree on what was asked for.
    #[error("cannot speak TLS with `{host}` at {server} on connection {connection}: {because}")]
    Tls {
        /// The name, or the IP address, that the certificate has to be for.
        host: String,
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// Why, in plain words.
        because: String,
        /// The library's words.
        source: Cause,
    },
    /// The peer closed cleanly where a response should have begun.
    #[error("{server} closed connection {connection} without answering the request")]
    ClosedBeforeResponse {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// hyper's words.
        source: Cause,
    },
    /// The peer closed inside the head of a response.
    #[error("the head of the response from {server} on connection {connection} ended early")]
    HeadCutShort {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// hyper's words.
        source: Cause,
    },
    /// The peer closed inside a body.
    #[error("the body from {server} on connection {connection} ended after {}{}", ByteCount(*received), of(*announced))]
    BodyCutShort {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// The bytes that came.
        received: u64,
        /// The bytes that were announced, if they were.
        announced: Option<u64>,
        /// hyper's words.
        source: Cause,
    },
    /// What came is no response in the version of HTTP that the client speaks. In HTTP/2 a server
    /// sends its SETTINGS as soon as it is connected to; one that ends the connection before does
    /// not speak it either.
    #[error("{server} does not answer in {version} on connection {connection}")]
    NotHttp {
        /// What the client speaks.
        version: HttpVersion,
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// hyper's words.
        source: Cause,
    },
    /// The peer reset the connection.
    #[error("{server} reset connection {connection} {during}")]
    Reset {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// What was under way.
        during: &'static str,
        /// hyper's words.
        source: Cause,
    },
    /// The exchange failed in another way.
    #[error("the exchange with {server} on connection {connection} failed")]
    Exchange {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// hyper's words.
        source: Cause,
    },
    /// hyper-util's client failed in a way of its own.
    #[error("hyper-util's client failed to fetch `{url}`")]
    Client {
        /// The URL.
        url: String,
        /// Its words.
        source: Cause,
    },
    /// The transport was closed while the request waited for a connection.
    #[error("the transport was closed before the request had a connection")]
    TransportClosed,
}

fn of(announced: Option<u64>) -> String {
    announced.map_or(String::new(), |bytes| format!(" of {}", ByteCount(bytes)))
}

impl Error {
    /// The kind of failure, for counting.
    #[must_use]
    pub fn kind(&self) -> FailureKind {
        match self {
            Self::NameNotFound { .. } => FailureKind::NameNotFound,
            Self::Connect { source, .. } => match source.kind() {
                io::ErrorKind::ConnectionRefused => FailureKind::Refused,
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                    FailureKind::Unreachable
                }
                io::ErrorKind::AddrNotAvailable => FailureKind::NoPortLeft,
                io::ErrorKind::TimedOut => FailureKind::TimedOut,
                io::ErrorKind::ConnectionReset => FailureKind::Reset,
                _ if no_descriptor_left(source) => FailureKind::NoDescriptorLeft,
                _ => FailureKind::Other,
            },
            Self::ConnectTimedOut { .. } => FailureKind::TimedOut,
            Self::Tls { .. } => FailureKind::Tls,
            Self::ClosedBeforeResponse { .. } => FailureKind::ClosedBeforeResponse,
            Self::HeadCutShort { .. } | Self::BodyCutShort { .. } => FailureKind::CutShort,
            Self::NotHttp { .. } => FailureKind::NotHttp,
            Self::Reset { .. } => FailureKind::Reset,
            Self::BadUrl { .. }
            | Self::UnsupportedUrl { .. }
            | Self::Exchange { .. }
            | Self::Client { .. }
            | Self::TransportClosed => FailureKind::Other,
        }
    }

    /// The same failure of a dial once more, for another request that waited for that dial. Its
    /// cause is the same as far as it can be told twice.
    pub(crate) fn of_the_same_dial(&self) -> Option<Self> {
        let again = |source: &io::Error| match source.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(source.kind(), source.to_string()),
        };
        match self {
            Self::NameNotFound { host, source } => {
                Some(Self::NameNotFound { host: host.clone(), source: again(source) })
            }
            Self::Connect { server, source } => {
                Some(Self::Connect { server: *server, source: again(source) })
            }
            Self::ConnectTimedOut { server, limit } => {
                Some(Self::ConnectTimedOut { server: *server, limit: *limit })
            }
            Self::Tls { host, connection, server, because, source } => Some(Self::Tls {
                host: host.clone(),
                connection: *connection,
                server: *server,
                because: because.clone(),
                source: source.to_string().into(),
            }),
            _ => None,
        }
    }

    /// What hyper's error means when it comes instead of a response's head: a function that makes
    /// an [`Error`] of it, or of whatever error wraps it.
    pub(crate) fn meaning_before_head(
        record: &Record,
        error: &hyper::Error,
    ) -> impl FnOnce(Cause) -> Self + use<> {
        let ConnectionInfo { id: connection, ends } = record.info;
        let server = ends.server;
        let version = record.version();
        let started = record.response_started();
        let reset = is_reset(record, error);
        let not_http = error.is_parse() || record.server_speaks_something_else();
        let cut_short = error.is_incomplete_message() && started;
        let closed = error.is_canceled() || is_early_end(record, error) || is_goodbye(error);
        move |source| match () {
            () if not_http => Self::NotHttp { version, connection, server, source },
            () if reset => {
                let during =
                    if started { "inside the head of its response" } else { "before it answered" };
                Self::Reset { connection, server, during, source }
            }
            () if cut_short => Self::HeadCutShort { connection, server, source },
            () if closed => Self::ClosedBeforeResponse { connection, server, source },
            () => Self::Exchange { connection, server, source },
        }
    }

    /// The same for hyper's error itself.
    pub(crate) fn before_head(record: &Record, error: hyper::Error) -> Self {
        Self::meaning_before_head(record, &error)(error.into())
    }

    /// What hyper's error means when it comes inside a body of which `received` bytes came.
    pub(crate) fn inside_body(
        record: &Record,
        received: u64,
        announced: Option<u64>,
        error: hyper::Error,
    ) -> Self {
        let ConnectionInfo { id: connection, ends } = record.info;
        let server = ends.server;
        let (reset, early_end) = (is_reset(record, &error), is_early_end(record, &error));
        let source = error.into();
        if reset {
            Self::Reset { connection, server, during: "inside the body of its response", source }
        } else if early_end {
            Self::BodyCutShort { connection, server, received, announced, source }
        } else {
            Self::Exchange { connection, server, source }
        }
    }
}

/// Whether the server of HTTP/2 has announced to close, and not taken this request.
#[cfg(feature = "http2")]
fn is_goodbye(error: &hyper::Error) -> bool {
    let within = error.source().and_then(|within| within.downcast_ref::<h2::Error>());
    within.is_some_and(|within| {
        within.is_go_away() && within.is_remote() && within.reason() == Some(h2::Reason::NO_ERROR)
    })
}

#[cfg(not(feature = "http2"))]
fn is_goodbye(_: &hyper::Error) -> bool {
    false
}

/// Whether the server of HTTP/2 says that it has done nothing about a request.
#[cfg(feature = "http2")]
pub(crate) fn is_unprocessed(error: &hyper::Error) -> bool {
    let within = error.source().and_then(|within| within.downcast_ref::<h2::Error>());
    is_goodbye(error)
        || within.is_some_and(|within| {
            within.is_reset()
                && within.is_remote()
                && within.reason() == Some(h2::Reason::REFUSED_STREAM)
        })
}

/// Whether hyper gave up a connection for what the peer sent, rather than for its going away.
pub(crate) fn is_the_peers_fault(error: &hyper::Error) -> bool {
    let gone = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    !gone && io_causes(error).next().is_none()
}

fn io_causes<'a>(error: &'a hyper::Error) -> impl Iterator<Item = &'a io::Error> {
    let first: &'a (dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
}

/// `EMFILE` and `ENFILE`, which have these numbers on every Unix and no `ErrorKind`.
fn no_descriptor_left(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// HTTP/2's library tells a close and a reset alike, as a broken pipe: there the wire decides.
fn is_reset(record: &Record, error: &hyper::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    match record.version() {
        HttpVersion::Http1 | HttpVersion::Negotiated => io_causes(error)
            .any(|cause| matches!(cause.kind(), ConnectionReset | BrokenPipe | ConnectionAborted)),
        HttpVersion::Http2 => record.peer_left() == Some(FirstClose::Reset),
    }
}

fn is_early_end(record: &Record, error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_closed()
        || match record.version() {
            HttpVersion::Http1 | HttpVersion::Negotiated => {
                io_causes(error).any(|cause| cause.kind() == io::ErrorKind::UnexpectedEof)
            }
            HttpVersion::Http2 => record.peer_left() == Some(FirstClose::There),
        }
}
