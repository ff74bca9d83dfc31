//! Lists this machine's TCP sockets: parse, run, render, choose an exit code.

mod cli;

use std::io::{BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Format, List};

fn main() -> ExitCode {
    report::exit::code("socket-inspector", list(&Cli::parse().list))
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
