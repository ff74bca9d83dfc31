//! The packets of a run as a witness.

#[cfg(feature = "packets")]
mod interface;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::time::Instant;

use evidence::{ServerAddr, WireRecord};

#[cfg(feature = "packets")]
pub use interface::InterfaceWitness;

/// Somebody who hears every packet of a run.
pub trait WireWitness: fmt::Debug + Send + Sync {
    /// Begins to hear: no packet of the run has been sent yet. Times are told from `start` on.
    /// `servers` are those that the run starts itself.
    ///
    /// # Errors
    /// If the run is to end where nothing can be heard.
    fn begin(&self, start: Instant, servers: &[ServerAddr]) -> io::Result<()>;

    /// Ends, and tells all that was heard of connections to `servers`.
    ///
    /// # Errors
    /// If it was not heard to its end.
    fn end(&self, servers: &HashSet<ServerAddr>) -> io::Result<WireRecord>;
}
