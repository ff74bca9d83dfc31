//! `socket-inspector pool`: a process's connections from outside, what ails them, and what to do.
//!
//! | file | idea |
//! |---|---|
//! | `args.rs` | what may be typed |
//! | `run.rs` | some looks, and one report |
//! | `looks.rs` | from looks at connections to pools |
//! | `standing.rs` | the nouns: a pool, a connection of it and how that stands, what ails it |
//! | `text.rs`, `json.rs` | a pool for people, and for programs |

pub(crate) mod args;
mod json;
mod looks;
mod run;
mod standing;
mod text;

pub(crate) use run::run;
