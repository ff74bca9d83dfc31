//! What may be typed after `handbook`.

use std::path::PathBuf;

use clap::{Command, CommandFactory, Parser};

/// Write the man pages and shell completions of sequential, concurrent, hello, socket-inspector and lab
#[derive(Debug, Parser)]
#[command(name = "handbook", version, after_help = after_help())]
pub(crate) struct HandbookArgs {
    /// Write below this directory, as below /usr/local or ~/.local; it is made if need be
    #[arg(value_name = "DIR")]
    pub(crate) prefix: PathBuf,
}

fn after_help() -> String {
    let examples = program::examples_of("handbook");
    format!(
        "\
  share/man/man1                           man pages
  share/bash-completion/completions        bash
  share/zsh/site-functions                 zsh
  share/fish/vendor_completions.d          fish
  share/elvish/lib                         elvish
  share/powershell                         PowerShell

man, bash-completion and fish find what is below ~/.local by themselves; zsh
looks in the directories of its fpath.

Exit status: 0 written; 2 could not be written.

{examples}
  handbook ~/.local"
    )
}

/// Returns all that can be typed, as clap describes it.
pub(crate) fn command() -> Command {
    HandbookArgs::command()
}
