//! A body, late or of unannounced length as an [`Answer`] asks.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use server::Answer;
use tokio::time::Sleep;

/// Any other body, late or of unannounced length as an [`Answer`] asks.
pub(crate) struct ShapedBody<B> {
    body: B,
    announced: bool,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<B> ShapedBody<B> {
    pub(crate) fn new(body: B, answer: &Answer) -> Self {
        let pause = (answer.pause_before_body > Duration::ZERO)
            .then(|| Box::pin(tokio::time::sleep(answer.pause_before_body)));
        Self { body, announced: !answer.chunked, pause }
    }
}

impl<B: Body + Unpin> Body for ShapedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.announced && self.pause.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.announced { self.body.size_hint() } else { SizeHint::default() }
    }
}
