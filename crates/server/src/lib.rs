//! The server of Keep-Alive Lab, as a library.
//!
//! It listens before [`Server::bind`] returns, so a client that knows its address can never come
//! too early. It answers `Hello world`, slowly, in two steps, at length or for the last time if it
//! is asked to ([`Answer`]), or lets a [`Responder`] answer. Who wants to know what it sees passes
//! an [`Observer`].
//!
//! | idea | file |
//! |---|---|
//! | listening, accepting, stopping | `server.rs`, `listening/` |
//! | one connection, from accept to close | `connection.rs`, `to_its_end.rs` |
//! | HTTP/2 on the same port | `http2.rs` |
//! | from a request to its response | `answers/` |
//! | the bodies of both | `bodies/` |
//! | what a connection is doing, how long it may, why it ends | `life/` |
//! | what stands between hyper and the wire | `stream/` |
//! | what is known of a connection, and who is told | `watching/` |
//!
//! With the cargo feature `http2` it also speaks HTTP/2 without TLS to clients that begin in it
//! (prior knowledge, RFC 9113 section 3.3), on the same port.
//!
//! TLS is spoken with what the caller brings ([`ServerTls`]); the crate itself knows none.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::io::{Read, Write};
//!
//! use server::{Answer, Server};
//!
//! let running = Server::bind("127.0.0.1:0".parse()?, Answer::default())?.start();
//! let address = running.address().socket_addr();
//! let answer = tokio::task::spawn_blocking(move || -> std::io::Result<String> {
//!     let mut client = std::net::TcpStream::connect(address)?;
//!     client.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
//!     let mut answer = String::new();
//!     client.read_to_string(&mut answer)?;
//!     Ok(answer)
//! });
//! assert!(answer.await??.ends_with("\r\n\r\nHello world"));
//! # Ok(()) }
//! ```

mod answers;
mod bodies;
mod connection;
#[cfg(feature = "http2")]
mod http2;
mod life;
mod listening;
mod server;
mod stream;
mod to_its_end;
mod watching;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use evidence::ServerCloseReason;

pub use answers::answer::{Answer, BadQuery};
pub use answers::hello_world::{HelloWorld, wait};
pub use answers::responder::{Responder, ResponseBody, ResponseFuture, close, whole, words};
pub use bodies::hello_body::{HelloBody, LINES};
pub use bodies::request_body::{RequestBody, RequestBodyError};
pub use life::conn_state::ConnState;
pub use life::limits::ServerLimits;
pub use listening::error::Error;
pub use listening::listen::{BindAction, BindStep, OpenListener};
pub use listening::socket_facts::{KeepAlive, SocketFacts};
pub use listening::trouble::{ACCEPT_BACKOFF, AcceptTrouble};
pub use server::{BACKLOG, GRACE, RunningServer, Server};
pub use stream::interim::{InterimSend, InterimSender};
pub use stream::secured::{ByteStream, Handshake, SecureStream, ServerTls};
pub use watching::observer::{
    AcceptedId, CutPart, Observer, ObserverWants, ReceivedHead, RefusedRequest, ServedExchange,
    ServerEvent, ServerMoment, WireBody, target,
};
pub use watching::protocol::ForeignProtocol;
pub use watching::tally::ServerTally;

/// Locks `mutex`. A panic elsewhere leaves nothing half done behind these locks, so it does not
/// become ours.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
