//! The steps by which a socket comes to listen.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Instant;

use evidence::{Owner, ServerAddr};
use socket2::{Domain, Protocol, Socket, Type};

use crate::listening::error::Error;
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

/// A socket that listens, and that no runtime knows yet. Whoever connects waits.
///
/// It listens in the network in which the calling thread was when it was made, whoever accepts.
#[derive(Debug)]
pub struct OpenListener {
    pub(crate) listener: TcpListener,
    pub(crate) steps: Vec<BindStep>,
    pub(crate) address: ServerAddr,
}

impl OpenListener {
    /// Listens on `address` (port 0: any free one), and asks the kernel for room for `backlog`
    /// connections that wait to be accepted. It grants no more than `net.core.somaxconn`, and Linux
    /// lets one more wait than it has granted.
    ///
    /// # Errors
    /// [`Error::PortInUse`] with the port's owner, or [`Error::CannotListen`].
    pub fn open(address: SocketAddr, backlog: u32) -> Result<Self, Error> {
        let told = |source| Error::CannotListen { address, source };
        let (listener, steps) = listen(address, backlog).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => {
                Error::PortInUse { address, owners: owners_of(address.port()), source }
            }
            _ => told(source),
        })?;
        let address = ServerAddr::new(listener.local_addr().map_err(told)?);
        Ok(Self { listener, steps, address })
    }

    /// The address it really has.
    #[must_use]
    pub fn address(&self) -> ServerAddr {
        self.address
    }
}

/// Returns who listens on `port`, for a message: if that cannot be found out, the message does
/// without.
fn owners_of(port: u16) -> Vec<Owner> {
    let listener = socket_table::listener(port).ok().flatten();
    listener.and_then(|listener| listener.owners.known()).unwrap_or_default().to_vec()
}

/// Listens on `address`, asks for room for `backlog` connections that wait, and says how.
fn listen(address: SocketAddr, backlog: u32) -> io::Result<(TcpListener, Vec<BindStep>)> {
    let mut steps = Vec::with_capacity(4);
    let mut done = |step| steps.push(BindStep { at: Instant::now(), step });
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    done(BindAction::Socket { fd: fd(&socket), is_ipv6: address.is_ipv6() });
    // As the runtime wants it.
    socket.set_nonblocking(true)?;
    // TIME_WAIT sockets of an earlier run on the same port shall not be in the way.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    done(BindAction::Options {
        reuse_address: socket.reuse_address().ok(),
        receive_buffer: socket.recv_buffer_size().ok(),
        send_buffer: socket.send_buffer_size().ok(),
    });
    socket.bind(&address.into())?;
    let listener = TcpListener::from(socket);
    done(BindAction::Bind { address: listener.local_addr()? });
    socket2::SockRef::from(&listener).listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    done(BindAction::Listen { asked_backlog: backlog });
    Ok((listener, steps))
}
