//! A Markdown page, as far as this check looks into it.

use std::fs;
use std::path::{Path, PathBuf};

/// One page, line by line.
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    lines: Vec<String>,
}

/// A command with what it is said to print.
pub(crate) struct Block {
    /// The line that holds the command, counted from 1.
    pub(crate) line: usize,
    /// The command, without its `$ `.
    pub(crate) command: String,
    /// The lines below it.
    pub(crate) output: Vec<String>,
}

impl Page {
    pub(crate) fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Self { path: path.to_owned(), lines: text.lines().map(str::to_owned).collect() }
    }

    /// Every command of every `console` block. A block may hold several.
    pub(crate) fn console_blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut fresh = false;
        for (number, line, fence) in self.fenced() {
            if line.starts_with("```") {
                fresh = true;
            } else if fence == Some("console") {
                match line.strip_prefix("$ ") {
                    None if !fresh => blocks.last_mut().unwrap().output.push(line.to_owned()),
                    command => blocks.push(Block {
                        line: number,
                        command: command.unwrap_or(line).to_owned(),
                        output: Vec::new(),
                    }),
                }
                fresh = false;
            }
        }
        blocks
    }

    /// The words after the fence of each block, with the line that it begins with.
    pub(crate) fn fences(&self) -> impl Iterator<Item = (usize, &str)> {
        self.fenced()
            .filter(|(_, line, fence)| fence.is_some() && line.starts_with("```"))
            .map(|(number, _, fence)| (number, fence.unwrap_or_default()))
    }

    /// The text of every block of `language`, with the line that it begins with.
    pub(crate) fn texts(&self, language: &str) -> Vec<(usize, String)> {
        let mut texts: Vec<(usize, String)> = Vec::new();
        for (number, line, fence) in self.fenced() {
            match (fence == Some(language), line.starts_with("```"), texts.last_mut()) {
                (false, ..) => {}
                (true, true, _) => texts.push((number, String::new())),
                (true, false, Some((_, text))) => *text += &format!("{line}\n"),
                (true, false, None) => unreachable!("a fence comes first"),
            }
        }
        texts
    }

    /// The commands that are named anywhere on the page but are not run for it, in prose or in a
    /// block: what stands behind `cargo run`, up to the end of the code.
    pub(crate) fn commands(&self) -> Vec<(usize, &str)> {
        let mut commands = Vec::new();
        for (number, line, fence) in self.fenced() {
            if fence == Some("console") {
                continue;
            }
            for rest in line.split("cargo run ").skip(1) {
                commands.push((number, rest.split('`').next().unwrap_or_default()));
            }
        }
        commands
    }

    /// Puts `output` in the place of what `block` said.
    pub(crate) fn replace(&mut self, block: &Block, output: &[String]) {
        let first = block.line; // counted from 1, so this is the index of the line below
        self.lines.splice(first..first + block.output.len(), output.iter().cloned());
    }

    pub(crate) fn write(&self) {
        let text = self.lines.join("\n") + "\n";
        if fs::read_to_string(&self.path).unwrap() != text {
            fs::write(&self.path, text).unwrap();
        }
    }

    /// The targets of the page's links, each with its line.
    pub(crate) fn links(&self) -> Vec<(usize, String)> {
        let mut links = Vec::new();
        for (number, line, fence) in self.fenced() {
            if fence.is_some() {
                continue;
            }
            for rest in line.split("](").skip(1) {
                if let Some((target, _)) = rest.split_once(')') {
                    links.push((number, target.to_owned()));
                }
            }
        }
        links
    }

    /// What a link may name after `#`: a heading in lower case, with dashes for spaces.
    pub(crate) fn anchors(&self) -> Vec<String> {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, '-' | '_' | ' ');
        self.fenced()
            .filter(|(_, line, fence)| fence.is_none() && line.starts_with('#'))
            .map(|(_, line, _)| line.trim_start_matches('#').trim().to_lowercase())
            .map(|heading| heading.chars().filter(kept).collect::<String>().replace(' ', "-"))
            .collect()
    }

    /// Every line with its number and the word after the fence it stands within, if any.
    fn fenced(&self) -> impl Iterator<Item = (usize, &str, Option<&str>)> {
        let mut fence: Option<&str> = None;
        self.lines.iter().enumerate().map(move |(index, line)| {
            if let Some(word) = line.strip_prefix("```") {
                fence = match fence {
                    None => Some(word.trim()),
                    Some(_) => None,
                };
            }
            (index + 1, line.as_str(), fence)
        })
    }
}
