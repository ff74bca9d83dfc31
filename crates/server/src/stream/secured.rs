//! TLS on a connection, whoever brings it: this crate knows none.
//!
//! A connection with TLS is listened to at two heights. The bytes of HTTP are heard above TLS, where they
//! are plain; who closed first is heard below, where the FINs are.
//!
//! TLS says goodbye with an alert of its own (RFC 8446 section 6.1), which is no FIN. So whoever reads it
//! waits a moment for the FIN behind it before it closes, or it would be first; and whoever says it
//! first waits for the answer, or that would be answered with a reset.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use wire::{Ending, FirstClose, Tap};

use crate::watching::watch::{ConnectionWatch, WireEar};

/// How long the client's FIN is waited for.
const GRACE: Duration = Duration::from_millis(100);

/// How many bytes may come before that FIN. A goodbye has about twenty.
const GOODBYE_BYTES: usize = 2048;

/// Bytes that pass both ways.
pub trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for T {}

/// A connection whose handshake is done, as its plain bytes.
pub trait SecureStream: ByteStream {
    /// The bytes below, which are encrypted: for whoever waits for the end behind TLS's own.
    fn below(&mut self) -> &mut dyn ByteStream;

    /// Returns true if both ends agreed on HTTP/2 (ALPN, RFC 7301), which only a server with the cargo
    /// feature `http2` speaks.
    fn is_http2(&self) -> bool;
}

/// A handshake under way. If it fails, it gives the connection back.
pub type Handshake =
    Pin<Box<dyn Future<Output = Result<Box<dyn SecureStream>, Box<dyn ByteStream>>> + Send>>;

/// The TLS that a server speaks.
pub trait ServerTls: fmt::Debug + Send + Sync {
    /// Shakes hands with the client of a connection that was just accepted.
    fn shake_hands(&self, stream: Box<dyn ByteStream>) -> Handshake;
}

/// The ear below TLS: hears the ends only.
pub(crate) struct EndEar {
    watch: ConnectionWatch,
    client_has_left: Arc<AtomicBool>,
}

impl EndEar {
    pub(crate) fn new(watch: &ConnectionWatch) -> Self {
        Self { watch: watch.clone(), client_has_left: Arc::default() }
    }

    /// True once the client's FIN or reset has come.
    pub(crate) fn client_has_left(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.client_has_left)
    }
}

impl Tap for EndEar {
    fn peer_left(&mut self, how: FirstClose) {
        self.client_has_left.store(true, Ordering::Relaxed);
        self.watch.peer_left(how);
    }

    fn closed(&mut self, ending: Ending) {
        self.watch.closed(ending);
    }
}

/// A connection with TLS on it; the ear above hears what is sent and received.
pub(crate) struct SecuredWire {
    tls: Box<dyn SecureStream>,
    ear: WireEar,
    client_has_left: Arc<AtomicBool>,
    /// True once the client has said goodbye.
    client_is_done: bool,
    closing: Closing,
    /// The time that is left to the client's FIN, once that is waited for.
    grace: Option<Pin<Box<Sleep>>>,
    received_since: usize,
}

#[derive(Clone, Copy)]
enum Closing {
    NotYet,
    /// Our own goodbye is on its way.
    Goodbye,
    /// Our side is shut down.
    Lingering,
}

impl SecuredWire {
    pub(crate) fn new(
        tls: Box<dyn SecureStream>,
        ear: WireEar,
        client_has_left: Arc<AtomicBool>,
    ) -> Self {
        let (client_is_done, closing, grace) = (false, Closing::NotYet, None);
        Self { tls, ear, client_has_left, client_is_done, closing, grace, received_since: 0 }
    }

    fn client_has_left(&self) -> bool {
        self.client_has_left.load(Ordering::Relaxed)
    }

    fn grace_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let grace = self.grace.get_or_insert_with(|| Box::pin(tokio::time::sleep(GRACE)));
        grace.as_mut().poll(cx).is_ready()
    }

    /// Ready when the client's FIN or a reset has come, or when it has been waited for long enough.
    fn poll_clients_fin(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; 256];
        while self.received_since < GOODBYE_BYTES && !self.client_has_left() {
            let mut buf = ReadBuf::new(&mut bytes);
            match Pin::new(self.tls.below()).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {
                    self.received_since += buf.filled().len();
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending if self.grace_is_over(cx) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

impl AsyncRead for SecuredWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.client_is_done {
            let (before, room) = (buf.filled().len(), buf.remaining());
            ready!(Pin::new(&mut this.tls).poll_read(cx, buf))?;
            let fresh = buf.filled().get(before..).unwrap_or_default();
            if !fresh.is_empty() {
                this.ear.received(fresh);
            }
            this.client_is_done = fresh.is_empty() && room > 0;
        }
        if this.client_is_done {
            ready!(this.poll_clients_fin(cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SecuredWire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.tls).poll_write(cx, buf))?;
        if sent > 0 {
            self.ear.sent(buf.get(..sent).unwrap_or_default());
        }
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.tls).poll_flush(cx))?;
        self.ear.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match this.closing {
                // Nobody is left to say goodbye to.
                Closing::NotYet if this.client_has_left() => {
                    return Pin::new(this.tls.below()).poll_shutdown(cx);
                }
                Closing::NotYet => {
                    // A time of its own, whatever was waited for before.
                    this.grace = None;
                    this.closing = Closing::Goodbye;
                }
                Closing::Goodbye => {
                    match Pin::new(&mut this.tls).poll_shutdown(cx) {
                        Poll::Ready(result) => result?,
                        // The client does not take it: a close must not hang on that.
                        Poll::Pending if this.grace_is_over(cx) => {
                            return Pin::new(this.tls.below()).poll_shutdown(cx);
                        }
                        Poll::Pending => return Poll::Pending,
                    }
                    this.closing = Closing::Lingering;
                }
                Closing::Lingering => {
                    ready!(this.poll_clients_fin(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}
