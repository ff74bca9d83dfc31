//! What people and programs read: evidence in, bytes out.
//!
//! Nothing here asks the system or decides where output goes. Text carries its colours as ANSI
//! escapes; the binaries write through a stream that takes them out again where nobody would see
//! them (a pipe, `NO_COLOR`).
//!
//! | file | idea |
//! |---|---|
//! | `ends.rs` | one end of a connection, as columns |
//! | `run.rs` | a run, from its plan over its exchanges to its verdict, as it happens |
//! | `run/lines.rs` | a line an exchange, a line a moment of the trace |
//! | `run/tables.rs` | a run's sockets while running and after closing |
//! | `run/exhibits.rs` | a run's connections and tables alone |
//! | `run/verdict.rs` | what a run has shown, in sentences |
//! | `run/peer.rs` | what the other end did, in sentences |
//! | `run/next.rs` | which command to try next |
//! | `run/change.rs`, `run/shell.rs` | how its flags are changed, and how it is typed |
//! | `json.rs` | socket tables for programs |
//! | `json/run.rs`, `json/packets.rs` | runs for programs, and their packets |
//! | `wire.rs` | a run's packets |
//! | `wire/list.rs` | a line a packet |
//! | `wire/ladder.rs`, `wire/lane.rs` | a connection as a ladder, and the arrows in it |
//! | `wire/states.rs`, `wire/figure.rs` | the states of both ends in RFC 9293's diagram, and that diagram |
//! | `wire/ruler.rs`, `wire/totals.rs` | the bytes of each packet as a bar, and what they come to |
//! | `wire/life.rs` | which packet led which end into which state |
//! | `wire/table.rs` | these states held against the kernel's table |
//! | `wire/kinds.rs` | connections that look alike |
//! | `wire/talks.rs` | which connection and exchange a packet belongs to |
//! | `wire/numbers.rs`, `wire/notes.rs` | sequence numbers; what a record does not tell |
//! | `words.rs` | how a timer, an owner, a tally is put into words |
//! | `page.rs` | how wide the page is that text is written on |
//! | `columns.rs` | aligned columns that drop out where they would be empty |

pub mod columns;
pub mod ends;
pub mod json;
pub mod page;
pub mod run;
pub mod wire;
pub mod words;
