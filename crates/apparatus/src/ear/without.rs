//! A program that is built without packets, and says how it is built with them.

use std::path::PathBuf;

use evidence::{Outcome, Program};

use super::EarError;
use crate::Plan;
use crate::cli::PacketArgs;

/// The ear of a command line, which is deaf here.
#[derive(Debug)]
pub struct PacketEar;

impl PacketEar {
    /// Refuses to hear anything.
    ///
    /// # Errors
    /// [`EarError::NotBuiltIn`] if packets are wanted.
    pub fn prepare(args: &PacketArgs, plan: &mut Plan) -> Result<Self, EarError> {
        if !args.are_heard() {
            return Ok(Self);
        }
        Err(not_built_in(plan.setup.program))
    }

    /// Returns what is to be said before the run: nothing.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &[]
    }

    /// Writes no file, as none was asked for.
    ///
    /// # Errors
    /// None.
    pub fn keep(self, _: &Outcome) -> Result<Option<PathBuf>, EarError> {
        Ok(None)
    }
}

fn not_built_in(program: Program) -> EarError {
    let program = program.name();
    let is_installed = program::call_words(program).len() == 1;
    let command = match is_installed {
        true => format!("cargo install --locked --path crates/{program} --features packets"),
        false => format!("cargo run -p {program} --features packets -- --packets"),
    };
    EarError::NotBuiltIn { program, command }
}
