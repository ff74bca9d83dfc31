//! Lists this machine's TCP sockets: parse, run, render, choose an exit code.

mod cli;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Format, List};

fn main() -> ExitCode {
    match list(&Cli::parse().list) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if reader_is_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // If not even this can be written, the exit code has to say it.
            let _ = writeln!(anstream::stderr(), "socket-inspector: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn list(asked: &List) -> anyhow::Result<()> {
    let filter = asked.filter();
    let table = socket_inspector::snapshot_with_owners(&filter)?;
    let mut out = BufWriter::new(anstream::stdout());
    match asked.format {
        Format::Text => report::sockets::text(&table, &filter.to_string(), &mut out)?,
        Format::Json => report::json::sockets(&table, &mut out)?,
    }
    Ok(out.flush()?)
}

/// Whether whoever reads the output has read enough, as `head` does.
fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
