//! `socket-inspector watch` as it is used: in a terminal, which it has to give back, and in a pipe.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod common;

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use common::unhaunted_listener;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_socket-inspector");

/// The program in a terminal of its own, of 80 columns and 24 rows.
struct InTerminal {
    child: Child,
    /// The end at which the one who types and looks sits; dropped when the terminal is closed.
    seat: Option<File>,
    /// The end at which programs sit.
    programs: OwnedFd,
    bytes: Receiver<Vec<u8>>,
    all: Vec<u8>,
    screen: vt100::Parser,
    before: Termios,
}

impl InTerminal {
    fn start(arguments: &[&str]) -> Self {
        let seat = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&seat).unwrap();
        unlockpt(&seat).unwrap();
        let name = ptsname(&seat, Vec::new()).unwrap();
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&seat, size).unwrap();
        let programs: OwnedFd =
            OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap().into();
        let before = tcgetattr(&programs).unwrap();
        let end = || Stdio::from(programs.try_clone().unwrap());
        let child = Command::new(PROGRAM)
            .arg("watch")
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env_remove("NO_COLOR")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .unwrap();
        let seat = File::from(seat);
        let mut reader = seat.try_clone().unwrap();
        let (sender, bytes) = channel();
        std::thread::spawn(move || {
            let mut some = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut some) {
                if sender.send(some[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let screen = vt100::Parser::new(24.try_into().unwrap(), 80.try_into().unwrap(), 0);
        let all = Vec::new();
        Self { child, seat: Some(seat), programs, bytes, all, screen, before }
    }

    fn press(&mut self, keys: &str) {
        self.seat.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    fn take_in(&mut self) {
        for bytes in self.bytes.try_iter() {
            self.screen.process(&bytes);
            self.all.extend(bytes);
        }
    }

    /// Waits until the screen is as `wanted`.
    fn until(&mut self, what: &str, wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            self.take_in();
            let shown = self.screen.screen().contents();
            if wanted(&shown) {
                return;
            }
            assert!(Instant::now() < deadline, "never {what}:\n{shown}");
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before {what}:\n{shown}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for its end, and makes sure that the terminal is as it was.
    fn end(&mut self) -> ExitStatus {
        let status = wait(&mut self.child);
        std::thread::sleep(Duration::from_millis(50)); // for the thread that reads
        self.take_in();
        let after = tcgetattr(&self.programs).unwrap();
        assert_eq!(format!("{after:?}"), format!("{:?}", self.before), "modes of the terminal");
        let screen = self.screen.screen();
        assert!(!screen.alternate_screen() && !screen.hide_cursor());
        assert_eq!(screen.contents().trim(), "", "it leaves nothing on the screen");
        status
    }
}

impl Drop for InTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::sleep(Duration::from_millis(5));
    }
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
    let mut terminal = InTerminal::start(&["--port", &port]);
    terminal.until("empty", |shown| shown.contains("no connection yet"));
    let (mut client, server) = connect(&listener);
    terminal.until("open", |shown| shown.contains("ESTABLISHED  ESTABLISHED"));
    let me = format!("({})", std::process::id());
    terminal.until("held by this process", |shown| shown.matches(&me).count() == 2);

    client.write_all(&[b'q'; 83]).unwrap();
    terminal.until("unread", |shown| shown.contains("83 B unread"));
    drop(server); // a reset: bytes were unread
    terminal.until("over", |shown| shown.contains("gone         gone"));
    terminal.until("counted", |shown| shown.contains("0 there, 1 over and kept"));
    drop(client);
    terminal.press("c");
    terminal.until("forgotten", |shown| shown.contains("0 there, 0 over and kept, 1 forgotten"));
    terminal.press("q");
    assert_eq!(terminal.end().code(), Some(0));
}

#[test]
fn time_wait_counts_down_at_the_end_that_closed_first() {
    let (listener, port) = listener();
    let mut terminal = InTerminal::start(&["--port", &port]);
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
    let mut terminal = InTerminal::start(&["--port", &port]);
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
fn a_signal_gives_the_terminal_back_too() {
    for deadly in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (_listener, port) = listener();
        let mut terminal = InTerminal::start(&["--port", &port]);
        terminal.until("there", |shown| shown.contains("no connection yet"));
        signal(&terminal.child, deadly);
        assert_eq!(terminal.end().code(), Some(0), "{deadly:?}");
    }
}

#[test]
fn a_terminal_that_is_closed_ends_it() {
    let (_listener, port) = listener();
    let mut terminal = InTerminal::start(&["--port", &port]);
    terminal.until("there", |shown| shown.contains("no connection yet"));
    // The thread that reads has a copy, which its next read gives up.
    let InTerminal { child, seat, .. } = &mut terminal;
    drop(seat.take());
    signal(child, Signal::HUP); // what the kernel sends to a terminal's session
    wait(child);
}

#[test]
fn it_ends_by_itself_when_its_time_is_over() {
    let (_listener, port) = listener();
    let mut terminal = InTerminal::start(&["--port", &port, "--for", "300ms"]);
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
    let opened = stream.until("to", "ESTABLISHED");
    assert_eq!(opened["socket"]["owners"][0]["pid"], std::process::id());
    drop(client);
    let _ = server.read(&mut [0]);
    drop(server);
    let waiting = stream.until("to", "TIME_WAIT");
    assert_eq!(waiting["socket"]["owners"][0]["pid"], std::process::id());
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let (listener, port) = listener();
    let mut child = program(&["--port", &port]).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut String::new()).unwrap();
    drop(stdout);
    let _open = connect(&listener);
    assert_eq!(wait(&mut child).code(), Some(0));
}
