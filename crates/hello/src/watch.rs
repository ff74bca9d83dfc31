//! Whoever wants to know what happens on a connection, under one name.

use http::{Request, Response};
use wire::{Ending, Tap};

use crate::idle::{Busy, IdleClock};
use crate::log::{Log, Open};

/// The observer's log and the idle clock of one connection, both, one or none of them. All clones
/// are one: the wire and the service each hold one.
#[derive(Clone)]
pub(crate) struct Watch {
    pub(crate) log: Option<Log>,
    pub(crate) idle: Option<IdleClock>,
}

impl Watch {
    /// The head of a request was read. Its response is over when the returned value is done with.
    pub(crate) fn request<B>(&self, request: &Request<B>) -> InFlight {
        let told = self.log.as_ref().map(|log| (log.clone(), log.request(request)));
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
    fn received(&mut self, bytes: &[u8]) {
        self.log.received(bytes);
        if let Some(clock) = &self.idle {
            clock.received();
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        self.log.sent(bytes);
    }

    fn flushed(&mut self) {
        self.log.flushed();
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
    told: Option<(Log, Open)>,
    _busy: Option<Busy>,
}

impl InFlight {
    /// Its answer is begun.
    pub(crate) fn handler_start(&self) {
        if let Some((log, open)) = &self.told {
            log.handler_start(open);
        }
    }

    /// The head of its response is decided on.
    pub(crate) fn handler_end<B>(&self, response: &Response<B>) {
        if let Some((log, open)) = &self.told {
            log.handler_end(open, response);
        }
    }

    /// Bytes of the response's body are handed over.
    pub(crate) fn handed_over(&self, bytes: usize) {
        if let Some((_, open)) = &self.told {
            open.handed_over(bytes);
        }
    }

    pub(crate) fn complete(mut self) {
        if let Some((log, open)) = self.told.take() {
            log.response_done(&open, true);
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some((log, open)) = self.told.take() {
            log.response_done(&open, false);
        }
    }
}
