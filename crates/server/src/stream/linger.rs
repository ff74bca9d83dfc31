//! Closing so that the last response survives.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::watching::watch::ConnectionWatch;

/// How long a closing server goes on reading what it no longer wants, as in Go.
const LINGER: Duration = Duration::from_millis(500);

/// A wire that, if the client is still sending what nobody will read, closes in two steps (RFC 9112
/// section 9.6): first its own side, then, after what comes has been read and thrown away until the
/// client closes or half a second has passed, the whole. A socket closed at once would answer the
/// client's next bytes with a reset, which makes the client's system throw away a response that
/// has arrived but was not read.
///
/// Only after a response that came before the end of its request's body, or to what was refused.
/// Whatever else lies unread, such as a pipelined request behind a `Connection: close`, is the
/// client's own haste, and ends in the reset that it ends in on most servers.
///
/// Unlike Go, which reads up to 256 KiB of a body that its handler did not want, hyper reads only
/// what has come already, in one piece. If that is the rest, the connection persists; if not, it
/// ends here.
pub(crate) struct LingeringWire<W> {
    wire: W,
    watch: ConnectionWatch,
    /// hyper has answered what was no request.
    refused: bool,
    /// False if there is no second step.
    lingers: bool,
    /// The end of the second step, once the first is done.
    until: Option<Pin<Box<Sleep>>>,
}

impl<W: AsyncRead + AsyncWrite + Unpin> LingeringWire<W> {
    pub(crate) fn new(wire: W, watch: ConnectionWatch, lingers: bool) -> Self {
        Self { wire, watch, refused: false, lingers, until: None }
    }

    /// hyper answers what is no request by itself and tells nobody. Then there is a head without a
    /// request, and what is sent is a status of the 4xx.
    fn look_for_a_refusal(&mut self, bytes: &[u8]) {
        if bytes.starts_with(b"HTTP/1.1 ") {
            // An answer to the request before one that is ahead may look the same; then that one's
            // answer follows.
            self.refused = self.watch.head_is_ahead() && bytes.starts_with(b"HTTP/1.1 4");
            if self.refused {
                let code = bytes.get(9..12).unwrap_or_default();
                self.watch.refused(StatusCode::from_bytes(code).ok());
            }
        }
    }

    /// Reads and throws away until nothing more comes.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let mut room = [MaybeUninit::uninit(); 8192];
            let mut buf = ReadBuf::uninit(&mut room);
            match ready!(Pin::new(&mut self.wire).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                _ => return Poll::Ready(()),
            }
        }
    }
}

impl<W: AsyncRead + AsyncWrite + Unpin> AsyncRead for LingeringWire<W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_read(cx, buf)
    }
}

impl<W: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringWire<W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look_for_a_refusal(buf);
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look_for_a_refusal(bufs.first().map_or(&[], |buf| buf));
        Pin::new(&mut self.wire).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.until.is_none() {
            ready!(Pin::new(&mut self.wire).poll_shutdown(cx))?;
            if !self.lingers || (!self.refused && !self.watch.more_may_come()) {
                return Poll::Ready(Ok(()));
            }
            self.until = Some(Box::pin(tokio::time::sleep(LINGER)));
        }
        let too_long = self.until.as_mut().is_some_and(|until| until.as_mut().poll(cx).is_ready());
        if !too_long {
            ready!(self.poll_discard(cx));
        }
        Poll::Ready(Ok(()))
    }
}
