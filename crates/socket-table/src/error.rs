//! What can go wrong, each with what was attempted and its cause.

use std::io;

use thiserror::Error;

/// Why this machine's sockets, or their owners, could not be told.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no way to the kernel's socket table, as in a sandbox that forbids it.
    #[error("cannot reach the kernel's socket table (netlink sock_diag)")]
    TableUnreachable {
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel answered the question for its table with an error.
    #[error("the kernel refused to list its {family} TCP sockets")]
    Refused {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel's answer could not be received.
    #[error("cannot receive the kernel's list of {family} TCP sockets")]
    AnswerLost {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The kernel's answer does not have the layout that it has on every known Linux.
    #[error("cannot understand the kernel's list of {family} TCP sockets: {what}")]
    Malformed {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Where it departs from that layout.
        what: String,
    },
    /// Every reading was overtaken by changes. A short list would be a false witness.
    #[error("the kernel's list of {family} TCP sockets changed during each of {readings} readings")]
    Unsteady {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// How often it was read.
        readings: usize,
    },
    /// The system, which is not Linux, refused its socket table.
    #[error("cannot read this system's socket table")]
    TableUnreadable {
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The processes that hold sockets could not be listed.
    #[error("cannot list the processes that hold sockets")]
    ProcessesUnreadable {
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
