//! A request body that waits for the server's word: `Expect: 100-continue` (RFC 9110 section
//! 10.1.1).
//!
//! hyper writes a body as soon as it can be had, whatever the request expects. So the body stays
//! behind a [`Gate`] until the server says `100 Continue`, until it has been silent for too long,
//! or until a final response decides what becomes of the body.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use evidence::NotPooled;
use http::header::{CONTENT_LENGTH, EXPECT, HeaderMap, TRAILER, TRANSFER_ENCODING};
use http::{Request, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tokio::time::Sleep;

use wire::http1::is_100_continue;

use crate::lock;
use crate::rules;
use crate::seen::record::Record;

/// The body of a request as hyper gets it.
pub(crate) struct OutgoingBody {
    bytes: Full<Bytes>,
    waiting: Option<WaitingBody>,
}

/// A body that waits, and for how long at most. The time starts when hyper first asks for the
/// body, which is when it has put the head together.
struct WaitingBody {
    gate: Arc<Gate>,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

/// The gate that lets a body be sent, or not.
#[derive(Default)]
pub(crate) struct Gate(Mutex<Door>);

#[derive(Default)]
struct Door {
    state: GateState,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum GateState {
    #[default]
    Shut,
    Open,
    /// The body will not be sent, but its connection is still needed for the response.
    Withheld,
    /// Neither is needed any more: the body fails, so that hyper closes the connection.
    Abandoned,
}

/// The body was not sent, because the server had answered without it.
#[derive(Debug, thiserror::Error)]
#[error("the body was not sent: the server had answered without it")]
pub(crate) struct NotSent;

/// Keeps the connection of a body that is not sent. Dropping it closes the connection.
pub(crate) struct Withheld(Arc<Gate>);

/// Takes what the caller says of how the body is framed out of a request's header: that is not the
/// caller's choice, as in Go. hyper gives a body a `Content-Length`.
pub(crate) fn remove_framing(headers: &mut HeaderMap) {
    for framing in [CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER] {
        headers.remove(framing);
    }
}

/// Puts the body of `request` behind a gate if it says `Expect: 100-continue`.
pub(crate) fn gated(
    request: Request<Full<Bytes>>,
    limit: Duration,
) -> (Request<OutgoingBody>, Option<Arc<Gate>>) {
    let (head, bytes) = request.into_parts();
    let mut expectations = head.headers.get_all(EXPECT).iter();
    let waits =
        !bytes.is_end_stream() && expectations.any(|value| is_100_continue(value.as_bytes()));
    let gate = waits.then(Arc::<Gate>::default);
    let waiting = gate.clone().map(|gate| WaitingBody { gate, limit, timer: None });
    (Request::from_parts(head, OutgoingBody { bytes, waiting }), gate)
}

/// The same for a client that sends every body at once.
pub(crate) fn not_gated(request: Request<Full<Bytes>>) -> Request<OutgoingBody> {
    request.map(|bytes| OutgoingBody { bytes, waiting: None })
}

/// Hears the interim responses to `request`: counts them, tells of them, and opens the gate.
///
/// `record` finds the connection, if it is known: hyper calls when it has read such a response.
pub(crate) fn hear_interim(
    request: &mut Request<OutgoingBody>,
    gate: Option<&Arc<Gate>>,
    record: impl Fn() -> Option<Arc<Record>> + Send + Sync + 'static,
) {
    let gate = gate.cloned();
    hyper::ext::on_informational(request, move |interim| {
        if let Some(record) = record() {
            record.interim(interim.status(), interim.headers());
        }
        if let (StatusCode::CONTINUE, Some(gate)) = (interim.status(), &gate) {
            gate.open();
        }
    });
}

impl Gate {
    /// Lets the body go.
    pub(crate) fn open(&self) {
        self.change(GateState::Shut, GateState::Open);
    }

    /// A final response has come. If the body still waits, it goes now or never.
    pub(crate) fn decide(
        self: Arc<Self>,
        fate: Result<(), NotPooled>,
        record: &Record,
    ) -> Option<Withheld> {
        if rules::sends_body_after_final_response(fate) {
            self.open();
            return None;
        }
        self.change(GateState::Shut, GateState::Withheld).then(|| {
            record.body_is_withheld();
            Withheld(self)
        })
    }

    /// Returns whether it was `from`, so has changed.
    fn change(&self, from: GateState, to: GateState) -> bool {
        let mut door = lock(&self.0);
        if door.state != from {
            return false;
        }
        door.state = to;
        let waker = door.waker.take();
        drop(door);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }
}

impl Drop for Withheld {
    fn drop(&mut self) {
        self.0.change(GateState::Withheld, GateState::Abandoned);
    }
}

impl WaitingBody {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), NotSent>> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        let mut door = lock(&self.gate.0);
        if door.state == GateState::Shut && timer.as_mut().poll(cx).is_ready() {
            door.state = GateState::Open;
        }
        match door.state {
            GateState::Open => Poll::Ready(Ok(())),
            GateState::Abandoned => Poll::Ready(Err(NotSent)),
            GateState::Shut | GateState::Withheld => {
                door.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = NotSent;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, NotSent>>> {
        if let Some(waiting) = &mut self.waiting {
            if let Err(not_sent) = ready!(waiting.poll(cx)) {
                return Poll::Ready(Some(Err(not_sent)));
            }
            self.waiting = None;
        }
        let frame = ready!(Pin::new(&mut self.bytes).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(|never: Infallible| match never {})))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.bytes.size_hint()
    }
}
