//! The ways in which HTTP/2 says that something is over.

/// The part of HTTP/2 that one end has ended: a stream, or the connection.
#[cfg_attr(not(feature = "http2"), expect(dead_code, reason = "there is no HTTP/2"))]
pub(crate) enum Http2Failure {
    /// The server has reset the stream, with the error code of this name.
    StreamReset(String),
    /// The server has ended the connection, with the error code of this name.
    GoAway(String),
    /// The server has broken the rules, those that the error code of this name is about.
    Malformed(String),
}
