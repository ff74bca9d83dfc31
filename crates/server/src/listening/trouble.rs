//! When the server cannot accept connections.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

/// The pause after a failed `accept`, such as when file descriptors have run out: without it the
/// loop would burn a whole core until one is free.
pub const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// The server cannot accept connections, or can again.
///
/// Whoever connects meanwhile waits in the backlog and is not refused, so to a client such a
/// server is slow, not broken. The usual cause: no file descriptor is left (`ulimit -n`).
#[derive(Debug)]
pub enum AcceptTrouble {
    /// `accept` failed. Told once; the server tries again every [`ACCEPT_BACKOFF`]. Whether a
    /// client waits is not known: the system may refuse a descriptor before it looks.
    Began {
        /// The system's words.
        error: io::Error,
    },
    /// `accept` has not failed for a second: it has returned connections again, or found nobody
    /// who waits for one.
    Over {
        /// How often it had failed.
        failures: u64,
        /// The time from the first failure to the first success after the last one.
        after: Duration,
    },
}

impl fmt::Display for AcceptTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began { error } => write!(
                f,
                "cannot accept connections: {error}; who connects waits, trying again every {} ms",
                ACCEPT_BACKOFF.as_millis()
            ),
            Self::Over { failures, after } => write!(
                f,
                "accepts connections again, after {failures} failure{} in {} ms",
                if *failures == 1 { "" } else { "s" },
                after.as_millis()
            ),
        }
    }
}

/// Returns true if `error` is the end of the one connection that was to be accepted, so says
/// nothing of the next: the client had given up before its turn came.
pub(crate) fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The one that is told of trouble.
pub(crate) type TroubleListener = Box<dyn Fn(AcceptTrouble) + Send>;

/// So long `accept` must succeed before trouble is over. Under a crowd every connection that ends
/// frees a descriptor for the next, and each time something could be told.
const PEACE: Duration = Duration::from_secs(1);

/// The bookkeeping of trouble, while there is any.
#[derive(Default)]
pub(crate) struct AcceptFailures {
    pub(crate) tell: Option<TroubleListener>,
    now: Option<AcceptSpell>,
}

/// A time in which `accept` fails again and again.
struct AcceptSpell {
    since: Instant,
    failures: u64,
    /// When it succeeded first after the last failure.
    succeeded: Option<Instant>,
}

impl AcceptFailures {
    pub(crate) fn failed(&mut self, error: io::Error) {
        if let Some(spell) = &mut self.now {
            spell.failures += 1;
            spell.succeeded = None;
            return;
        }
        self.now = Some(AcceptSpell { since: Instant::now(), failures: 1, succeeded: None });
        if let Some(tell) = &self.tell {
            tell(AcceptTrouble::Began { error });
        }
    }

    /// A connection was accepted, or there was none to accept.
    pub(crate) fn succeeded(&mut self) {
        if let Some(spell) = &mut self.now
            && spell.succeeded.get_or_insert_with(Instant::now).elapsed() >= PEACE
        {
            self.over();
        }
    }

    /// Waits until trouble is over, and tells so; for ever, if there is none, or no end in sight.
    pub(crate) async fn peace(&mut self) {
        let succeeded = self.now.as_ref().and_then(|spell| spell.succeeded);
        match succeeded.and_then(|at| at.checked_add(PEACE)) {
            Some(peace) => tokio::time::sleep_until(peace.into()).await,
            None => std::future::pending().await,
        }
        self.over();
    }

    fn over(&mut self) {
        if let Some(AcceptSpell { since, failures, succeeded: Some(end) }) = self.now.take()
            && let Some(tell) = &self.tell
        {
            tell(AcceptTrouble::Over { failures, after: end.saturating_duration_since(since) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AcceptTrouble::{Began, Over};
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn trouble_is_told_once_when_it_begins_and_once_after_a_second_of_peace() {
        let (sender, told) = mpsc::channel();
        let tell = Box::new(move |trouble: AcceptTrouble| sender.send(trouble).unwrap());
        let mut trouble = AcceptFailures { tell: Some(tell), now: None };
        for _ in 0..2 {
            trouble.succeeded();
            for _ in 0..23 {
                trouble.failed(io::Error::other("full"));
                trouble.succeeded(); // one has left, one has come
            }
            let start = Instant::now();
            trouble.peace().await;
            assert!(start.elapsed() >= PEACE - Duration::from_millis(100));
        }
        let none = tokio::time::timeout(Duration::from_millis(20), trouble.peace()).await;
        assert!(none.is_err(), "there was no trouble");
        drop(trouble);
        let told: Vec<AcceptTrouble> = told.iter().collect();
        let [Began { error }, Over { failures: 23, .. }, Began { .. }, Over { failures: 23, .. }] =
            &told[..]
        else {
            panic!("{told:?}")
        };
        assert_eq!(error.to_string(), "full");
    }

    #[test]
    fn a_client_that_gave_up_is_no_trouble() {
        for kind in [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset] {
            assert!(is_of_one_connection(&kind.into()));
        }
        let out_of_descriptors = io::Error::from_raw_os_error(24);
        assert!(!is_of_one_connection(&out_of_descriptors));
    }
}
