//! What is advised after a run is a command that this program takes.

use super::*;

#[path = "../../../apparatus/tests/program/advice.rs"]
mod advice;

fn read(words: Vec<String>) -> Result<Plan, clap::Error> {
    Args::of(words).map(|(_, plan)| plan)
}

#[test]
fn every_command_that_is_advised_is_accepted_keeps_what_was_typed_and_is_another_run() {
    advice::holds("sequential", &[""], read);
}
