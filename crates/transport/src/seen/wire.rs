//! What is seen on the socket itself: when bytes really met it, and who closed it.
//!
//! In HTTP/2 exchanges share the wire in frames, and their heads are compressed: which bytes belong
//! to whom is not seen here, so no moment of an exchange is told. That the server speaks HTTP/2 is
//! seen, and so is the end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use ::hyper_util::client::legacy::connect::{Connected, Connection};
use evidence::CloseReason;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use wire::{Ending, FirstClose, Tap, Wire};

use crate::config::HttpVersion;
use crate::seen::record::Record;

/// The ear on a client's socket.
pub(crate) struct ClientTap(pub(crate) Arc<Record>);

impl Tap for ClientTap {
    fn sent(&mut self, bytes: &[u8]) {
        self.0.sent(bytes);
    }

    fn received(&mut self, bytes: &[u8]) {
        self.0.received(bytes);
    }

    fn peer_left(&mut self, how: FirstClose) {
        self.0.peer_has_left(how);
    }

    fn given_up(&mut self) {
        self.0.close_because(CloseReason::GivenUp);
    }

    fn closed(&mut self, ending: Ending) {
        self.0.closed(ending);
    }
}

/// A stream of bytes, with TLS on the wire or without.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An established connection: what hyper reads from and writes to.
pub(crate) struct ClientWire {
    wire: Box<dyn Io>,
    pub(crate) record: Arc<Record>,
}

impl ClientWire {
    pub(crate) fn plain(stream: TcpStream, record: Arc<Record>) -> Self {
        let wire = Wire::new(stream, ClientTap(Arc::clone(&record)));
        Self { wire: Box::new(wire), record }
    }

    /// Returns what is listened in on by others.
    pub(crate) fn tapped(wire: Box<dyn Io>, record: Arc<Record>) -> Self {
        Self { wire, record }
    }
}

impl AsyncRead for ClientWire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if let Some(much) = self.record.gave_up_on_final() {
            return Poll::Ready(Err(std::io::Error::other(much.to_owned())));
        }
        Pin::new(&mut self.wire).poll_read(cx, buf)
    }
}

impl AsyncWrite for ClientWire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

/// A connection's record as hyper-util's client carries it along.
#[derive(Clone)]
pub(crate) struct Carried(pub(crate) Arc<Record>);

impl Connection for ClientWire {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(Carried(Arc::clone(&self.record)));
        match self.record.version() {
            HttpVersion::Http2 => connected.negotiated_h2(),
            HttpVersion::Http1 | HttpVersion::Negotiated => connected,
        }
    }
}
