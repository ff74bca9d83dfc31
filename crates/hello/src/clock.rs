//! What one connection is doing, since when, how long it may, and why it ends.

use std::sync::Mutex;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use wire::FirstClose;

use crate::close_reason::CloseReason;
use crate::conn_state::ConnState;
use crate::limits::Limits;
use crate::lock;

/// Follows one connection through its life. Exists only if the server has limits or is observed.
pub(crate) struct Clock {
    limits: Limits,
    state: Mutex<State>,
}

struct State {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// What the observer knows; Go's states are coarser than the phases.
    told: ConnState,
    /// Requests whose response is still being made, or taken over by the connection.
    in_flight: usize,
    /// The last response was made, but may not have reached the socket yet.
    flush_owed: bool,
    /// Streams begin and end among bytes that mean nothing here, such as acknowledgements.
    is_http2: bool,
    /// Why the connection is going to end after the response in flight.
    planned: Option<CloseReason>,
    /// The response is made, the request's body was not read: hyper may still swallow the rest.
    body_unread: bool,
    stopping: bool,
    /// Why it ends. The first reason is the true one.
    given: Option<CloseReason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
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

/// What follows a response, as far as the client's bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing yet, or a whole request.
    Open,
    /// The head of a next request has begun, or come whole.
    Head,
    /// The rest of the request's body, which nobody wants any more.
    RestOfABody,
}

impl Clock {
    pub(crate) fn new(limits: Limits) -> Self {
        let state = State {
            phase: Phase::New,
            since: Instant::now(),
            told: ConnState::New,
            in_flight: 0,
            flush_owed: false,
            is_http2: false,
            planned: None,
            body_unread: false,
            stopping: false,
            given: None,
        };
        Self { limits, state: Mutex::new(state) }
    }

    #[cfg(feature = "http2")]
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
            Phase::New => state.phase = Phase::Head,
            Phase::Idle => state.enter(Phase::Head),
            Phase::Head | Phase::Active | Phase::Over => return None,
        }
        state.becomes(ConnState::Active)
    }

    /// The head of a request is read. Returns until when its body may take.
    pub(crate) fn request(&self) -> (Option<ConnState>, Option<Instant>) {
        let mut state = lock(&self.state);
        // A pipelined request has no first byte of its own.
        let begun = if state.phase == Phase::Head { state.since } else { Instant::now() };
        state.enter(Phase::Active);
        state.in_flight += 1;
        state.flush_owed = false;
        state.body_unread = false;
        let read_until = self.limits.read.and_then(|limit| begun.checked_add(limit));
        (state.becomes(ConnState::Active), read_until)
    }

    /// The connection ends after the response to this request, for this reason. In HTTP/2 no
    /// response ends a connection.
    pub(crate) fn plan(&self, reason: CloseReason) {
        let mut state = lock(&self.state);
        if !state.is_http2 {
            state.planned.get_or_insert(reason);
        }
    }

    /// The request's body was let go of before its end.
    pub(crate) fn body_unread(&self) {
        lock(&self.state).body_unread = true;
    }

    /// A response was made, or given up.
    pub(crate) fn response_over(&self) {
        let mut state = lock(&self.state);
        state.in_flight -= 1;
        state.flush_owed = state.in_flight == 0;
    }

    /// Everything that was to be written has been handed to the socket.
    #[must_use]
    pub(crate) fn flushed(&self, next: Next) -> Option<ConnState> {
        let mut state = lock(&self.state);
        if !state.flush_owed {
            return None;
        }
        state.flush_owed = false;
        if state.body_unread && !state.is_http2 && next == Next::RestOfABody {
            state.planned.get_or_insert(CloseReason::RequestBodyUnread);
        }
        state.given = state.given.or(state.planned);
        if state.planned.is_some() && !state.is_http2 {
            state.enter(Phase::Over);
            return None;
        }
        if next == Next::Head && !state.is_http2 {
            state.enter(Phase::Head);
            return None;
        }
        state.enter(Phase::Idle);
        state.becomes(ConnState::Idle)
    }

    /// The client has gone.
    pub(crate) fn peer_left(&self, how: FirstClose) {
        match how {
            FirstClose::There => self.because(CloseReason::ClientClosed),
            FirstClose::Reset => lock(&self.state).given = Some(CloseReason::ClientReset),
            FirstClose::Here => {}
        }
    }

    /// Why the connection ends, unless that is known already.
    pub(crate) fn because(&self, reason: CloseReason) {
        lock(&self.state).given.get_or_insert(reason);
    }

    /// hyper has refused what was to be a request, and closes. Unless a response is under way, which
    /// then was taken for a refusal.
    pub(crate) fn refused(&self) {
        let mut state = lock(&self.state);
        if state.in_flight == 0 && !state.flush_owed {
            state.given.get_or_insert(CloseReason::BadRequest);
            state.enter(Phase::Over);
        }
    }

    /// The server stops: no further request is read.
    pub(crate) fn stops(&self) {
        let mut state = lock(&self.state);
        state.stopping = true;
        state.planned.get_or_insert(CloseReason::Stopping);
        if state.in_flight == 0 && !state.flush_owed {
            state.given.get_or_insert(CloseReason::Stopping);
        }
    }

    /// Begins to count anew, if the connection is idle.
    pub(crate) fn restart(&self) {
        let mut state = lock(&self.state);
        if state.phase == Phase::Idle {
            state.enter(Phase::Idle);
        }
    }

    /// Why the connection, whose socket is being let go of, has ended.
    pub(crate) fn why(&self, first: FirstClose) -> Option<CloseReason> {
        let state = lock(&self.state);
        let left = match first {
            FirstClose::Reset => return Some(CloseReason::ClientReset),
            FirstClose::There => Some(CloseReason::ClientClosed), // seen by nobody before
            FirstClose::Here => None,
        };
        let stopping = state.stopping.then_some(CloseReason::Stopping);
        let otherwise = if state.in_flight > 0 {
            left.or(stopping).or(Some(CloseReason::Error))
        } else {
            let unread = state.body_unread.then_some(CloseReason::RequestBodyUnread);
            state.planned.or(unread).or(left).or(stopping)
        };
        state.given.or(otherwise)
    }

    /// Until when the connection may go on as it does now, and why it would end then.
    fn deadline(&self) -> Option<(Instant, CloseReason)> {
        let state = lock(&self.state);
        let Limits { read_header, write, idle, .. } = self.limits;
        let given = |own: Option<Duration>, reason| match own {
            Some(_) => reason,
            None => CloseReason::ReadTimeout,
        };
        let (limit, reason) = match state.phase {
            Phase::New | Phase::Head => {
                (self.limits.head(), given(read_header, CloseReason::ReadHeaderTimeout))
            }
            Phase::Active if state.is_http2 => return None,
            Phase::Active => (write, CloseReason::WriteTimeout),
            Phase::Idle => (self.limits.between(), given(idle, CloseReason::IdleTimeout)),
            Phase::Over => return None,
        };
        // Beyond the end of the clock there is no deadline.
        Some((state.since.checked_add(limit?)?, reason))
    }

    /// Whether it is between two exchanges, so may be told to end in order.
    pub(crate) fn is_idle(&self) -> bool {
        lock(&self.state).phase == Phase::Idle
    }

    /// Waits until a limit has passed, and tells for which reason the connection ends.
    ///
    /// Nobody wakes this when the phase changes: that happens only while the connection's own task
    /// runs, which looks here afterwards. A timer that is set too early is left as it is, and
    /// looked at again when it has run out, so an exchange costs no timer.
    pub(crate) async fn ran_out(&self) -> CloseReason {
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

impl State {
    fn enter(&mut self, phase: Phase) {
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

    fn idle_after(limit: Duration) -> Clock {
        Clock::new(Limits { idle: Some(limit), ..Limits::default() })
    }

    #[test]
    fn a_connection_is_idle_from_the_end_of_a_response_to_the_next_byte() {
        let clock = idle_after(SECOND);
        assert_eq!(clock.flushed(Next::Open), None, "before the first request");
        assert_eq!(clock.received(), Some(Active));
        assert_eq!(clock.request().0, None);
        assert_eq!(clock.flushed(Next::Open), None, "between head and body");
        clock.response_over();
        assert!(!clock.is_idle(), "the last bytes are still to be written");
        assert_eq!(clock.flushed(Next::Open), Some(Idle));
        assert_eq!(clock.received(), Some(Active));
        assert!(!clock.is_idle(), "half a head");
    }

    #[test]
    fn half_a_head_behind_a_response_leaves_no_idle_time() {
        let clock = Clock::new(Limits { read_header: Some(SECOND), ..Limits::default() });
        let _ = clock.received();
        clock.request();
        clock.response_over();
        assert_eq!(clock.flushed(Next::Head), None);
        assert_eq!(clock.deadline().map(|(_, why)| why), Some(CloseReason::ReadHeaderTimeout));
    }

    #[cfg(feature = "http2")]
    #[test]
    fn in_http2_a_connection_is_idle_when_no_stream_is_open() {
        let clock = idle_after(SECOND);
        clock.is_http2();
        clock.request();
        clock.request();
        for is_last in [false, true] {
            assert!(!clock.is_idle());
            clock.response_over();
            assert_eq!(clock.flushed(Next::Open), is_last.then_some(Idle));
        }
        assert_eq!(clock.received(), None, "an acknowledgement");
        assert_eq!(clock.request().0, Some(Active));
    }

    #[tokio::test]
    async fn a_limit_of_nothing_ends_what_is_idle_and_nothing_before() {
        let clock = idle_after(Duration::ZERO);
        clock.request();
        let ran_out = tokio::time::timeout(Duration::from_millis(50), clock.ran_out());
        assert!(ran_out.await.is_err());
        clock.response_over();
        let _ = clock.flushed(Next::Open);
        assert_eq!(clock.ran_out().await, CloseReason::IdleTimeout);
    }

    #[tokio::test]
    async fn a_limit_beyond_the_end_of_time_never_runs_out() {
        let clock = idle_after(Duration::MAX);
        clock.request();
        clock.response_over();
        let _ = clock.flushed(Next::Open);
        let ran_out = tokio::time::timeout(Duration::from_millis(20), clock.ran_out());
        assert!(ran_out.await.is_err());
    }

    #[test]
    fn the_first_reason_counts_but_for_a_reset() {
        let clock = idle_after(SECOND);
        clock.because(CloseReason::IdleTimeout);
        clock.peer_left(FirstClose::There);
        assert_eq!(clock.why(FirstClose::Here), Some(CloseReason::IdleTimeout));
        clock.peer_left(FirstClose::Reset);
        assert_eq!(clock.why(FirstClose::Here), Some(CloseReason::ClientReset));
    }

    #[test]
    fn a_plan_that_its_response_did_not_live_to_see_is_no_reason() {
        let clock = idle_after(SECOND);
        clock.request();
        clock.plan(CloseReason::ServerSaidClose);
        assert_eq!(clock.why(FirstClose::There), Some(CloseReason::ClientClosed));
        assert_eq!(clock.why(FirstClose::Here), Some(CloseReason::Error));
        clock.stops();
        assert_eq!(clock.why(FirstClose::Here), Some(CloseReason::Stopping));
    }
}
