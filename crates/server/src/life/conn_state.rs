//! What a connection is doing, in the words of Go's `http.ConnState`.

use std::fmt;

/// The state of a connection, as Go's server tells its `ConnState` hook. TCP knows nothing of it:
/// in all but the last of these states the kernel mostly says `ESTABLISHED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnState {
    /// Accepted; not a byte has come.
    New,
    /// From the first byte of a request to the last byte of its response, as handed to the socket.
    /// In HTTP/2 while a request is being answered. Requests that follow without a pause
    /// (pipelined) may leave no idle moment between them.
    Active,
    /// Between two exchanges. A connection that ends with its response is not idle before.
    Idle,
    /// Over.
    Closed,
}

impl ConnState {
    /// Every state, in the order of a connection's life.
    pub const ALL: [Self; 4] = [Self::New, Self::Active, Self::Idle, Self::Closed];

    /// Go's word in lower case, such as `idle`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Active => "active",
            Self::Idle => "idle",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for ConnState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::New => "New",
            Self::Active => "Active",
            Self::Idle => "Idle",
            Self::Closed => "Closed",
        })
    }
}
