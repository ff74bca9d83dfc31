//! What became of a connection of a scripted server.

use std::time::Duration;

use evidence::ClientAddr;
use serde::{Deserialize, Serialize};

/// One connection, from accept to its end, as the server saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStory {
    /// The client's address.
    pub client: ClientAddr,
    /// When it was accepted, since the server listens.
    pub accepted_us: u64,
    /// The heads of requests that were read, in their order.
    pub heads: Vec<PeerHead>,
    /// Bytes that were read.
    pub read_bytes: u64,
    /// Bytes that were written, as far as the kernel has taken them.
    pub written_bytes: u64,
    /// The client's own end, if the server came to see it.
    pub client_left: Option<PeerLeft>,
    /// How the server let go of it.
    pub end: PeerEnd,
    /// The number of steps that were carried out.
    pub steps_done: usize,
}

/// The head of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerHead {
    /// When its last byte was read, since the server listens.
    pub at_us: u64,
    /// Its method; `None` if it is no head of HTTP/1.
    pub method: Option<String>,
    /// Its target.
    pub target: Option<String>,
    /// Its length on the wire.
    pub bytes: u64,
    /// It asks for `100 Continue` before the body.
    pub expects_continue: bool,
}

/// The end of a connection at the server's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerEnd {
    /// It was closed, as the script says.
    Closed,
    /// It was reset, as the script says.
    Reset,
    /// The client had ended it before the script was over; then it was closed.
    ClientWasFirst,
    /// It was open to the end of the server.
    Stopped,
}

/// How a client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerLeft {
    /// It closed its side.
    Closed,
    /// It reset the connection.
    Reset,
}

/// Whole microseconds.
pub(crate) fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
