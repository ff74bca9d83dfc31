//! Addresses that know their role: a client's address is not a server's address.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The address as both ends of a connection tell it: an IPv4 address that a dual-stack socket shows
/// as `::ffff:127.0.0.1` becomes plain IPv4.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The address of the end that dialled. Its port is ephemeral: the kernel picked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientAddr(SocketAddr);

/// The address of the end that listened, the one a client dials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ServerAddr(SocketAddr);

/// The two addresses that identify one TCP connection while it lives (RFC 9293 section 3.3.1).
///
/// Once a connection is over the same two addresses may name another one: a client port is free
/// for the same server again when its `TIME_WAIT` ends, or earlier with `tcp_tw_reuse`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ends {
    /// The end that dialled.
    pub client: ClientAddr,
    /// The end that listened.
    pub server: ServerAddr,
}

macro_rules! role {
    ($role:ident) => {
        impl $role {
            /// Takes an address in this role, [`canonical`], so that both ends compare equal.
            #[must_use]
            pub fn new(address: SocketAddr) -> Self {
                Self(canonical(address))
            }

            /// The address and port, whatever their role.
            #[must_use]
            pub fn socket_addr(self) -> SocketAddr {
                self.0
            }

            /// The port, in host byte order.
            #[must_use]
            pub fn port(self) -> u16 {
                self.0.port()
            }
        }

        impl fmt::Display for $role {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

role!(ClientAddr);
role!(ServerAddr);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_ipv4_address_equals_the_plain_one() {
        let mapped = ServerAddr::new("[::ffff:127.0.0.1]:8080".parse().unwrap());
        let plain = ServerAddr::new("127.0.0.1:8080".parse().unwrap());
        assert_eq!(mapped, plain);
        assert_eq!(mapped.to_string(), "127.0.0.1:8080");
    }
}
