//! What the server tells to whoever asks.

use std::fmt;
use std::time::{Duration, Instant};

use evidence::{ClientAddr, ClosedBy};

use crate::close_reason::CloseReason;

/// A connection as the server numbers it: in the order in which it was accepted, from 1. Not the
/// client's number, which counts dials; the two meet in the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Accepted(pub u64);

impl fmt::Display for Accepted {
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
    pub connection: Accepted,
    /// From whom.
    pub peer: ClientAddr,
    /// What.
    pub moment: ServerMoment,
}

/// What the server saw. In HTTP/2 exchanges overlap: further requests may come before a response is
/// done, and responses in another order than their requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMoment {
    /// `accept` returned the connection.
    Accepted,
    /// The head of a request was read.
    Request {
        /// Its number on this connection, from 1.
        number: u64,
    },
    /// The response was handed to the connection, or given up.
    ResponseDone {
        /// The number of its request on this connection.
        number: u64,
        /// Whether the whole body was handed over; `false` if the client was gone before.
        complete: bool,
    },
    /// The connection was closed at the server's end.
    Closed {
        /// Who closed first, as seen from the server.
        by: ClosedBy,
        /// How many requests it carried.
        requests: u64,
        /// The time since it was accepted.
        age: Duration,
        /// Bytes of the client that lay unread in the kernel then; a reset tells the client.
        unread: u64,
        /// Why the connection came to its end; `None` if that cannot be known.
        why: Option<CloseReason>,
    },
}

/// Who wants to know what the server sees.
///
/// Called from the tasks that serve a connection, for each connection one call at a time, so it
/// must not block. Without an observer the server does no bookkeeping at all.
pub trait Observer: Send + Sync + 'static {
    /// Something happened.
    fn event(&self, event: ServerEvent);
}

impl<F: Fn(ServerEvent) + Send + Sync + 'static> Observer for F {
    fn event(&self, event: ServerEvent) {
        self(event);
    }
}
