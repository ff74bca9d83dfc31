//! The bytes of TLS, read along without keys: where records begin and end, and what both ends say
//! before anything is encrypted.
//!
//! Nothing here decrypts, checks a signature or does I/O. A reader takes the bytes of one direction in
//! whatever pieces they come; what makes no sense is [lost](RecordSplitter::is_lost), and nothing after
//! it is a record.
//!
//! Who is meant, and which versions of HTTP the client speaks, stands in the first message of all:
//!
//! ```
//! use wire::tls::{RecordSplitter, TlsPart, hello_example};
//!
//! let (mut name, mut protocols) = (None, Vec::new());
//! let mut splitter = RecordSplitter::default();
//! for piece in hello_example("example.com", &["h2", "http/1.1"]).chunks(7) {
//!     splitter.feed(piece, |part| {
//!         if let TlsPart::ClientHello { hello, .. } = part {
//!             (name, protocols) = (hello.server_name, hello.protocols);
//!         }
//!     });
//! }
//! assert_eq!(name.as_deref(), Some("example.com"));
//! assert_eq!(protocols, ["h2", "http/1.1"]);
//! ```
//!
//! | idea | file |
//! |---|---|
//! | one direction of a connection, record after record | `records.rs` |
//! | messages of the handshake, put together from records | `messages.rs` |
//! | what a client offers, and what a server has chosen | `hello.rs` |
//! | versions and cipher suites under their names, and what they add to each record | `suite.rs` |

mod hello;
mod messages;
mod records;
mod suite;

pub use hello::{ClientHello, ServerHello, client_random, hello_example};
pub use records::{Record, RecordKind, RecordSplitter, TlsPart};
pub use suite::{CipherSuite, Protection, TlsVersion};
