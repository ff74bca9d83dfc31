//! Linux: what the library's `TableWatch` sees, shown.
//!
//! | file | idea |
//! |---|---|
//! | `run.rs` | from what was typed to what is shown |
//! | `connections.rs` | from changes to connections: both ends, their past, and what is over |
//! | `tallies.rs` | how many were in which state, over time |
//! | `search.rs` | which connections are shown: what is typed behind `/` |
//! | `app.rs` | what is on the screen, and what a key does to it; no terminal |
//! | `screen.rs` | the picture of that |
//! | `terminal.rs` | the terminal itself: taken, drawn on, given back |
//! | `pace.rs` | when to look next |
//! | `jsonl.rs` | the same changes for programs |

mod app;
mod connections;
mod jsonl;
mod pace;
mod run;
#[cfg(test)]
mod samples;
mod screen;
mod search;
mod tallies;
mod terminal;

pub(crate) use run::run;
