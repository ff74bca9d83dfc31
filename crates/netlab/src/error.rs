//! What can go wrong, each with what was attempted and its cause.

use std::io;

use thiserror::Error;

/// Why a network does not tell something.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel's counters could not be read.
    #[error("cannot read the network's counters from {path}")]
    CountersUnreadable {
        /// The file that tells them.
        path: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel's counters do not have the layout that they have on every known Linux.
    #[error("cannot understand the network's counters in {path}: {what}")]
    CountersMalformed {
        /// The file that tells them.
        path: &'static str,
        /// Where it departs from that layout.
        what: String,
    },
}
