//! Processes that are there, and whose sockets cannot be seen from here.
#![cfg(target_os = "linux")]

mod common;

use std::io::Read;
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use common::unhaunted_listener;

const PROGRAM: &str = env!("CARGO_BIN_EXE_socket-inspector");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    let whole = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8(whole).unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A process in a network of its own; `None`, and said aloud, where there can be none.
fn elsewhere() -> Option<Child> {
    let mut child = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "sh", "-c", "echo; exec sleep 60"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let is_there = child.stdout.as_mut().unwrap().read(&mut [0]).unwrap() == 1;
    if !is_there {
        eprintln!("SKIPPED: no private network for an ordinary user");
        child.wait().unwrap();
    }
    is_there.then_some(child)
}

#[test]
fn a_process_in_another_network_is_said_to_be_there_and_how_to_look() {
    let Some(mut child) = elsewhere() else { return };
    let pid = child.id().to_string();
    for command in ["list", "pool"] {
        let output = run(&[command, "--pid", &pid]);
        let expected = format!(
            "socket-inspector: process {pid} is there, in another network namespace, whose sockets \
             cannot be seen from here: sudo nsenter -t {pid} -n socket-inspector {command} --pid \
             {pid}"
        );
        assert_eq!(said(&output), expected);
        assert_eq!(output.status.code(), Some(2));
    }
    // By its name: the shell has become `sleep` when it shows that name.
    let comm = format!("/proc/{pid}/comm");
    while std::fs::read_to_string(&comm).unwrap() != "sleep\n" {
        std::thread::yield_now();
    }
    let brief = &["--format", "jsonl", "--for", "1ms"][..];
    for (command, more) in [("list", &[][..]), ("pool", &[]), ("watch", brief)] {
        let by_name = said(&run(&[&[command, "--process", "sleep"], more].concat()));
        assert!(by_name.contains("in another network namespace"), "{by_name}");
        assert!(by_name.contains(&format!("socket-inspector {command} --pid")), "{by_name}");
    }
    let of_all = said(&run(&["list", "--port", "9", "--state", "closing"]));
    assert_eq!(of_all, "No TCP socket with port 9 at either end, in CLOSING.");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Runs the program where `/proc` shows nothing; `None`, and said aloud, where that cannot be done.
fn without_proc(arguments: &str) -> Option<Output> {
    let script = format!("mount -t tmpfs none /proc || exit 77; exec {PROGRAM} {arguments}");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .output()
        .ok()?;
    if matches!(output.status.code(), Some(0 | 2)) {
        return Some(output);
    }
    eprintln!("SKIPPED: /proc cannot be hidden here: {}", said(&output));
    None
}

#[test]
fn what_proc_hides_cannot_be_seen_and_is_not_said_to_be_missing() {
    let listener = unhaunted_listener();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _server = listener.accept().unwrap();
    let port = listener.local_addr().unwrap().port();
    let me = std::process::id();
    let Some(output) = without_proc(&format!("list --pid {me}")) else { return };
    let expected = format!("process {me} cannot be seen: /proc hides processes");
    assert!(said(&output).contains(&expected), "{}", said(&output));
    assert!(!said(&output).contains("there is no process"), "{}", said(&output));

    // The table is told all the same, and of its holders only that they are not seen.
    let output = without_proc(&format!("list --port {port}")).unwrap();
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains(&format!("? → 127.0.0.1:{port} ?")), "{text}");
    assert!(!text.contains("no process"), "{text}");
    let by_name = said(&without_proc(&format!("list --port {port} --process hello")).unwrap());
    assert!(by_name.contains(", seen to be held by hello."), "{by_name}");
    assert!(by_name.contains("as nobody sees who holds them: /proc hides"), "{by_name}");
}
