//! A body that gives its connection back at its end, or loses it.
//!
//! The body of a response owns the right to use its connection again. At its end it puts the
//! connection back *before* the reader learns of the end, so that the reader's next request finds
//! it in the pool. Whoever lets go of the body earlier loses the connection, or not, by the
//! [`EarlyDrop`] rule.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use evidence::NotPooled;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::runtime::Handle;

use crate::failure::error::Error;
use crate::give_back::GiveBack;
use crate::read_ahead::AskedBody;
use crate::rules::{self, DroppedBody, EarlyDrop};
use crate::seen::record::{ConnectionInfo, Record};
use crate::shared::SharedStream;

/// The body of a response.
pub struct Body {
    record: Arc<Record>,
    received: u64,
    announced: Option<u64>,
    state: BodyState,
}

enum BodyState {
    /// Go's rules: the end of the body decides on the connection.
    Go {
        incoming: AskedBody,
        give_back: Box<GiveBack>,
        early_drop: EarlyDrop,
    },
    /// Go's rules: the end was read, the connection is on its way back.
    GivingBack(Pin<Box<dyn Future<Output = ()> + Send>>, Handle),
    /// HTTP/2 after Go's rules: the connection stays, the stream ends.
    Stream {
        incoming: Incoming,
        _open: Box<SharedStream>,
    },
    /// hyper-util's client: it has its own ways.
    HyperUtil {
        incoming: Incoming,
    },
    Ended,
}

impl Body {
    pub(crate) fn of_go(incoming: Incoming, give_back: GiveBack, early_drop: EarlyDrop) -> Self {
        let record = Arc::clone(give_back.record());
        let announced = incoming.size_hint().exact();
        let incoming = AskedBody::new(incoming, Arc::clone(&give_back.lease.demand));
        let state = BodyState::Go { incoming, give_back: Box::new(give_back), early_drop };
        Self { record, received: 0, announced, state }
    }

    pub(crate) fn of_hyper_util(incoming: Incoming, record: Arc<Record>) -> Self {
        let announced = incoming.size_hint().exact();
        Self { record, received: 0, announced, state: BodyState::HyperUtil { incoming } }
    }

    pub(crate) fn of_stream(incoming: Incoming, stream: SharedStream) -> Self {
        let record = Arc::clone(stream.record());
        let announced = incoming.size_hint().exact();
        let state = match incoming.is_end_stream() {
            true => BodyState::Ended,
            false => BodyState::Stream { incoming, _open: Box::new(stream) },
        };
        Self { record, received: 0, announced, state }
    }

    /// A body without content, once its connection is given back. If nobody waits for that any
    /// more, it is given back all the same.
    pub(crate) async fn given_back(give_back: GiveBack) -> Self {
        let (record, runtime) = (Arc::clone(give_back.record()), give_back.runtime.clone());
        let state = BodyState::GivingBack(Box::pin(give_back.at_the_end()), runtime);
        let mut body = Self { record, received: 0, announced: Some(0), state };
        std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx).map(drop)).await;
        body
    }

    /// The connection it comes on.
    #[must_use]
    pub fn connection(&self) -> ConnectionInfo {
        self.record.info
    }

    /// Returns true if nothing is left to read, and nothing to decide about the connection.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, BodyState::Ended)
    }

    /// The bytes that the reader has not read yet, if the server announced a length.
    #[must_use]
    pub fn left(&self) -> Option<u64> {
        self.announced.map(|announced| announced.saturating_sub(self.received))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        loop {
            let frame = match &mut this.state {
                BodyState::Go { incoming, .. } => Pin::new(incoming).poll_frame(cx),
                BodyState::Stream { incoming, .. } | BodyState::HyperUtil { incoming } => {
                    Pin::new(incoming).poll_frame(cx)
                }
                BodyState::GivingBack(back, _) => {
                    ready!(back.as_mut().poll(cx));
                    this.state = BodyState::Ended;
                    return Poll::Ready(None);
                }
                BodyState::Ended => return Poll::Ready(None),
            };
            let frame = ready!(frame);
            if let Some(Ok(frame)) = frame {
                this.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                return Poll::Ready(Some(Ok(frame)));
            }
            let before = std::mem::replace(&mut this.state, BodyState::Ended);
            if let Some(Err(source)) = frame {
                let error = Error::inside_body(&this.record, this.received, this.announced, source);
                if let BodyState::Go { give_back, .. } = before {
                    give_back.fail(&error);
                }
                return Poll::Ready(Some(Err(error)));
            }
            if let BodyState::Go { give_back, .. } = before {
                let runtime = give_back.runtime.clone();
                this.state = BodyState::GivingBack(Box::pin(give_back.at_the_end()), runtime);
            }
        }
    }

    /// `true` only once the connection is back: `hyper`'s own answer comes with the last byte,
    /// and a reader that trusts it would never poll again.
    fn is_end_stream(&self) -> bool {
        self.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        self.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        let (left, announced) = (self.left(), self.announced);
        match std::mem::replace(&mut self.state, BodyState::Ended) {
            BodyState::Go { incoming, give_back, early_drop } => {
                let runtime = give_back.runtime.clone();
                match rules::on_dropped_body(early_drop, incoming.is_end_stream(), announced) {
                    DroppedBody::WasRead => {
                        runtime.spawn(give_back.at_the_end());
                    }
                    DroppedBody::Drain { bytes, time } => {
                        runtime.spawn(give_back.drain(incoming, bytes, time));
                    }
                    DroppedBody::Close => give_back.refuse(NotPooled::BodyUnread { left }),
                }
            }
            BodyState::GivingBack(back, runtime) => {
                runtime.spawn(back);
            }
            BodyState::Stream { .. } | BodyState::HyperUtil { .. } | BodyState::Ended => {}
        }
    }
}
