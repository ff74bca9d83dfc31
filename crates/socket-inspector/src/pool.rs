//! `socket-inspector pool`: a process's connections from outside, what ails them, and what to do.
//!
//! | file | idea |
//! |---|---|
//! | `args.rs` | what may be typed |
//! | `run.rs` | some looks, and one report |
//! | `looks.rs` | from looks at connections to pools |
//! | `lives.rs` | which connections were used again, and who closed first |
//! | `dials.rs` | the kernel's own count of connections |
//! | `standing.rs` | a connection of a pool, and how it stands |
//! | `client_pool.rs` | a pool |
//! | `ailments.rs` | what ails a pool, and by which evidence |
//! | `text.rs`, `json.rs` | a pool for people, and for programs |

mod ailments;
pub(crate) mod args;
mod client_pool;
mod dials;
mod json;
mod lives;
mod looks;
mod run;
mod standing;
mod text;

pub(crate) use run::run;
