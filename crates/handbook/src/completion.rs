//! Completions, a file for each shell, where the shell looks for it.

use std::path::PathBuf;

use clap::{Command, ValueEnum};
use clap_complete::Shell;

/// Returns a file for each shell: its place below the prefix, and its text.
pub(crate) fn all(command: &Command) -> Vec<(PathBuf, Vec<u8>)> {
    let shells = Shell::value_variants().iter();
    shells
        .filter_map(|&shell| Some((place(shell, command.get_name())?, text(shell, command))))
        .collect()
}

/// The place of a shell's file; `None` for a shell that came to be after this was written.
fn place(shell: Shell, name: &str) -> Option<PathBuf> {
    Some(PathBuf::from(match shell {
        Shell::Bash => format!("share/bash-completion/completions/{name}"),
        Shell::Zsh => format!("share/zsh/site-functions/_{name}"),
        Shell::Fish => format!("share/fish/vendor_completions.d/{name}.fish"),
        Shell::Elvish => format!("share/elvish/lib/{name}.elv"),
        Shell::PowerShell => format!("share/powershell/{name}.ps1"),
        _ => return None,
    }))
}

fn text(shell: Shell, command: &Command) -> Vec<u8> {
    let mut text = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(shell, &mut visible(command), name, &mut text);
    text
}

/// The same command line without the commands that the programs keep for themselves, which would be
/// offered all the same.
fn visible(command: &Command) -> Command {
    // clap keeps names for as long as the program runs, which is not long.
    let name: &'static str = command.get_name().to_owned().leak();
    let shown = Command::new(name).args(command.get_arguments());
    let shown = match command.get_about() {
        Some(about) => shown.about(about.clone()),
        None => shown,
    };
    // For its flag.
    let shown = if command.get_version().is_some() { shown.version("") } else { shown };
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
    shown.subcommands(commands.map(visible))
}
