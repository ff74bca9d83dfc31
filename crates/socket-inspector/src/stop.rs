//! When a trace or a watch is over: its time is up, somebody ended it, or whoever started it is gone.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, getppid};
use tokio::signal::unix::{SignalKind, signal};

/// As long at most a signal is not noticed.
const NOTICE: Duration = Duration::from_millis(20);

/// Says when it is over.
#[derive(Debug)]
pub(crate) struct Stop {
    deadline: Option<Instant>,
    signalled: Arc<AtomicBool>,
    parent: Option<Pid>,
}

impl Stop {
    /// Listens for SIGINT and SIGTERM from now on, and for SIGHUP, unless whoever started this
    /// process (`nohup`) has it ignored.
    pub(crate) fn new(time: Option<Duration>) -> io::Result<Self> {
        let parent = getppid();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let guard = runtime.enter();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup =
            if is_ignored(HANGUP) { None } else { Some(signal(SignalKind::hangup())?) };
        drop(guard);
        let signalled = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&signalled);
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    Some(_) = async { hangup.as_mut()?.recv().await } => {}
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

    /// Sleeps until `due`, or until it is over: then returns true.
    pub(crate) fn wait_until(&self, due: Instant) -> bool {
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if self.is_due() || left.is_zero() {
                return self.is_due();
            }
            self.sleep(left.min(NOTICE));
        }
    }

    /// Sleeps for `pause`, but not beyond the end.
    pub(crate) fn sleep(&self, pause: Duration) {
        let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
        std::thread::sleep(left.map_or(pause, |left| left.min(pause)));
    }
}

/// SIGHUP: the terminal is gone.
const HANGUP: u32 = 1;

/// Whether this process ignores a signal, as it was started to.
fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}
