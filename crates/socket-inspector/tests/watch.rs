//! `socket-inspector watch` as it is used: in a terminal, which it has to give back, and in a pipe.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/terminal.rs"]
mod terminal;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use common::unhaunted_listener;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use terminal::{InTerminal, wait};

const PROGRAM: &str = env!("CARGO_BIN_EXE_socket-inspector");

/// The program in a terminal of the usual size.
fn in_terminal(arguments: &[&str]) -> InTerminal {
    InTerminal::start(arguments, (80, 24))
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

/// A listener, and its port as it is typed.
fn listener() -> (TcpListener, String) {
    let listener = unhaunted_listener();
    let port = listener.local_addr().unwrap().port().to_string();
    (listener, port)
}

fn connect(listener: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn a_connection_is_seen_to_come_to_change_and_to_be_kept_when_it_is_over() {
    let (listener, port) = listener();
    let mut terminal = in_terminal(&["--port", &port]);
    terminal.until("empty", |shown| shown.contains("no connection yet"));
    let (mut client, server) = connect(&listener);
    terminal.until("open", |shown| shown.contains("ESTABLISHED  ESTABLISHED"));
    let me = format!("({})", std::process::id());
    terminal.until("held by this process", |shown| shown.matches(&me).count() == 2);

    client.write_all(&[b'q'; 83]).unwrap();
    terminal.until("unread", |shown| shown.contains("83 B unread"));
    drop(server); // a reset: bytes were unread
    terminal.until("over", |shown| shown.contains("gone         gone"));
    terminal.until("counted", |shown| shown.contains("0 connections there, 1 over and kept"));
    drop(client);
    terminal.press("c");
    terminal.until("forgotten", |shown| {
        shown.contains("0 connections there, 0 over and kept, 1 forgotten")
    });
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn time_wait_counts_down_at_the_end_that_closed_first() {
    let (listener, port) = listener();
    let mut terminal = in_terminal(&["--port", &port]);
    let (client, mut server) = connect(&listener);
    terminal.until("open", |shown| shown.contains("ESTABLISHED  ESTABLISHED"));
    drop(client);
    terminal.until("half closed", |shown| shown.contains("FIN_WAIT_2   CLOSE_WAIT"));
    let _ = server.read(&mut [0]);
    drop(server);
    terminal
        .until("waiting", |shown| shown.contains("TIME_WAIT    gone") && shown.contains(" s left"));
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn the_filter_is_typed_in_place() {
    let (listener, port) = listener();
    let _open = connect(&listener);
    let mut terminal = in_terminal(&["--port", &port]);
    terminal.until("open", |shown| shown.contains("ESTABLISHED  ESTABLISHED"));
    terminal.press("/close-wait");
    terminal.until("narrowed", |shown| {
        shown.contains("/close-wait") && !shown.contains("ESTABLISHED  ESTABLISHED")
    });
    terminal.press("\u{1b}");
    terminal.until("all again", |shown| shown.contains("ESTABLISHED  ESTABLISHED"));
    terminal.press("\u{3}"); // Ctrl-C is a key here
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn a_key_that_meets_a_resize_does_not_wait_for_the_next_key() {
    let (_listener, port) = listener();
    let mut terminal = in_terminal(&["--port", &port]);
    terminal.until("there", |shown| shown.contains("no connection yet"));
    terminal.press("/");
    // Each `x` meets the signal a little earlier or later.
    for round in 0..40_u32 {
        let pause = Duration::from_micros(u64::from(round % 20) * 10);
        for _ in 0..3 {
            signal(&terminal.child, Signal::WINCH);
            std::thread::sleep(pause);
        }
        terminal.press("x");
        signal(&terminal.child, Signal::WINCH);
        terminal.until("typed", |shown| shown.contains("/x"));
        terminal.press("\u{15}"); // Ctrl-U empties what is typed
        terminal.until("emptied", |shown| !shown.contains("/x"));
    }
    terminal.press("\u{3}");
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn a_signal_gives_the_terminal_back_too() {
    for deadly in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (_listener, port) = listener();
        let mut terminal = in_terminal(&["--port", &port]);
        terminal.until("there", |shown| shown.contains("no connection yet"));
        signal(&terminal.child, deadly);
        assert_eq!(terminal.end().code(), Some(0), "{deadly:?}");
    }
}

#[test]
fn a_terminal_that_is_closed_ends_it_with_and_without_a_signal() {
    for signalled in [true, false] {
        let (_listener, port) = listener();
        let mut terminal = in_terminal(&["--port", &port]);
        terminal.until("there", |shown| shown.contains("no connection yet"));
        terminal.close();
        if signalled {
            signal(&terminal.child, Signal::HUP); // what the kernel sends to a terminal's session
        }
        let status = wait(&mut terminal.child);
        assert!(status.code().is_some(), "no panic on the way out: {status:?}");
    }
}

#[test]
fn it_ends_by_itself_when_its_time_is_over() {
    let (_listener, port) = listener();
    let mut terminal = in_terminal(&["--port", &port, "--for", "300ms"]);
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let output = Command::new(PROGRAM).arg("watch").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    let expected = "socket-inspector: stdout is no terminal to draw on; \
                    `--format jsonl` writes the changes instead\n";
    assert_eq!(told, expected);
}

/// The stream of changes.
struct Stream {
    child: Child,
    lines: Receiver<String>,
}

/// The program, asked for the stream, a hundred looks a second.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["watch", "--format", "jsonl", "--interval", "0.01"]).args(arguments);
    command
}

impl Stream {
    fn of(arguments: &[&str]) -> Self {
        let mut child = program(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    fn next(&mut self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_secs(20)).expect("a line in time");
        serde_json::from_str(&line).unwrap()
    }

    /// The next line in which `key` has this value.
    fn until(&mut self, key: &str, value: &str) -> Value {
        loop {
            let line = self.next();
            if line[key] == value {
                return line;
            }
            assert_ne!(line["kind"], "end", "no {key} is {value}");
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn programs_get_every_change_with_the_time_between_two_looks() {
    let (listener, port) = listener();
    let mut stream = Stream::of(&["--port", &port]);
    let first = stream.next();
    assert_eq!((&first["kind"], &first["schema"]), (&"watch".into(), &1.into()));
    let found = stream.next();
    assert_eq!((&found["kind"], &found["socket"]["state"]), (&"found".into(), &"LISTEN".into()));

    let (client, mut server) = connect(&listener);
    let address = client.local_addr().unwrap().to_string();
    let opened = loop {
        let change = stream.until("to", "ESTABLISHED");
        if change["socket"]["local"] == address.as_str() {
            break change;
        }
    };
    let (min, max) = (&opened["at_ms"]["min"], &opened["at_ms"]["max"]);
    assert!(min.as_u64().unwrap() <= max.as_u64().unwrap(), "{opened}");
    assert_eq!(opened["socket"]["side"], "client");

    drop(client);
    let _ = server.read(&mut [0]);
    drop(server);
    let waiting = stream.until("to", "TIME_WAIT");
    assert_eq!(waiting["socket"]["local"], address.as_str());
    assert_eq!(waiting["socket"]["timer"]["kind"], "timewait");
    signal(&stream.child, Signal::INT);
    let end = stream.until("kind", "end");
    assert!(end["changes"].as_u64().unwrap() >= 4, "{end}");
    assert_eq!(wait(&mut stream.child).code(), Some(0));
}

/// A process that is gone still has what it left in `TIME_WAIT`.
#[test]
fn what_a_process_held_counts_as_its_own() {
    let (listener, port) = listener();
    let me = std::process::id().to_string();
    let mut stream = Stream::of(&["--port", &port, "--pid", &me, "--side", "client"]);
    stream.next(); // it has looked, and found nothing of ours
    let (client, mut server) = connect(&listener);
    // It changes to that, or is found to be in it if nobody saw at first whose it is.
    let opened = loop {
        let socket = &stream.next()["socket"];
        if socket["state"] == "ESTABLISHED" {
            break socket.clone();
        }
    };
    assert_eq!(opened["owners"][0]["pid"], std::process::id());
    drop(client);
    let _ = server.read(&mut [0]);
    drop(server);
    let waiting = stream.until("to", "TIME_WAIT");
    assert_eq!(waiting["socket"]["owners"][0]["pid"], std::process::id());
}

#[test]
fn a_reader_that_has_read_enough_ends_it_even_if_nothing_changes() {
    let (_listener, port) = listener();
    let mut child = program(&["--port", &port]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    assert_eq!(wait(&mut child).code(), Some(0));
}

/// A pipe holds some 64 KiB: who waits for room in it hears of no signal.
#[test]
fn a_reader_that_does_not_read_keeps_nobody_from_ending_it() {
    let (listener, port) = listener();
    let connections: Vec<_> = (0..400).map(|_| connect(&listener)).collect();
    let mut child = program(&["--port", &port]).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    std::thread::sleep(Duration::from_millis(500)); // until the pipe is full
    assert!(child.try_wait().unwrap().is_none());
    signal(&child, Signal::TERM);
    std::thread::sleep(Duration::from_millis(100));
    signal(&child, Signal::TERM); // at once
    assert_eq!(wait(&mut child).code(), Some(2));
    drop((stdout, connections));
}

/// A port may be used again between two looks, and be in the same state at both.
#[test]
fn another_connection_between_the_same_addresses_is_another() {
    let (listener, port) = listener();
    let server = listener.local_addr().unwrap();
    let reset = || {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_reuse_address(true).unwrap();
        socket.set_linger(Some(Duration::ZERO)).unwrap(); // to close it is to reset it
        socket
    };
    let first = reset();
    first.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    first.connect(&server.into()).unwrap();
    let address = first.local_addr().unwrap();
    let local = address.as_socket().unwrap().to_string();
    let mut stream = Stream::of(&["--port", &port, "--side", "client"]);
    let found = stream.until("kind", "found");
    assert_eq!(found["socket"]["local"], local.as_str());
    drop(first);
    let second = reset();
    second.bind(&address).unwrap();
    second.connect(&server.into()).unwrap();
    let gone = stream.until("to", "CLOSED");
    assert_eq!(
        (&gone["from"], &gone["from_lasted_ms"]["max"]),
        (&"ESTABLISHED".into(), &Value::Null)
    );
    let come = stream.until("to", "ESTABLISHED");
    assert_eq!(
        (&come["from"], &come["socket"]["local"]),
        (&"CLOSED".into(), &local.as_str().into())
    );
}

#[test]
fn who_holds_a_connection_is_told_when_it_is_known() {
    let (listener, port) = listener();
    let mut stream = Stream::of(&["--port", &port]);
    stream.until("kind", "found");
    let _open = connect(&listener);
    let mut held = 0;
    while held < 2 {
        let line = stream.next();
        let owners = &line["socket"]["owners"];
        if line["kind"] != "found" && owners[0]["pid"] == std::process::id() {
            held += 1;
        }
    }
}

#[test]
fn a_process_that_is_not_there_is_said_not_to_be_there() {
    let output = program(&["--pid", "4194305"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told, "socket-inspector: there is no process 4194305\n");
}
