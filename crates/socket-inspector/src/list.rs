//! `socket-inspector list`: one reading of the table.
//!
//! | file | idea |
//! |---|---|
//! | `args.rs` | what may be typed |
//! | `run.rs` | from there to what is written |
//! | `pairs.rs` | the table as text: the two ends of a connection as one pair |
//! | `rows.rs` | the table as text: a row a socket, with the columns that are asked for |
//! | `json.rs`, `csv.rs` | the same for programs and for spreadsheets |

pub(crate) mod args;
mod csv;
pub(crate) mod json;
mod pairs;
pub(crate) mod rows;
mod run;

pub(crate) use run::run;
