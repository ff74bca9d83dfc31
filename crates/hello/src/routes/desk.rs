//! What the routes of one server share.

use std::sync::atomic::{AtomicU64, Ordering};

use super::uploads::Uploads;

/// The things that the routes of one server share.
pub(crate) struct Desk {
    pub(super) uploads: Uploads,
    created: AtomicU64,
    begun_uploads: AtomicU64,
}

impl Desk {
    pub(crate) fn new(uploads: Uploads) -> Self {
        Self { uploads, created: AtomicU64::new(0), begun_uploads: AtomicU64::new(0) }
    }

    /// Returns what `/json` has taken is numbered from 1, each once.
    pub(super) fn next_id(&self) -> u64 {
        self.created.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// So are uploads.
    pub(super) fn next_upload(&self) -> u64 {
        self.begun_uploads.fetch_add(1, Ordering::Relaxed) + 1
    }
}
