//! From a URL to an established connection.
//!
//! | idea | file |
//! |---|---|
//! | a dial, from the name to the connection | `dialer.rs` |
//! | what connections are pooled by: scheme, host and port | `target.rs` |
//! | how a connection may be made otherwise: TLS, and addresses to connect to | `dialling.rs` |
//! | which address of a name, and the race of IPv4 with IPv6 | `race.rs` |
//! | the keys of TLS, for whoever reads packets | `keys.rs` |
//! | what is told of a dial that nobody waits for any more | `given_up.rs` |
//! | the TLS handshake, TLS on the wire, and a failed handshake in plain words | `tls.rs`, `tls/`, or `without_tls.rs` |

pub(crate) mod dialer;
pub(crate) mod dialling;
pub(crate) mod given_up;
pub(crate) mod keys;
pub(crate) mod race;
pub(crate) mod target;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(not(feature = "tls"))]
#[path = "dial/without_tls.rs"]
pub(crate) mod tls;
