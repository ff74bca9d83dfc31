//! How a program that writes reports ends.

use std::io::{self, Write};
use std::process::ExitCode;

/// The exit code of `program`, whose work came to `result`. An error is told on stderr, once, with
/// its causes, and means 2; a reader that has read enough, as `head` does, is no error.
pub fn code(program: &str, result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) if reader_is_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // If not even this can be written, the exit code has to say it.
            let _ = writeln!(anstream::stderr(), "{program}: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}
