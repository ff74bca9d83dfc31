//! Why a server does not listen.

use std::io;
use std::net::SocketAddr;

use evidence::Owner;

/// Why the server could not listen.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else listens at the address.
    #[error("cannot listen on {address}: port {} is in use{}", address.port(), by(owners))]
    PortInUse {
        /// The address asked for.
        address: SocketAddr,
        /// The processes that listen there, as far as the system tells.
        owners: Vec<Owner>,
        /// The system's words.
        source: io::Error,
    },
    /// Anything else went wrong.
    #[error("cannot listen on {address}")]
    CannotListen {
        /// The address asked for.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
}

fn by(owners: &[Owner]) -> String {
    let owners: Vec<String> =
        owners.iter().map(|owner| format!("{} (pid {})", owner.process, owner.pid)).collect();
    if owners.is_empty() { String::new() } else { format!(" by {}", owners.join(", ")) }
}
