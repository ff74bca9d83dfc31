//! What becomes of uploads.

use std::path::PathBuf;
use std::sync::Arc;

use super::upload_progress::{ProgressListener, UploadProgress};

/// The way of uploads: kept, counted, refused.
#[derive(Clone)]
pub struct Uploads {
    pub(super) directory: Option<PathBuf>,
    pub(super) limit: u64,
    pub(super) listener: Option<ProgressListener>,
}

impl Default for Uploads {
    /// Counted and let go of, up to 10 MiB each.
    fn default() -> Self {
        Self { directory: None, limit: 10 << 20, listener: None }
    }
}

impl Uploads {
    /// Keeps what comes as files in `directory`, which must be there. The files' names are the
    /// server's own, and only its user may read them.
    #[must_use]
    pub fn kept_in(mut self, directory: PathBuf) -> Self {
        self.directory = Some(directory);
        self
    }

    /// Refuses bodies of more than `limit` bytes, counted with what a form adds around its parts.
    #[must_use]
    pub fn limited_to(mut self, limit: u64) -> Self {
        self.limit = limit;
        self
    }

    /// Calls `tell` as an upload proceeds: after each 64 KiB, sooner if 100 ms have passed, and
    /// once at its end. It is called where bodies are read, so it should not take long.
    #[must_use]
    pub fn progress_told_to(
        mut self,
        tell: impl Fn(UploadProgress) + Send + Sync + 'static,
    ) -> Self {
        self.listener = Some(Arc::new(tell));
        self
    }
}
