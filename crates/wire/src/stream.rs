//! A TCP stream that tells what passes through it.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::system;
use crate::tap::{Ending, FirstClose, Tap};

/// A TCP stream that tells `T` what passes through it.
#[derive(Debug)]
pub struct Wire<T: Tap> {
    stream: TcpStream,
    tap: T,
    first_close: Option<FirstClose>,
}

impl<T: Tap> Wire<T> {
    /// Listens in on `stream` from now on.
    pub fn new(stream: TcpStream, tap: T) -> Self {
        Self { stream, tap, first_close: None }
    }

    /// This end's address.
    ///
    /// # Errors
    /// Whatever the system says, for instance if the peer has reset the connection already.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Looks at the first bytes that lie unread in the kernel, and leaves them there: the reader
    /// above and the [`Tap`] will see them as if nobody had looked. Waits until there are more
    /// than `known`, the number that an earlier look has found, and returns how many there are.
    /// If that is not more than `known`, the peer has closed its side and no more will come.
    ///
    /// # Errors
    /// Whatever a read would have met. It is remembered for [`Tap::closed`].
    pub async fn peek(&mut self, buf: &mut [u8], known: usize) -> io::Result<usize> {
        match system::peek(&self.stream, buf, known).await {
            Ok(count) => {
                if count == 0 {
                    self.peer_closed();
                }
                Ok(count)
            }
            Err(error) => {
                self.note_error(&error);
                Err(error)
            }
        }
    }

    /// Takes what lies unread in the kernel, a small buffer full at most, and throws it away. For
    /// bytes that were looked at and will not be read: if they lay there at the close, it would be
    /// a reset. Does nothing where the system cannot be asked (not Unix).
    pub fn take(&mut self) {
        let mut bytes = [0; 64];
        let count = system::take(&self.stream, &mut bytes);
        if let Some(taken) = bytes.get(..count)
            && !taken.is_empty()
        {
            self.tap.received(taken);
        }
    }

    /// Remembers the peer's FIN, unless this end closed before.
    fn peer_closed(&mut self) {
        self.first_close.get_or_insert(FirstClose::There);
        self.tap.peer_left(FirstClose::There);
    }

    /// This end closes from now on, unless the peer's FIN is here already: for a protocol that says
    /// so before it sends its own FIN, such as TLS. What comes afterwards is an answer.
    pub fn closes_here(&mut self) {
        if self.first_close.is_none() {
            // The peer's FIN may lie in the queue without anybody having read it.
            self.first_close = Some(match system::next_in_queue(&self.stream) {
                system::NextRead::Fin => FirstClose::There,
                system::NextRead::Reset => FirstClose::Reset,
                system::NextRead::DataOrNothing => FirstClose::Here,
            });
        }
    }

    /// `who` has said before any FIN that it closes. Without effect if somebody has closed already.
    pub fn close_was_announced_by(&mut self, who: FirstClose) {
        self.first_close.get_or_insert(who);
    }

    /// Remembers a reset, also after the peer's FIN: it is what ends the connection. After this
    /// end's own FIN it is but an answer to that.
    fn note_error(&mut self, error: &io::Error) {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut};
        if error.kind() == TimedOut {
            // From now on the socket reads as one whose peer has closed, which it has not.
            self.first_close.get_or_insert(FirstClose::Here);
            self.tap.given_up();
        }
        if matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionAborted) {
            if self.first_close != Some(FirstClose::Here) {
                self.first_close = Some(FirstClose::Reset);
            }
            self.tap.peer_left(FirstClose::Reset);
        }
    }
}

impl<T: Tap + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let room = buf.remaining();
        match ready!(Pin::new(&mut self.stream).poll_read(cx, buf)) {
            Ok(()) => {
                let fresh = buf.filled().get(before..).unwrap_or_default();
                if !fresh.is_empty() {
                    self.tap.received(fresh);
                } else if room > 0 {
                    self.peer_closed();
                }
                Poll::Ready(Ok(()))
            }
            Err(error) => {
                self.note_error(&error);
                Poll::Ready(Err(error))
            }
        }
    }
}

impl<T: Tap + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write(cx, buf));
        match &result {
            Ok(0) => {}
            Ok(sent) => self.tap.sent(buf.get(..*sent).unwrap_or_default()),
            Err(error) => self.note_error(error),
        }
        Poll::Ready(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, bufs));
        match &result {
            Ok(sent) => {
                let mut left = *sent;
                for buf in bufs {
                    let part = buf.get(..left.min(buf.len())).unwrap_or_default();
                    if !part.is_empty() {
                        self.tap.sent(part);
                    }
                    left -= part.len();
                }
            }
            Err(error) => self.note_error(error),
        }
        Poll::Ready(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = ready!(Pin::new(&mut self.stream).poll_flush(cx));
        if result.is_ok() {
            self.tap.flushed();
        }
        Poll::Ready(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.closes_here();
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<T: Tap> Drop for Wire<T> {
    fn drop(&mut self) {
        self.closes_here();
        let first = self.first_close.unwrap_or(FirstClose::Here);
        let unread = system::unread(&self.stream);
        self.tap.closed(Ending { first, unread });
    }
}
