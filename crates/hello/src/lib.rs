//! `hello`: the server of Keep-Alive Lab.
//!
//! It answers `Hello world` on every path that means nothing else, and it can be asked to do so
//! slowly, in two steps, at length or for the last time: see [`Answer`]. It listens before
//! [`Server::bind`] returns, so a client that knows its address can never come too early. Who
//! wants to know what it sees passes an [`Observer`].
//!
//! | idea | file |
//! |---|---|
//! | what is asked of an answer, by flag or by query | `answer.rs` |
//! | an answer that is there already, or is being made | `answering.rs` |
//! | the bytes of a body, however long | `body.rs` |
//! | what a connection is doing, since when, how long it may, why it ends | `clock.rs` |
//! | why a connection came to its end | `close_reason.rs` |
//! | what a connection is doing, in Go's words | `conn_state.rs` |
//! | one connection, from accept to close | `connection.rs` |
//! | several observers in the place of one | `fan_out.rs` |
//! | where in the client's bytes a head ends and a body begins | `heads.rs` |
//! | HTTP/2 on the same port | `http2.rs` |
//! | informational responses, slipped in below hyper | `interim.rs` |
//! | time limits with Go's meaning | `limits.rs` |
//! | closing so that the last response survives | `linger.rs` |
//! | the bookkeeping of one connection | `log.rs` |
//! | where messages begin and end | `message.rs` |
//! | the messages of a connection, numbered | `messages.rs` |
//! | counts for Prometheus | `metrics.rs` |
//! | what the server tells | `observer.rs` |
//! | what has to be refused and hyper lets pass | `refusal.rs` |
//! | the body of a request | `request_body.rs` |
//! | the body of a response, watched | `response_body.rs` |
//! | which request is answered by what | `routes.rs`, `routes/` |
//! | listening, accepting, stopping | `server.rs` |
//! | what the kernel says about a socket | `socket_facts.rs` |
//! | the steps to a listening socket | `listening.rs` |
//! | when it cannot accept | `trouble.rs` |
//! | whoever wants to know what happens on a connection | `watch.rs` |
//!
//! With the cargo feature `http2`, which is on by default, it also speaks HTTP/2 without TLS to
//! clients that begin in it (prior knowledge, RFC 9113 section 3.3), on the same port.
//!
//! With the cargo feature `routes`, also on by default, some paths do mean something else: see
//! [`index`]. Without it none does.

mod answer;
mod answering;
mod body;
mod clock;
mod close_reason;
mod conn_state;
mod connection;
mod fan_out;
mod heads;
#[cfg(feature = "http2")]
mod http2;
mod interim;
mod limits;
mod linger;
mod listening;
mod log;
mod message;
mod messages;
#[cfg(feature = "metrics")]
mod metrics;
mod observer;
mod refusal;
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
pub use limits::Limits;
pub use listening::{BindStep, Step};
#[cfg(feature = "metrics")]
pub use metrics::Metrics;
pub use observer::{
    Accepted, Exchange, Observer, RequestHead, ServerEvent, ServerMoment, Wants, WireBody, target,
};
#[cfg(feature = "routes")]
pub use routes::{UploadProgress, UploadState, Uploads, index};
pub use server::{BACKLOG, Error, GRACE, Running, Server};
pub use socket_facts::{KeepAlive, SocketFacts};
pub use trouble::{ACCEPT_BACKOFF, AcceptTrouble};

/// Locks `mutex`. A panic elsewhere leaves nothing half done behind these locks, so it does not
/// become ours.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
