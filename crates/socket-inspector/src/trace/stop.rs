//! When a trace is over: its time is up, somebody ended it, or whoever started it is gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, getppid};
use tokio::signal::unix::{SignalKind, signal};

/// Says when a trace is over.
#[derive(Debug)]
pub(crate) struct Stop {
    deadline: Option<Instant>,
    signalled: Arc<AtomicBool>,
    parent: Option<Pid>,
}

impl Stop {
    /// Listens for SIGINT and SIGTERM from now on.
    pub(crate) fn new(time: Option<Duration>) -> io::Result<Self> {
        let parent = getppid();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let guard = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        drop(guard);
        let signalled = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&signalled);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            tell.store(true, Ordering::Relaxed);
        })?;
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        Ok(Self { deadline, signalled, parent })
    }

    /// Whether it is over. A process whose parent dies gets another one.
    pub(crate) fn is_due(&self) -> bool {
        self.signalled.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
            || getppid() != self.parent
    }

    /// Sleeps for `pause`, but not beyond the end.
    pub(crate) fn sleep(&self, pause: Duration) {
        let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
        std::thread::sleep(left.map_or(pause, |left| left.min(pause)));
    }
}
