//! How long a connection has been idle, for a server that does not wait for ever.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::lock;

/// Less often than this nobody looks at a connection that is busy, however short its limit.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Knows since when one connection has been idle, as Go's `Server.IdleTimeout` means it: from the
/// last byte of a response to the first byte of the next request. Before its first request a
/// connection is not idle. Exists only if the server has a limit. All clones are one.
#[derive(Clone)]
pub(crate) struct IdleClock(Arc<Clock>);

struct Clock {
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Requests whose response is still being made, or taken over by the connection.
    in_flight: usize,
    /// The last response was made, but may not have reached the socket yet.
    flush_owed: bool,
    since: Option<Instant>,
    /// Streams begin and end among bytes that mean nothing here, such as acknowledgements.
    is_http2: bool,
}

/// A request that is being answered, until it is dropped.
pub(crate) struct Busy(IdleClock);

impl IdleClock {
    pub(crate) fn new(limit: Duration) -> Self {
        Self(Arc::new(Clock { limit, state: Mutex::default() }))
    }

    #[cfg(feature = "http2")]
    pub(crate) fn is_http2(&self) {
        lock(&self.0.state).is_http2 = true;
    }

    /// A request has come.
    pub(crate) fn request(&self) -> Busy {
        let mut state = lock(&self.0.state);
        state.in_flight += 1;
        state.flush_owed = false;
        state.since = None;
        Busy(self.clone())
    }

    /// Bytes have come. In HTTP/1.1 that is a request, which may take its time to come whole; in
    /// HTTP/2 the request itself tells.
    pub(crate) fn received(&self) {
        let mut state = lock(&self.0.state);
        if !state.is_http2 {
            state.since = None;
        }
    }

    /// Everything that was to be written has been handed to the socket.
    pub(crate) fn flushed(&self) {
        let mut state = lock(&self.0.state);
        if state.flush_owed {
            state.flush_owed = false;
            state.since = Some(Instant::now());
        }
    }

    /// Begins to count anew, if the connection is idle.
    pub(crate) fn restart(&self) {
        let mut state = lock(&self.0.state);
        if state.since.is_some() {
            state.since = Some(Instant::now());
        }
    }

    /// Waits until the connection has been idle for as long as it may be.
    ///
    /// Nobody wakes this when a connection becomes idle, so an exchange costs no wake-up: a
    /// connection that is busy now cannot run out before a whole limit from now.
    pub(crate) async fn ran_out(&self) {
        let limit = self.0.limit;
        loop {
            let now = Instant::now();
            let since = lock(&self.0.state).since;
            let wake_up = match since {
                Some(since) => since.checked_add(limit),
                None => now.checked_add(limit.max(LOOK_AGAIN)),
            };
            match wake_up {
                Some(deadline) if since.is_some() && deadline <= now => return,
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                // Beyond the end of the clock.
                None => std::future::pending().await,
            }
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let mut state = lock(&self.0.0.state);
        state.in_flight -= 1;
        state.flush_owed = state.in_flight == 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_idle(clock: &IdleClock) -> bool {
        lock(&clock.0.state).since.is_some()
    }

    #[test]
    fn a_connection_is_idle_from_the_end_of_a_response_to_the_next_byte() {
        let clock = IdleClock::new(Duration::from_secs(1));
        clock.flushed();
        assert!(!is_idle(&clock), "before the first request");
        clock.received();
        let busy = clock.request();
        clock.flushed(); // the head
        assert!(!is_idle(&clock), "between head and body");
        drop(busy);
        assert!(!is_idle(&clock), "the last bytes are still to be written");
        clock.flushed();
        assert!(is_idle(&clock));
        clock.received();
        assert!(!is_idle(&clock), "half a head");
    }

    #[cfg(feature = "http2")]
    #[test]
    fn in_http2_a_connection_is_idle_when_no_stream_is_open() {
        let clock = IdleClock::new(Duration::from_secs(1));
        clock.is_http2();
        let streams = [clock.request(), clock.request()];
        for stream in streams {
            clock.flushed();
            assert!(!is_idle(&clock));
            drop(stream);
        }
        clock.flushed();
        clock.received(); // an acknowledgement
        assert!(is_idle(&clock));
        let _stream = clock.request();
        assert!(!is_idle(&clock));
    }

    #[tokio::test]
    async fn a_limit_of_nothing_ends_what_is_idle_and_burns_no_processor_until_then() {
        let clock = IdleClock::new(Duration::ZERO);
        let busy = clock.request();
        let ran_out = tokio::time::timeout(Duration::from_millis(50), clock.ran_out());
        assert!(ran_out.await.is_err());
        drop(busy);
        clock.flushed();
        clock.ran_out().await;
    }

    #[tokio::test]
    async fn a_limit_beyond_the_end_of_time_never_runs_out() {
        let clock = IdleClock::new(Duration::MAX);
        drop(clock.request());
        clock.flushed();
        let ran_out = tokio::time::timeout(Duration::from_millis(20), clock.ran_out());
        assert!(ran_out.await.is_err());
    }
}
