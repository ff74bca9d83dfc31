//! What is seen of the messages of a connection, and of TLS.

use std::time::Duration;

use evidence::KeepAliveOffer;
use wire::tls::TlsVersion;

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
