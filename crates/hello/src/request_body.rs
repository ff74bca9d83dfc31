//! The body of a request, as the routes read it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::close_reason::CloseReason;
use crate::watch::Watch;

/// The body of a request.
pub(crate) struct RequestBody {
    incoming: Incoming,
    /// Boxed, because most requests have no body.
    read: Option<Box<Reading>>,
}

/// What it takes to read a body that is not empty.
struct Reading {
    watch: Watch,
    until: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

/// Why a request's body cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RequestBodyError {
    /// The client left, or what it sent is no body.
    #[error("the request's body ended before its time")]
    Broken(#[from] hyper::Error),
    /// The read limit has passed. To be answered 408 with `Connection: close`: what is still to
    /// come of the body would be taken for the next request.
    #[error("the request's body did not come within the read limit")]
    TooSlow,
}

impl RequestBody {
    /// With `until` the body may be read until then, even if it has come in time, as in Go.
    pub(crate) fn new(incoming: Incoming, watch: &Watch, until: Option<Instant>) -> Self {
        let read = (!incoming.is_end_stream()).then(|| {
            let until = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
            Box::new(Reading { watch: watch.clone(), until, is_over: false })
        });
        Self { incoming, read }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Some(read) = &mut this.read else {
            let frame = Pin::new(&mut this.incoming).poll_frame(cx);
            return frame.map(|frame| frame.map(|frame| frame.map_err(RequestBodyError::Broken)));
        };
        if let Some(until) = &mut read.until
            && until.as_mut().poll(cx).is_ready()
        {
            read.watch.because(CloseReason::ReadTimeout);
            return Poll::Ready(Some(Err(RequestBodyError::TooSlow)));
        }
        let frame = std::task::ready!(Pin::new(&mut this.incoming).poll_frame(cx));
        if let Some(Err(_)) = frame {
            // Who has left is known to have by now.
            read.watch.because(CloseReason::BadRequest);
        }
        read.is_over |= matches!(frame, None | Some(Err(_)));
        Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(read) = &self.read
            && !read.is_over
            && !self.incoming.is_end_stream()
        {
            read.watch.body_unread();
        }
    }
}
