//! A second host: a thread that lives in a network of its own.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use nix::sched::{CloneFlags, unshare};

use super::{Network, NetworkId, written};
use crate::settings::Sysctl;
use crate::{Error, NetworkSettings};

/// A piece of work for the thread of a host.
type Job = Box<dyn FnOnce() + Send>;

/// The thread of a host. Its network ends with it, unless a socket holds it.
#[derive(Debug)]
pub(crate) struct HostThread {
    /// Closed when the thread is to end.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    network: Network,
}

impl HostThread {
    /// Starts a thread that moves into a new network. Its process has to be in a private one.
    pub(crate) fn start(settings: Vec<Sysctl>) -> Result<Self, Error> {
        let failed = |source| Error::Host { step: "start the thread of", source };
        let (jobs, work) = channel::<Job>();
        let (sender, moved) = channel();
        let thread = std::thread::Builder::new().name("host".to_owned()).spawn(move || {
            let network = moved_out(&settings);
            let lives = network.is_ok();
            if sender.send(network).is_ok() && lives {
                live(&work);
            }
        });
        let thread = thread.map_err(failed)?;
        let gone = |_| failed(io::Error::other("it has ended"));
        let network = moved.recv().map_err(gone)??;
        Ok(Self { jobs: Some(jobs), thread: Some(thread), network })
    }

    /// Lets the thread do `job`, and waits for it.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let gone = || Error::Host {
            step: "do something on",
            source: io::Error::other("its thread has panicked"),
        };
        let (sender, done) = channel();
        let job: Job = Box::new(move || drop(sender.send(job())));
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or_else(gone)?;
        done.recv().map_err(|_| gone())
    }

    /// Lets its network take everything for its own, whatever its address.
    pub(crate) fn takes_every_address(&self) -> Result<(), Error> {
        let network = self.network.clone();
        let told = self.run(move || network.takes_every_address())?;
        told.map_err(|source| Error::Host { step: "give every address to", source })
    }

    /// Reads every setting of its network.
    pub(crate) fn settings(&self) -> Result<NetworkSettings, Error> {
        let network = self.network.clone();
        self.run(move || NetworkSettings::told_by(|name| network.read(name)))?
    }
}

impl Drop for HostThread {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A job that panicked was told to who asked for it.
            let _ = thread.join();
        }
    }
}

fn live(work: &Receiver<Job>) {
    for job in work {
        job();
    }
}

/// Moves the calling thread out of the process's network, which leaves all others where they are.
fn moved_out(settings: &[Sysctl]) -> Result<Network, Error> {
    let failed = |step| move |source| Error::Host { step, source };
    let before = NetworkId::here().map_err(failed("locate the network of"))?;
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|errno| failed("make a network for")(io::Error::from(errno)))?;
    let id = NetworkId::here().map_err(failed("locate the network of"))?;
    if id == before {
        let same = io::Error::other("the thread is where it was");
        return Err(failed("make a network for")(same));
    }
    written(Network { id }, settings)
}
