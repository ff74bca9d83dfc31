//! What can go wrong in an exchange, told apart by what it means.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use evidence::{ByteCount, CloseReason, ConnectionId, FailureKind, ServerAddr};
use http::uri::InvalidUri;

use crate::config::HttpVersion;
use crate::failure::phase::Phase;

/// Another library's error, kept as it came.
pub(crate) type Cause = Box<dyn StdError + Send + Sync>;

/// An exchange that failed: what was attempted, on what, and the cause.
///
/// A close between messages, a close inside a message and a reset are three different findings.
///
/// Told with its [`source`](StdError::source)s, separated by `: `, it is one sentence. What a
/// library says less clearly than the sentence is a `cause` and no source.
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
    /// It is not known whose certificates are trusted, so nobody is connected to.
    #[error("cannot speak TLS with `{host}`")]
    NoTrust {
        /// The name, or the IP address, that the certificate would have to be for.
        host: String,
        /// What could not be read.
        source: Cause,
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
        cause: Cause,
    },
    /// TLS ended with an error after the client's end of the handshake. In TLS 1.3 a server that
    /// refuses the client tells it only then.
    #[error("TLS with {server} on connection {connection} ended {during}: {because}")]
    TlsEnded {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// The phase that was under way.
        during: Phase,
        /// Why, in plain words.
        because: String,
        /// hyper's words.
        cause: Cause,
    },
    /// The peer closed cleanly where a response should have begun.
    #[error("{server} closed connection {connection} without answering the request")]
    ClosedBeforeResponse {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// The phase that was under way.
        during: Phase,
        /// hyper's words.
        cause: Cause,
    },
    /// The peer closed inside the head of a response.
    #[error("the head of the response from {server} on connection {connection} ended early")]
    HeadCutShort {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// hyper's words.
        cause: Cause,
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
        cause: Cause,
    },
    /// The bytes that came are no response in the version of HTTP that the client speaks. In HTTP/2
    /// a server sends its SETTINGS as soon as it is connected to; one that ends the connection
    /// before does not speak it either.
    #[error("{server} does not answer in {version} on connection {connection}")]
    NotHttp {
        /// The version that the client speaks.
        version: HttpVersion,
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// The phase that was under way.
        during: Phase,
        /// hyper's words, if they say more.
        source: Option<Cause>,
    },
    /// The response began well, and then broke the rules: a chunk without a size, say.
    #[error(
        "{server} breaks the rules of {version} on connection {connection} {during}: {because}"
    )]
    Malformed {
        /// The version that the client speaks.
        version: HttpVersion,
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// The phase that was under way.
        during: Phase,
        /// Which rule, in the library's words; in HTTP/2 the name of an error code.
        because: String,
        /// hyper's words.
        cause: Cause,
    },
    /// The peer went on with interim responses (1xx, RFC 9110 section 15.2), until the client gave
    /// up on a final one.
    #[error("gave up on {server} on connection {connection}: {because} and no final one")]
    NoFinalResponse {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// What there was too much of.
        because: String,
        /// hyper's words.
        cause: Cause,
    },
    /// The peer reset the connection.
    #[error("{server} reset connection {connection} {during}")]
    Reset {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// The phase that was under way.
        during: Phase,
        /// hyper's words.
        cause: Cause,
    },
    /// The peer reset the stream (RFC 9113 section 6.4); its connection stays.
    #[error("{server} reset the stream ({code}) on connection {connection} {during}")]
    StreamReset {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// The phase that was under way.
        during: Phase,
        /// The error code's name (RFC 9113 section 7), such as `INTERNAL_ERROR`.
        code: String,
        /// hyper's words.
        cause: Cause,
    },
    /// The peer ended the connection of HTTP/2 with an error (RFC 9113 section 6.8).
    #[error("{server} ended connection {connection} with GOAWAY ({code}) {during}")]
    GoAway {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// The phase that was under way.
        during: Phase,
        /// The error code's name (RFC 9113 section 7), such as `PROTOCOL_ERROR`.
        code: String,
        /// hyper's words.
        cause: Cause,
    },
    /// The exchange failed in another way.
    #[error("the exchange with {server} on connection {connection} failed {during}")]
    Exchange {
        /// The connection.
        connection: ConnectionId,
        /// Its server.
        server: ServerAddr,
        /// The phase that was under way.
        during: Phase,
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
            Self::NoTrust { .. } | Self::Tls { .. } | Self::TlsEnded { .. } => FailureKind::Tls,
            Self::ClosedBeforeResponse { .. } => FailureKind::ClosedBeforeResponse,
            Self::HeadCutShort { .. } | Self::BodyCutShort { .. } => FailureKind::CutShort,
            Self::GoAway { during: Phase::Head | Phase::Body, .. } => FailureKind::CutShort,
            Self::GoAway { .. } => FailureKind::ClosedBeforeResponse,
            Self::NotHttp { .. } | Self::Malformed { .. } => FailureKind::NotHttp,
            Self::NoFinalResponse { .. } => FailureKind::InterimOnly,
            Self::Reset { .. } => FailureKind::Reset,
            Self::StreamReset { .. } => FailureKind::StreamReset,
            Self::Exchange { source, .. } if is_timed_out(&**source) => FailureKind::TimedOut,
            Self::BadUrl { .. }
            | Self::UnsupportedUrl { .. }
            | Self::Exchange { .. }
            | Self::Client { .. }
            | Self::TransportClosed => FailureKind::Other,
        }
    }

    /// Returns what was under way. `None` if nothing was, or if nobody can tell.
    #[must_use]
    pub fn during(&self) -> Option<Phase> {
        match self {
            Self::BadUrl { .. }
            | Self::UnsupportedUrl { .. }
            | Self::NoTrust { .. }
            | Self::Client { .. } => None,
            Self::TransportClosed => Some(Phase::GetConn),
            Self::NameNotFound { .. } => Some(Phase::LookUp),
            Self::Connect { .. } | Self::ConnectTimedOut { .. } => Some(Phase::Connect),
            Self::Tls { .. } => Some(Phase::Handshake),
            Self::HeadCutShort { .. } | Self::NoFinalResponse { .. } => Some(Phase::Head),
            Self::BodyCutShort { .. } => Some(Phase::Body),
            Self::TlsEnded { during, .. }
            | Self::ClosedBeforeResponse { during, .. }
            | Self::NotHttp { during, .. }
            | Self::Malformed { during, .. }
            | Self::Reset { during, .. }
            | Self::StreamReset { during, .. }
            | Self::GoAway { during, .. }
            | Self::Exchange { during, .. } => Some(*during),
        }
    }

    /// Returns what a connection is closed for on which an exchange failed like this. Beside who
    /// closed first, so without addresses.
    pub(crate) fn reason(&self) -> CloseReason {
        match self {
            Self::TlsEnded { because, .. } => CloseReason::Tls(because.clone()),
            Self::NotHttp { version, .. } => {
                CloseReason::Malformed(format!("the answer is no {version}"))
            }
            Self::Malformed { version, because, .. } => CloseReason::Malformed(format!(
                "the server breaks the rules of {version}: {because}"
            )),
            Self::BodyCutShort { .. } => CloseReason::Failed("the body ended early".to_owned()),
            Self::HeadCutShort { .. } => CloseReason::Failed("the head ended early".to_owned()),
            Self::ClosedBeforeResponse { .. } => CloseReason::Failed("no answer came".to_owned()),
            Self::NoFinalResponse { because, .. } => {
                CloseReason::Failed(format!("{because} and no final one"))
            }
            Self::GoAway { code, .. } => CloseReason::Failed(format!("GOAWAY ({code})")),
            other => {
                let during = other.during().map_or(String::new(), |during| format!(" {during}"));
                CloseReason::Failed(format!("the exchange failed{during}"))
            }
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
            Self::Tls { host, connection, server, because, cause } => Some(Self::Tls {
                host: host.clone(),
                connection: *connection,
                server: *server,
                because: because.clone(),
                cause: cause.to_string().into(),
            }),
            _ => None,
        }
    }
}

/// Returns true if the system gave the connection up: the peer did not answer.
fn is_timed_out(error: &(dyn StdError + 'static)) -> bool {
    let of_system = error.downcast_ref::<io::Error>();
    of_system.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
        || error.source().is_some_and(is_timed_out)
}

/// `EMFILE` and `ENFILE`, which have these numbers on every Unix and no `ErrorKind`.
fn no_descriptor_left(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}
