//! What can be typed after `sequential`.

use std::ffi::OsString;

use apparatus::Plan;
use apparatus::cli::{ClientArgs, TRANSPORTS};
use clap::{Command, CommandFactory, FromArgMatches, Parser};
use evidence::Program;

/// Sends requests one after another and shows what becomes of their TCP connections.
#[derive(Debug, Parser)]
#[command(name = "sequential", version, args_override_self = true, after_help = after_help())]
pub struct Args {
    /// What every client program can be asked for.
    #[command(flatten)]
    pub client: ClientArgs,
}

fn after_help() -> String {
    let examples = program::examples_of("sequential");
    format!(
        "{TRANSPORTS}

Exit status: 0 ran; 1 some request failed; 2 could not run, or the witnesses
disagree; 130 ended by Ctrl-C.

{examples}
  sequential                                  # bodies are read: 1 connection
  sequential --body drop --interval 100ms     # bodies are not: 10
  sequential --body drop --transport go1.27   # since Go 1.27 they are drained
  sequential --body hold --bytes 64KiB --transport hyper-util
  sequential --target http://localhost:8080/  # a server that runs already"
    )
}

/// Returns all that can be typed, as clap describes it.
#[must_use]
pub fn command() -> Command {
    Args::command()
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
        let plan = args.client.plan(Program::Sequential, 1, &matches);
        Ok((args, plan))
    }
}

#[cfg(test)]
mod tests;
