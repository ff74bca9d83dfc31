//! How far Go reads ahead: the stream between hyper and the socket.
//!
//! Go reads responses through a buffer of 4096 bytes (`bufio.Reader`). One read brings the head and
//! whatever came with it; of the body nothing more is read before the caller asks for it, and of
//! what comes behind the response nothing before its connection is idle. hyper reads on of its own
//! accord. That is a difference which the kernel shows: bytes that nobody has read turn a close into
//! a reset, and a FIN that nobody has read leaves a connection in `CLOSE_WAIT`.
//!
//! hyper also goes back to HTTP/1.0 for the rest of a connection once a response came in it. Go does
//! not. So hyper takes every response for one of HTTP/1.1, and the [`Demand`] knows better.
//!
//! [`ReadAhead`] reads as Go does, and hands on to hyper what Go's caller would have got: the head,
//! then a piece each time that the reader of the body asks by its [`Demand`].

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use wire::http1::{AnsweredMethod, Direction, LineKind, MessagePart, MessageSplitter};

use crate::lock;
use crate::rules::READ_AHEAD;

/// The stage of the talk, which says how much hyper gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// No response is due: everything, and hyper takes it for the end or for nonsense.
    #[default]
    Idle,
    /// A response is due: its head.
    Head,
    /// The head was handed on: nothing.
    Held,
    /// The reader asks for more of the body: one piece.
    Asked,
    /// The connection is given up: nothing, and no goodbye.
    GivenUp,
}

/// The demand for what a connection brings, as those above hyper know it.
#[derive(Default)]
pub(crate) struct Demand {
    state: Mutex<DemandState>,
    given_up: Notify,
}

#[derive(Default)]
struct DemandState {
    stage: Stage,
    /// The method that the latest response answers.
    method: AnsweredMethod,
    /// [`ReadAhead`] has not read a byte of that response.
    is_new: bool,
    /// That response is one of HTTP/1.0.
    is_http_1_0: bool,
    /// hyper's task, if it waits for the stage to change.
    waker: Option<Waker>,
}

impl Demand {
    /// A request with this method goes out: the head of its response is wanted.
    pub(crate) fn response(&self, method: AnsweredMethod) {
        self.change(|state| {
            (state.stage, state.method) = (Stage::Head, method);
            (state.is_new, state.is_http_1_0) = (true, false);
        });
    }

    /// Returns the version of the response, which hyper takes for HTTP/1.1.
    pub(crate) fn version(&self) -> Version {
        if lock(&self.state).is_http_1_0 { Version::HTTP_10 } else { Version::HTTP_11 }
    }

    /// More of the body is wanted.
    pub(crate) fn more_body(&self) {
        self.change(|state| {
            if state.stage == Stage::Held {
                state.stage = Stage::Asked;
            }
        });
    }

    /// The response was read to its end: whatever comes now belongs to none.
    pub(crate) fn nothing(&self) {
        self.change(|state| state.stage = Stage::Idle);
    }

    /// The connection is to be closed at once, whatever hyper is still busy with.
    pub(crate) fn give_up(&self) {
        self.change(|state| state.stage = Stage::GivenUp);
        self.given_up.notify_one();
    }

    /// Waits until the connection is to be closed.
    pub(crate) async fn given_up(&self) {
        self.given_up.notified().await;
    }

    fn change(&self, change: impl FnOnce(&mut DemandState)) {
        let mut state = lock(&self.state);
        if state.stage == Stage::GivenUp {
            return;
        }
        change(&mut state);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn is_given_up(&self) -> bool {
        lock(&self.state).stage == Stage::GivenUp
    }
}

/// A body that says when its reader wants more of it.
pub(crate) struct AskedBody {
    incoming: Incoming,
    demand: Arc<Demand>,
}

impl AskedBody {
    pub(crate) fn new(incoming: Incoming, demand: Arc<Demand>) -> Self {
        Self { incoming, demand }
    }
}

impl Body for AskedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let frame = Pin::new(&mut self.incoming).poll_frame(cx);
        if frame.is_pending() {
            self.demand.more_body();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// The end of something in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    /// Of the head of a final response.
    Head,
    /// Of a response.
    Response,
}

/// A stream that is read as Go reads it.
pub(crate) struct ReadAhead<T> {
    io: T,
    demand: Arc<Demand>,
    buffer: Box<[u8; READ_AHEAD]>,
    /// The bytes of the buffer that were read and not handed on.
    held: Range<usize>,
    splitter: MessageSplitter,
    /// Where in the stream of responses the buffer begins, and how far the splitter is.
    begins_at: usize,
    split_to: usize,
    /// Where in the buffer something ends.
    marks: VecDeque<(usize, Mark)>,
    /// Something was written and not flushed.
    is_unflushed: bool,
}

impl<T> ReadAhead<T> {
    pub(crate) fn new(io: T, demand: Arc<Demand>) -> Self {
        Self {
            io,
            demand,
            buffer: Box::new([0; READ_AHEAD]),
            held: 0..0,
            splitter: MessageSplitter::new(Direction::Responses),
            begins_at: 0,
            split_to: 0,
            marks: VecDeque::new(),
            is_unflushed: false,
        }
    }

    /// Begins with a new response, of which the first bytes may be here already.
    fn begin(&mut self, state: &mut DemandState) {
        self.splitter = MessageSplitter::new(Direction::Responses);
        (self.begins_at, self.split_to) = (0, self.held.start);
        self.mark(state);
    }

    /// Looks for the ends in what is held, none of which was looked at before.
    fn mark(&mut self, state: &mut DemandState) {
        let Self { buffer, held, splitter, begins_at, split_to, marks, .. } = self;
        marks.clear();
        let bytes = buffer.get(held.clone()).unwrap_or_default();
        let method = state.method;
        let mut http_1_0 = None;
        let look = |part: MessagePart<'_>| match part {
            MessagePart::Line(line) => {
                if line.kind == LineKind::Start && line.bytes.starts_with(b"HTTP/1.0") {
                    http_1_0 = split_to.checked_sub(*begins_at);
                }
                *split_to += line.bytes.len();
            }
            MessagePart::Body(bytes) => *split_to += bytes.len(),
            // An interim response ends nothing: its final one is still due.
            MessagePart::Head(facts) if matches!(facts.status, Some(100 | 102..=199)) => {}
            MessagePart::Head(_) => marks.push_back((*split_to - *begins_at, Mark::Head)),
            MessagePart::End(_) => marks.push_back((*split_to - *begins_at, Mark::Response)),
        };
        splitter.feed(bytes, || method, look);
        // The start of a line that is cut has been handed on: there hyper stays with HTTP/1.0.
        if let Some(minor) = http_1_0.and_then(|line| buffer.get_mut(line + "HTTP/1.".len())) {
            *minor = b'1';
            state.is_http_1_0 = true;
        }
    }

    /// Returns where that ends which is handed on at this stage.
    fn end_of(&self, stage: Stage) -> usize {
        match (stage, self.marks.front()) {
            (Stage::Head, Some((place, Mark::Head))) => *place,
            // Whoever asks for more than we take for the response knows better.
            (Stage::Asked, Some((place, Mark::Response))) if *place > self.held.start => *place,
            _ => self.held.end,
        }
    }

    /// Hands on what `state` allows.
    fn hand_on(&mut self, state: &mut DemandState, buf: &mut ReadBuf<'_>) {
        let end = self.end_of(state.stage).min(self.held.start + buf.remaining());
        buf.put_slice(self.buffer.get(self.held.start..end).unwrap_or_default());
        self.held.start = end;
        let mut is_head_over = false;
        while let Some((place, mark)) = self.marks.front()
            && (*place < end || (*place, *mark) == (end, Mark::Head))
        {
            is_head_over |= *mark == Mark::Head;
            self.marks.pop_front();
        }
        if state.stage == Stage::Asked || (state.stage == Stage::Head && is_head_over) {
            state.stage = Stage::Held;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ReadAhead<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let demand = Arc::clone(&this.demand);
        let mut state = lock(&demand.state);
        if std::mem::take(&mut state.is_new) {
            this.begin(&mut state);
        }
        if matches!(state.stage, Stage::Held | Stage::GivenUp) {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if this.held.is_empty() {
            let mut piece = ReadBuf::new(&mut this.buffer[..]);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut piece))?;
            this.begins_at += this.held.end;
            this.held = 0..piece.filled().len();
            if this.held.is_empty() {
                return Poll::Ready(Ok(()));
            }
            if state.stage != Stage::Idle {
                this.mark(&mut state);
            }
        }
        this.hand_on(&mut state, buf);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for ReadAhead<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.is_unflushed = true;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.is_unflushed = true;
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// hyper finds out that a request is written only after its flush, and looks for the next one
    /// before. If the response was quicker, nothing else would make it look again.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        if std::mem::take(&mut self.is_unflushed) && lock(&self.demand.state).stage != Stage::Head {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.demand.is_given_up() {
            // The kernel closes it, and it resets a connection on which something lies unread.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
