//! Another host, on which the servers of a run live.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::channel;

/// Another host than this process's own: what is opened there belongs to it.
///
/// A network belongs to a thread, so a host is reached by letting one of its threads do something.
/// A socket stays where it was made, whoever uses it.
pub trait FarHost: fmt::Debug + Send + Sync {
    /// Carries out `job` there, and returns when it is done.
    ///
    /// # Errors
    /// If the host is gone.
    fn run(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()>;
}

/// The host on which the servers live: another one, or this process's own.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServersHost(pub(crate) Option<Arc<dyn FarHost>>);

impl ServersHost {
    /// Returns true if client and servers share a host.
    pub(crate) fn is_here(&self) -> bool {
        self.0.is_none()
    }

    /// Carries out `job` on that host.
    pub(crate) fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        let Some(host) = &self.0 else { return Ok(job()) };
        let (sender, done) = channel();
        host.run(Box::new(move || drop(sender.send(job()))))?;
        done.recv().map_err(|_| io::Error::other("the job was not carried out"))
    }

    /// What `look` sees on the client's host and, if that is another one, on the servers'.
    pub(crate) fn both<T: Send + 'static>(&self, look: fn() -> Option<T>) -> Vec<Option<T>> {
        let far = (!self.is_here()).then(|| self.run(look).ok().flatten());
        std::iter::once(look()).chain(far).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host whose thread is a new one each time.
    #[derive(Debug)]
    struct Elsewhere;

    impl FarHost for Elsewhere {
        fn run(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
            std::thread::spawn(job).join().map_err(|_| io::Error::other("it panicked"))
        }
    }

    #[test]
    fn a_job_for_another_host_is_not_done_in_this_thread() {
        let here = std::thread::current().id();
        let thread = || std::thread::current().id();
        assert_eq!(ServersHost::default().run(thread).unwrap(), here);
        let far = ServersHost(Some(Arc::new(Elsewhere)));
        assert_ne!(far.run(thread).unwrap(), here);
    }

    #[test]
    fn a_job_that_panics_there_is_an_error_here() {
        let far = ServersHost(Some(Arc::new(Elsewhere)));
        let failed = far.run(|| -> u8 { panic!("as a test wants it") });
        assert!(failed.is_err());
    }

    #[test]
    fn with_one_host_nothing_is_looked_at_twice() {
        assert_eq!(ServersHost::default().both(|| Some(1)), [Some(1)]);
        assert_eq!(ServersHost(Some(Arc::new(Elsewhere))).both(|| Some(1)), [Some(1), Some(1)]);
    }
}
