//! What the kernel says about a socket when it is asked, rather than what was asked of it.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;

/// The options of an accepted connection, read back with `getsockopt`. What the system does not
/// tell is `None`, and so is an option that it does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketFacts {
    /// Its number among the files of this process; `None` where sockets have none (not Unix).
    pub fd: Option<i32>,
    /// The server's end of the connection.
    pub local: Option<SocketAddr>,
    /// `TCP_NODELAY`: small writes are not held back (Nagle's algorithm is off).
    pub nodelay: Option<bool>,
    /// `SO_KEEPALIVE`: the kernel probes a silent peer. Not HTTP keep-alive.
    pub keepalive: Option<KeepAlive>,
    /// `SO_RCVBUF` in bytes, as the kernel doubles it for its own bookkeeping.
    pub receive_buffer: Option<usize>,
    /// `SO_SNDBUF` in bytes, doubled likewise.
    pub send_buffer: Option<usize>,
    /// `TCP_MAXSEG`: the most bytes a segment carries.
    pub max_segment: Option<u32>,
    /// `TCP_CONGESTION`: the algorithm, such as `cubic`.
    pub congestion: Option<String>,
}

/// TCP keepalive as the kernel carries it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// It never probes.
    Off,
    /// It probes.
    On {
        /// After so much silence.
        idle: Duration,
        /// Then so often, while no answer comes.
        interval: Duration,
        /// So many times before it gives the connection up.
        probes: u32,
    },
}

impl SocketFacts {
    /// Asks the kernel about `stream`.
    pub(crate) fn of(stream: &tokio::net::TcpStream) -> Self {
        let socket = SockRef::from(stream);
        Self {
            fd: fd(stream),
            local: stream.local_addr().ok(),
            nodelay: socket.tcp_nodelay().ok(),
            keepalive: keepalive(&socket),
            receive_buffer: socket.recv_buffer_size().ok(),
            send_buffer: socket.send_buffer_size().ok(),
            ..Self::of_unix(&socket)
        }
    }

    #[cfg(target_os = "linux")]
    fn of_unix(socket: &SockRef<'_>) -> Self {
        // The name comes in a field of fixed size, filled up with zeros.
        let name = |bytes: Vec<u8>| {
            let name = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
            String::from_utf8_lossy(name).into_owned()
        };
        let congestion = socket.tcp_congestion().ok().map(name);
        Self { max_segment: socket.tcp_mss().ok(), congestion, ..Self::default() }
    }

    #[cfg(not(target_os = "linux"))]
    fn of_unix(_: &SockRef<'_>) -> Self {
        Self::default()
    }
}

#[cfg(unix)]
pub(crate) fn fd(socket: &impl std::os::fd::AsRawFd) -> Option<i32> {
    Some(socket.as_raw_fd())
}

#[cfg(not(unix))]
pub(crate) fn fd<T>(_: &T) -> Option<i32> {
    None
}

#[cfg(unix)]
fn keepalive(socket: &SockRef<'_>) -> Option<KeepAlive> {
    if !socket.keepalive().ok()? {
        return Some(KeepAlive::Off);
    }
    Some(KeepAlive::On {
        idle: socket.tcp_keepalive_time().ok()?,
        interval: socket.tcp_keepalive_interval().ok()?,
        probes: socket.tcp_keepalive_retries().ok()?,
    })
}

#[cfg(not(unix))]
fn keepalive(socket: &SockRef<'_>) -> Option<KeepAlive> {
    (!socket.keepalive().ok()?).then_some(KeepAlive::Off)
}
