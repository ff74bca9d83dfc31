//! What is known of a connection, and who is told.
//!
//! | idea | file |
//! |---|---|
//! | what the server tells | `observer.rs` |
//! | several observers in the place of one | `fan_out.rs` |
//! | how many connections and requests there were | `tally.rs` |
//! | whoever wants to know what happens on a connection | `watch.rs` |
//! | the bookkeeping of one connection, for the observer | `log.rs` |
//! | the exchanges of a connection, for a summary of each | `exchanges.rs` |
//! | the messages of a connection, numbered | `messages.rs` |
//! | the parts of messages, put together for whoever is told of them | `parts.rs` |
//! | protocols that are not the server's, by their first bytes | `protocol.rs` |

pub(crate) mod exchanges;
pub(crate) mod fan_out;
pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod observer;
pub(crate) mod parts;
pub(crate) mod protocol;
pub(crate) mod tally;
pub(crate) mod watch;
