//! What stands between hyper and the wire.
//!
//! | idea | file |
//! |---|---|
//! | informational responses, slipped in below hyper | `interim.rs` |
//! | closing so that the last response survives | `linger.rs` |
//! | TLS, whoever brings it, heard above and below | `secured.rs` |

pub(crate) mod interim;
pub(crate) mod linger;
pub(crate) mod secured;
