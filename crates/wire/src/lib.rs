//! One end of a TCP connection, and what passed through it.
//!
//! hyper has no hooks for the moments at which bytes really meet the socket, nor does it say who
//! closed a connection. [`Wire`] sits between hyper and the socket, passes everything through
//! unchanged and tells a [`Tap`] what it saw. It is the eye of both the client and the server.
//!
//! [`http1`] reads the bytes of any connection along, whoever speaks.

pub mod http1;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The end that closed a connection first, as seen from one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstClose {
    /// This end: it shut down its side, or dropped the socket, before the peer's FIN had come.
    Here,
    /// The peer: its FIN had come before this end closed.
    There,
    /// A reset came from the peer.
    Reset,
}

/// How a connection ended at this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The end that closed first.
    pub first: FirstClose,
    /// Bytes that lay unread in the kernel when this end let go of the socket. Linux then sends a
    /// reset instead of a FIN (RFC 2525 section 2.17), and nobody holds `TIME_WAIT`. Always 0
    /// where the system cannot be asked (not Unix).
    pub unread: u64,
}

/// Whoever wants to know what passes through a [`Wire`]. Every method does nothing by default.
pub trait Tap: Send + 'static {
    /// Bytes were read from the socket (never empty).
    fn received(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// Bytes were accepted by the socket for sending (never empty).
    fn sent(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// The writer above has nothing left to hand to the socket.
    fn flushed(&mut self) {}

    /// The peer is known to have gone: its FIN was read, or a reset was met. A reset may follow a
    /// FIN. Always before whoever reads from or writes to the [`Wire`] learns of it.
    fn peer_left(&mut self, how: FirstClose) {
        let _ = how;
    }

    /// This end lets go of the socket. The last call of all.
    fn closed(&mut self, ending: Ending) {
        let _ = ending;
    }
}

/// Nobody listens.
impl Tap for () {}

/// A listener may be absent at run time.
impl<T: Tap> Tap for Option<T> {
    fn received(&mut self, bytes: &[u8]) {
        if let Some(tap) = self {
            tap.received(bytes);
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        if let Some(tap) = self {
            tap.sent(bytes);
        }
    }

    fn flushed(&mut self) {
        if let Some(tap) = self {
            tap.flushed();
        }
    }

    fn peer_left(&mut self, how: FirstClose) {
        if let Some(tap) = self {
            tap.peer_left(how);
        }
    }

    fn closed(&mut self, ending: Ending) {
        if let Some(tap) = self {
            tap.closed(ending);
        }
    }
}

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

    /// Remembers a reset, whatever came before it: it is what ends the connection.
    fn note_error(&mut self, error: &io::Error) {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        if matches!(error.kind(), ConnectionReset | BrokenPipe | ConnectionAborted) {
            self.first_close = Some(FirstClose::Reset);
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

/// The things that only the system knows about a socket.
mod system {
    use std::io;

    use tokio::net::TcpStream;

    /// The thing that a read would meet next.
    pub(super) enum NextRead {
        Fin,
        Reset,
        DataOrNothing,
    }

    #[cfg(unix)]
    pub(super) fn next_in_queue(stream: &TcpStream) -> NextRead {
        use rustix::net::{RecvFlags, recv};
        let mut one = [0_u8; 1];
        match recv(stream, &mut one, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
            Ok((_, 0)) => NextRead::Fin,
            Err(rustix::io::Errno::CONNRESET) => NextRead::Reset,
            Ok(_) | Err(_) => NextRead::DataOrNothing,
        }
    }

    #[cfg(unix)]
    pub(super) fn unread(stream: &TcpStream) -> u64 {
        rustix::io::ioctl_fionread(stream).unwrap_or(0)
    }

    /// Not through tokio, to whom what was only looked at is no news.
    #[cfg(unix)]
    pub(super) fn take(stream: &TcpStream, buf: &mut [u8]) -> usize {
        use rustix::net::{RecvFlags, recv};
        recv(stream, buf, RecvFlags::DONTWAIT).map_or(0, |(count, _)| count)
    }

    #[cfg(not(unix))]
    pub(super) fn take(_: &TcpStream, _: &mut [u8]) -> usize {
        0
    }

    /// See [`super::Wire::peek`]. tokio's own `peek` cannot wait for *more*: to it a socket that
    /// holds the known bytes is ready, however long no other byte comes. So what a look finds is
    /// told to tokio as "not ready" unless it is more, and the next look waits for news.
    #[cfg(unix)]
    pub(super) async fn peek(
        stream: &TcpStream,
        buf: &mut [u8],
        known: usize,
    ) -> io::Result<usize> {
        use rustix::net::{RecvFlags, recv};
        use tokio::io::Interest;
        loop {
            // A closed side stays ready for ever; that nothing can follow is asked before the look.
            let over = stream.ready(Interest::READABLE).await?.is_read_closed();
            let looked = stream.try_io(Interest::READABLE, || {
                let (count, _) = recv(stream, &mut *buf, RecvFlags::PEEK | RecvFlags::DONTWAIT)?;
                if count > known || count == 0 || over {
                    Ok(count)
                } else {
                    Err(io::ErrorKind::WouldBlock.into())
                }
            });
            match looked {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                looked => return looked,
            }
        }
    }

    /// Without a way to wait for more than lies there, a look every now and then.
    #[cfg(not(unix))]
    pub(super) async fn peek(
        stream: &TcpStream,
        buf: &mut [u8],
        known: usize,
    ) -> io::Result<usize> {
        const NOW_AND_THEN: std::time::Duration = std::time::Duration::from_millis(10);
        loop {
            let count = stream.peek(buf).await?;
            if count > known || count == 0 {
                return Ok(count);
            }
            let ready = stream.ready(tokio::io::Interest::READABLE).await?;
            if ready.is_read_closed() {
                return Ok(count);
            }
            tokio::time::sleep(NOW_AND_THEN).await;
        }
    }

    #[cfg(not(unix))]
    pub(super) fn next_in_queue(_: &TcpStream) -> NextRead {
        NextRead::DataOrNothing
    }

    #[cfg(not(unix))]
    pub(super) fn unread(_: &TcpStream) -> u64 {
        0
    }
}
