//! Who hears of what happens.

use std::sync::Arc;
use std::time::Instant;

use evidence::{ConnectionId, ExchangeId, Moment, TraceEvent};

/// Hears the moments of every exchange and connection.
///
/// Called in the task in which the moment happens, so it must not block. An event of hyper-util's
/// client may come late, when it is known which exchange it belongs to; its `at` is always the
/// moment itself. Any `Fn(TraceEvent)` is a listener.
pub trait Listener: Send + Sync + 'static {
    /// Something happened.
    fn event(&self, event: TraceEvent);
}

impl<F: Fn(TraceEvent) + Send + Sync + 'static> Listener for F {
    fn event(&self, event: TraceEvent) {
        self(event);
    }
}

/// Tells the listener, if there is one. Without one, not even the moment is put together.
#[derive(Clone)]
pub(crate) struct Tracer(Option<Arc<dyn Listener>>);

impl Tracer {
    pub(crate) fn new(listener: Option<Arc<dyn Listener>>) -> Self {
        Self(listener)
    }

    /// Returns true if anybody listens: for what costs something before a moment can be told.
    pub(crate) fn is_heard(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn tell(
        &self,
        exchange: Option<ExchangeId>,
        connection: Option<ConnectionId>,
        moment: impl FnOnce() -> Moment,
    ) {
        if self.0.is_some() {
            self.tell_at(Instant::now(), exchange, connection, moment);
        }
    }

    pub(crate) fn tell_at(
        &self,
        at: Instant,
        exchange: Option<ExchangeId>,
        connection: Option<ConnectionId>,
        moment: impl FnOnce() -> Moment,
    ) {
        if let Some(listener) = &self.0 {
            listener.event(TraceEvent { at, exchange, connection, moment: moment() });
        }
    }
}
