//! A program and all that descends from it: started, waited for, ended.
//!
//! Whoever loses its parent in this family becomes a child of this process (a "subreaper"), so that
//! nobody gets away: neither a daemon that forks twice nor what a shell has left in the background.
//!
//! | file | idea |
//! |---|---|
//! | `kin.rs` | who belongs to the family, and a signal that reaches nobody else |

mod kin;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper, wait,
};
use thiserror::Error;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

use crate::observation::{FamilyMember, ObservedProgram, ProgramEnd};

use kin::Kin;

/// So long a family may take to go when it is asked to.
const GRACE: Duration = Duration::from_secs(2);
/// So often it is looked at who is still there.
const LOOK: Duration = Duration::from_millis(10);

/// What is to be started, and for how long.
#[derive(Debug)]
pub struct FamilyPlan {
    /// The program and its arguments.
    pub command: Vec<OsString>,
    /// Variables that it has beside those of this process.
    pub variables: Vec<(OsString, OsString)>,
    /// How long it is observed, if not to its end.
    pub time: Option<Duration>,
    /// Variables of this process that it does not have.
    pub without: Vec<OsString>,
    /// Where its output and its errors go, if not where this process's go; it reads nothing then.
    pub output: Option<FamilyOutput>,
    /// Children of this process that are none of the family.
    pub strangers: Vec<u32>,
}

/// Files for what a program writes.
#[derive(Debug)]
pub struct FamilyOutput {
    /// For its standard output.
    pub output: File,
    /// For its standard error.
    pub errors: File,
}

/// Why a program was not started.
#[derive(Debug, Error)]
pub enum FamilyError {
    /// There is no such program.
    #[error("cannot start {program}: there is no such program")]
    NotFound {
        /// The program.
        program: String,
    },
    /// It cannot be executed.
    #[error("cannot start {program}")]
    NotExecutable {
        /// The program.
        program: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The system does not let this process look after a family.
    #[error("cannot look after the program: {step} failed")]
    Unkept {
        /// What was attempted.
        step: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

/// A program that runs, and all that descends from it.
#[derive(Debug)]
pub struct Family {
    child: Pid,
    ears: Ears,
    /// True if the program shares this process's group, because a terminal may send signals to it.
    shares_group: bool,
    plan: FamilyPlan,
    started: Instant,
    /// When it is over, if that has been seen.
    end: Option<(ProgramEnd, Duration)>,
    report: ObservedProgram,
}

impl Family {
    /// Starts the program with this process's directory and variables and, unless the plan has others,
    /// its standard streams. Times count
    /// from `started` on.
    ///
    /// On a terminal it shares this process's group, so that it reads from the terminal and gets what
    /// is typed to stop it. Without one it has a group of its own, to which signals are passed on.
    ///
    /// Wants a tokio runtime with its I/O driver.
    ///
    /// # Errors
    /// [`FamilyError`].
    pub fn start(plan: FamilyPlan, started: Instant) -> Result<Self, FamilyError> {
        let program = plan.command.first().cloned().unwrap_or_default();
        let shown = program.to_string_lossy().into_owned();
        let unkept = |source: rustix::io::Errno| FamilyError::Unkept {
            step: "adopting its orphans",
            source: source.into(),
        };
        set_child_subreaper(Some(getpid())).map_err(unkept)?;
        // Before there is a program: a signal that came between would end this process alone.
        let deaf = |source| FamilyError::Unkept { step: "listening for signals", source };
        let ears = Ears::open().map_err(deaf)?;
        let shares_group = plan.output.is_none() && File::open("/dev/tty").is_ok();
        let mut command = Command::new(&program);
        command.args(plan.command.iter().skip(1));
        command.envs(plan.variables.iter().map(|(name, value)| (name, value)));
        for name in &plan.without {
            command.env_remove(name);
        }
        if !shares_group {
            command.process_group(0);
        }
        if let Some(files) = &plan.output {
            let unkept = |source| FamilyError::Unkept { step: "keeping its output", source };
            let output = files.output.try_clone().map_err(unkept)?;
            let errors = files.errors.try_clone().map_err(unkept)?;
            command.stdin(Stdio::null()).stdout(output).stderr(errors);
        }
        let child = command.spawn().map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => FamilyError::NotFound { program: shown },
            _ => FamilyError::NotExecutable { program: shown, source },
        })?;
        let child = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let child = child.ok_or_else(|| unkept(rustix::io::Errno::SRCH))?;
        let command = plan.command.iter().map(|word| word.to_string_lossy().into_owned());
        let report = ObservedProgram { command: command.collect(), ..ObservedProgram::default() };
        Ok(Self { child, ears, shares_group, plan, started, end: None, report })
    }

    /// Waits until the program has ended, or its time is over, passes on signals meanwhile, and ends
    /// what is left of its family. With a time, what the program has left behind is observed until
    /// then.
    pub async fn to_its_end(mut self) -> ObservedProgram {
        let deadline = self.plan.time.map(|time| tokio::time::Instant::now() + time);
        let mut wishes = 0;
        loop {
            self.reap();
            let is_over = self.end.is_some()
                && (deadline.is_none()
                    || Kin::all_but(&self.plan.strangers)
                        .map(|kin| kin.is_empty())
                        .unwrap_or(true));
            if is_over {
                break;
            }
            let time_is_over = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = self.ears.deaths.recv() => {}
                signal = self.ears.wishes.next() => {
                    wishes += 1;
                    if wishes > 1 || self.end.is_some() {
                        self.report.was_killed = self.end.is_none();
                        self.end_all(Duration::ZERO).await;
                        break;
                    }
                    self.pass_on(signal);
                }
                () = time_is_over => {
                    self.report.time_was_over = self.end.is_none();
                    self.end_all(GRACE).await;
                    break;
                }
            }
        }
        self.end_all(GRACE).await;
        let (end, ended) = self.end.unwrap_or((ProgramEnd::Unseen, self.started.elapsed()));
        ObservedProgram { end, ended, ..self.report }
    }

    /// Takes notice of those that have ended.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid != self.child {
                continue;
            }
            let number = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
            let end = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => ProgramEnd::Exited(number(code)),
                (None, Some(signal)) => ProgramEnd::Signal(number(signal)),
                (None, None) => continue, // it was stopped, or goes on
            };
            self.end = Some((end, self.started.elapsed()));
        }
    }

    /// Passes a signal on. What is typed on a terminal has reached the program already.
    fn pass_on(&mut self, signal: Signal) {
        self.report.signals += 1;
        let typed = matches!(signal, Signal::INT | Signal::QUIT);
        // It may have ended by itself just now, which is what is wanted.
        let _ = match (self.shares_group, typed) {
            (true, true) => Ok(()),
            (true, false) => kill_process(self.child, signal),
            (false, _) => kill_process_group(self.child, signal),
        };
    }

    /// Ends all that is there of the family: asks, waits for so long, and kills.
    async fn end_all(&mut self, grace: Duration) {
        let asked = Instant::now();
        let mut asked_before: Vec<u32> = Vec::new();
        let mut killed_until = None;
        loop {
            self.reap();
            let kin = Kin::all_but(&self.plan.strangers).unwrap_or_default();
            if kin.is_empty() {
                return;
            }
            let kills = asked.elapsed() >= grace;
            let until = *killed_until.get_or_insert_with(|| Instant::now() + grace + GRACE);
            if Instant::now() > until {
                return; // such as a process that waits for a dead disk
            }
            for one in &kin {
                if kills {
                    one.signal(Signal::KILL);
                } else if !asked_before.contains(&one.pid) {
                    asked_before.push(one.pid);
                    one.signal(Signal::TERM);
                }
                self.note_left(one.pid, &one.name, kills);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Notes one that was there when the program was over.
    fn note_left(&mut self, pid: u32, name: &str, was_killed: bool) {
        let child = u32::try_from(self.child.as_raw_nonzero().get()).unwrap_or_default();
        if pid == child {
            return;
        }
        match self.report.left.iter_mut().find(|left| left.pid == pid) {
            Some(left) => left.was_killed |= was_killed,
            None => {
                self.report.left.push(FamilyMember { pid, name: name.to_owned(), was_killed });
            }
        }
    }
}

/// The numbers of all that live and descend from this process.
pub(crate) fn family_pids() -> BTreeSet<u32> {
    Kin::all_but(&[]).unwrap_or_default().into_iter().map(|one| one.pid).collect()
}

/// Ears for the signals that a family is about.
#[derive(Debug)]
struct Ears {
    deaths: SignalStream,
    wishes: Wishes,
}

/// Ears for wishes that the program end.
#[derive(Debug)]
struct Wishes(Vec<(Signal, SignalStream)>);

impl Ears {
    fn open() -> io::Result<Self> {
        let ignored = ignored();
        // What is ignored, as under nohup, the program is to ignore, too: whoever listens for it
        // would end that.
        let heard = [Signal::INT, Signal::TERM, Signal::QUIT, Signal::HUP]
            .into_iter()
            .filter(|it| ignored & (1 << (it.as_raw() - 1)) == 0);
        let wishes = heard.map(|it| Ok((it, signal(SignalKind::from_raw(it.as_raw()))?)));
        Ok(Self {
            deaths: signal(SignalKind::child())?,
            wishes: Wishes(wishes.collect::<io::Result<_>>()?),
        })
    }
}

impl Wishes {
    /// Waits for a wish that the program end. Safe to give up and to call again.
    async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let heard = self
                .0
                .iter_mut()
                .find_map(|(it, stream)| stream.poll_recv(context).is_ready().then_some(*it));
            heard.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// The signals that this process ignores, a bit each.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
