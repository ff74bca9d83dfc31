//! The steps by which a socket comes to listen.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket};

use crate::listening::socket_facts::fd;

/// A step to a listening socket that has succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindStep {
    /// When it was done, on the monotonic clock.
    pub at: Instant,
    /// The action.
    pub step: BindAction,
}

/// The action. Everything but [`BindAction::Listen`] is as the kernel tells it afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindAction {
    /// `socket(2)`.
    Socket {
        /// Its number among the files of this process; `None` where sockets have none (not Unix).
        fd: Option<i32>,
        /// True if it is of IPv6.
        is_ipv6: bool,
    },
    /// `setsockopt(2)`, where it is called. What the system does not tell is `None`.
    Options {
        /// `SO_REUSEADDR`: sockets in `TIME_WAIT` on the same port are not in the way.
        reuse_address: Option<bool>,
        /// `SO_RCVBUF` in bytes, which accepted connections inherit.
        receive_buffer: Option<usize>,
        /// `SO_SNDBUF` in bytes, which accepted connections inherit.
        send_buffer: Option<usize>,
    },
    /// `bind(2)`.
    Bind {
        /// The address it has now; the port is no longer 0.
        address: SocketAddr,
    },
    /// `listen(2)`. From now on the kernel completes handshakes, whether anybody accepts or not.
    Listen {
        /// How many connections may wait to be accepted, as the kernel was asked. It takes no more
        /// than `net.core.somaxconn`.
        asked_backlog: u32,
    },
}

/// Listens on `address`, asks for room for `backlog` connections that wait, and says how.
pub(crate) fn listen(
    address: SocketAddr,
    backlog: u32,
) -> io::Result<(TcpListener, Vec<BindStep>)> {
    let mut steps = Vec::with_capacity(4);
    let mut done = |step| steps.push(BindStep { at: Instant::now(), step });
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    done(BindAction::Socket { fd: fd(&socket), is_ipv6: address.is_ipv6() });
    // TIME_WAIT sockets of an earlier run on the same port shall not be in the way.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    done(BindAction::Options {
        reuse_address: socket.reuseaddr().ok(),
        receive_buffer: SockRef::from(&socket).recv_buffer_size().ok(),
        send_buffer: SockRef::from(&socket).send_buffer_size().ok(),
    });
    socket.bind(address)?;
    done(BindAction::Bind { address: socket.local_addr()? });
    let listener = socket.listen(backlog)?;
    done(BindAction::Listen { asked_backlog: backlog });
    Ok((listener, steps))
}
