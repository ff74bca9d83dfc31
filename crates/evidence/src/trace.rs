//! What the client's trace sees: the moments of Go's `net/http/httptrace`, under its names.
//!
//! Where a moment deviates from Go's hook of the same name, its documentation says how. In HTTP/2,
//! whose exchanges share the wire in compressed frames, everything from
//! [`Moment::WroteHeaderField`] to [`Moment::Got1xxResponse`] cannot be seen and is not told.
//! Nor is [`Moment::PutIdleConn`] told there, because the connection stays in the pool all the
//! time. With TLS bytes are seen before they are encrypted: the head is written once TLS has taken
//! it.

use std::fmt;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::micros;
use crate::{ByteCount, ClientAddr, Observed, ServerAddr};

/// A connection, numbered in the order in which connections are dialled: `#1`, `#2`, …
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ConnectionId(pub u64);

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("#{}", self.0))
    }
}

/// An exchange (one request with its response, RFC 9110 section 3.4), numbered by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExchangeId(pub u64);

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Something that happened, when, and to whom.
#[derive(Clone, Debug, PartialEq)]
pub struct TraceEvent {
    /// The moment, on the monotonic clock.
    pub at: Instant,
    /// The exchange it happened for; `None` for a connection's own moments.
    pub exchange: Option<ExchangeId>,
    /// The connection it happened on; `None` before one is chosen.
    pub connection: Option<ConnectionId>,
    /// The event itself.
    pub moment: Moment,
}

impl TraceEvent {
    /// The same event on the clock of a run that began at `start`.
    #[must_use]
    pub fn on_clock(self, start: Instant) -> RunEvent {
        let Self { at, exchange, connection, moment } = self;
        RunEvent { at: at.saturating_duration_since(start), exchange, connection, moment }
    }
}

/// A [`TraceEvent`] on the clock of its run, so that it can be told to another process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunEvent {
    /// The time since the run began.
    #[serde(rename = "at_us", with = "micros")]
    pub at: Duration,
    /// The exchange that it is about; `None` if it is about none, or about several.
    pub exchange: Option<ExchangeId>,
    /// The connection that it is about, if there is one yet.
    pub connection: Option<ConnectionId>,
    /// The moment.
    pub moment: Moment,
}

/// A moment in the life of a request or of its connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// A connection is asked for: from the pool, or a new one. Again after a silent retry.
    GetConn {
        /// The host and port that are asked for.
        host_port: String,
    },
    /// A name look-up starts. Never fires for a host that is an IP address.
    DnsStart {
        /// The name that is looked up.
        host: String,
    },
    /// A name look-up is over.
    DnsDone {
        /// The addresses found, in the resolver's order, or the cause.
        result: Result<Vec<IpAddr>, String>,
        /// True if the answer was shared with another look-up of the same name. Go's resolver
        /// does that; the system's resolver, asked once for each dial, never does.
        coalesced: bool,
    },
    /// One address is dialled.
    ConnectStart {
        /// The address.
        server: ServerAddr,
    },
    /// The dial of one address is over. May come after the exchange that started it was served
    /// by another connection. Where both address families are raced (RFC 8305), the loser is told
    /// with an error that says so.
    ConnectDone {
        /// The address.
        server: ServerAddr,
        /// The client's end of the new connection, or the cause of the failure.
        result: Result<ClientAddr, String>,
    },
    /// The TLS handshake starts, on a connection that is established.
    TlsHandshakeStart,
    /// The TLS handshake is over.
    TlsHandshakeDone {
        /// The agreement, or the cause of the failure.
        result: Result<TlsFacts, String>,
    },
    /// The request had to wait, because as many connections to its host were open as may be
    /// (max connections per host). Told just before [`Moment::GotConn`]; never for a request that
    /// just waited for its dial. Go has no hook for this.
    WaitedForSlot {
        /// From the question for a connection until one was handed over, or until the request
        /// might dial; the dial itself does not count.
        #[serde(rename = "waited_us", with = "micros")]
        waited: Duration,
    },
    /// The exchange has its connection.
    GotConn {
        /// The client's end of it.
        client: ClientAddr,
        /// True if the connection carried an exchange before.
        reused: bool,
        /// True if it came out of the idle pool; `false` if it was handed over directly by the
        /// exchange before.
        was_idle: Observed<bool>,
        /// How long it had been idle, if it was.
        #[serde(rename = "idle_time_us", with = "micros")]
        idle_time: Observed<Option<Duration>>,
    },
    /// A header field of the request is written to the socket; one moment for each, in the order of
    /// the wire, before [`Moment::WroteHeaders`]. Cannot be seen in HTTP/2, where fields are
    /// compressed.
    ///
    /// Read back from the bytes on the wire, so hyper's names are in lower case where Go's are
    /// `Content-Length`, and fields that Go adds (`User-Agent`, `Accept-Encoding`) are not there.
    WroteHeaderField {
        /// Its name, as it was written.
        name: String,
        /// Its value; bytes that are no text are replaced.
        value: String,
    },
    /// The head of the request is written to the socket.
    WroteHeaders,
    /// The request says `Expect: 100-continue`, and its body waits for the server's word. Never
    /// told of hyper-util's client, whose bodies do not wait.
    Wait100Continue,
    /// The last byte of the request is written to the socket, or will never be, because the
    /// connection is gone. Does not come if not even the first byte was written.
    ///
    /// A body that is kept back because the server had its final word instead of `100 Continue` is
    /// no error, as in Go: its request is written as far as it will be. If the connection goes
    /// while the body waits and no answer has begun, that is an error here, and none in Go.
    WroteRequest {
        /// Why not, if it could not be written.
        result: Result<(), String>,
    },
    /// The first byte of the response was read from the socket; of the interim response, if one
    /// comes first.
    GotFirstResponseByte,
    /// The server says `100 Continue` to a request that expects it. Comes before the
    /// [`Moment::Got1xxResponse`] of the same response, as in Go.
    Got100Continue,
    /// An interim response: any of the status codes from 100 to 199, except 101.
    Got1xxResponse {
        /// The status code.
        code: u16,
        /// Its header fields, in the order of the wire; those of one name stand together.
        headers: Vec<(String, String)>,
    },
    /// The exchange is over for its connection: it is back in the pool (or handed to a request
    /// that waits for one), or it is refused and will be closed.
    ///
    /// Go's hook stays silent where its transport never tries to pool the connection; this one
    /// fires then too, with the reason: see [`NotPooled::go_tells`].
    PutIdleConn {
        /// Why the connection was not pooled; `None` if it was.
        refused: Option<NotPooled>,
    },
    /// The connection is closed at the client's end. Go has no hook for this.
    ConnectionClosed {
        /// The end that closed first, as seen from the client.
        by: ClosedBy,
        /// The reason for which the client closed it.
        why: Observed<CloseReason>,
        /// The time since the connection was established.
        #[serde(rename = "age_us", with = "micros")]
        age: Duration,
        /// How many requests were written to it; in HTTP/2, where the wire does not show them, how
        /// many exchanges were given it.
        exchanges: u64,
        /// Bytes that lay unread in the kernel when the client closed. Linux answers such a close
        /// with a reset instead of a FIN (RFC 2525 section 2.17). With TLS, encrypted bytes.
        #[serde(rename = "unread_bytes")]
        unread: u64,
    },
}

impl Moment {
    /// The moment's name, as in Go's `httptrace`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::GetConn { .. } => "GetConn",
            Self::DnsStart { .. } => "DNSStart",
            Self::DnsDone { .. } => "DNSDone",
            Self::ConnectStart { .. } => "ConnectStart",
            Self::ConnectDone { .. } => "ConnectDone",
            Self::TlsHandshakeStart => "TLSHandshakeStart",
            Self::TlsHandshakeDone { .. } => "TLSHandshakeDone",
            Self::WaitedForSlot { .. } => "WaitedForSlot",
            Self::GotConn { .. } => "GotConn",
            Self::WroteHeaderField { .. } => "WroteHeaderField",
            Self::WroteHeaders => "WroteHeaders",
            Self::Wait100Continue => "Wait100Continue",
            Self::WroteRequest { .. } => "WroteRequest",
            Self::GotFirstResponseByte => "GotFirstResponseByte",
            Self::Got100Continue => "Got100Continue",
            Self::Got1xxResponse { .. } => "Got1xxResponse",
            Self::PutIdleConn { .. } => "PutIdleConn",
            Self::ConnectionClosed { .. } => "ConnectionClosed",
        }
    }
}

/// The agreement of a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsFacts {
    /// The version, such as `TLSv1.3`.
    pub version: String,
    /// The protocol that ALPN chose (RFC 7301), such as `h2` or `http/1.1`; `None` if none.
    pub alpn: Option<String>,
    /// The cipher suite, under its IANA name.
    pub cipher_suite: String,
    /// True if an earlier session was resumed.
    pub resumed: bool,
    /// The server's certificates, its own first.
    pub certificates: Vec<CertificateFacts>,
}

/// The words of a certificate about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// Whose it is.
    pub subject: String,
    /// The name of whoever signed it.
    pub issuer: String,
    /// The last day on which it is valid, as `2027-01-31`.
    pub not_after: String,
}

/// Why a connection did not go back to the pool after an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotPooled {
    /// The reader let go of the body before its end.
    BodyUnread {
        /// How many bytes of it were left; `None` if the server did not announce a length.
        #[serde(rename = "left_bytes")]
        left: Option<u64>,
    },
    /// As many connections to this host are idle already as may be.
    IdleCapReached {
        /// The limit: max idle per host.
        per_host: usize,
    },
    /// As many connections are idle already, over all hosts, as may be.
    TotalCapReached {
        /// The limit: max idle in all.
        max_idle: usize,
    },
    /// The transport is configured to use every connection once.
    KeepAlivesDisabled,
    /// The request carried `Connection: close` (RFC 9112 section 9.6). Go's `Request.Close`.
    ClientSaidClose,
    /// The response carried `Connection: close`.
    ServerSaidClose,
    /// The response was HTTP/1.0, which does not persist unless it says `keep-alive` (RFC 9112
    /// section 9.3).
    Http10,
    /// The response announced no length, so its body ends with the connection (RFC 9112 section
    /// 6.3).
    BodyEndsWithConnection,
    /// Another protocol is spoken on it from now on: after `101 Switching Protocols`, or to the end
    /// of a tunnel that CONNECT asked for.
    ProtocolSwitched,
    /// The body ended, but the connection was already gone or still busy with the request.
    ConnectionBroken,
    /// The transport is being closed.
    TransportClosed,
}

impl NotPooled {
    /// Returns true if Go's own `PutIdleConn` hook would be called with this refusal. Where it
    /// would not, a Go program has no way to learn the reason.
    #[must_use]
    pub fn go_tells(self) -> bool {
        match self {
            // A cap of 0 is Go's -1, which its transport treats like keep-alives disabled.
            Self::IdleCapReached { per_host } => per_host > 0,
            Self::ConnectionBroken | Self::TransportClosed => true,
            Self::BodyUnread { .. }
            | Self::TotalCapReached { .. }
            | Self::KeepAlivesDisabled
            | Self::ClientSaidClose
            | Self::ServerSaidClose
            | Self::Http10
            | Self::BodyEndsWithConnection
            | Self::ProtocolSwitched => false,
        }
    }
}

impl fmt::Display for NotPooled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BodyUnread { left: Some(left) } => {
                write!(f, "body unread, {} left", ByteCount(*left))
            }
            Self::BodyUnread { left: None } => f.write_str("body unread, length unknown"),
            Self::IdleCapReached { per_host } => {
                write!(f, "idle cap reached ({per_host} per host)")
            }
            Self::TotalCapReached { max_idle } => {
                write!(f, "total cap reached ({max_idle} in all)")
            }
            Self::KeepAlivesDisabled => f.write_str("keep-alives disabled"),
            Self::ClientSaidClose => f.write_str("client said close"),
            Self::ServerSaidClose => f.write_str("server said close"),
            Self::Http10 => f.write_str("HTTP/1.0 without keep-alive"),
            Self::BodyEndsWithConnection => f.write_str("body ends with the connection"),
            Self::ProtocolSwitched => f.write_str("protocol switched"),
            Self::ConnectionBroken => f.write_str("connection broken"),
            Self::TransportClosed => f.write_str("transport closed"),
        }
    }
}

/// The end that closed a connection first, so performed the active close (RFC 9293 section 3.6).
///
/// In TLS an end can say so with an alert (RFC 8446 section 6) before it sends its FIN. Then
/// whoever said so first was first, although the FINs may cross on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClosedBy {
    /// The client: it holds `TIME_WAIT`.
    Client,
    /// The server: it holds `TIME_WAIT`.
    Server,
    /// A reset: nobody holds `TIME_WAIT`.
    Reset,
}

impl ClosedBy {
    /// `client`, `server` or `reset`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Reset => "reset",
        }
    }
}

/// The reason for which a connection was closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The client did not pool it after an exchange.
    NotPooled(NotPooled),
    /// The client closed it after it had been idle for the idle timeout.
    #[serde(rename = "idle_timeout_us", with = "micros")]
    IdleTimeout(Duration),
    /// The client closed it because its transport was closed while the connection was idle.
    TransportClosed,
    /// It was dialled in vain: it turned out to speak HTTP/2, and its host had such a connection,
    /// which all share, by then.
    NotNeeded,
    /// The server closed it between two exchanges.
    ServerClosed,
    /// The server reset it.
    ServerReset,
    /// The client's system gave it up: the peer had not answered for as long as the system waits
    /// for data to be acknowledged, or for TCP's keepalive probes (`ETIMEDOUT`).
    GivenUp,
    /// The caller gave up the request before its response had begun.
    RequestGivenUp,
    /// TLS ended with an error, during the handshake or after it; the words say which. Who gave up
    /// is whoever closed first.
    Tls(String),
    /// The client closed it because what came is no response; the words say why not.
    Malformed(String),
    /// The exchange on it failed; the words say how.
    Failed(String),
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPooled(reason) => reason.fmt(f),
            Self::IdleTimeout(limit) => write!(f, "idle for {limit:?}"),
            Self::TransportClosed => f.write_str("transport closed"),
            Self::NotNeeded => f.write_str("another HTTP/2 connection was there first"),
            Self::ServerClosed => f.write_str("server closed it"),
            Self::ServerReset => f.write_str("server reset it"),
            Self::GivenUp => f.write_str("given up, no answer"),
            Self::RequestGivenUp => f.write_str("request given up"),
            Self::Tls(words) | Self::Malformed(words) | Self::Failed(words) => f.write_str(words),
        }
    }
}
