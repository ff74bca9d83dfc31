//! One end of one connection, by its addresses.

use std::net::SocketAddr;

use evidence::{Socket, canonical};

/// The two addresses of a socket: at any moment they belong to one socket of a network, but later
/// to another one.
///
/// ```
/// use socket_table::AddressPair;
///
/// let client = AddressPair {
///     local: "[::ffff:127.0.0.1]:50000".parse()?,
///     peer: "[::ffff:127.0.0.1]:80".parse()?,
/// };
/// let server = AddressPair { local: "127.0.0.1:80".parse()?, peer: "127.0.0.1:50000".parse()? };
/// assert_eq!(client.canonical().turned(), server);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressPair {
    /// Its own.
    pub local: SocketAddr,
    /// That of the other end.
    pub peer: SocketAddr,
}

impl AddressPair {
    /// Those of `socket`, as they are listed.
    #[must_use]
    pub fn of(socket: &Socket) -> Self {
        Self { local: socket.local, peer: socket.peer }
    }

    /// The same with IPv4 as plain IPv4, so that both ends of a connection are told alike, whichever
    /// family their sockets are of.
    #[must_use]
    pub fn canonical(self) -> Self {
        Self { local: canonical(self.local), peer: canonical(self.peer) }
    }

    /// Those of the other end.
    #[must_use]
    pub fn turned(self) -> Self {
        Self { local: self.peer, peer: self.local }
    }
}
