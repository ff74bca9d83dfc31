//! Looks at this machine's TCP sockets: parse, run, render, choose an exit code.

mod cli;
mod commands;
#[cfg(target_os = "linux")]
mod live;
#[cfg(target_os = "linux")]
mod stop;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::commands::{list, pool, ports, watch};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        None => list::run(&cli.list),
        Some(Command::List(asked)) => list::run(asked),
        Some(Command::Pool(asked)) => pool::run(asked),
        Some(Command::Ports(asked)) => ports::run(asked),
        Some(Command::Trace(asked)) => trace::run(asked, &mut anstream::stdout()),
        Some(Command::Watch(asked)) => watch::run(asked),
        Some(Command::TraceWatchdog { instance }) => trace::watch(instance),
    };
    program::exit::code("socket-inspector", result)
}
