//! When a trace or a watch is over: its time is up, somebody ended it, or whoever started it is
//! gone.
//!
//! A process whose parent dies gets another one, which is seen. If the parent died before anybody
//! looked, the new one seems to be the one that started it; what gives it away is the session.
//! A process begins in the session of its parent and leaves it only for one of its own, so a child
//! of the first process that is in neither's session was started by somebody else. It is not told
//! from a process whose parent lives if both parents are of one session, nor if it has one of its
//! own (`setsid`, a service of systemd): that may have no parent to wait for.

use std::fs;
use std::future::pending;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use program::{Signals, StopSignal, exit};
use rustix::process::{Pid, getppid};
use rustix::time::{ClockId, clock_gettime};

/// As long at most a signal is not noticed.
const NOTICE: Duration = Duration::from_millis(20);
/// So long after a signal, or when the time is over, the process ends even if it cannot go on, as
/// when nobody reads what it writes: if it did next to nothing meanwhile. What it has still to tell
/// may take longer. A second signal ends it at once.
const GRACE: Duration = Duration::from_secs(30);
/// Whoever takes less of a processor in all that time does not work, but waits.
const NEXT_TO_NOTHING: Duration = Duration::from_millis(100);

/// The bond of a process to the one that started it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParentTie {
    /// It leaves something on the machine that has to be taken away.
    Matters,
    /// It leaves nothing.
    IsNothing,
}

/// The processor time that this process has taken.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Says when it is over.
#[derive(Debug)]
pub(crate) struct TimeToStop {
    deadline: Option<Instant>,
    signalled: Arc<AtomicBool>,
    /// The parent, if it matters; and whether it was gone before anybody looked.
    parent: Option<Option<Pid>>,
    orphan: bool,
}

impl TimeToStop {
    /// Listens for SIGINT, SIGTERM and SIGQUIT from now on, and for SIGHUP, unless whoever started
    /// this process (`nohup`) has that ignored: then it does not end with its parent either.
    pub(crate) fn new(time: Option<Duration>, parent: ParentTie) -> io::Result<Self> {
        let stays = is_ignored(HANGUP);
        let follows = parent == ParentTie::Matters && !stays;
        let parent = follows.then(getppid); // before: who dies from now on is noticed
        let orphan = follows && is_orphan();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let guard = runtime.enter();
        let mut kinds = vec![StopSignal::Interrupt, StopSignal::Terminate, StopSignal::Quit];
        kinds.extend((!stays).then_some(StopSignal::HangUp));
        let mut signals = Signals::listen(&kinds)?;
        drop(guard);
        let signalled = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&signalled);
        let deadline = time.and_then(|time| Instant::now().checked_add(time));
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                let time_is_over = async {
                    match deadline {
                        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                        None => pending().await,
                    }
                };
                tokio::select! {
                    () = signals.next() => {}
                    () = time_is_over => {}
                }
                tell.store(true, Ordering::Relaxed);
                loop {
                    let before = processor_time();
                    let second = tokio::time::timeout(GRACE, signals.next()).await;
                    let worked = processor_time().saturating_sub(before);
                    if second.is_ok() || worked < NEXT_TO_NOTHING {
                        break;
                    }
                }
            });
            // What the terminal shows may not be given back where nobody reads it; its modes are.
            let _ = ratatui::crossterm::terminal::disable_raw_mode();
            std::process::exit(exit::COULD_NOT_RUN.into());
        })?;
        Ok(Self { deadline, signalled, parent, orphan })
    }

    /// Returns true if it is over.
    pub(crate) fn is_due(&self) -> bool {
        self.signalled.load(Ordering::Relaxed)
            || self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
            || self.orphan
            || self.parent.is_some_and(|parent| getppid() != parent)
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

/// Returns true if this process ignores a signal, as it was started to.
fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// Returns true if somebody else than the present parent has started this process. No if `/proc`
/// does not tell, as where the parent is outside of a container.
fn is_orphan() -> bool {
    let read = |process: &str| {
        let stat = fs::read_to_string(Path::new("/proc").join(process).join("stat")).ok()?;
        ProcessStat::read(&stat)
    };
    let Some(own) = read("self") else { return false };
    let Some(parent) = read(&own.parent.to_string()) else { return false };
    is_of_a_third_session(own, parent)
}

fn is_of_a_third_session(own: ProcessStat, parent: ProcessStat) -> bool {
    own.parent == FIRST && own.session != own.pid && own.session != parent.session
}

/// The process that takes over children whose parents are gone.
const FIRST: i32 = 1;

/// The words of `/proc/PID/stat` on a process, all in the numbers of one PID namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProcessStat {
    pid: i32,
    parent: i32,
    session: i32,
}

impl ProcessStat {
    /// Reads `4711 (name) S 1 4711 4711 ...`. The name may hold anything, even a bracket.
    fn read(stat: &str) -> Option<Self> {
        let (pid, rest) = stat.split_once(' ')?;
        let (_name, rest) = rest.rsplit_once(") ")?;
        let mut fields = rest.split(' ').skip(1); // the state
        let parent = fields.next()?.parse().ok()?;
        let _group = fields.next()?;
        let session = fields.next()?.parse().ok()?;
        Some(Self { pid: pid.parse().ok()?, parent, session })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, session: i32) -> ProcessStat {
        ProcessStat { pid, parent, session }
    }

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat = "4711 (a) S 9 (b) S 1 12 13 0 -1 4194560";
        assert_eq!(ProcessStat::read(stat), Some(process(4711, 1, 13)));
        for stat in ["", "4711", "4711 (a) S", "4711 (a) S 1 12"] {
            assert_eq!(ProcessStat::read(stat), None, "{stat:?}");
        }
    }

    #[test]
    fn whoever_is_of_a_third_session_has_lost_its_parent() {
        let init = process(1, 0, 1);
        let shell = process(4700, 1, 4700);
        let started_by_a_shell = process(4711, 4700, 4700);
        let service = process(4711, 1, 4711);
        let beside_init = process(4711, 1, 1);
        let orphan = process(4711, 1, 4700);
        assert!(!is_of_a_third_session(started_by_a_shell, shell));
        assert!(!is_of_a_third_session(service, init));
        assert!(!is_of_a_third_session(beside_init, init));
        assert!(is_of_a_third_session(orphan, init));
        let parent_left_the_session = process(4711, 4700, 4600);
        assert!(!is_of_a_third_session(parent_left_the_session, shell));
    }

    #[test]
    fn a_process_whose_parent_lives_is_no_orphan() {
        assert!(!is_orphan());
    }
}
