//! The program as it is used: in a pipe, asked for the wrong thing, read by other programs.

mod common;

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output, Stdio};

use common::unhaunted_listener;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    program(arguments).output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

/// A port on which this test listens, and no connection of the past remains, with one connection.
fn connection() -> (u16, TcpListener, [TcpStream; 2]) {
    let listener = unhaunted_listener();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    let accepted = listener.accept().unwrap().0;
    (address.port(), listener, [client, accepted])
}

#[test]
fn a_pipe_gets_plain_text_with_both_ends_on_a_line() {
    let (port, _listener, _ends) = connection();
    let output = run(&["--port", &port.to_string()]);
    assert_eq!(output.status.code(), Some(0));
    let text = stdout(&output);
    assert!(!text.contains('\x1b'), "{text:?}");
    assert!(text.lines().any(|line| line.matches("ESTABLISHED").count() == 2), "{text}");
    assert!(text.contains(&format!("({})", std::process::id())), "{text}");
}

#[test]
fn a_program_gets_json_that_counts_both_ends() {
    let (port, _listener, _ends) = connection();
    let output = run(&["--port", &port.to_string(), "--format", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["tally"]["client"]["ESTABLISHED"], 1);
    assert_eq!(json["tally"]["server"]["ESTABLISHED"], 1);
    assert_eq!(json["tally"]["listening"], 1);
    assert_eq!(json["sockets"].as_array().unwrap().len(), 3);
}

#[test]
fn nothing_to_list_is_an_answer() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = unused.local_addr().unwrap().port().to_string();
    let output = run(&["--port", &port, "--state", "closing"]);
    assert_eq!(output.status.code(), Some(0));
    let expected = format!("No TCP socket with port {port} at either end, in CLOSING.\n");
    assert_eq!(stdout(&output), expected);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (_port, _listener, _ends) = connection();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader); // nobody will ever read
    let mut child = program(&[]).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(stderr, "");
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_is_a_failure_with_its_cause() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = program(&[]).stdout(full).stderr(Stdio::piped()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.starts_with("socket-inspector: "), "{stderr}");
}

#[test]
fn what_cannot_be_asked_for_is_refused() {
    for arguments in [["--state", "waiting"], ["--port", "0"], ["--port", "65536"]] {
        assert_eq!(run(&arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_process_that_cannot_be_looked_into_is_not_said_to_have_no_pool() {
    // More than any process has: the kernel gives out 4194304 numbers at most.
    let output = run(&["pool", "--pid", "4194305"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert_eq!(told, "socket-inspector: there is no process 4194305\n");
}
