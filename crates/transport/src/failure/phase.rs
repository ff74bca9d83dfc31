//! What was under way when an exchange failed.

use std::fmt;

/// The phase that was under way when an exchange failed.
///
/// In HTTP/2, where exchanges share the wire in compressed frames, everything from
/// [`Phase::Request`] to [`Phase::Head`] is [`Phase::Wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The request waited for a connection.
    GetConn,
    /// The host's name was looked up.
    LookUp,
    /// A connection was being established.
    Connect,
    /// TLS was being agreed on. A server that refuses the client's part of the handshake in TLS 1.3
    /// does so after the client's end of it, and still in this phase.
    Handshake,
    /// The request was not yet written, or not to its end.
    Request,
    /// The request was written, or its body waited for `100 Continue`; no answer had begun.
    Wait,
    /// The response had begun, but not its body.
    Head,
    /// The body of the response was being read.
    Body,
}

impl fmt::Display for Phase {
    /// In the words of a sentence: `inside the body of its response`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GetConn => "while the request waited for a connection",
            Self::LookUp => "during the look-up of its name",
            Self::Connect => "during the dial",
            Self::Handshake => "during the TLS handshake",
            Self::Request => "before the request was written",
            Self::Wait => "before it answered",
            Self::Head => "inside the head of its response",
            Self::Body => "inside the body of its response",
        })
    }
}
