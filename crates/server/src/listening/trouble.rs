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
    /// `accept` failed. Told once; the server tries again every [`ACCEPT_BACKOFF`].
    Began {
        /// The system's words.
        error: io::Error,
    },
    /// `accept` returned a connection again.
    Over {
        /// How often it had failed.
        failures: u64,
        /// The time since it failed first.
        after: Duration,
    },
}

impl fmt::Display for AcceptTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Began { error } => write!(
                f,
                "cannot accept connections: {error}; clients wait, trying again every {} ms",
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

/// The bookkeeping of trouble: its start and its failures so far, while there is any.
#[derive(Default)]
pub(crate) struct AcceptFailures {
    pub(crate) tell: Option<TroubleListener>,
    now: Option<(Instant, u64)>,
}

impl AcceptFailures {
    pub(crate) fn failed(&mut self, error: io::Error) {
        if let Some((_, failures)) = &mut self.now {
            *failures += 1;
            return;
        }
        self.now = Some((Instant::now(), 1));
        if let Some(tell) = &self.tell {
            tell(AcceptTrouble::Began { error });
        }
    }

    pub(crate) fn succeeded(&mut self) {
        if let Some((since, failures)) = self.now.take()
            && let Some(tell) = &self.tell
        {
            tell(AcceptTrouble::Over { failures, after: since.elapsed() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::AcceptTrouble::{Began, Over};
    use super::*;
    use std::sync::mpsc;

    #[test]
    fn trouble_is_told_once_when_it_begins_and_once_when_it_is_over() {
        let (sender, told) = mpsc::channel();
        let tell = Box::new(move |trouble: AcceptTrouble| sender.send(trouble).unwrap());
        let mut trouble = AcceptFailures { tell: Some(tell), now: None };
        for _ in 0..2 {
            trouble.succeeded();
            for _ in 0..23 {
                trouble.failed(io::Error::other("full"));
            }
            trouble.succeeded();
        }
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
