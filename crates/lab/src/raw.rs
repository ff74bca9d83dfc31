//! Clients that are none: they send what no client of HTTP would, and read as they please.
//!
//! Nobody traces them. What they see is what meets their sockets, and they are not among the run's
//! connections.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use evidence::{ClientAddr, ServerAddr};
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::settings::RawWait;

/// What is asked of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RawAsk {
    /// How many of them, side by side.
    pub(crate) times: usize,
    /// What each of them sends when it is connected.
    pub(crate) send: Bytes,
    /// What it then waits for. After that it stays as it is, until the run is over.
    pub(crate) wait: RawWait,
    /// How long it waits at most.
    pub(crate) at_most: Duration,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct RawClient {
    /// Its address.
    pub(crate) address: ClientAddr,
    /// Closed as soon as the server has closed its side: nobody waits for more.
    stream: Option<TcpStream>,
    /// What it has read: as much of it as it takes to know the status.
    read: Vec<u8>,
    ended: Option<RawEnd>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RawEnd {
    Closed,
    Reset,
}

/// What they have seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawSeen {
    /// How many there are.
    pub connections: usize,
    /// The status code of the first response of each that got one.
    pub statuses: Vec<u16>,
    /// How many were closed by the server.
    pub closed: usize,
    /// How many were reset by it.
    pub reset: usize,
}

impl RawSeen {
    /// Looks at each of them once more: an end that nobody waited for is seen if nothing unread
    /// lies before it.
    #[must_use]
    pub(crate) fn of(clients: &mut [RawClient]) -> Self {
        let mut seen = Self { connections: clients.len(), ..Self::default() };
        for client in clients {
            client.look();
            seen.statuses.extend(status(&client.read));
            match client.ended {
                Some(RawEnd::Closed) => seen.closed += 1,
                Some(RawEnd::Reset) => seen.reset += 1,
                None => {}
            }
        }
        seen
    }
}

/// Lets as many clients as are asked for do what they are asked for.
///
/// # Errors
/// If one of them cannot connect.
pub(crate) async fn carry_out(ask: &RawAsk, server: ServerAddr) -> io::Result<Vec<RawClient>> {
    try_join_all((0..ask.times).map(|_| RawClient::start(ask, server))).await
}

impl RawClient {
    async fn start(ask: &RawAsk, server: ServerAddr) -> io::Result<Self> {
        let mut stream = TcpStream::connect(server.socket_addr()).await?;
        let address = ClientAddr::new(stream.local_addr()?);
        let deadline = Instant::now() + ask.at_most;
        // A server that does not read, or that has closed already, is seen below.
        let _ = timeout_at(deadline, stream.write_all(&ask.send)).await;
        let mut client = Self { address, stream: Some(stream), read: Vec::new(), ended: None };
        // Whether it came to what it waits for is for what was seen to say.
        let _ = timeout_at(deadline, client.wait_for(ask.wait)).await;
        Ok(client)
    }

    async fn wait_for(&mut self, wait: RawWait) {
        while !self.has_what_it_waits_for(wait) {
            let Some(stream) = &self.stream else { return };
            if stream.readable().await.is_err() {
                return;
            }
            self.read_while(|client| !client.has_what_it_waits_for(wait));
        }
    }

    fn has_what_it_waits_for(&self, wait: RawWait) -> bool {
        match wait {
            RawWait::Nothing => true,
            RawWait::Close => false,
            RawWait::Answer => is_whole(&self.read),
        }
    }

    fn end(&mut self, how: RawEnd) {
        self.ended = Some(how);
        self.stream = None;
    }

    /// Notes an end that has come, if nothing unread lies before it.
    fn look(&mut self) {
        let looked = self.stream.as_ref().and_then(|stream| stream.peek(&mut [0]).now_or_never());
        match looked {
            Some(Ok(0)) => self.end(RawEnd::Closed),
            Some(Err(_)) => self.end(RawEnd::Reset),
            Some(Ok(_)) | None => {}
        }
    }

    /// Reads what is there, as long as more is wanted.
    fn read_while(&mut self, wants_more: impl Fn(&Self) -> bool) {
        let mut buffer = [0; 4096];
        while wants_more(self) {
            let Some(stream) = &self.stream else { break };
            match stream.try_read(&mut buffer) {
                Ok(0) => self.end(RawEnd::Closed),
                Ok(count) => self.read.extend_from_slice(buffer.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => self.end(RawEnd::Reset),
            }
        }
        // What nobody will look at again needs no room.
        self.read.shrink_to_fit();
    }
}

/// The status code of the response that `bytes` begin with.
fn status(bytes: &[u8]) -> Option<u16> {
    let line = bytes.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    std::str::from_utf8(line).ok()?.parse().ok()
}

/// Whether `bytes` hold a head, and as many bytes behind it as its `Content-Length` says.
fn is_whole(bytes: &[u8]) -> bool {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default());
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    bytes.len() >= end + 4 + length.unwrap_or(0_usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_whole_with_its_last_byte() {
        let response = b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 3\r\n\r\nabc";
        for length in 0..response.len() {
            assert!(!is_whole(&response[..length]), "{length}");
        }
        assert!(is_whole(response));
        assert_eq!(
            (status(response), status(b"HTTP/1.1 20"), status(b"")),
            (Some(408), None, None)
        );
        assert!(is_whole(b"HTTP/1.1 204 No Content\r\n\r\n"));
    }
}
