//! A command of the docs, carried out.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

/// No command of the docs may take longer.
const DEADLINE: Duration = Duration::from_secs(60);

/// Which program, and what is typed after it.
pub(crate) struct Typed {
    program: String,
    arguments: Vec<String>,
}

impl Typed {
    pub(crate) fn new(program: &str, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&it| it.to_owned()).collect();
        Self { program: program.to_owned(), arguments }
    }
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

/// Takes what stands behind `cargo run` apart as a shell does, up to the first thing that is the
/// shell's own: a pipe, a file, a comment, a second command.
pub(crate) fn parse_typed(behind: &str) -> Option<Typed> {
    let is_the_shells = |word: &str| {
        matches!(word, "|" | "&" | "&&" | ";" | "\\")
            || word.starts_with('>')
            || word.starts_with('#')
    };
    let mut words = shlex::Shlex::new(behind);
    let mut words = words.by_ref().take_while(|word| !is_the_shells(word)).peekable();
    words.next_if_eq("-q");
    if words.next()? != "-p" {
        return None;
    }
    let program = words.next()?;
    let known = |word: String| if word == "PID" { "1".to_owned() } else { word };
    // `--example` and its like are cargo's, and what runs then is no program of the workspace.
    if words.next().is_some_and(|word| word != "--") {
        return None;
    }
    let arguments = words.map(known).collect();
    Some(Typed { program, arguments })
}

/// What the program says against these arguments without doing what they ask for; with those of
/// `lab run`, also against the settings that they change.
pub(crate) fn refusal(typed: &Typed) -> Option<String> {
    let run = |arguments: &mut dyn Iterator<Item = &str>| {
        let output = Command::new(binary(&typed.program, false))
            .args(arguments)
            .current_dir(crate::root())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|e| panic!("cannot start {}: {e}", typed.program));
        let said = || String::from_utf8_lossy(&output.stderr).into_owned();
        (!output.status.success()).then(said)
    };
    // What stands behind `--` is another program's, which is not to run.
    let own = typed.arguments.iter().map(String::as_str).take_while(|word| *word != "--");
    let refused = run(&mut own.chain(["--help"]));
    let is_built_in = |name: &str| Path::new(name).extension().is_none_or(|it| it != "toml");
    match &typed.arguments[..] {
        [verb, name, rest @ ..] if verb == "run" && is_built_in(name) && !name.starts_with('-') => {
            let sets = rest.iter().zip(rest.iter().skip(1)).filter(|(flag, _)| *flag == "--set");
            let sets = sets.flat_map(|(flag, value)| [flag.as_str(), value.as_str()]);
            refused.or_else(|| run(&mut ["show", name.as_str()].into_iter().chain(sets)))
        }
        _ => refused,
    }
}

/// What the program prints: its results, then what it says on stderr.
pub(crate) fn output(typed: &Typed, build: bool) -> Vec<String> {
    run(typed, build).1
}

/// The same, and whether its exit status was 0.
pub(crate) fn run(typed: &Typed, build: bool) -> (bool, Vec<String>) {
    let mut child = Command::new(binary(&typed.program, build))
        .args(&typed.arguments)
        .current_dir(crate::root())
        .env("NO_COLOR", "1")
        .env_remove("CLICOLOR_FORCE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {}: {e}", typed.program));
    let results = gather(child.stdout.take().unwrap());
    let messages = gather(child.stderr.take().unwrap());
    let status = wait(&mut child, &typed.program);
    let text = results.join().unwrap() + &messages.join().unwrap();
    (status.success(), text.lines().map(|line| line.trim_end().to_owned()).collect())
}

fn gather(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    })
}

fn wait(child: &mut Child, program: &str) -> ExitStatus {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
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
