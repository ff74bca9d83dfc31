//! A client's pool of connections, judged from outside the process.

use std::time::Duration;

use evidence::{AcceptQueue, Owner, ServerAddr};

use super::lives::PoolLives;
use super::standing::{ConnectionStanding, PoolConnection, StandingTime};

/// The connections of one process to one server.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClientPool {
    /// The process, if this user may see it.
    pub(crate) process: Option<Owner>,
    /// The server.
    pub(crate) server: ServerAddr,
    /// Those that are there at the last look.
    pub(crate) connections: Vec<PoolConnection>,
    /// Connections that appeared between the first look and the last, and were seen to be this
    /// process's: the least that it has opened.
    pub(crate) opened: usize,
    /// More connections to the same server that came and went between those looks, and that no
    /// look saw anybody hold: some of them may be this process's, or all. 0 in a pool whose
    /// process is not known and that counts them as [`ClientPool::opened`].
    pub(crate) unattributed: usize,
    /// The time between those looks.
    pub(crate) watched: Duration,
    /// How long the server lets a connection be silent, if that was told.
    pub(crate) idle_timeout: Option<Duration>,
    /// The lives of its connections while looking, those that are gone included.
    pub(crate) lives: PoolLives,
    /// The connections that wait to be accepted, if the server listens on this machine.
    pub(crate) queue: Option<AcceptQueue>,
}

impl ClientPool {
    /// How many connections are at `standing`.
    #[must_use]
    pub(crate) fn count(&self, standing: ConnectionStanding) -> usize {
        self.connections.iter().filter(|connection| connection.standing == standing).count()
    }

    /// Connections opened each second, as far as a look saw them and whose they are: the least
    /// there was. `None` after a single look.
    #[must_use]
    pub(crate) fn opened_per_s(&self) -> Option<f64> {
        self.each_second(self.opened)
    }

    pub(super) fn each_second(&self, count: usize) -> Option<f64> {
        let seconds = self.watched.as_secs_f64();
        (seconds > 0.0).then(|| count as f64 / seconds)
    }

    /// How long the server lets a connection be silent: what was told, or what was seen, where a
    /// connection was closed by the peer between two looks.
    #[must_use]
    pub(crate) fn server_idle_timeout(&self) -> Option<Duration> {
        let seen = self.connections.iter().filter_map(|connection| match connection.closed_for {
            Some(StandingTime::Exactly(ago)) if connection.unread() == 0 => {
                let silent = connection.row.info.silent_for()?.checked_sub(ago)?;
                // A close right after an answer is no idle timeout.
                Some(silent).filter(|silent| *silent >= Duration::from_millis(100))
            }
            _ => None,
        });
        self.idle_timeout.or_else(|| seen.min())
    }

    /// Returns true if the server is about to close this idle connection: four fifths of its time
    /// are up.
    #[must_use]
    pub(crate) fn is_stale_soon(&self, connection: &PoolConnection) -> bool {
        let silent = connection.row.info.silent_for();
        connection.standing == ConnectionStanding::Idle
            && self
                .server_idle_timeout()
                .zip(silent)
                .is_some_and(|(timeout, silent)| silent >= timeout.mul_f64(0.8))
    }
}

#[cfg(test)]
mod tests;
