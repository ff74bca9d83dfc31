//! The program `socket-inspector`: this machine's TCP sockets, listed, watched, traced, counted and
//! judged. What it sees it is told by the crate `socket-table`.
//!
//! A command is a folder, with what may be typed (`args.rs`), what is done (`run.rs`) and what is
//! written (`text.rs`, `json.rs`).
//!
//! | idea | file |
//! |---|---|
//! | what may be typed, and which command is meant | `cli.rs` |
//! | one reading of the table | `list.rs`, `list/` |
//! | connections as they come, change and go | `watch.rs`, `watch/` |
//! | every change of state | `trace.rs`, `trace/` |
//! | ports that are left | `ports.rs`, `ports/` |
//! | a process's connections from outside | `pool.rs`, `pool/` |
//! | when a watch or a trace is over | `stop.rs` |
//! | what this system, or this user, does not get to see | `access.rs` |

mod access;
mod cli;
mod list;
#[cfg(test)]
mod plain;
mod pool;
mod ports;
#[cfg(target_os = "linux")]
mod stop;
mod trace;
mod watch;

/// Doors for a fuzzer, which alone can open them (`--cfg fuzzing`).
#[cfg(all(fuzzing, target_os = "linux"))]
pub mod fuzzing {
    pub use crate::trace::fuzzed as tracefs;
}

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{InspectorArgs, InspectorCommand};

/// Returns all that can be typed, as clap describes it.
#[must_use]
pub fn command() -> clap::Command {
    InspectorArgs::command()
}

/// Reads the command line, does what it says, and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = InspectorArgs::parse();
    let result = match &cli.command {
        None => list::run(&cli.list),
        Some(InspectorCommand::List(args)) => list::run(args),
        Some(InspectorCommand::Pool(args)) => pool::run(args),
        Some(InspectorCommand::Ports(args)) => ports::run(args),
        Some(InspectorCommand::Trace(args)) => trace::run(args, &mut anstream::stdout()),
        Some(InspectorCommand::Watch(args)) => watch::run(args),
        Some(InspectorCommand::TraceWatchdog { instance }) => trace::watchdog(instance),
    };
    program::exit::code("socket-inspector", result)
}
