//! The bookkeeping of one connection, for the observer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use evidence::{ClientAddr, ClosedBy};
use wire::{Ending, FirstClose, Tap};

use crate::observer::{Accepted, Observer, ServerEvent, ServerMoment};

/// What one connection's bookkeeping needs; exists only while somebody observes. All clones are
/// one: the wire, the service and the body each hold one.
#[derive(Clone)]
pub(crate) struct Log(Arc<Entry>);

struct Entry {
    observer: Arc<dyn Observer>,
    connection: Accepted,
    peer: ClientAddr,
    accepted_at: Instant,
    requests: AtomicU64,
    /// The number of the request that is not answered yet; 0 if there is none.
    in_flight: AtomicU64,
}

impl Log {
    /// Starts the bookkeeping of a connection and tells that it was accepted.
    pub(crate) fn open(
        observer: Arc<dyn Observer>,
        connection: Accepted,
        peer: ClientAddr,
    ) -> Self {
        let accepted_at = Instant::now();
        let (requests, in_flight) = Default::default();
        let log =
            Self(Arc::new(Entry { observer, connection, peer, accepted_at, requests, in_flight }));
        log.tell_at(accepted_at, ServerMoment::Accepted);
        log
    }

    fn tell(&self, moment: ServerMoment) {
        self.tell_at(Instant::now(), moment);
    }

    fn tell_at(&self, at: Instant, moment: ServerMoment) {
        let Entry { observer, connection, peer, .. } = &*self.0;
        observer.event(ServerEvent { at, connection: *connection, peer: *peer, moment });
    }

    /// Tells of a request. Its response is told of when the returned value is done with.
    pub(crate) fn request(&self) -> InFlight {
        let number = self.0.requests.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.in_flight.store(number, Ordering::Relaxed);
        self.tell(ServerMoment::Request { number });
        InFlight(self.clone())
    }

    /// Tells of the response in flight, if there is one. HTTP/1.1 has no more than one at a time.
    fn response_done(&self, complete: bool) {
        let number = self.0.in_flight.swap(0, Ordering::Relaxed);
        if number > 0 {
            self.tell(ServerMoment::ResponseDone { number, complete });
        }
    }
}

/// A response that is being made or sent. Dropped before it is complete, it was given up.
pub(crate) struct InFlight(Log);

impl InFlight {
    pub(crate) fn complete(self) {
        self.0.response_done(true);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.response_done(false);
    }
}

impl Tap for Log {
    fn closed(&mut self, ending: Ending) {
        // hyper lets go of the socket before it lets go of the body, but what ended is the
        // response first, then the connection.
        self.response_done(false);
        let by = match ending.first {
            FirstClose::Here => ClosedBy::Server,
            FirstClose::There => ClosedBy::Client,
            FirstClose::Reset => ClosedBy::Reset,
        };
        self.tell(ServerMoment::Closed {
            by,
            requests: self.0.requests.load(Ordering::Relaxed),
            age: self.0.accepted_at.elapsed(),
            unread: ending.unread,
        });
    }
}
