//! Man pages: one for each program, one for each of its commands.
//!
//! What a help says after its options stands in sections of its own: examples line by line, the exit
//! status where man pages have it.

use std::io;
use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

/// Returns the pages of `command` and its commands: place below the prefix, and text.
pub(crate) fn pages(command: &Command) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut built = command.clone().disable_help_subcommand(true);
    built.build();
    let mut pages = Vec::new();
    collect(&built, built.get_name(), None, &mut pages)?;
    Ok(pages)
}

/// Adds the page of `command`, which is called `name`, and those of its commands.
fn collect(
    command: &Command,
    name: &str,
    parent: Option<&str>,
    pages: &mut Vec<(PathBuf, Vec<u8>)>,
) -> io::Result<()> {
    let commands: Vec<&Command> =
        command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    let mut related: Vec<String> = parent.iter().map(|&parent| parent.to_owned()).collect();
    related.extend(commands.iter().map(|below| format!("{name}-{}", below.get_name())));
    let text = page(command, name, &related)?;
    pages.push((PathBuf::from(format!("share/man/man1/{name}.1")), text));
    for below in commands {
        collect(below, &format!("{name}-{}", below.get_name()), Some(name), pages)?;
    }
    Ok(())
}

fn page(command: &Command, name: &str, related: &[String]) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    // By hand: clap_mangen leaves out a date that is empty, and the source takes its place.
    let version = env!("CARGO_PKG_VERSION");
    let title = format!(".TH {name} 1 \"\" \"{name} {version}\" \"Keep-Alive Lab\"\n");
    let mut text = title.into_bytes();
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.get_subcommands().any(|command| !command.is_hide_set()) {
        man.render_subcommands_section(&mut text)?;
    }
    let mut more = Roff::new();
    if let Some(help) = command.get_after_help() {
        sections(&help.to_string(), &mut more);
    }
    see_also(related, &mut more);
    more.to_writer(&mut text)?;
    Ok(text)
}

/// Puts each paragraph of a help's end under the title that a man page has for it.
fn sections(help: &str, page: &mut Roff) {
    let (mut notes, mut status, mut examples) = (Vec::new(), None, None);
    for paragraph in help.split("\n\n") {
        match paragraph.split_once(':') {
            Some(("Exit status", rest)) => status = Some(rest.trim()),
            Some((title, rest)) if title.starts_with("Examples") => {
                examples = rest.split_once('\n').map(|(_, lines)| lines);
            }
            _ => notes.push(paragraph),
        }
    }
    if !notes.is_empty() {
        page.control("SH", ["NOTES"]);
        for (n, note) in notes.into_iter().enumerate() {
            if n > 0 {
                page.control("PP", []);
            }
            // What is laid out in columns stays as it is.
            let is_laid_out =
                note.lines().any(|line| line.contains("   ") || line.starts_with(' '));
            if is_laid_out { verbatim(note, page) } else { filled(note, page) }
        }
    }
    if let Some(examples) = examples {
        page.control("SH", ["EXAMPLES"]);
        verbatim(examples, page);
    }
    if let Some(status) = status {
        page.control("SH", ["EXIT STATUS"]);
        filled(status, page);
    }
}

fn filled(text: &str, page: &mut Roff) {
    let words: Vec<&str> = text.split_whitespace().collect();
    page.text([roman(words.join(" "))]);
}

fn verbatim(text: &str, page: &mut Roff) {
    page.control("nf", []);
    for line in text.lines() {
        page.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
    }
    page.control("fi", []);
}

fn see_also(related: &[String], page: &mut Roff) {
    if related.is_empty() {
        return;
    }
    page.control("SH", ["SEE ALSO"]);
    let mut line = Vec::new();
    for (n, name) in related.iter().enumerate() {
        if n > 0 {
            line.push(roman(", "));
        }
        line.extend([bold(name), roman("(1)")]);
    }
    page.text(line);
}
