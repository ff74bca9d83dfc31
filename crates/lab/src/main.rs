//! `lab`: parse, run, render, choose an exit code.

use std::process::ExitCode;

use clap::Parser;
use lab::cli::{Action, Cli};
use lab::experiment::Wanted;
use lab::{catalogue, render, session, trace, trial};

fn main() -> ExitCode {
    program::exit::code("lab", execute(Cli::parse().action))
}

fn execute(action: Action) -> anyhow::Result<u8> {
    let mut out = anstream::stdout();
    match action {
        Action::List => render::show::list(&catalogue::all(&Wanted::default())?, &mut out)?,
        Action::Show { name, overrides } => {
            let experiment = catalogue::find(&name, &session::wanted(&overrides, &[])?)?;
            render::show::show(&experiment, &mut out)?;
        }
        // Before there is a runtime: see there.
        Action::Trial { parent } => trial::main(parent)?,
        Action::Run(asked) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            return runtime.block_on(session::run(&asked, &mut out));
        }
        Action::Trace(asked) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            return runtime.block_on(trace::session::run(&asked, &mut out));
        }
    }
    Ok(0)
}
