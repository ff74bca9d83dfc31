//! How far an upload has come, told while it comes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Told again after so many bytes, however fast they come ...
const BYTES: u64 = 64 * 1024;
/// ... and after this time, if any have come.
const TIME: Duration = Duration::from_millis(100);

/// How far an upload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UploadProgress {
    /// 1, 2, 3 and so on, for as long as the server runs.
    pub upload: u64,
    /// The bytes of the body that were read so far, with what a form adds around its parts.
    pub received_bytes: u64,
    /// How many the request's `Content-Length` announces, if it has one.
    pub announced_bytes: Option<u64>,
    /// Its fate.
    pub state: UploadState,
}

/// The fate of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UploadState {
    /// More may come.
    Receiving,
    /// All of it was read. The last that is told of it.
    Complete,
    /// It was refused, or the client left; nothing of it is kept. The last that is told of it.
    GivenUp,
}

pub(super) type ProgressListener = Arc<dyn Fn(UploadProgress) + Send + Sync>;

/// The bookkeeping of one upload. Dropped before it is complete, it was given up.
pub(super) struct Progress {
    listener: Option<ProgressListener>,
    count: Mutex<ProgressCount>,
}

struct ProgressCount {
    now: UploadProgress,
    told_bytes: u64,
    told: Instant,
}

/// A panic elsewhere leaves nothing half done behind this lock, so it does not become ours.
fn lock(count: &Mutex<ProgressCount>) -> MutexGuard<'_, ProgressCount> {
    count.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    pub(super) fn new(
        listener: Option<ProgressListener>,
        upload: u64,
        announced: Option<u64>,
    ) -> Self {
        let now = UploadProgress {
            upload,
            received_bytes: 0,
            announced_bytes: announced,
            state: UploadState::Receiving,
        };
        let count = Mutex::new(ProgressCount { now, told_bytes: 0, told: Instant::now() });
        Self { listener, count }
    }

    pub(super) fn received(&self, bytes: usize) {
        let now = {
            let mut count = lock(&self.count);
            count.now.received_bytes += bytes as u64;
            let fresh = count.now.received_bytes - count.told_bytes;
            if fresh < BYTES && count.told.elapsed() < TIME {
                return;
            }
            count.told_bytes = count.now.received_bytes;
            count.told = Instant::now();
            count.now
        };
        self.tell(now);
    }

    pub(super) fn received_bytes(&self) -> u64 {
        lock(&self.count).now.received_bytes
    }

    pub(super) fn complete(&self) {
        self.over(UploadState::Complete);
    }

    fn over(&self, state: UploadState) {
        let now = {
            let mut count = lock(&self.count);
            if count.now.state != UploadState::Receiving {
                return;
            }
            count.now.state = state;
            count.now
        };
        self.tell(now);
    }

    /// Never under the lock: what a listener does is its own affair.
    fn tell(&self, now: UploadProgress) {
        if let Some(listener) = &self.listener {
            listener(now);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.over(UploadState::GivenUp);
    }
}
