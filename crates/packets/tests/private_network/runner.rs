//! Runs each test in a process of its own, and says aloud which could not be run.

use std::env;
use std::process::{Command, ExitCode};

use netlab::{NetworkSettings, PrivateNetwork};

/// Which test a child is to run.
const TEST: &str = "PACKETS_TEST";
/// The exit code of a child that could not run its test; the line that says why begins with this word.
const SKIPPED: (u8, &str) = (77, "SKIPPED: ");

/// A finding, and how it is tested: `Err` says why it cannot be here.
pub(crate) type Test = (&'static str, fn(&PrivateNetwork) -> Result<(), String>);

/// Names functions as tests.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => { &[$((stringify!($name), $name)),*] };
}

/// Runs the tests whose name contains the first argument that is no option; all if there is none.
pub(crate) fn run(tests: &[&[Test]]) -> ExitCode {
    let tests = tests.concat();
    if let Ok(wanted) = env::var(TEST) {
        let (_, test) = tests.iter().find(|(name, _)| *name == wanted).unwrap();
        return play(*test);
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let wanted = tests.iter().filter(|(name, _)| filter.is_none_or(|part| name.contains(part)));
    if arguments.iter().any(|argument| argument == "--list") {
        wanted.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut skipped, mut failed) = (0, 0, 0);
    for (name, _) in wanted {
        let child = Command::new(env::current_exe().unwrap()).env(TEST, name).output().unwrap();
        let said = String::from_utf8_lossy(&child.stderr);
        match child.status.code() {
            Some(0) => {
                passed += 1;
                println!("test {name} ... ok");
            }
            Some(code) if code == i32::from(SKIPPED.0) => {
                skipped += 1;
                println!("test {name} ... skipped");
                let why = said.lines().find_map(|line| line.strip_prefix(SKIPPED.1));
                eprintln!("SKIPPED: {name}: {}", why.unwrap_or("it does not say why"));
            }
            _ => {
                failed += 1;
                println!("test {name} ... FAILED\n{said}");
            }
        }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {passed} passed; {failed} failed; {skipped} skipped\n");
    ExitCode::from(u8::from(failed > 0))
}

/// Enters a private network and runs the test in it.
fn play(test: fn(&PrivateNetwork) -> Result<(), String>) -> ExitCode {
    netlab::die_with_parent().unwrap();
    let entered = match netlab::enter(&NetworkSettings::default()) {
        Err(netlab::Error::Refused(refused)) => Err(refused.to_string()),
        entered => Ok(entered.unwrap()),
    };
    match entered.and_then(|network| test(&network)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{}{why}", SKIPPED.1);
            ExitCode::from(SKIPPED.0)
        }
    }
}
