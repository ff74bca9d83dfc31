//! What can be typed after `concurrent`.

use std::ffi::OsString;

use apparatus::Plan;
use apparatus::cli::{ClientArgs, TRANSPORTS};
use clap::{Command, CommandFactory, FromArgMatches, Parser, value_parser};
use evidence::Program;

/// Lets many workers send requests side by side and shows how many connections that takes.
#[derive(Debug, Parser)]
#[command(name = "concurrent", version, args_override_self = true, after_help = after_help())]
pub struct Args {
    /// Let so many workers send requests side by side
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u64).range(1..=10_000))]
    workers: u64,

    /// What every client program can be asked for.
    #[command(flatten)]
    pub client: ClientArgs,
}

fn after_help() -> String {
    let examples = program::examples_of("concurrent");
    format!(
        "{TRANSPORTS}

The server takes 20 ms for each response unless --delay says otherwise: with a
quicker one, or on a busy machine, it is the scheduler's luck how many workers
are busy at once, and the number of connections differs from run to run.

On a terminal a bar stands for the lines of more than 30 exchanges; `| cat`
shows them.

Exit status: 0 ran; 1 some request failed; 2 could not run, or the witnesses
disagree; 130 ended by Ctrl-C.

{examples}
  concurrent --per-host 2               # the pool keeps too few: up to 82
  concurrent --per-host 10              # one for every worker: 10
  concurrent --per-host 2 --delay 0ms   # a quick server: fewer, and it varies
  concurrent --workers 3 --requests 1 --delay 200ms"
    )
}

/// Returns all that can be typed, as clap describes it.
#[must_use]
pub fn command() -> Command {
    Args::command()
        .mut_arg("delay", |delay| delay.default_value("20ms"))
        .mut_arg("requests", |requests| requests.help("Let each worker send so many requests"))
}

impl Args {
    /// Returns what was typed, as a plan. Ends the program if it makes no sense.
    pub fn read() -> (Self, Plan) {
        Self::of(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    /// The same of these words, the first of which is the program's name.
    ///
    /// # Errors
    /// clap's, which has words for the person who typed them.
    fn of<S: Into<OsString> + Clone>(
        words: impl IntoIterator<Item = S>,
    ) -> Result<(Self, Plan), clap::Error> {
        let matches = command().try_get_matches_from(words)?;
        let args = Self::from_arg_matches(&matches)?;
        let plan = args.client.plan(Program::Concurrent, args.workers, &matches);
        Ok((args, plan))
    }
}

#[cfg(test)]
mod tests;
