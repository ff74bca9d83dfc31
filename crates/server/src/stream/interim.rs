//! Informational responses (1xx), which hyper's server cannot send.
//!
//! They are slipped in below hyper: [`InterimSender::over`] puts a thin layer between hyper and the
//! wire, and whoever answers a request hands its bytes to that layer ([`InterimSender::send`]). The
//! order on the wire follows from two facts about hyper 1.12. It flushes its io only when all it
//! has to write itself was written, so what is slipped in at a flush never lands inside an earlier
//! response of a pipeline, nor before its end. And it writes nothing of a response that is still
//! being made, so the sender waits until the layer has written.
//!
//! For HTTP/1.1 only: a client of HTTP/1.0 does not know such responses (RFC 9110 section 15.2),
//! and in HTTP/2 they are frames, which are h2's to write.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::lock;

/// The common ground of the service and the wire of one HTTP/1 connection share. It lives beside
/// the connection and costs no allocation of its own, as most connections never use it.
#[derive(Default)]
pub struct InterimSender(Mutex<InterimSlot>);

/// One place is enough: in HTTP/1 one request is answered at a time.
#[derive(Default)]
enum InterimSlot {
    #[default]
    Free,
    /// To be written at the next flush; then whoever handed it in is woken.
    Queued(Bytes, Waker),
    /// Being written.
    Taken(Waker),
}

impl InterimSender {
    /// Puts the layer over `io`.
    pub(crate) fn over<T>(&self, io: T) -> WithInterim<'_, T> {
        WithInterim { io, interim: self, unsent: Bytes::new() }
    }
}

impl InterimSender {
    /// Sends an informational response. Done when its last byte was handed to the socket;
    /// dropped before its first byte was, it is not sent at all.
    pub fn send(&self, status: StatusCode, headers: &HeaderMap) -> InterimSend<'_> {
        debug_assert!(status.is_informational(), "{status} ends an exchange");
        let mut head = format!("HTTP/1.1 {status}\r\n").into_bytes();
        for (name, value) in headers {
            head.extend_from_slice(name.as_str().as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(value.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        InterimSend { interim: self, unqueued: Some(head.into()) }
    }
}

/// See [`InterimSender::send`].
#[must_use = "nothing is sent unless it is awaited"]
pub struct InterimSend<'a> {
    interim: &'a InterimSender,
    unqueued: Option<Bytes>,
}

impl Future for InterimSend<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let unqueued = self.unqueued.take();
        let mut slot = lock(&self.interim.0);
        let news = cx.waker();
        *slot = match (std::mem::take(&mut *slot), unqueued) {
            (_, Some(head)) => {
                // hyper does not flush after every look at an answer; it does in each round.
                news.wake_by_ref();
                InterimSlot::Queued(head, news.clone())
            }
            (InterimSlot::Free, None) => return Poll::Ready(()),
            (InterimSlot::Queued(head, _), None) => InterimSlot::Queued(head, news.clone()),
            (InterimSlot::Taken(_), None) => InterimSlot::Taken(news.clone()),
        };
        Poll::Pending
    }
}

impl Drop for InterimSend<'_> {
    /// Tells what follows now may be the final response; an informational one must not come after.
    fn drop(&mut self) {
        let mut slot = lock(&self.interim.0);
        if matches!(*slot, InterimSlot::Queued(..)) {
            *slot = InterimSlot::Free;
        }
    }
}

/// An io that writes informational responses between what its user writes.
pub(crate) struct WithInterim<'a, T> {
    io: T,
    interim: &'a InterimSender,
    /// The rest of the one being written. Nothing else may be written before it.
    unsent: Bytes,
}

impl<T: AsyncWrite + Unpin> WithInterim<'_, T> {
    fn poll_unsent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.unsent))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(sent);
            if self.unsent.is_empty() {
                self.done();
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what is queued, if anything is.
    fn take(&mut self) {
        let mut slot = lock(&self.interim.0);
        if let InterimSlot::Queued(head, waker) = &mut *slot {
            self.unsent = std::mem::take(head);
            *slot = InterimSlot::Taken(waker.clone());
        }
    }

    fn done(&self) {
        let mut slot = lock(&self.interim.0);
        // If another is queued already, whoever waited for this one has given up.
        if let InterimSlot::Taken(waker) = &*slot {
            waker.wake_by_ref();
            *slot = InterimSlot::Free;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for WithInterim<'_, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for WithInterim<'_, T> {
    /// Finishes an informational response that was begun, and begins none: more of an earlier
    /// response may follow.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    /// Here everything was written that had to come before.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_unsent(cx))?;
        self.take();
        ready!(self.poll_unsent(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";

    fn links() -> HeaderMap {
        HeaderMap::from_iter([(http::header::LINK, http::HeaderValue::from_static("</a>"))])
    }

    #[tokio::test]
    async fn it_waits_for_a_flush_and_is_not_torn_apart_by_a_narrow_pipe() {
        let interim = InterimSender::default();
        let (near, mut far) = tokio::io::duplex(3);
        let mut io = interim.over(near);
        let writer = async {
            let mut sending = std::pin::pin!(interim.send(StatusCode::EARLY_HINTS, &links()));
            assert!(poll_once(sending.as_mut()).await.is_pending());
            io.write_all(b"end of an ").await.unwrap();
            let mut rest: &[u8] = b"earlier response ";
            while !rest.is_empty() {
                let sent = io.write_vectored(&[IoSlice::new(rest)]).await.unwrap();
                rest = &rest[sent..];
            }
            assert!(poll_once(sending.as_mut()).await.is_pending(), "not before a flush");
            // Begun by a flush that cannot finish it, then overtaken by a write.
            let _ = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut io).poll_flush(cx))).await;
            let sent = io.write_vectored(&[IoSlice::new(b" ")]).await.unwrap();
            assert_eq!(sent, 1);
            io.write_all(b"next response").await.unwrap();
            sending.await;
            drop(io);
        };
        let mut seen = Vec::new();
        let (_, read) = tokio::join!(writer, far.read_to_end(&mut seen));
        read.unwrap();
        let expected = [b"end of an earlier response ", HINTS, b" next response"].concat();
        assert_eq!(String::from_utf8_lossy(&seen), String::from_utf8_lossy(&expected));
    }

    #[tokio::test]
    async fn what_is_given_up_in_time_is_never_sent() {
        let interim = InterimSender::default();
        let (near, mut far) = tokio::io::duplex(1024);
        let mut io = interim.over(near);
        {
            let mut sending = std::pin::pin!(interim.send(StatusCode::EARLY_HINTS, &links()));
            assert!(poll_once(sending.as_mut()).await.is_pending());
        }
        io.write_all(b"final").await.unwrap();
        io.flush().await.unwrap();
        drop(io);
        let mut seen = Vec::new();
        far.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, b"final");
    }

    async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
        std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
    }
}
