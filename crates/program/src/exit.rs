//! Exit codes, the same in every program.

use std::io::{self, Write};
use std::process::ExitCode;

/// It ran, and nothing was wrong.
pub const DONE: u8 = 0;
/// It ran, and something did not hold: a request failed, a prediction was wrong.
pub const FAILED: u8 = 1;
/// It could not run, or what was observed cannot be trusted: the witnesses disagree.
pub const COULD_NOT_RUN: u8 = 2;
/// Ctrl-C or SIGTERM ended it early: 128 and the number of SIGINT, as a shell reports it.
pub const INTERRUPTED: u8 = 130;
/// Ended because nobody reads any more: 128 and the number of SIGPIPE. For a program whose verdict
/// stands at the end, where who reads the first line alone has not heard whether the rest held.
pub const READER_GONE: u8 = 141;

/// Returns the exit code of `program`, whose work came to `result`. An error is told on stderr,
/// once, with its causes, and means [`COULD_NOT_RUN`]; a reader that has read enough, as `head`
/// does, is no error.
pub fn code(program: &str, result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if reader_is_gone(&error) => ExitCode::from(DONE),
        Err(error) => {
            // If not even this can be written, the exit code has to say it.
            let _ = writeln!(anstream::stderr(), "{program}: {error:#}");
            ExitCode::from(COULD_NOT_RUN)
        }
    }
}

fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
