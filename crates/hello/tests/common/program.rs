//! The program, running, for tests that look at it from outside.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::io::{BufRead, BufReader, Lines, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use serde_json::Value;

use crate::common::{Client, until};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_hello");

/// Longer than any test has use for it. A line that never comes must fail a test, not stop it.
const LIFE: Duration = Duration::from_secs(120);

/// A running `hello`; killed when a test is done with it, or has waited for it too long.
pub struct Hello {
    pub child: Child,
    pub address: SocketAddr,
    /// What it says when it listens.
    pub first_line: String,
    /// What it writes to stdout after that.
    pub shown: Option<Lines<BufReader<ChildStdout>>>,
    /// What it writes to stderr.
    pub said: BufReader<ChildStderr>,
    /// Dropped when the process is not to be killed any more.
    guard: Option<Sender<()>>,
}

impl Hello {
    pub fn start(arguments: &[&str]) -> Self {
        let for_programs = arguments.iter().any(|it| ["jsonl", "combined", "json"].contains(it));
        let arguments = ["--listen", "127.0.0.1:0"].iter().chain(arguments);
        Self::of(Command::new(PROGRAM).args(arguments), for_programs)
    }

    /// Where it listens is told on stdout, or on stderr if stdout is for programs.
    pub fn of(command: &mut Command, for_programs: bool) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let guard = Some(killed_when_too_old(&child));
        let mut shown = BufReader::new(child.stdout.take().unwrap());
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut first_line = String::new();
        if for_programs {
            said.read_line(&mut first_line).unwrap();
        } else {
            shown.read_line(&mut first_line).unwrap();
        }
        let (_, rest) = first_line.split_once("http://").expect(&first_line);
        let address = rest.split(' ').next().unwrap().parse().unwrap();
        Self { child, address, first_line, shown: Some(shown.lines()), said, guard }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// The next line on stdout, unless there will be no more.
    pub fn line(&mut self) -> Option<String> {
        Some(self.shown.as_mut().unwrap().next()?.unwrap())
    }

    /// The lines up to the first that `is_last`.
    pub fn lines_until(&mut self, is_last: impl Fn(&str) -> bool) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = self.line() {
            all.push(line);
            if is_last(all.last().unwrap()) {
                return all;
            }
        }
        panic!("it ended after {all:#?}")
    }

    /// The objects on stdout, one a line.
    pub fn objects(&mut self) -> impl Iterator<Item = Value> {
        std::iter::from_fn(|| self.line()).map(|line| serde_json::from_str(&line).expect(&line))
    }

    pub fn objects_until(&mut self, event: &str) -> Vec<Value> {
        let wanted = format!("\"event\":\"{event}\"");
        let lines = self.lines_until(|line| line.contains(&wanted));
        lines.iter().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    #[cfg(unix)]
    pub fn signal(&self, signal: rustix::process::Signal) {
        use rustix::process::{Pid, kill_process};
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// How it ended, and what it said on stderr.
    pub fn end(mut self) -> (ExitStatus, String) {
        until("its end", || self.child.try_wait().unwrap().is_some());
        let mut said = String::new();
        self.said.read_to_string(&mut said).unwrap();
        (self.child.wait().unwrap(), said)
    }
}

#[cfg(unix)]
fn killed_when_too_old(child: &Child) -> Sender<()> {
    use rustix::process::{Pid, Signal, kill_process};
    let process = Pid::from_child(child);
    let (guard, dropped) = channel();
    std::thread::spawn(move || {
        if dropped.recv_timeout(LIFE) == Err(RecvTimeoutError::Timeout) {
            let _ = kill_process(process, Signal::KILL);
        }
    });
    guard
}

#[cfg(not(unix))]
fn killed_when_too_old(_: &Child) -> Sender<()> {
    channel().0
}

impl Drop for Hello {
    fn drop(&mut self) {
        drop(self.guard.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
