//! What people and programs read: evidence in, bytes out.
//!
//! Nothing here asks the system or decides where output goes. Text carries its colours as ANSI
//! escapes; the binaries write through a stream that takes them out again where nobody would see
//! them (a pipe, `NO_COLOR`).
//!
//! | file | idea |
//! |---|---|
//! | `sockets.rs` | a socket table as text: connections by who holds them, then the rest |
//! | `inspected.rs` | sockets in depth: the columns that are asked for |
//! | `ports.rs`, `json/ports.rs` | the budget of ports of each destination |
//! | `pool.rs`, `json/pool.rs` | a pool from outside, what ails it and what to do |
//! | `run.rs` | a run, from its plan over its exchanges to its verdict, as it happens |
//! | `run/lines.rs` | a line an exchange, a line a moment of the trace |
//! | `run/tables.rs` | a run's sockets while running and after closing |
//! | `run/exhibits.rs` | a run's connections and tables alone |
//! | `run/verdict.rs` | what a run has shown, in sentences |
//! | `json.rs` | socket tables for programs |
//! | `json/inspected.rs` | sockets in depth for programs |
//! | `json/run.rs` | runs for programs |
//! | `csv.rs` | sockets in depth for spreadsheets |
//! | `words.rs` | how a timer, an owner, a tally is put into words |
//! | `columns.rs` | aligned columns that drop out where they would be empty |

pub mod columns;
pub mod csv;
pub mod inspected;
pub mod json;
#[cfg(test)]
mod plain;
pub mod pool;
pub mod ports;
pub mod run;
pub mod sockets;
pub mod words;
