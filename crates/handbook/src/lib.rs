//! Man pages and shell completions of the lab's programs, made of what their command lines are.
//!
//! A crate of its own, so that no program has to carry what only their packaging needs.
//!
//! | idea | file |
//! |---|---|
//! | what may be typed | `cli.rs` |
//! | a page for each program and each of its commands | `page.rs` |
//! | completions for each shell | `completion.rs` |

mod cli;
mod completion;
mod page;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use anyhow::Context;
use clap::{Command, Parser};

use crate::cli::HandbookArgs;

/// Reads the command line, does what it says, and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    program::exit::code("handbook", run(&HandbookArgs::parse()).map(|()| program::exit::DONE))
}

fn run(args: &HandbookArgs) -> anyhow::Result<()> {
    let written = write(&args.prefix)?;
    let mut out = anstream::stdout();
    written.iter().try_for_each(|file| writeln!(out, "{}", file.display()))?;
    Ok(())
}

/// Returns the command lines of the five programs, and of this one.
#[must_use]
pub fn commands() -> Vec<Command> {
    vec![
        sequential::cli::command(),
        concurrent::cli::command(),
        hello::cli::command(),
        socket_inspector::command(),
        lab::command(),
        cli::command(),
    ]
}

/// Writes all pages and completions below `prefix`, and returns the files.
///
/// # Errors
/// If a directory or a file cannot be written.
pub fn write(prefix: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for command in commands() {
        files.extend(page::pages(&command)?);
        files.extend(completion::all(&command));
    }
    let mut written = Vec::new();
    for (place, text) in files {
        let file = prefix.join(place);
        keep(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
        written.push(file);
    }
    written.sort();
    Ok(written)
}

fn keep(file: &Path, text: &[u8]) -> io::Result<()> {
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(file, text)
}
