//! Peers that speak HTTP only as far as a script says: what a real client or server meets on a bad
//! day, at will.
//!
//! | idea | file |
//! |---|---|
//! | a client that is none: sends these bytes, waits, and stays | `client.rs` |
//! | a server that does as it is told, connection by connection | `server.rs` |
//! | the script of such a server, as it stands in a file | `script.rs` |
//! | what became of each of its connections | `story.rs` |
//!
//! Nothing here judges: what a peer sees is told as data. Heads are read by [`wire::http1`], as
//! everywhere.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! use std::io::{Read, Write};
//! use std::net::TcpStream;
//!
//! use peers::{ConnectionScript, PeerEnd, ScriptedServer, ServerStep};
//!
//! // Answers the first request, and closes while the second is on its way.
//! let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
//! let script = ConnectionScript::of([
//!     ServerStep::ReadHead,
//!     ServerStep::Answer(answer.to_owned()),
//!     ServerStep::Close,
//! ]);
//! let server = ScriptedServer::bind("127.0.0.1:0".parse().unwrap(), vec![script])?;
//! let address = server.address().socket_addr();
//! let client = tokio::task::spawn_blocking(move || -> std::io::Result<String> {
//!     let mut stream = TcpStream::connect(address)?;
//!     stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")?;
//!     let mut all = String::new();
//!     stream.read_to_string(&mut all)?;
//!     Ok(all)
//! });
//! assert_eq!(client.await??, answer);
//! let stories = server.stop().await;
//! assert_eq!(stories[0].end, PeerEnd::Closed);
//! # Ok(()) }
//! ```

mod client;
mod script;
mod server;
mod story;

pub use client::{RawClient, RawOrder, RawSeen, RawWait, carry_out};
pub use script::{ConnectionScript, ServerStep, StepTime};
pub use server::ScriptedServer;
pub use story::{PeerEnd, PeerHead, PeerLeft, PeerStory};
