//! Runs tests one after the other, and says aloud which could not be run.

use std::panic::catch_unwind;
use std::process::ExitCode;

/// Why a test could not be run here.
pub(crate) struct Skipped(pub(crate) String);

/// A finding, and how it is tested.
pub(crate) type Test = (&'static str, fn() -> Result<(), Skipped>);

/// Runs the tests whose name contains the first argument that is no option; all if there is none.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let wanted = tests.iter().filter(|(name, _)| filter.is_none_or(|part| name.contains(part)));
    if arguments.iter().any(|argument| argument == "--list") {
        wanted.for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let (mut passed, mut skipped, mut failed) = (0, 0, 0);
    for (name, test) in wanted {
        match catch_unwind(test) {
            Ok(Ok(())) => {
                passed += 1;
                println!("test {name} ... ok");
            }
            Ok(Err(Skipped(why))) => {
                skipped += 1;
                println!("test {name} ... skipped");
                eprintln!("SKIPPED: {name}: {why}");
            }
            Err(_) => {
                failed += 1;
                println!("test {name} ... FAILED");
            }
        }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {result}. {passed} passed; {failed} failed; {skipped} skipped\n");
    ExitCode::from(u8::from(failed > 0))
}
