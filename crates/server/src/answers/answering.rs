//! An answer that is there already, or is being made.
//!
//! hyper keeps room for the future of an answer beside every connection, idle ones included, and
//! while an answer is being made it looks whether the client has left, which takes a second read
//! buffer of 8 KiB if the request still holds on to the first. So what can be answered at once is:
//! the request is let go of before hyper looks, and what takes its time has a box of its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;

use crate::answers::responder::ResponseBody;
use crate::bodies::response_body::WatchedBody;

/// A response as hyper takes it, watched until it is handed over.
pub(crate) type WatchedResponse = Response<WatchedBody<ResponseBody>>;

/// The future that hyper waits for.
pub(crate) enum AnswerFuture<'a> {
    /// Taken when it is asked for; `None` afterwards.
    Now(Option<WatchedResponse>),
    /// For as long as it takes.
    Later(Pin<Box<dyn Future<Output = Result<WatchedResponse, Infallible>> + Send + 'a>>),
}

impl AnswerFuture<'_> {
    pub(crate) fn now(response: WatchedResponse) -> Self {
        Self::Now(Some(response))
    }
}

impl Future for AnswerFuture<'_> {
    type Output = Result<WatchedResponse, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            // Nobody asks a second time.
            Self::Now(outcome) => {
                outcome.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response)))
            }
            Self::Later(future) => future.as_mut().poll(cx),
        }
    }
}
