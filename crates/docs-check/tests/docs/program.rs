//! A command of the docs, carried out.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

/// No command of the docs may take longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Which program, and what is typed after it.
pub(crate) struct Typed {
    program: String,
    arguments: Vec<String>,
}

/// Takes `cargo run -q -p NAME -- ARGUMENTS` apart. Quotes are not understood.
pub(crate) fn parse(command: &str) -> Option<Typed> {
    let mut words = command.strip_prefix("cargo run -q -p ")?.split_whitespace().map(str::to_owned);
    let program = words.next()?;
    match words.next() {
        None => Some(Typed { program, arguments: Vec::new() }),
        Some(dashes) if dashes == "--" => Some(Typed { program, arguments: words.collect() }),
        Some(_) => None,
    }
}

/// What the program prints: its results, then what it says on stderr.
pub(crate) fn output(typed: &Typed, build: bool) -> Vec<String> {
    let mut child = Command::new(binary(&typed.program, build))
        .args(&typed.arguments)
        .env("NO_COLOR", "1")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {}: {e}", typed.program));
    let results = gather(child.stdout.take().unwrap());
    let messages = gather(child.stderr.take().unwrap());
    wait(&mut child, &typed.program);
    let text = results.join().unwrap() + &messages.join().unwrap();
    text.lines().map(|line| line.trim_end().to_owned()).collect()
}

fn gather(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    })
}

fn wait(child: &mut Child, program: &str) {
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > DEADLINE {
            child.kill().unwrap();
            panic!("{program} was still running after {DEADLINE:?}");
        }
        thread::sleep(Duration::from_millis(5)); // a process tells its end to nobody but who asks
    }
}

/// The program that was built along with this test, or a build of it if there is none.
fn binary(program: &str, build: bool) -> PathBuf {
    let test = env::current_exe().unwrap(); // target/debug/deps/docs-0123456789abcdef
    let profile = test.parent().and_then(Path::parent).unwrap();
    let path = profile.join(format!("{program}{}", env::consts::EXE_SUFFIX));
    if build || !path.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "-q", "--workspace", "--bins"]).current_dir(crate::root());
        cargo.arg("--target-dir").arg(profile.parent().unwrap());
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success(), "cannot build {program}");
    }
    path
}
