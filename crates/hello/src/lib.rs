//! `hello`: the server of Keep-Alive Lab.
//!
//! It answers `Hello world` on every path, and it can be asked to do so slowly, in two steps, at
//! length or for the last time: see [`Answer`]. It listens before [`Server::bind`] returns, so a
//! client that knows its address can never come too early. Who wants to know what it sees passes
//! an [`Observer`].
//!
//! | idea | file |
//! |---|---|
//! | what is asked of an answer, by flag or by query | `answer.rs` |
//! | the bytes of a body, however long | `body.rs` |
//! | why a connection came to its end | `close_reason.rs` |
//! | where a connection stands | `conn_state.rs` |
//! | one connection, from accept to close | `connection.rs` |
//! | several observers in the place of one | `fan_out.rs` |
//! | HTTP/2 on the same port | `http2.rs` |
//! | how long a connection has been idle | `idle.rs` |
//! | the bookkeeping of one connection | `log.rs` |
//! | where messages begin and end | `message.rs` |
//! | the messages of a connection, numbered | `messages.rs` |
//! | counts for Prometheus | `metrics.rs` |
//! | what the server tells | `observer.rs` |
//! | the body of a request | `request_body.rs` |
//! | the body of a response, watched | `response_body.rs` |
//! | which request is answered by what | `routes.rs` |
//! | listening, accepting, stopping | `server.rs` |
//! | what the kernel says about a socket | `socket_facts.rs` |
//! | the steps to a listening socket | `listening.rs` |
//! | when it cannot accept | `trouble.rs` |
//! | whoever wants to know what happens on a connection | `watch.rs` |
//!
//! With the cargo feature `http2`, which is on by default, it also speaks HTTP/2 without TLS to
//! clients that begin in it (prior knowledge, RFC 9113 section 3.3), on the same port.

mod answer;
mod body;
mod close_reason;
mod conn_state;
mod connection;
mod fan_out;
#[cfg(feature = "http2")]
mod http2;
mod idle;
mod listening;
mod log;
mod message;
mod messages;
#[cfg(feature = "metrics")]
mod metrics;
mod observer;
mod request_body;
mod response_body;
mod routes;
mod server;
mod socket_facts;
mod trouble;
mod watch;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use answer::{Answer, BadQuery};
pub use close_reason::CloseReason;
pub use conn_state::ConnState;
pub use listening::{BindStep, Step};
#[cfg(feature = "metrics")]
pub use metrics::Metrics;
pub use observer::{
    Accepted, Exchange, Observer, RequestHead, ServerEvent, ServerMoment, Wants, WireBody, target,
};
pub use server::{BACKLOG, Error, GRACE, Running, Server};
pub use socket_facts::{KeepAlive, SocketFacts};
pub use trouble::{ACCEPT_BACKOFF, AcceptTrouble};

/// Locks `mutex`. A panic elsewhere leaves nothing half done behind these locks, so it does not
/// become ours.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
