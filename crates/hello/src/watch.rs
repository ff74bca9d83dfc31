//! Whoever wants to know what happens on a connection, under one name.

use wire::{Ending, Tap};

use crate::idle::{Busy, IdleClock};
use crate::log::Log;

/// The observer's log and the idle clock of one connection, both, one or none of them. All clones
/// are one: the wire and the service each hold one.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) log: Option<Log>,
    pub(crate) idle: Option<IdleClock>,
}

impl Watch {
    /// The head of a request was read. Its response is over when the returned value is done with.
    pub(crate) fn request(&self) -> InFlight {
        let told = self.log.as_ref().map(|log| (log.clone(), log.request()));
        InFlight { told, _busy: self.idle.as_ref().map(IdleClock::request) }
    }

    /// Waits until the connection has been idle for too long: for ever, if there is no limit.
    pub(crate) async fn idle_too_long(&self) {
        match &self.idle {
            Some(clock) => clock.ran_out().await,
            None => std::future::pending().await,
        }
    }
}

impl Tap for Watch {
    fn received(&mut self, _: &[u8]) {
        if let Some(clock) = &self.idle {
            clock.received();
        }
    }

    fn flushed(&mut self) {
        if let Some(clock) = &self.idle {
            clock.flushed();
        }
    }

    fn closed(&mut self, ending: Ending) {
        self.log.closed(ending);
    }
}

/// A response that is being made or sent. Dropped before it is complete, it was given up.
pub(crate) struct InFlight {
    /// The number of its request.
    told: Option<(Log, u64)>,
    _busy: Option<Busy>,
}

impl InFlight {
    pub(crate) fn complete(mut self) {
        if let Some((log, number)) = self.told.take() {
            log.response_done(number, true);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some((log, number)) = self.told.take() {
            log.response_done(number, false);
        }
    }
}
