//! `/chunks?count=10&size=1KiB&every=100ms`: a body that comes bit by bit, and with `break_after=3`
//! breaks off after so many: the connection is closed in the middle of it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use evidence::{ByteCount, NoByteCount};
use http::Response;
use http_body::{Body, Frame};
use tokio::time::Sleep;

use super::call::{RouteCall, RouteResult, streamed};
use server::LINES;
use server::RequestBodyError;

/// A chunk lies in memory as a whole.
const LARGEST: u64 = 1 << 20;

pub(super) async fn respond(call: RouteCall<'_>) -> RouteResult {
    let count = call.query("count", 10, |count| {
        count.parse::<u64>().map_err(|_| "no number of chunks, as in 10".into())
    })?;
    let break_after = call.query("break_after", None, |count| {
        count.parse().map(Some).map_err(|_| "no number of chunks, as in 3".into())
    })?;
    let size = call.query("size", 1024, size)?;
    let every = call.time("every", Duration::from_millis(100))?;
    let chunk: Vec<u8> = LINES.iter().copied().cycle().take(size).collect();
    Ok(Response::new(streamed(Chunks {
        left: count,
        until_break: break_after,
        chunk: chunk.into(),
        every,
        next: Box::pin(tokio::time::sleep(Duration::ZERO)),
        has_paused: true,
    })))
}

/// A chunk of size 0 would be the end of the body (RFC 9112 section 7.1).
fn size(text: &str) -> Result<usize, String> {
    let ByteCount(size) = text.parse().map_err(|error: NoByteCount| error.to_string())?;
    if !(1..=LARGEST).contains(&size) {
        return Err(format!("a chunk has 1 byte to {}", ByteCount(LARGEST)));
    }
    usize::try_from(size).map_err(|error| error.to_string())
}

struct Chunks {
    left: u64,
    /// How many still come before it breaks off.
    until_break: Option<u64>,
    chunk: Bytes,
    every: Duration,
    next: Pin<Box<Sleep>>,
    has_paused: bool,
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = RequestBodyError;

    /// hyper writes each frame as a chunk of its own, and flushes when the next is not ready. So
    /// the next is never ready at once, even if there is no time between them.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        if !std::mem::replace(&mut self.has_paused, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        ready!(self.next.as_mut().poll(cx));
        match &mut self.until_break {
            Some(0) => return Poll::Ready(Some(Err(RequestBodyError::BrokenOff))),
            Some(left) => *left -= 1,
            None => {}
        }
        self.left -= 1;
        self.has_paused = false;
        if self.left > 0 && !self.every.is_zero() {
            self.next = Box::pin(tokio::time::sleep(self.every));
        }
        Poll::Ready(Some(Ok(Frame::data(self.chunk.clone()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn between_two_chunks_there_is_always_a_moment_to_flush() {
        let mut chunks = Chunks {
            left: 3,
            until_break: None,
            chunk: Bytes::from_static(b"Hello"),
            every: Duration::ZERO,
            next: Box::pin(tokio::time::sleep(Duration::ZERO)),
            has_paused: true,
        };
        let mut polls = Vec::new();
        while chunks.left > 0 {
            let frame = std::future::poll_fn(|cx| {
                Poll::Ready(Pin::new(&mut chunks).poll_frame(cx).is_ready())
            });
            polls.push(frame.await);
            assert!(polls.len() < 1_000_000, "it has an end");
            tokio::task::yield_now().await;
        }
        assert!(polls.windows(2).all(|two| two != [true, true]), "{polls:?}");
        assert_eq!(polls.iter().filter(|ready| **ready).count(), 3);
    }
}
