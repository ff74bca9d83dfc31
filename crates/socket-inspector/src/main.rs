//! Lists this machine's TCP sockets, or tells how they change: parse, run, render, choose an exit code.

mod cli;
mod trace;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, Format, List};

fn main() -> ExitCode {
    let typed = Cli::parse();
    let result = match &typed.command {
        None => list(&typed.list),
        Some(Command::Trace(asked)) => trace::run(asked, &mut anstream::stdout()),
        Some(Command::TraceWatchdog { instance }) => trace::watch(instance),
    };
    report::exit::code("socket-inspector", result)
}

fn list(asked: &List) -> anyhow::Result<u8> {
    let filter = asked.filter();
    let table = socket_inspector::snapshot_with_owners(&filter)?;
    let mut out = BufWriter::new(anstream::stdout());
    match asked.format {
        Format::Text => report::sockets::text(&table, &filter.to_string(), &mut out)?,
        Format::Json => report::json::sockets(&table, &mut out)?,
    }
    out.flush()?;
    Ok(0)
}
