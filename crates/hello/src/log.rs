//! The bookkeeping of one connection, for the observer.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use evidence::{ClientAddr, ClosedBy};
use wire::{Ending, FirstClose, Tap};

use crate::close_reason::CloseReason;
use crate::conn_state::ConnState;
use crate::lock;
use crate::observer::{Accepted, Observer, ServerEvent, ServerMoment};

/// What one connection's bookkeeping needs; exists only while somebody observes. All clones are
/// one.
#[derive(Clone)]
pub(crate) struct Log(Arc<Entry>);

struct Entry {
    observer: Arc<dyn Observer>,
    connection: Accepted,
    peer: ClientAddr,
    accepted_at: Instant,
    /// Locked while the observer is told, so that it hears of each thing in its turn: the requests
    /// of an HTTP/2 connection are answered in tasks of their own.
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    requests: u64,
    /// The numbers of the requests that are not answered yet, in their order. HTTP/1.1 has no more
    /// than one at a time.
    in_flight: Vec<u64>,
    /// Why the connection ends, as the clock has found out.
    why: Option<CloseReason>,
}

impl Log {
    /// Starts the bookkeeping of a connection and tells that it was accepted.
    pub(crate) fn open(
        observer: Arc<dyn Observer>,
        connection: Accepted,
        peer: ClientAddr,
    ) -> Self {
        let accepted_at = Instant::now();
        let book = Mutex::default();
        let log = Self(Arc::new(Entry { observer, connection, peer, accepted_at, book }));
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

    /// Tells of a request, and returns its number. Called by the task that reads the connection, so
    /// that none is told of after the close.
    pub(crate) fn request(&self) -> u64 {
        let mut book = lock(&self.0.book);
        book.requests += 1;
        let number = book.requests;
        book.in_flight.push(number);
        self.tell(ServerMoment::Request { number });
        number
    }

    /// Tells of the response to the request of this number, unless that is told already.
    pub(crate) fn response_done(&self, number: u64, complete: bool) {
        let mut book = lock(&self.0.book);
        if let Some(place) = book.in_flight.iter().position(|it| *it == number) {
            book.in_flight.remove(place);
            self.tell(ServerMoment::ResponseDone { number, complete });
        }
    }
}

impl Log {
    /// The connection is doing something else now.
    pub(crate) fn state(&self, _: ConnState) {}

    /// Why the connection ends; told with its close.
    pub(crate) fn because(&self, reason: CloseReason) {
        lock(&self.0.book).why = Some(reason);
    }
}

impl Tap for Log {
    fn closed(&mut self, ending: Ending) {
        // hyper lets go of the socket before it lets go of the bodies, but what ended are the
        // responses first, then the connection.
        let mut book = lock(&self.0.book);
        for number in std::mem::take(&mut book.in_flight) {
            self.tell(ServerMoment::ResponseDone { number, complete: false });
        }
        let by = match ending.first {
            FirstClose::Here => ClosedBy::Server,
            FirstClose::There => ClosedBy::Client,
            FirstClose::Reset => ClosedBy::Reset,
        };
        self.tell(ServerMoment::Closed {
            by,
            requests: book.requests,
            age: self.0.accepted_at.elapsed(),
            unread: ending.unread,
            why: book.why,
        });
    }
}
