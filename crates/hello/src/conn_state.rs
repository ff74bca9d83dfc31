//! Where a connection stands, in the words of Go's `net/http`.

use std::fmt;

/// What a connection is doing, seen from HTTP. TCP knows nothing of it: in all but the last of
/// these states the kernel mostly says `ESTABLISHED`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnState {
    /// Accepted, and not a byte has come.
    New,
    /// A request is coming or being answered.
    Active,
    /// Kept alive after a response, waiting for the next request.
    Idle,
    /// Closed at the server's end.
    Closed,
}

impl ConnState {
    /// A short name for machines, such as `idle`.
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
