//! The bytes of HTTP/1.1, read along without changing them: where heads and bodies begin and end
//! (RFC 9112), and what a head says.
//!
//! Nothing here does I/O or decides what to answer. A reader takes bytes in whatever pieces they
//! come, copies only lines that are cut, and never panics; what makes no sense is
//! [lost](MessageSplitter::is_lost), and nothing after it is a message.
//!
//! Both directions of a connection that is merely observed are read side by side, the requests
//! first, because the end of a response may depend on the method that it answers:
//!
//! ```
//! use std::collections::VecDeque;
//!
//! use wire::http1::{Direction, MessagePart, MessageSplitter};
//!
//! let mut methods = VecDeque::new();
//! let mut requests = MessageSplitter::new(Direction::Requests);
//! requests.feed(b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", Default::default, |part| {
//!     if let MessagePart::Head(facts) = part {
//!         methods.push_back(facts.method);
//!     }
//! });
//!
//! let mut answered = 0;
//! let mut responses = MessageSplitter::new(Direction::Responses);
//! let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n"; // and no body
//! responses.feed(bytes, || methods.pop_front().unwrap_or_default(), |part| {
//!     answered += u32::from(matches!(part, MessagePart::End(_)));
//! });
//! assert_eq!(answered, 1);
//! ```
//!
//! | idea | file |
//! |---|---|
//! | one direction of a connection, message after message | `splitter.rs` |
//! | one head, line by line, and what it says about the body behind it | `head.rs` |
//! | one body, and where it ends | `body.rs` |
//! | a line that may come in pieces | `line.rs` |
//! | the nouns that these share | `message.rs` |
//! | what a request's target, host, codings and chunks may be | `grammar.rs` |
//! | a whole head taken apart | `whole.rs` |

mod body;
mod grammar;
mod head;
mod line;
mod message;
mod splitter;
mod whole;

pub use body::BodyLength;
pub use grammar::{TransferCodings, is_host, is_target};
pub use head::{HeadFacts, HeadLine, HeadReader, LengthField, LineKind, is_100_continue};
pub use message::{AnsweredMethod, Direction};
pub use splitter::{
    MessagePart, MessageSplitter, RequestFault, UnfinishedPart, is_one_bodyless_head,
};
pub use whole::{RequestLine, head_lines};
