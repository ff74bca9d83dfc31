//! What one connection is doing, since when, and how long it may.

use std::sync::Mutex;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use wire::FirstClose;

use crate::life::conn_state::ConnState;
use crate::life::limits::ServerLimits;
use crate::life::reasons::CloseReasons;
use crate::lock;
use evidence::ServerCloseReason;

/// Follows one connection through its life. Exists only if the server has limits or is observed.
pub(crate) struct ConnectionClock {
    limits: ServerLimits,
    state: Mutex<ClockState>,
}

struct ClockState {
    phase: ConnectionPhase,
    /// When the phase began.
    since: Instant,
    /// The state that the observer knows; Go's states are coarser than the phases.
    told: ConnState,
    /// Requests whose response is still being made, or taken over by the connection: their numbers,
    /// and when their heads were read.
    in_flight: Vec<(u64, Instant)>,
    /// When the head was read whose response was over last.
    last_begun: Option<Instant>,
    /// The last response was made, but may not have reached the socket yet.
    flush_owed: bool,
    /// Streams begin and end among bytes that mean nothing here, such as acknowledgements.
    is_http2: bool,
    reasons: CloseReasons,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionPhase {
    /// Not a byte has come.
    New,
    /// The head of a request is coming.
    Head,
    /// A request is being answered.
    Active,
    /// The last response is with the socket, and not a byte of a next request has come.
    Idle,
    /// The last response of all is with the socket.
    Over,
}

/// The bytes that follow a response, as far as the client's bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterResponse {
    /// Nothing yet, or a whole request.
    Open,
    /// The head of a next request has begun, or come whole.
    Head,
    /// The rest of the request's body, which nobody wants any more.
    RestOfABody,
}

impl ConnectionClock {
    pub(crate) fn new(limits: ServerLimits) -> Self {
        let state = ClockState {
            phase: ConnectionPhase::New,
            since: Instant::now(),
            told: ConnState::New,
            in_flight: Vec::new(),
            last_begun: None,
            flush_owed: false,
            is_http2: false,
            reasons: CloseReasons::default(),
        };
        Self { limits, state: Mutex::new(state) }
    }

    /// The connection speaks HTTP/2.
    pub(crate) fn is_http2(&self) {
        lock(&self.state).is_http2 = true;
    }

    /// Bytes have come. In HTTP/1.1 that is a request, which may take its time to come whole; in
    /// HTTP/2 the request itself tells.
    #[must_use]
    pub(crate) fn received(&self) -> Option<ConnState> {
        let mut state = lock(&self.state);
        if state.is_http2 {
            return None;
        }
        match state.phase {
            // The limit on the first head counts from accept.
            ConnectionPhase::New => state.phase = ConnectionPhase::Head,
            ConnectionPhase::Idle => state.enter(ConnectionPhase::Head),
            ConnectionPhase::Head | ConnectionPhase::Active | ConnectionPhase::Over => return None,
        }
        state.becomes(ConnState::Active)
    }

    /// The head of the request with this number is read. Returns until when its body may take.
    pub(crate) fn request(&self, number: u64) -> (Option<ConnState>, Option<Instant>) {
        let mut state = lock(&self.state);
        // A pipelined request has no first byte of its own.
        let begun = if state.phase == ConnectionPhase::Head { state.since } else { Instant::now() };
        state.enter(ConnectionPhase::Active);
        let now = state.since;
        state.in_flight.push((number, now));
        state.flush_owed = false;
        state.reasons.request_begins();
        let read_until = self.limits.read.and_then(|limit| begun.checked_add(limit));
        (state.becomes(ConnState::Active), read_until)
    }

    /// The connection ends after the response to this request, for this reason. In HTTP/2 no
    /// response ends a connection.
    pub(crate) fn plan(&self, reason: ServerCloseReason) {
        let mut state = lock(&self.state);
        if !state.is_http2 {
            state.reasons.plan(reason);
        }
    }

    /// The request's body was let go of before its end.
    pub(crate) fn body_unread(&self) {
        lock(&self.state).reasons.body_unread();
    }

    /// The response to the request with this number was made, or given up.
    pub(crate) fn response_over(&self, number: u64) {
        let mut state = lock(&self.state);
        if let Some(place) = state.in_flight.iter().position(|(it, _)| *it == number) {
            let (_, begun) = state.in_flight.swap_remove(place);
            state.last_begun = Some(begun);
        }
        state.flush_owed = state.in_flight.is_empty();
    }

    /// Everything that was to be written has been handed to the socket.
    #[must_use]
    pub(crate) fn flushed(&self, next: AfterResponse) -> Option<ConnState> {
        let mut state = lock(&self.state);
        if !state.flush_owed {
            return None;
        }
        state.flush_owed = false;
        let rest_follows = next == AfterResponse::RestOfABody && !state.is_http2;
        if state.reasons.response_is_out(rest_follows) && !state.is_http2 {
            state.enter(ConnectionPhase::Over);
            return None;
        }
        if next == AfterResponse::Head && !state.is_http2 {
            state.enter(ConnectionPhase::Head);
            return None;
        }
        state.enter(ConnectionPhase::Idle);
        state.becomes(ConnState::Idle)
    }

    /// The client has gone.
    pub(crate) fn peer_left(&self, how: FirstClose) {
        lock(&self.state).reasons.peer_left(how);
    }

    /// Why the connection ends, unless that is known already.
    pub(crate) fn because(&self, reason: ServerCloseReason) {
        lock(&self.state).reasons.give(reason);
    }

    /// hyper has refused what was to be a request, and closes. Unless a response is under way,
    /// which then was taken for a refusal: returns whether it is one.
    pub(crate) fn refused(&self) -> bool {
        let mut state = lock(&self.state);
        let is_refusal = state.in_flight.is_empty() && !state.flush_owed;
        if is_refusal {
            state.reasons.give(ServerCloseReason::BadRequest);
            state.enter(ConnectionPhase::Over);
        }
        is_refusal
    }

    /// The server stops: no further request is read.
    pub(crate) fn stops(&self) {
        let mut state = lock(&self.state);
        let is_between_exchanges = state.in_flight.is_empty() && !state.flush_owed;
        state.reasons.stop(is_between_exchanges);
    }

    /// Begins to count anew, if the connection is idle.
    pub(crate) fn restart(&self) {
        let mut state = lock(&self.state);
        if state.phase == ConnectionPhase::Idle {
            state.enter(ConnectionPhase::Idle);
        }
    }

    /// Why the connection, whose socket is being let go of, has ended.
    pub(crate) fn why(&self, first: FirstClose) -> Option<ServerCloseReason> {
        let state = lock(&self.state);
        state.reasons.settle(first, !state.in_flight.is_empty())
    }

    /// Until when the connection may go on as it does now, and why it would end then.
    fn deadline(&self) -> Option<(Instant, ServerCloseReason)> {
        let state = lock(&self.state);
        let ServerLimits { read_header, write, idle, .. } = self.limits;
        let given = |own: Option<Duration>, reason| match own {
            Some(_) => reason,
            None => ServerCloseReason::ReadTimeout,
        };
        let mut since = state.since;
        let (limit, reason) = match state.phase {
            ConnectionPhase::New | ConnectionPhase::Head => {
                (self.limits.head(), given(read_header, ServerCloseReason::ReadHeaderTimeout))
            }
            ConnectionPhase::Active => {
                if state.is_http2 {
                    // The one that has taken longest; of those that are made, the last, while it
                    // waits for the socket.
                    let begun = state.in_flight.iter().map(|(_, begun)| *begun).min();
                    since = begun.or(state.last_begun).unwrap_or(since);
                }
                (write, ServerCloseReason::WriteTimeout)
            }
            ConnectionPhase::Idle => {
                (self.limits.between(), given(idle, ServerCloseReason::IdleTimeout))
            }
            ConnectionPhase::Over => return None,
        };
        // Beyond the end of the clock there is no deadline.
        Some((since.checked_add(limit?)?, reason))
    }

    /// Returns true if it is between two exchanges, so may be told to end in order.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.state).phase == ConnectionPhase::Idle
    }

    /// Waits until a limit has passed, and tells for which reason the connection ends.
    ///
    /// Nobody wakes this when the phase changes: that happens only while the connection's own task
    /// runs, which looks here afterwards. A timer that is set too early is left as it is, and
    /// looked at again when it has run out, so an exchange costs no timer.
    pub(crate) async fn ran_out(&self) -> ServerCloseReason {
        if !self.limits.need_a_clock() {
            return std::future::pending().await;
        }
        let mut timer = None;
        std::future::poll_fn(|cx| {
            loop {
                let Some((deadline, reason)) = self.deadline() else { return Poll::Pending };
                if deadline <= Instant::now() {
                    return Poll::Ready(reason);
                }
                let timer =
                    timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                if timer.is_elapsed() || deadline < timer.deadline() {
                    timer.as_mut().reset(deadline);
                }
                ready!(timer.as_mut().poll(cx));
            }
        })
        .await
    }
}

impl ClockState {
    fn enter(&mut self, phase: ConnectionPhase) {
        self.phase = phase;
        self.since = Instant::now();
    }

    /// The new state, if it is another.
    fn becomes(&mut self, state: ConnState) -> Option<ConnState> {
        (std::mem::replace(&mut self.told, state) != state).then_some(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConnState::{Active, Idle};

    const SECOND: Duration = Duration::from_secs(1);

    fn idle_after(limit: Duration) -> ConnectionClock {
        ConnectionClock::new(ServerLimits { idle: Some(limit), ..ServerLimits::default() })
    }

    #[test]
    fn a_connection_is_idle_from_the_end_of_a_response_to_the_next_byte() {
        let clock = idle_after(SECOND);
        assert_eq!(clock.flushed(AfterResponse::Open), None, "before the first request");
        assert_eq!(clock.received(), Some(Active));
        assert_eq!(clock.request(1).0, None);
        assert_eq!(clock.flushed(AfterResponse::Open), None, "between head and body");
        clock.response_over(1);
        assert!(!clock.is_idle(), "the last bytes are still to be written");
        assert_eq!(clock.flushed(AfterResponse::Open), Some(Idle));
        assert_eq!(clock.received(), Some(Active));
        assert!(!clock.is_idle(), "half a head");
    }

    #[test]
    fn half_a_head_behind_a_response_leaves_no_idle_time() {
        let clock = ConnectionClock::new(ServerLimits {
            read_header: Some(SECOND),
            ..ServerLimits::default()
        });
        let _ = clock.received();
        clock.request(1);
        clock.response_over(1);
        assert_eq!(clock.flushed(AfterResponse::Head), None);
        assert_eq!(
            clock.deadline().map(|(_, why)| why),
            Some(ServerCloseReason::ReadHeaderTimeout)
        );
    }

    #[test]
    fn in_http2_a_connection_is_idle_when_no_stream_is_open() {
        let clock = idle_after(SECOND);
        clock.is_http2();
        clock.request(1);
        clock.request(2);
        for is_last in [false, true] {
            assert!(!clock.is_idle());
            clock.response_over(1 + u64::from(is_last));
            assert_eq!(clock.flushed(AfterResponse::Open), is_last.then_some(Idle));
        }
        assert_eq!(clock.received(), None, "an acknowledgement");
        assert_eq!(clock.request(3).0, Some(Active));
    }

    #[tokio::test]
    async fn a_limit_of_nothing_ends_what_is_idle_and_nothing_before() {
        let clock = idle_after(Duration::ZERO);
        clock.request(1);
        let ran_out = tokio::time::timeout(Duration::from_millis(50), clock.ran_out());
        assert!(ran_out.await.is_err());
        clock.response_over(1);
        let _ = clock.flushed(AfterResponse::Open);
        assert_eq!(clock.ran_out().await, ServerCloseReason::IdleTimeout);
    }

    #[tokio::test]
    async fn a_limit_beyond_the_end_of_time_never_runs_out() {
        let clock = idle_after(Duration::MAX);
        clock.request(1);
        clock.response_over(1);
        let _ = clock.flushed(AfterResponse::Open);
        let ran_out = tokio::time::timeout(Duration::from_millis(20), clock.ran_out());
        assert!(ran_out.await.is_err());
    }
}
