//! The things that only the system knows about a socket.

use std::io;

use tokio::net::TcpStream;

/// The thing that a read would meet next.
pub(crate) enum NextRead {
    Fin,
    Reset,
    DataOrNothing,
}

#[cfg(unix)]
pub(crate) fn next_in_queue(stream: &TcpStream) -> NextRead {
    use rustix::net::{RecvFlags, recv};
    let mut one = [0_u8; 1];
    match recv(stream, &mut one, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((_, 0)) => NextRead::Fin,
        Err(rustix::io::Errno::CONNRESET) => NextRead::Reset,
        Ok(_) | Err(_) => NextRead::DataOrNothing,
    }
}

#[cfg(unix)]
pub(crate) fn unread(stream: &TcpStream) -> u64 {
    rustix::io::ioctl_fionread(stream).unwrap_or(0)
}

/// Not through tokio, to whom what was only looked at is no news.
#[cfg(unix)]
pub(crate) fn take(stream: &TcpStream, buf: &mut [u8]) -> usize {
    use rustix::net::{RecvFlags, recv};
    recv(stream, buf, RecvFlags::DONTWAIT).map_or(0, |(count, _)| count)
}

#[cfg(not(unix))]
pub(crate) fn take(_: &TcpStream, _: &mut [u8]) -> usize {
    0
}

/// See [`crate::Wire::peek`]. tokio's own `peek` cannot wait for *more*: to it a socket that
/// holds the known bytes is ready, however long no other byte comes. So what a look finds is
/// told to tokio as "not ready" unless it is more, and the next look waits for news.
#[cfg(unix)]
pub(crate) async fn peek(stream: &TcpStream, buf: &mut [u8], known: usize) -> io::Result<usize> {
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
pub(crate) async fn peek(stream: &TcpStream, buf: &mut [u8], known: usize) -> io::Result<usize> {
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
pub(crate) fn next_in_queue(_: &TcpStream) -> NextRead {
    NextRead::DataOrNothing
}

#[cfg(not(unix))]
pub(crate) fn unread(_: &TcpStream) -> u64 {
    0
}
