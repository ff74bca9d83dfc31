//! Runs trials side by side, each in a process of its own: the parent's half.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::stream::{FuturesUnordered, StreamExt};
use program::Interrupt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::doctor::facts::{Attempt, AttemptOutcome};
use crate::experiment::{Experiment, Trial};
use crate::judge::Verdict;
use crate::packet_spool::PacketDrop;
use crate::trial::{ChildAnswer, ChildReply, Order, UnreadableReply};

/// The hidden command by which this program becomes the child of itself.
pub(crate) const CHILD: &str = "trial";

/// The networks in which runs take place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Each in its own.
    Private,
    /// All in the machine's own network, for this reason. What needs private settings is skipped.
    Shared(String),
}

/// How trials are carried out.
#[derive(Clone, Debug)]
pub(crate) struct TrialLanes {
    /// How many run side by side.
    pub(crate) jobs: usize,
    /// How long one may take.
    pub(crate) at_most: Duration,
    /// Where.
    pub(crate) isolation: Isolation,
    /// With every moment of the clients' traces.
    pub(crate) moments: bool,
    /// With the packets of every run; without, of those that are predicted by their packets.
    pub(crate) hears: bool,
    /// With whole packets, for a file.
    pub(crate) keeps: bool,
}

/// A trial that is over.
#[derive(Debug)]
pub(crate) struct EndedTrial {
    /// Which experiment, from 0.
    pub(crate) experiment: usize,
    /// Which of its trials, from 0.
    pub(crate) trial: usize,
    /// Its verdict.
    pub(crate) verdict: Verdict,
    /// How long it took, its process included.
    pub(crate) took: Duration,
    /// Its packets, as the body of a section of pcapng, if they were to be kept.
    pub(crate) packets: Option<PacketDrop>,
}

/// Decides whether a private network can be had; if not, why not, in one line.
///
/// # Errors
/// If this program cannot be started as its own child.
pub(crate) async fn probe() -> anyhow::Result<Result<(), String>> {
    match Child::start(&Order::Probe).await?.tell().await? {
        ChildAnswer::Ready => Ok(Ok(())),
        ChildAnswer::Refused(why) | ChildAnswer::NoCable(why) | ChildAnswer::Failed(why) => {
            Ok(Err(why))
        }
        ChildAnswer::Over(_) | ChildAnswer::Probed(_) | ChildAnswer::Attempted(_) => {
            anyhow::bail!("the probe was misunderstood")
        }
    }
}

/// Lets a child try one thing, which may take so long.
///
/// # Errors
/// If this program cannot be started as its own child. A child that ends early is an outcome.
pub(crate) async fn attempt(attempt: Attempt, at_most: Duration) -> anyhow::Result<AttemptOutcome> {
    let mut child = Child::start(&Order::Attempt(attempt)).await?;
    let failed = |why: String| Ok(AttemptOutcome::Failed(why));
    match tokio::time::timeout(at_most, child.tell()).await {
        Ok(Ok(ChildAnswer::Attempted(outcome))) => Ok(outcome),
        Ok(Ok(_)) => anyhow::bail!("the attempt was misunderstood"),
        Ok(Err(error)) => failed(format!("{error:#}")),
        Err(_) => {
            child.end().await;
            failed(format!("it did not end within {}", report::words::span(at_most)))
        }
    }
}

/// Runs every trial of `experiments`, and tells of each when it is over. Those that run alone come
/// last, one after the other: everything must have ended before the first of them, once. After an
/// interrupt the children are ended and waited for, and nothing more is told.
///
/// # Errors
/// Those of `tell`. A trial that cannot run is a verdict.
pub(crate) async fn all<E>(
    experiments: &[Experiment],
    lanes: &TrialLanes,
    interrupt: &Interrupt,
    mut tell: impl FnMut(EndedTrial) -> Result<(), E>,
) -> Result<(), E> {
    let free = Semaphore::new(lanes.jobs);
    let (alone, beside) =
        in_their_order(experiments).partition::<Vec<_>, _>(|(_, alone, _)| *alone);
    let mut running: FuturesUnordered<_> = beside
        .into_iter()
        .chain(alone)
        .map(|(experiment, alone, (number, trial))| {
            let free = &free;
            async move {
                // Whoever asks first is served first, so trials start in this order.
                let places = if alone { lanes.jobs } else { 1 };
                let places = u32::try_from(places).unwrap_or(u32::MAX);
                let _places = interrupt.or(free.acquire_many(places)).await?;
                let started = Instant::now();
                let packets = match lanes.keeps.then(PacketDrop::new).transpose() {
                    Ok(packets) => packets,
                    Err(error) => {
                        let why = format!("there is no place for its packets: {error}");
                        let (verdict, took) = (Verdict::CouldNotRun(why), started.elapsed());
                        let packets = None;
                        return Some(EndedTrial {
                            experiment,
                            trial: number,
                            verdict,
                            took,
                            packets,
                        });
                    }
                };
                let verdict =
                    one(trial, lanes, packets.as_ref().map(PacketDrop::path), interrupt).await?;
                let took = started.elapsed();
                Some(EndedTrial { experiment, trial: number, verdict, took, packets })
            }
        })
        .collect();
    while let Some(done) = running.next().await {
        if let Some(done) = done {
            tell(done)?;
        }
    }
    Ok(())
}

/// Returns the number of its experiment of every trial, whether it runs alone, its own number and
/// itself.
fn in_their_order(
    experiments: &[Experiment],
) -> impl Iterator<Item = (usize, bool, (usize, &Trial))> {
    experiments.iter().enumerate().flat_map(|(number, experiment)| {
        let alone = experiment.alone;
        experiment.trials.iter().enumerate().map(move |at| (number, alone, at))
    })
}

/// Runs one trial; `None` if it was interrupted.
async fn one(
    trial: &Trial,
    lanes: &TrialLanes,
    packets: Option<&Path>,
    interrupt: &Interrupt,
) -> Option<Verdict> {
    if let (Isolation::Shared(_), Some(why)) = (&lanes.isolation, &trial.needs_private) {
        return Some(Verdict::Skipped(format!("needs a private network: {why}")));
    }
    let order = Order::Run {
        settings: Box::new(trial.settings.clone()),
        transport: trial.preset.name().to_owned(),
        real_go: trial.real_go.as_ref().map(|go| go.program.clone()),
        private: lanes.isolation == Isolation::Private,
        moments: lanes.moments,
        hears: lanes.hears || trial.hears,
        pcap: packets.map(Path::to_owned),
    };
    let mut child = match Child::start(&order).await {
        Ok(child) => child,
        Err(error) => return Some(Verdict::CouldNotRun(format!("{error:#}"))),
    };
    let told = interrupt.or(tokio::time::timeout(lanes.at_most, child.tell())).await;
    if !matches!(told, Some(Ok(_))) {
        child.end().await;
    }
    Some(match told? {
        Err(_) => {
            let at_most = report::words::span(lanes.at_most);
            Verdict::CouldNotRun(format!("it did not end within {at_most} (--at-most)"))
        }
        Ok(Err(error)) => Verdict::CouldNotRun(format!("{error:#}")),
        Ok(Ok(ChildAnswer::Over(record))) => Verdict::on(trial, *record),
        Ok(Ok(ChildAnswer::NoCable(why))) => Verdict::Skipped(format!("needs two hosts: {why}")),
        Ok(Ok(ChildAnswer::Refused(why) | ChildAnswer::Failed(why))) => Verdict::CouldNotRun(why),
        Ok(Ok(ChildAnswer::Ready | ChildAnswer::Probed(_) | ChildAnswer::Attempted(_))) => {
            Verdict::CouldNotRun("the order was misunderstood".to_owned())
        }
    })
}

/// This program as its own child. It ends when this value is dropped, and when this process dies.
pub(crate) struct Child(tokio::process::Child);

impl Child {
    /// Starts a child and gives it `order`.
    pub(crate) async fn start(order: &Order) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("cannot find this program itself")?;
        let mut command = Command::new(&program);
        command
            .args([CHILD, &std::process::id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C on a terminal is for this process, which ends its children itself.
        #[cfg(unix)]
        command.process_group(0);
        let starting = || format!("cannot start {} as its own child", program.display());
        let mut child = command.spawn().with_context(starting)?;
        let order = serde_json::to_vec(order)?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(&order).await {
                // It has ended: how, it is asked next. (To the mains a broken pipe is a reader of
                // theirs who has read enough.)
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                other => other.context("the child does not take its order")?,
            }
        }
        Ok(Self(child))
    }

    /// Waits for what the child tells.
    pub(crate) async fn tell(&mut self) -> anyhow::Result<ChildAnswer> {
        let (mut answer, mut words) = (Vec::new(), Vec::new());
        let (stdout, stderr) = (self.0.stdout.take(), self.0.stderr.take());
        let hear = async |stream: &mut Vec<u8>, from: Option<Pin<Box<dyn AsyncRead>>>| match from {
            Some(mut from) => from.read_to_end(stream).await.map(drop),
            None => Ok(()),
        };
        let stdout = stdout.map(|stdout| Box::pin(stdout) as Pin<Box<dyn AsyncRead>>);
        let stderr = stderr.map(|stderr| Box::pin(stderr) as Pin<Box<dyn AsyncRead>>);
        let heard =
            tokio::try_join!(hear(&mut answer, stdout), hear(&mut words, stderr), self.0.wait());
        let ((), (), status) = heard.context("the child cannot be heard")?;
        ChildReply::read(&answer).map_err(|error| match String::from_utf8_lossy(&words).trim() {
            _ if matches!(error, UnreadableReply::OtherVersion { .. }) => error.into(),
            "" if answer.is_empty() => anyhow::anyhow!("the run ended without a word ({status})"),
            "" => anyhow::Error::from(error).context(format!("the run ended early ({status})")),
            words => anyhow::anyhow!("the run ended early ({status}): {words}"),
        })
    }

    /// Asks the child to end, which ends the program that it looks after first, and ends it if it
    /// does not.
    pub(crate) async fn end_with_its_family(&mut self) {
        #[cfg(unix)]
        self.ask_to_end().await;
        self.end().await;
    }

    #[cfg(unix)]
    async fn ask_to_end(&mut self) {
        const PATIENCE: Duration = Duration::from_secs(5);
        let pid = self.0.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
            // It may be gone already, which is what is wanted.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        // One that does not go in this time is ended.
        let _ = tokio::time::timeout(PATIENCE, self.0.wait()).await;
    }

    /// Ends the child, and waits until it is gone.
    pub(crate) async fn end(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.0.kill().await;
    }
}
