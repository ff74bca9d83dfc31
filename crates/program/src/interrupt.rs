//! Ctrl-C ends a run early; what was observed so far is still shown.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

use crate::exit;
use crate::signals::{Signals, StopSignal};

/// The learner's wish to end a run, by Ctrl-C, or the system's, by SIGTERM.
#[derive(Clone)]
pub struct Interrupt {
    seen: Arc<AtomicBool>,
    rung: Arc<Notify>,
}

impl Interrupt {
    /// Listens from now on, so that Ctrl-C no longer ends the process at once. A second Ctrl-C
    /// does, in case something hangs.
    ///
    /// # Errors
    /// If the system does not let us listen.
    pub fn listen() -> io::Result<Self> {
        let interrupt = Self { seen: Arc::default(), rung: Arc::default() };
        let listener = interrupt.clone();
        let mut signals = Signals::listen(&StopSignal::USUAL)?;
        tokio::spawn(async move {
            signals.next().await;
            listener.seen.store(true, Ordering::Relaxed);
            listener.rung.notify_waiters();
            signals.next().await;
            std::process::exit(exit::INTERRUPTED.into());
        });
        Ok(interrupt)
    }

    /// Returns true once it has come.
    #[must_use]
    pub fn has_come(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    /// Waits for it.
    pub async fn come(&self) {
        let rung = self.rung.notified();
        tokio::pin!(rung);
        rung.as_mut().enable();
        if !self.has_come() {
            rung.await;
        }
    }

    /// Carries on with `work` until it is done (`Some`) or the interrupt comes (`None`).
    pub async fn or<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.come() => None,
            done = work => Some(done),
        }
    }
}
