//! What is seen of a connection, and who hears of it.
//!
//! | idea | file |
//! |---|---|
//! | what is seen on the socket itself | `wire.rs` |
//! | what is known about a connection, and why it was closed | `record.rs` |
//! | how far request and response are on the wire | `talk.rs` |
//! | an answer, as far as its bytes show what hyper does not tell | `answer.rs` |
//! | which protocol begins like that | `first_bytes.rs` |
//! | what of it is not shown | `secrets.rs` |
//! | who hears of it | `trace.rs` |

pub(crate) mod answer;
pub(crate) mod first_bytes;
pub(crate) mod record;
pub(crate) mod secrets;
pub(crate) mod talk;
pub(crate) mod trace;
pub(crate) mod wire;
