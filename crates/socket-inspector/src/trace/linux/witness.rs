//! The witnesses of a trace, and what they saw in all.

use evidence::TcpState;

use super::story::ChangeLine;

/// The one that saw the changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TraceWitness {
    Tracepoint {
        /// Why bytes are not told, if they are not.
        no_bytes: Option<String>,
    },
    /// Also why it is not the tracepoint, if that was wanted.
    Sampling { instead: Option<String> },
}

/// The witness of single changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeWitness {
    /// The tracepoint; what comes of `TIME_WAIT` sock_diag tells.
    Tracepoint,
    SockDiag,
}

impl TraceWitness {
    /// The one that tells changes.
    pub(crate) fn of_changes(&self) -> ChangeWitness {
        match self {
            Self::Tracepoint { .. } => ChangeWitness::Tracepoint,
            Self::Sampling { .. } => ChangeWitness::SockDiag,
        }
    }
}

impl ChangeWitness {
    /// The one that saw this change: what a socket leaves behind changes without a word to the
    /// tracepoint, so that sock_diag tells it, with two times between which it lies.
    pub(crate) fn of(self, line: &ChangeLine) -> Self {
        let is_remnant = line.old == TcpState::TimeWait || line.new == TcpState::TimeWait;
        if is_remnant || line.when.earliest != line.when.latest { Self::SockDiag } else { self }
    }

    /// `tracepoint` or `sock_diag`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tracepoint => "tracepoint",
            Self::SockDiag => "sock_diag",
        }
    }

    /// Its letter in a line: `T` or `D`.
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Self::Tracepoint => "T",
            Self::SockDiag => "D",
        }
    }
}

/// The sums of what packets tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketTotal {
    /// Connections that they show to begin.
    pub(crate) opened: u64,
    /// Packets that were not heard.
    pub(crate) missed: u64,
}

/// The sums of a whole trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceTotal {
    /// Changes that were told.
    pub(crate) changes: u64,
    /// Connections that were seen, also those that were there before.
    pub(crate) connections: u64,
    /// Connections whose end was seen.
    pub(crate) ended: u64,
    /// Changes that the witness could not keep up with; `None` if it cannot know.
    pub(crate) lost: Option<u64>,
    /// Sends and receives of processes that it could not keep up with, be they of other
    /// connections; `None` if it does not count them.
    pub(crate) lost_transfers: Option<u64>,
    /// What packets tell; `None` if they were not heard.
    pub(crate) packets: Option<PacketTotal>,
}
