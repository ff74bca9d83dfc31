//! The packets of a run as a witness.

#[cfg(feature = "packets")]
mod loopback;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::time::Instant;

use evidence::{ServerAddr, WireRecord};

#[cfg(feature = "packets")]
pub use loopback::LoopbackWitness;

/// Somebody who hears every packet of a run.
pub trait WireWitness: fmt::Debug + Send + Sync {
    /// Begins to hear: no packet of the run has been sent yet. Times are told from `start` on.
    ///
    /// # Errors
    /// If nothing can be heard.
    fn begin(&self, start: Instant) -> io::Result<()>;

    /// Ends, and tells all that was heard of connections to `servers`.
    ///
    /// # Errors
    /// If it was not heard to its end.
    fn end(&self, servers: &HashSet<ServerAddr>) -> io::Result<WireRecord>;
}
