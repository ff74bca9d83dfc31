//! Are the docs true? Every `console` block is run and so is every whole experiment, every other
//! command is held against what its program takes, every relative link is followed.
//!
//! A `console` block begins with `$ cargo run -q -p NAME -- ARGUMENTS`; what the program printed
//! follows. A line `...` stands for any number of lines. What differs from run to run (ports,
//! times, pids, column widths) is not compared: see `normal.rs`.
//!
//! ```text
//! cargo test -p docs-check                  # after `cargo build --workspace`
//! UPDATE_DOCS=1 cargo test -p docs-check    # rewrites the blocks that are no longer true
//! ```
//!
//! | idea | file |
//! |---|---|
//! | the blocks, links and headings of a page | `page.rs` |
//! | what is the same in every run | `normal.rs` |
//! | a block against an output, and a block made new | `compare.rs` |
//! | a command line, carried out | `program.rs` |

mod compare;
mod normal;
mod page;
mod program;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{env, fs};

use page::Page;

/// Held by a test that runs programs whose results depend on how busy the machine is.
static ALONE: Mutex<()> = Mutex::new(());

/// How often a command may print something else before its page counts as wrong.
const ATTEMPTS: usize = 3;

/// What the lab says where the system makes no private network, so that its results differ.
const NO_PRIVATE_NETWORK: &str = "lab: in the machine's own network";

/// The directory that holds `docs/`.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// README.md and the pages of every directory that explains something.
fn pages() -> Vec<Page> {
    let mut paths: Vec<PathBuf> = ["", "docs", "experiments", "experiments/go", "scripts"]
        .iter()
        .filter_map(|directory| fs::read_dir(root().join(directory)).ok())
        .flat_map(|entries| entries.map(|entry| entry.unwrap().path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    paths.sort();
    paths.into_iter().map(|path| Page::read(&path)).collect()
}

/// `docs/01-name.md` rather than the whole path.
fn short(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "the pages show Linux's socket tables")]
fn every_console_block_prints_what_it_says() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let update = env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1");
    let mut outputs: HashMap<String, Vec<String>> = HashMap::new();
    let mut wrong = Vec::new();
    let mut blocks = 0;
    for mut page in pages() {
        // From the last to the first, so that a rewritten block moves none that is still to come.
        for block in page.console_blocks().into_iter().rev() {
            blocks += 1;
            let place = format!("{}:{}", short(&page.path), block.line);
            let Some(command) = program::parse(&block.command) else {
                wrong.push(format!(
                    "{place}: a console block begins with `$ cargo run -q -p NAME -- ARGUMENTS`, \
                     not with `{}`; what cannot be run that way is a text block",
                    block.command
                ));
                continue;
            };
            // Each command runs once, whatever the number of pages that show it. On a machine that is
            // busy with something else ten workers may not be busy all at once; so what comes out
            // otherwise is tried again, and a page is wrong if it is wrong every time.
            let output = outputs
                .entry(block.command.clone())
                .or_insert_with(|| program::output(&command, update));
            if output.iter().any(|line| line.starts_with(NO_PRIVATE_NETWORK)) {
                let why = output.last().map_or("", String::as_str);
                eprintln!("SKIPPED: {place}: the page shows private networks. {why}");
                continue;
            }
            for _ in 1..ATTEMPTS {
                if compare::compare(&block.output, output).is_err() {
                    *output = program::output(&command, false);
                }
            }
            let Err(difference) = compare::compare(&block.output, output) else { continue };
            if update {
                page.replace(&block, &compare::renew(&block.output, output));
            } else {
                let line = block.line + 1 + difference.at;
                wrong.push(format!(
                    "{}:{line}: `{}` prints something else\n{difference}",
                    short(&page.path),
                    block.command
                ));
            }
        }
        if update {
            page.write();
        }
    }
    assert!(blocks > 0, "the docs hold no console block: were they looked for in the right place?");
    wrong.reverse();
    assert!(
        wrong.is_empty(),
        "{} of {blocks} console blocks are not true.\n\n{}\n\nIf the programs are right, rewrite \
         the blocks: UPDATE_DOCS=1 cargo test -p docs-check",
        wrong.len(),
        wrong.join("\n\n")
    );
}

/// A block that is not run says so: it shows what one run printed (`illustration`), or no
/// program's output at all (`drawing`).
#[test]
fn every_text_block_says_what_it_is() {
    let known = ["text illustration", "text drawing", "console", "sh", "toml", "json"];
    let unknown: Vec<String> = pages()
        .iter()
        .flat_map(|page| {
            page.fences()
                .filter(|(_, words)| !known.contains(words))
                .map(|(line, words)| format!("{}:{line}: ```{words}", short(&page.path)))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(unknown.is_empty(), "not one of {known:?}:\n{}", unknown.join("\n"));
}

/// Also those that are only named: in prose, or in a block that needs several terminals.
#[test]
fn every_command_is_one_that_its_program_takes() {
    let mut seen = HashMap::new();
    let mut wrong = Vec::new();
    for page in pages() {
        for (line, behind) in page.commands() {
            let Some(typed) = program::parse_typed(behind) else { continue };
            let refusal = seen.entry(behind.to_owned()).or_insert_with(|| program::refusal(&typed));
            if let Some(why) = refusal {
                wrong.push(format!("{}:{line}: cargo run {behind}\n{why}", short(&page.path)));
            }
        }
    }
    assert!(seen.len() > 100, "only {} commands were found", seen.len());
    assert!(wrong.is_empty(), "commands that are refused:\n{}", wrong.join("\n"));
}

/// Those that are whole are run, and what they predict has to be seen.
#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "most need private networks")]
fn every_experiment_of_a_page_runs_as_it_predicts() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut run = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        for (line, text) in page.texts("toml") {
            if !text.contains("question = ") {
                continue;
            }
            run += 1;
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("page-{run}.toml"));
            fs::write(&path, text).unwrap();
            let typed = program::Typed::new("lab", &["run", path.to_str().unwrap()]);
            let (mut held, mut output) = program::run(&typed, false);
            for _ in 1..ATTEMPTS {
                if !held {
                    (held, output) = program::run(&typed, false);
                }
            }
            if !held {
                wrong.push(format!("{}:{line}\n{}", short(&page.path), output.join("\n")));
            }
        }
    }
    assert!(run > 5, "only {run} were found");
    assert!(wrong.is_empty(), "not as predicted:\n{}", wrong.join("\n"));
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        for (line, target) in page.links() {
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, heading) = target.split_once('#').unwrap_or((&target, ""));
            let path = match path {
                "" => page.path.clone(),
                path => page.path.parent().unwrap().join(path),
            };
            let found = path.exists()
                && (heading.is_empty() || Page::read(&path).anchors().iter().any(|a| a == heading));
            if !found {
                broken.push(format!("{}:{line}: {target}", short(&page.path)));
            }
        }
    }
    assert!(broken.is_empty(), "links that lead nowhere:\n{}", broken.join("\n"));
}
