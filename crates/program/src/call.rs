//! How a command of the lab is typed: by its name where it is installed, through cargo where cargo
//! has built it.
//!
//! The file that runs tells it. Cargo's variables would not: every program that a `cargo run` starts
//! inherits them, an installed one too.

use std::path::Path;
use std::sync::LazyLock;

static IS_BUILT_HERE: LazyLock<bool> =
    LazyLock::new(|| std::env::current_exe().is_ok_and(|file| is_in_target(&file)));

/// Returns what to type to run `program` with `arguments`: `lab run 4` where it is installed,
/// `cargo run -p lab -- run 4` where it lies in the directory that cargo builds in.
#[must_use]
pub fn call(program: &str, arguments: &str) -> String {
    call_from(*IS_BUILT_HERE, program, arguments)
}

/// Returns the first words of a command that runs `program`, before its arguments.
#[must_use]
pub fn call_words(program: &str) -> Vec<String> {
    let words =
        if *IS_BUILT_HERE { &["cargo", "run", "-p", program, "--"][..] } else { &[program] };
    words.iter().map(|&word| word.to_owned()).collect()
}

/// Returns the title of a help's examples, which name `program` alone: it says how that is typed
/// here, if it is typed otherwise.
#[must_use]
pub fn examples_of(program: &str) -> String {
    match *IS_BUILT_HERE {
        true => format!("Examples (here `{program}` is `cargo run -p {program} --`):"),
        false => "Examples:".to_owned(),
    }
}

fn call_from(built_here: bool, program: &str, arguments: &str) -> String {
    match (built_here, arguments) {
        (true, "") => format!("cargo run -p {program}"),
        (true, _) => format!("cargo run -p {program} -- {arguments}"),
        (false, "") => program.to_owned(),
        (false, _) => format!("{program} {arguments}"),
    }
}

/// Returns true if cargo has built `file`, and nobody has installed it: what it was linked from is
/// beside it, or below a directory that cargo marks as one that it can make again.
fn is_in_target(file: &Path) -> bool {
    let beside = file.parent().is_some_and(|profile| profile.join("deps").is_dir());
    // target/debug/lab, target/TRIPLE/debug/lab, target/debug/deps/lab-5f2a…
    beside || file.ancestors().skip(2).take(2).any(|above| above.join("CACHEDIR.TAG").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installed_program_is_called_by_its_name() {
        assert_eq!(call_from(false, "lab", "run 4"), "lab run 4");
        assert_eq!(call_from(false, "hello", ""), "hello");
        assert!(!is_in_target(Path::new("/usr/bin/lab")));
    }

    #[test]
    fn what_cargo_has_built_is_called_through_cargo() {
        assert_eq!(call_from(true, "lab", "run 4"), "cargo run -p lab -- run 4");
        assert_eq!(call_from(true, "hello", ""), "cargo run -p hello");
        // As this test is.
        assert_eq!(call("hello", ""), "cargo run -p hello");
    }
}
