//! Why the server let go of a connection.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a connection came to its end, as the server knows it. Not who closed first: a client that
/// says `Connection: close` may well leave the closing to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerCloseReason {
    /// The client closed its end, between two exchanges or within one.
    ClientClosed,
    /// The client reset the connection.
    ClientReset,
    /// The request was HTTP/1.0 and did not ask for `keep-alive` (RFC 9112 section 9.3).
    #[serde(rename = "http_1_0")]
    Http10,
    /// The request said `Connection: close`.
    ClientSaidClose,
    /// The response said `Connection: close`.
    ServerSaidClose,
    /// No next request came within the idle timeout.
    IdleTimeout,
    /// The head of a request did not come within its limit.
    ReadHeaderTimeout,
    /// A request did not come whole within its limit.
    ReadTimeout,
    /// A response could not be handed over within its limit.
    WriteTimeout,
    /// Something came that was no request: answered 400, 414 or 431.
    BadRequest,
    /// The response was over before the request's body was, so what follows on the connection
    /// cannot be told from that body.
    RequestBodyUnread,
    /// The response broke off on the server's side.
    Error,
    /// The server stops.
    Stopping,
}

impl ServerCloseReason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 13] = [
        Self::ClientClosed,
        Self::ClientReset,
        Self::Http10,
        Self::ClientSaidClose,
        Self::ServerSaidClose,
        Self::IdleTimeout,
        Self::ReadHeaderTimeout,
        Self::ReadTimeout,
        Self::WriteTimeout,
        Self::BadRequest,
        Self::RequestBodyUnread,
        Self::Error,
        Self::Stopping,
    ];

    /// A short name for machines, such as `idle_timeout`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ClientReset => "client_reset",
            Self::Http10 => "http_1_0",
            Self::ClientSaidClose => "client_said_close",
            Self::ServerSaidClose => "server_said_close",
            Self::IdleTimeout => "idle_timeout",
            Self::ReadHeaderTimeout => "read_header_timeout",
            Self::ReadTimeout => "read_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::BadRequest => "bad_request",
            Self::RequestBodyUnread => "request_body_unread",
            Self::Error => "error",
            Self::Stopping => "stopping",
        }
    }
}

/// In words, for people.
impl fmt::Display for ServerCloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientClosed => "the client closed",
            Self::ClientReset => "the client reset it",
            Self::Http10 => "HTTP/1.0 without keep-alive",
            Self::ClientSaidClose => "the request said Connection: close",
            Self::ServerSaidClose => "the response said Connection: close",
            Self::IdleTimeout => "idle timeout",
            Self::ReadHeaderTimeout => "read header timeout",
            Self::ReadTimeout => "read timeout",
            Self::WriteTimeout => "write timeout",
            Self::BadRequest => "bad request",
            Self::RequestBodyUnread => "answered before the request's body was read",
            Self::Error => "the response broke off",
            Self::Stopping => "the server stops",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_travels_under_its_short_name() {
        for reason in ServerCloseReason::ALL {
            let json = serde_json::to_string(&reason).unwrap();
            assert_eq!(json, format!("\"{}\"", reason.name()));
        }
    }
}
