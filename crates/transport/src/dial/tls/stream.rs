//! A connection with TLS on it, listened in on at two heights.
//!
//! The bytes of a request are seen above TLS, where they are plain; who closed first is seen below,
//! where the FINs are. A byte counts as sent once TLS has it; it has met the socket once it is
//! flushed.
//!
//! TLS says goodbye with an alert of its own, close_notify (RFC 8446 section 6.1). Bytes that reach
//! a socket whose owner has let go of it are answered with a reset, and then nobody holds
//! `TIME_WAIT`. So that a goodbye does not turn a close into a reset:
//! * whoever closes first waits a moment for the peer's goodbye and FIN before it lets go;
//! * whoever is second, when the peer's FIN has come, has nobody left to say goodbye to.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::client::TlsStream;
use wire::{Ending, FirstClose, Tap, Wire};

use crate::dial::tls::words;
use crate::seen::record::Record;
use crate::seen::wire::ClientTap;

/// How long the peer's FIN is waited for.
const GRACE: Duration = Duration::from_millis(100);

/// How many bytes may come before that FIN. A goodbye has about twenty; more is a body that nobody
/// reads, and the close that follows may as well reset it, as it would without TLS.
const GOODBYE_BYTES: usize = 2048;

/// The ear below TLS: hears the ends only.
pub(crate) struct EndTap(ClientTap);

impl EndTap {
    pub(crate) fn new(record: &Arc<Record>) -> Self {
        Self(ClientTap(Arc::clone(record)))
    }
}

impl Tap for EndTap {
    fn peer_left(&mut self, how: FirstClose) {
        self.0.peer_left(how);
    }

    fn closed(&mut self, ending: Ending) {
        self.0.closed(ending);
    }
}

/// TLS on a [`Wire`]; the ear above it hears what is sent and received.
pub(crate) struct TlsWire {
    tls: TlsStream<Wire<EndTap>>,
    tap: ClientTap,
    /// Set once the peer has said goodbye.
    peer_is_done: bool,
    closing: Closing,
    /// The time that is left to the peer's FIN, once that is waited for.
    grace: Option<Pin<Box<Sleep>>>,
    received_since: usize,
}

#[derive(Clone, Copy)]
enum Closing {
    NotYet,
    /// Our own goodbye is on its way.
    Goodbye,
    /// The socket is shut down.
    Lingering,
}

impl TlsWire {
    pub(crate) fn new(tls: TlsStream<Wire<EndTap>>, record: &Arc<Record>) -> Self {
        Self {
            tls,
            tap: ClientTap(Arc::clone(record)),
            peer_is_done: false,
            closing: Closing::NotYet,
            grace: None,
            received_since: 0,
        }
    }

    fn wire(&mut self) -> Pin<&mut Wire<EndTap>> {
        Pin::new(self.tls.get_mut().0)
    }

    /// Remembers why TLS has ended, if it did not end with a goodbye.
    fn note_error(&mut self, error: &io::Error) {
        if let Some(because) = words::after_handshake(error) {
            if let Some(first) = words::who_gives_up(error) {
                self.wire().close_was_announced_by(first);
            }
            self.tap.0.tls_has_ended(because);
        }
    }

    fn grace_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        let grace = self.grace.get_or_insert_with(|| Box::pin(tokio::time::sleep(GRACE)));
        grace.as_mut().poll(cx).is_ready()
    }

    /// Ready when the peer's FIN or a reset has come, or when it has been waited for long enough.
    fn poll_peers_fin(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; 256];
        while self.received_since < GOODBYE_BYTES && self.tap.0.peer_left().is_none() {
            let mut buf = ReadBuf::new(&mut bytes);
            match self.wire().poll_read(cx, &mut buf) {
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

impl AsyncRead for TlsWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.peer_is_done {
            let (before, room) = (buf.filled().len(), buf.remaining());
            let read = ready!(Pin::new(&mut this.tls).poll_read(cx, buf));
            read.inspect_err(|error| this.note_error(error))?;
            let fresh = buf.filled().get(before..).unwrap_or_default();
            if !fresh.is_empty() {
                this.tap.received(fresh);
            }
            this.peer_is_done = fresh.is_empty() && room > 0;
        }
        if this.peer_is_done {
            // Its FIN follows its goodbye. If the reader closed in between, it would be first.
            ready!(this.poll_peers_fin(cx));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TlsWire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.tls).poll_write(cx, buf));
        let sent = sent.inspect_err(|error| self.note_error(error))?;
        if sent > 0 {
            self.tap.sent(buf.get(..sent).unwrap_or_default());
        }
        Poll::Ready(Ok(sent))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.tls).poll_flush(cx));
        flushed.inspect_err(|error| self.note_error(error))?;
        self.tap.flushed();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match this.closing {
                Closing::NotYet if this.tap.0.peer_left().is_some() => {
                    return this.wire().poll_shutdown(cx);
                }
                Closing::NotYet => {
                    // A time of its own, whatever was waited for before.
                    this.grace = None;
                    this.closing = Closing::Goodbye;
                    // The peer may be quicker with its FIN, in answer to the goodbye.
                    this.wire().closes_here();
                }
                Closing::Goodbye => {
                    match Pin::new(&mut this.tls).poll_shutdown(cx) {
                        Poll::Ready(result) => result?,
                        // The peer does not take it: a close must not hang on that.
                        Poll::Pending if this.grace_is_over(cx) => {
                            return this.wire().poll_shutdown(cx);
                        }
                        Poll::Pending => return Poll::Pending,
                    }
                    this.closing = Closing::Lingering;
                }
                Closing::Lingering => {
                    ready!(this.poll_peers_fin(cx));
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}
