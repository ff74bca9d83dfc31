//! Declarative experiments, and traces of single requests.
//!
//! An experiment is a question, a setup and a prediction in one file; run on this
//! machine's kernel, each run in a process and a private network of its own; judged.
//!
//! | idea | file |
//! |---|---|
//! | the settings a file may have, and how one is laid over the other | `settings.rs` |
//! | an experiment: its runs, and what is predicted of each | `experiment.rs` |
//! | its file, checked before anything runs | `experiment/file.rs`, its shape `experiment/rows.rs` |
//! | one run of it, every formula tried | `experiment/reader.rs` |
//! | texts in it that would command a terminal | `experiment/disturbing.rs` |
//! | formulas: arithmetic over names | `formula.rs` |
//! | the experiments that come with the lab | `catalogue.rs` |
//! | from settings to the apparatus | `setup.rs` |
//! | one run, in the child process | `trial.rs` |
//! | all that the witnesses of a run saw, whole | `record.rs` |
//! | the same as numbers with names | `quantities.rs` |
//! | the TLS of the lab's own servers | `own_tls.rs` |
//! | Go's own transport as the client of a run | `real_go.rs` |
//! | all runs, side by side, from the parent process | `run.rs` |
//! | predictions against observations | `judge.rs` |
//! | the questions that a learner is asked | `experiment/question.rs` |
//! | asking them | `ask.rs` |
//! | what became of the learner's answers | `learner.rs` |
//! | numbers and ranges as people write them | `numbers.rs` |
//! | a session: what is run, asked and written in which order | `session.rs` |
//! | results as text, JSON and JUnit XML | `render/` |
//! | files that somebody names, up to a size | `bounded_file.rs` |
//! | what a client does with odd servers | `passport.rs`, `passport/` |
//! | what of the lab works on this machine | `doctor.rs`, `doctor/` |
//! | every moment of fetching a URL | `trace.rs`, `trace/` |
//! | any program's connections | `observe.rs`, `observe/` |

mod ask;
mod bounded_file;
mod cable;
mod catalogue;
mod cli;
mod doctor;
mod experiment;
mod formula;
mod ground;
mod judge;
mod learner;
mod numbers;
mod observe;
mod own_tls;
mod packet_spool;
mod passport;
mod process;
mod quantities;
mod real_go;
mod record;
mod render;
mod run;
mod session;
mod settings;
mod setup;
mod trace;
mod trial;

/// Doors for a fuzzer, which alone can open them (`--cfg fuzzing`).
#[cfg(fuzzing)]
pub mod fuzzing {
    /// Reads an experiment's file.
    pub fn experiment(source: &str) {
        let wish = crate::experiment::ExperimentWish::default();
        let _ = crate::experiment::Experiment::read("own", "own.toml", source, &wish);
    }
}

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use report::page::{PageWriter, USUAL_WIDTH};

use crate::cli::{Action, Cli};
use crate::experiment::ExperimentWish;

pub use record::{ProcessUse, RunRecord, Snapshot};

/// Returns all that can be typed, as clap describes it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Reads the command line, does what it says, and returns the exit code.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|refusal| {
        // `lab observe` has the exit codes of the programs that it runs: 2 may be one of them.
        if refusal.use_stderr() && std::env::args_os().nth(1).is_some_and(|it| it == "observe") {
            let _ = refusal.print();
            std::process::exit(observe::LAB_FAILED.into());
        }
        refusal.exit()
    });
    program::exit::code("lab", execute(cli.action).map_err(harmless))
}

/// The same error in words that cannot command a terminal: it may repeat what is in a file.
fn harmless(error: anyhow::Error) -> anyhow::Error {
    let told = format!("{error:#}");
    let shown = report::words::printable_lines(&told);
    if shown == told { error } else { anyhow::Error::msg(shown) }
}

fn execute(action: Action) -> anyhow::Result<u8> {
    let width = program::terminal_width().unwrap_or(USUAL_WIDTH);
    let mut out = PageWriter::new(anstream::stdout(), width);
    match action {
        Action::List => render::show::list(&catalogue::all(&ExperimentWish::default())?, &mut out)?,
        Action::Show { name, overrides } => {
            let experiment = catalogue::find(&name, &session::wanted(&overrides, &[], None)?)?;
            render::show::show(&experiment, &mut out)?;
        }
        // Before there is a runtime: see there.
        Action::Trial { parent } => trial::main(parent)?,
        #[cfg(target_os = "linux")]
        Action::Outside { parent } => observe::outside(parent)?,
        #[cfg(target_os = "linux")]
        Action::TryNetwork => observe::try_network()?,
        // Before there is a runtime, and with exit codes of its own: see there.
        Action::Passport(asked) => return program::block_on(passport::run(&asked, &mut out)),
        Action::Observe(asked) => return Ok(observe::main(&asked)),
        Action::Run(asked) => return program::block_on(session::run(&asked, &mut out)),
        Action::Doctor(asked) => return program::block_on(doctor::run(&asked, &mut out)),
        Action::Trace(asked) => {
            // Before there is a runtime: a process with several threads stays where it is.
            let ear = trace::packets::ear(&asked)?;
            for note in ear.notes() {
                writeln!(anstream::stderr(), "lab: {note}")?;
            }
            return program::block_on(trace::tracer::run(&asked, ear, &mut out));
        }
    }
    Ok(0)
}
