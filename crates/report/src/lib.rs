//! What people and programs read: evidence in, bytes out.
//!
//! Nothing here asks the system or decides where output goes. Text carries its colours as ANSI
//! escapes; the binaries write through a stream that takes them out again where nobody would see
//! them (a pipe, `NO_COLOR`).
//!
//! | file | idea |
//! |---|---|
//! | `sockets.rs` | a socket table as text: connections by who holds them, then the rest |
//! | `json.rs` | the same for programs |
//! | `words.rs` | how a timer, an owner, a tally is put into words |
//! | `columns.rs` | aligned columns that drop out where they would be empty |

pub mod columns;
pub mod json;
pub mod sockets;
pub mod words;
