//! The bytes of HTTP/1.1, read along without changing them: where heads and bodies begin and end
//! (RFC 9112), and what a head says.
//!
//! Nothing here does I/O or decides what to answer. A reader takes bytes in whatever pieces they
//! come, copies only lines that are cut, and never panics; what makes no sense is
//! [lost](MessageSplitter::is_lost), and nothing after it is a message.
//!
//! | idea | file |
//! |---|---|
//! | one direction of a connection, message after message | `splitter.rs` |
//! | one head, line by line, and what it says about the body behind it | `head.rs` |
//! | one body, and where it ends | `body.rs` |
//! | a line that may come in pieces | `line.rs` |
//! | a whole head taken apart | `whole.rs` |

mod body;
mod head;
mod line;
mod splitter;
mod whole;

pub use body::{BodyFraming, BodyLength};
pub use head::{HeadFacts, HeadLine, HeadReader, LengthField, LineKind, is_100_continue};
pub use splitter::{AnsweredMethod, Direction, MessagePart, MessageSplitter, is_one_bodyless_head};
pub use whole::{RequestLine, StatusLine, head_lines};
