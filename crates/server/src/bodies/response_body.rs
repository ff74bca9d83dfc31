//! The body of a response, watched until it is over.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::watching::watch::ResponseInFlight;

/// Passes `B` through unchanged, and tells when its last byte was handed over, or that it was
/// dropped before.
pub(crate) struct WatchedBody<B: Body> {
    body: B,
    in_flight: Option<ResponseInFlight>,
    is_over: bool,
}

impl<B: Body> WatchedBody<B> {
    /// With `is_head` there is nothing to hand over: the response is complete now.
    pub(crate) fn new(body: B, in_flight: ResponseInFlight, is_head: bool) -> Self {
        let mut told = Self { body, in_flight: Some(in_flight), is_over: false };
        if is_head {
            told.complete();
        }
        told
    }

    fn complete(&mut self) {
        if let Some(in_flight) = self.in_flight.take() {
            in_flight.complete();
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for WatchedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        // hyper asks for nothing more after trailers, which are a body's last frame.
        let is_last =
            |frame: &Result<Frame<Bytes>, _>| frame.as_ref().is_ok_and(Frame::is_trailers);
        self.is_over |= frame.as_ref().is_none_or(is_last);
        if let (Some(in_flight), Some(Ok(frame))) = (&self.in_flight, &frame) {
            in_flight.handed_over(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B: Body> Drop for WatchedBody<B> {
    /// hyper lets go of a body of known length without asking whether more would come.
    fn drop(&mut self) {
        if self.is_over || self.body.is_end_stream() {
            self.complete();
        }
    }
}
