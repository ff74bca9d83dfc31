//! The order for a probe, which the parent gives and the child carries out.

use std::net::{IpAddr, SocketAddr};

use netlab::SERVER_HOST;
use peers::ConnectionScript;
use serde::{Deserialize, Serialize};

/// The port of the server, on a host that has no others.
const PORT: u16 = 8080;

/// Where the server is.
pub(crate) fn address() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(SERVER_HOST), PORT)
}

/// The order for a probe.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ProbeOrder {
    /// The server's scripts.
    pub(crate) connections: Vec<ConnectionScript>,
    /// How long a packet travels, each way, in microseconds.
    pub(crate) delay_us: u64,
    /// The client and its arguments.
    pub(crate) command: Vec<String>,
    /// How long it may take, in microseconds.
    pub(crate) at_most_us: u64,
}
