//! `socket-inspector ports`: the ports that clients use up, and for how long there are more.
//!
//! | file | idea |
//! |---|---|
//! | `args.rs` | what may be typed |
//! | `run.rs` | one report, or one after each interval |
//! | `count.rs` | from readings of the table to the ports in use towards each destination |
//! | `likely.rs` | clients' ends where nothing tells the side |
//! | `taken.rs` | ports that are taken from all connections, and queues that are full |
//! | `budget.rs` | the nouns, and when the ports will be exhausted |
//! | `text.rs`, `json.rs` | the budget for people, and for programs |

pub(crate) mod args;
mod budget;
mod count;
mod json;
mod likely;
mod run;
mod taken;
mod text;

pub(crate) use run::run;
