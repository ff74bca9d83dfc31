//! Before a connection is served: listening, accepting, and what the kernel tells of a socket.
//!
//! | idea | file |
//! |---|---|
//! | the steps to a listening socket | `listen.rs` |
//! | why a server does not listen | `error.rs` |
//! | when the server cannot accept | `trouble.rs` |
//! | what the kernel says about a socket | `socket_facts.rs` |

pub(crate) mod error;
pub(crate) mod listen;
pub(crate) mod socket_facts;
pub(crate) mod trouble;
