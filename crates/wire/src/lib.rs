//! One end of a TCP connection, and what passed through it.
//!
//! hyper has no hooks for the moments at which bytes really meet the socket, nor does it say who
//! closed a connection. [`Wire`] sits between hyper and the socket, passes everything through
//! unchanged and tells a [`Tap`] what it saw. It is the eye of both the client and the server.
//!
//! | idea | file |
//! |---|---|
//! | what is told, and to whom | `tap.rs` |
//! | the stream that tells it, and who closed first | `stream.rs` |
//! | what only the system knows about a socket | `system.rs` |
//! | the bytes of any connection read along, whoever speaks | [`http1`] |
//! | the same of TLS, without keys | [`tls`] |

pub mod http1;
mod stream;
mod system;
mod tap;
pub mod tls;

pub use stream::Wire;
pub use tap::{Ending, FirstClose, Tap};
