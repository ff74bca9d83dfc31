//! The witnesses of a trace, and what they saw in all.

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
}
