//! How many connections and requests a server has had, and how many connections were used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts of a server, which go on while it runs. All clones are one. They cost a server no
/// observer.
#[derive(Clone, Debug, Default)]
pub struct ServerTally(Arc<TallyCounts>);

#[derive(Debug, Default)]
struct TallyCounts {
    connections: AtomicU64,
    requests: AtomicU64,
    used: AtomicU64,
    used_again: AtomicU64,
}

impl ServerTally {
    /// Connections that were accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// Requests whose head was read.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::Relaxed)
    }

    /// Connections that carried a request.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Connections that carried more than one.
    #[must_use]
    pub fn used_again(&self) -> u64 {
        self.0.used_again.load(Ordering::Relaxed)
    }

    pub(crate) fn connection(&self) {
        self.0.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// The request with this number on its connection was read.
    pub(crate) fn request(&self, number: u64) {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        match number {
            1 => drop(self.0.used.fetch_add(1, Ordering::Relaxed)),
            2 => drop(self.0.used_again.fetch_add(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}
