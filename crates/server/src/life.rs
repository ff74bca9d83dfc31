//! The life of one connection: what it is doing, how long it may, and why it ends.
//!
//! | idea | file |
//! |---|---|
//! | what it is doing, since when, and when its time is over | `clock.rs` |
//! | time limits with Go's meaning | `limits.rs` |
//! | what it is doing, in Go's words | `conn_state.rs` |
//! | where a close gets its reason | `reasons.rs` |

pub(crate) mod clock;
pub(crate) mod conn_state;
pub(crate) mod limits;
pub(crate) mod reasons;
