//! Ctrl-C ends a run early; what was observed so far is still shown.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// Whether the learner has pressed Ctrl-C (or the system has sent SIGTERM).
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
        let mut signals = Signals::new()?;
        tokio::spawn(async move {
            signals.next().await;
            listener.seen.store(true, Ordering::Relaxed);
            listener.rung.notify_waiters();
            signals.next().await;
            std::process::exit(130);
        });
        Ok(interrupt)
    }

    /// Whether it has come.
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

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
