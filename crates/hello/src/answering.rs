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

use crate::response_body::Told;
use crate::routes::ResponseBody;

type Outcome = Result<Response<Told<ResponseBody>>, Infallible>;

/// The future that hyper waits for.
pub(crate) enum Answering<'a> {
    /// Taken when it is asked for; `None` afterwards.
    Now(Option<Outcome>),
    /// For as long as it takes.
    Later(Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>),
}

impl Answering<'_> {
    pub(crate) fn now(response: Response<Told<ResponseBody>>) -> Self {
        Self::Now(Some(Ok(response)))
    }
}

impl Future for Answering<'_> {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self.get_mut() {
            // Nobody asks a second time.
            Self::Now(outcome) => outcome.take().map_or(Poll::Pending, Poll::Ready),
            Self::Later(future) => future.as_mut().poll(cx),
        }
    }
}
