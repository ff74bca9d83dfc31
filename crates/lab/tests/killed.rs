//! Whoever is killed leaves nothing behind: no process, no network, no device, no file.

#![cfg(target_os = "linux")]

#[path = "program/files.rs"]
mod files;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use files::own;
use rustix::process::{Pid, Signal, kill_process};

/// So many runs are killed, each at another moment of its life.
const ROUNDS: u32 = 20;
const STEP: Duration = Duration::from_millis(23);
/// No process needs longer to die.
const DEADLINE: Duration = Duration::from_secs(20);
/// A run that goes on for longer than any round waits: on two hosts, and on one that is heard.
const EXPERIMENT: &str = "question = 'What is left?'\ntransports = ['go']\n\
    [workload]\nkind = 'script'\nsteps = [{ request = {} }, { wait = '3s' }, { request = {} }]\n\
    [[case]]\nname = 'a cable'\nnetwork.hosts = 2\nnetwork.delay = '5ms'\n\
    [[case]]\nname = 'one host'\n\
    [[predict]]\nexpect.opened = 1\nbecause = 'nothing is in the way'\n";

/// A process of a round.
struct Found {
    pid: Pid,
    parent: Option<Pid>,
    /// None if this user may not know.
    network: Option<PathBuf>,
}

/// The lab with this number and the processes of its runs, wherever they hang: the command line of each
/// has `directory`, or the number of the lab that started it. (An environment would not be told of a
/// process that has become another user.)
fn found(lab: Pid, directory: &Path) -> Vec<Found> {
    let (lab, directory) = (lab.to_string(), directory.to_str().unwrap());
    let process = |entry: fs::DirEntry| {
        let (pid, at) = (entry.file_name().to_str()?.parse().ok()?, entry.path());
        let line = fs::read(at.join("cmdline")).ok()?;
        let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
        let is_run = words.get(1).is_some_and(|word| word == "trial") && words[2] == lab;
        if !is_run && !words.iter().any(|word| word.starts_with(directory)) {
            return None;
        }
        let status = fs::read_to_string(at.join("status")).ok()?;
        let told = |key| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        Some(Found {
            pid: Pid::from_raw(pid)?,
            parent: Pid::from_raw(told("PPid:")?.parse().ok()?),
            network: fs::read_link(at.join("ns/net")).ok(),
        })
    };
    fs::read_dir("/proc").unwrap().filter_map(|entry| process(entry.ok()?)).collect()
}

/// The networks that processes of this machine are in, as far as they can be seen.
fn networks() -> HashSet<PathBuf> {
    let network = |entry: fs::DirEntry| fs::read_link(entry.path().join("ns/net")).ok();
    fs::read_dir("/proc").unwrap().filter_map(|entry| network(entry.ok()?)).collect()
}

fn devices() -> Vec<String> {
    let text = fs::read_to_string("/proc/net/dev").unwrap();
    text.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The lab at its runs, with a directory of its own for whatever it writes.
struct Round {
    lab: Child,
    directory: tempfile::TempDir,
}

impl Round {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = own(&directory, EXPERIMENT);
        let out = directory.path().join("out");
        fs::create_dir(&out).unwrap();
        let words = || fs::File::create(directory.path().join("words")).unwrap();
        let lab = Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(["run", "--packets", "--pcap", out.join("runs.pcapng").to_str().unwrap(), &file])
            .env("TMPDIR", &out)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(words())
            .spawn()
            .unwrap();
        Self { lab, directory }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.lab)
    }

    fn found(&self) -> Vec<Found> {
        found(self.pid(), self.directory.path())
    }

    /// The processes of the runs; none as long as there is only the one that started them.
    fn runs(&self) -> Vec<Found> {
        let lab = Some(self.pid());
        self.found().into_iter().filter(|process| process.parent == lab).collect()
    }

    fn words(&self) -> String {
        fs::read_to_string(self.directory.path().join("words")).unwrap()
    }

    fn files(&self) -> Vec<String> {
        names(&self.directory.path().join("out"))
    }

    /// Waits until no process of the round is left, and no network of theirs is seen anywhere.
    fn is_over(&self, networks_of_theirs: &HashSet<PathBuf>) {
        let begun = Instant::now();
        while !self.found().is_empty() || !networks().is_disjoint(networks_of_theirs) {
            assert!(begun.elapsed() < DEADLINE, "a process, or a network, has outlived the lab");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The networks of these processes that are not this one's.
fn private(processes: &[Found]) -> HashSet<PathBuf> {
    let here = fs::read_link("/proc/self/ns/net").unwrap();
    let all = processes.iter().filter_map(|process| process.network.clone());
    all.filter(|network| *network != here).collect()
}

#[test]
fn a_lab_that_is_killed_at_any_moment_leaves_no_process_no_network_no_device_and_no_file() {
    let before = devices();
    let mut met = 0;
    for number in 0..ROUNDS {
        let mut round = Round::start();
        thread::sleep(STEP * number);
        let networks = private(&round.found());
        met += networks.len();
        kill_process(round.pid(), Signal::KILL).unwrap();
        round.lab.wait().unwrap();
        round.is_over(&networks);
        assert_eq!(round.files(), Vec::<String>::new(), "in round {number}");
    }
    assert_eq!(devices(), before);
    if met == 0 {
        eprintln!("SKIPPED: no run had a network of its own");
    }
}

#[test]
fn a_run_whose_process_is_killed_at_any_moment_is_told_and_leaves_nothing() {
    let before = devices();
    for number in 0..ROUNDS {
        let mut round = Round::start();
        let begun = Instant::now();
        // Several: first the one that finds out whether there can be a private network.
        while round.runs().is_empty() && begun.elapsed() < DEADLINE {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(STEP * number);
        let (mut networks, mut killed) = (HashSet::new(), 0);
        while round.lab.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < DEADLINE, "it goes on without its runs");
            let runs = round.runs();
            networks.extend(private(&runs));
            for run in runs {
                killed += u32::from(kill_process(run.pid, Signal::KILL).is_ok());
            }
            thread::sleep(Duration::from_millis(1));
        }
        assert!(killed > 0, "in round {number}");
        let code = round.lab.wait().unwrap().code();
        assert_eq!(code, Some(2), "in round {number}: {}", round.words());
        round.is_over(&networks);
        assert_eq!(round.files(), Vec::<String>::new(), "in round {number}");
    }
    assert_eq!(devices(), before);
}
