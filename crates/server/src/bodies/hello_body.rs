//! The bytes of a body: `Hello world`, again and again, as long as asked for.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use crate::answers::HELLO;
use crate::answers::answer::Answer;
use crate::bodies::request_body::RequestBodyError;

/// `Hello world`, a line each: what bodies are cut from. It is part of the program, so that a body
/// of any size costs neither memory of its own nor a count of who shares it.
pub static LINES: [u8; LINE * (64 * 1024 / LINE)] = {
    let mut lines = [b'\n'; LINE * (64 * 1024 / LINE)];
    let mut n = 0;
    while n < lines.len() {
        if n % LINE < HELLO.len() {
            lines[n] = HELLO[n % LINE];
        }
        n += 1;
    }
    lines
};

const LINE: usize = HELLO.len() + 1;

/// A body of exactly as many bytes as asked for, of which the first may be late.
pub struct HelloBody {
    left: u64,
    announced: bool,
    /// The pause before the first byte; boxed because most bodies have none.
    pause: Option<Pin<Box<Sleep>>>,
}

impl HelloBody {
    /// As long, late and announced as `answer` asks.
    #[must_use]
    pub fn new(answer: &Answer) -> Self {
        let pause = (answer.pause_before_body > Duration::ZERO)
            .then(|| Box::pin(tokio::time::sleep(answer.pause_before_body)));
        Self { left: answer.bytes, announced: !answer.chunked, pause }
    }
}

impl Body for HelloBody {
    type Data = Bytes;
    /// Never: other bodies have errors, and all have one type.
    type Error = RequestBodyError;

    /// While this is pending hyper has nothing else to write, so it flushes the head first.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let size = LINES.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= size as u64;
        let bytes = LINES.get(..size).unwrap_or(&LINES);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(bytes)))))
    }

    /// Never before the end is polled for if the length is not announced: hyper would take a body
    /// that is over at once for one of length 0, and announce that.
    fn is_end_stream(&self) -> bool {
        self.announced && self.left == 0 && self.pause.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.announced { SizeHint::with_exact(self.left) } else { SizeHint::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn read(bytes: u64) -> Bytes {
        let answer = Answer { bytes, ..Answer::default() };
        HelloBody::new(&answer).collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn a_body_has_exactly_the_size_asked_for() {
        assert_eq!(read(11).await, "Hello world");
        assert_eq!(read(0).await, "");
        for bytes in [1, 12, 13, 65_531, 65_532, 65_533, 1 << 20] {
            assert_eq!(read(bytes).await.len() as u64, bytes);
        }
        assert_eq!(&read(23).await[..], b"Hello world\nHello world");
    }
}
