//! `socket-inspector watch`: the table as it changes, in a terminal or as a stream of JSON.
//!
//! It belongs to the program, not to the library, whose `Watch` it shows.
//!
//! | file | idea |
//! |---|---|
//! | `connections.rs` | from changes to connections: both ends, their past, and what is over |
//! | `tallies.rs` | how many were in which state, over time |
//! | `wanted.rs` | which connections are shown: what is typed behind `/` |
//! | `app.rs` | what is on the screen, and what a key does to it; no terminal |
//! | `screen.rs` | the picture of that |
//! | `terminal.rs` | the terminal itself: taken, drawn on, given back |
//! | `pace.rs` | when to look next |
//! | `jsonl.rs` | the same changes for programs |
//!
//! On systems other than Linux it is refused.

mod app;
mod connections;
mod jsonl;
mod pace;
#[cfg(test)]
mod samples;
mod screen;
mod tallies;
mod terminal;
mod wanted;

pub(crate) use app::App;
pub(crate) use jsonl::follow;
pub(crate) use pace::Pace;
pub(crate) use terminal::show;
