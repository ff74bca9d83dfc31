//! The time of an idle connection.

use tokio::task::AbortHandle;

/// A task that closes an idle connection at its time; gone when the connection is taken.
pub(crate) struct IdleTimer(pub(crate) AbortHandle);

impl Drop for IdleTimer {
    fn drop(&mut self) {
        self.0.abort();
    }
}
