//! What TCP remembers of real connections, and which of them are kept.
#![cfg(target_os = "linux")]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use common::unhaunted_listener_at;
use evidence::{Inspected, Observed, Side, TcpInfo, TcpState};
use socket_table::{SocketFilter, SocketSieve, inspect, snapshot};

/// A listener on a port without a past, and both ends of a connection to it.
fn connection(at: &str) -> Option<(u16, TcpListener, TcpStream, TcpStream)> {
    let listener = unhaunted_listener_at(at)?;
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    let server = listener.accept().unwrap().0;
    Some((address.port(), listener, client, server))
}

/// The client's row, as soon as it is as `wanted`.
fn client_row(port: u16, wanted: impl Fn(&Inspected) -> bool) -> Inspected {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let rows = inspect(&SocketFilter::default().port(port)).unwrap();
        let client = rows.into_iter().find(|row| row.socket.side == Some(Side::Client));
        match client {
            Some(row) if wanted(&row) => return row,
            other => assert!(Instant::now() < deadline, "never as wanted: {other:#?}"),
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_connection_tells_what_went_over_it_in_both_directions() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let Some((port, _listener, mut client, mut server)) = connection(at) else {
            eprintln!("SKIPPED: this machine has no {at}");
            continue;
        };
        client.write_all(&[b'q'; 83]).unwrap();
        server.read_exact(&mut [0; 83]).unwrap();
        server.write_all(&[b'a'; 131]).unwrap();
        client.read_exact(&mut [0; 131]).unwrap();
        let acknowledged = |row: &Inspected| row.info.bytes_acked == Observed::Known(84);
        let row = client_row(port, acknowledged); // and the SYN
        assert_eq!(row.info.bytes_sent, Observed::Known(83));
        assert_eq!(row.info.bytes_received, Observed::Known(131));
        assert_eq!(row.info.retransmits, Observed::Known(0));
        let rtt = row.info.rtt.known().unwrap();
        assert!(rtt > Duration::ZERO && rtt < Duration::from_secs(5), "{rtt:?}");
    }
}

#[test]
fn silence_grows_until_somebody_speaks() {
    let (port, _listener, mut client, _server) = connection("127.0.0.1:0").unwrap();
    let silent = |row: &Inspected| row.info.silent_for() >= Some(Duration::from_millis(101));
    client_row(port, silent);
    let before = Instant::now();
    client.write_all(b"x").unwrap();
    let row = client_row(port, |row| row.info.bytes_sent == Observed::Known(1));
    let since = before.elapsed() + Duration::from_millis(11); // the kernel counts in its own ticks
    assert!(row.info.last_sent.known().unwrap() <= since);
    assert!(row.info.last_received.known().unwrap() >= Duration::from_millis(101));
}

#[test]
fn time_wait_and_a_listening_socket_have_no_memory() {
    let (port, _listener, client, server) = connection("127.0.0.1:0").unwrap();
    drop(client);
    drop(server);
    let row = client_row(port, |row| row.socket.state == TcpState::TimeWait);
    assert_eq!(row.info, TcpInfo::UNSEEN);
    let rows = inspect(&SocketFilter::default().port(port).state(TcpState::Listen)).unwrap();
    assert_eq!(rows[0].info, TcpInfo::UNSEEN);
}

#[test]
fn a_socket_is_accounted_to_its_creator_s_control_group() {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let Some(own) = own.lines().find_map(|line| line.strip_prefix("0::")) else {
        return eprintln!("SKIPPED: no control groups of version 2");
    };
    let (port, _listener, _client, _server) = connection("127.0.0.1:0").unwrap();
    match client_row(port, |_| true).cgroup {
        Observed::Known(path) if path.starts_with("id ") => {
            eprintln!("SKIPPED: the hierarchy is not mounted where this test can see it");
        }
        Observed::Known(path) => assert_eq!(path, own),
        Observed::NotObservable => eprintln!("SKIPPED: this kernel tells no control groups"),
    }
}

#[test]
fn what_another_process_holds_is_left_out() {
    let (port, _listener, _client, _server) = connection("127.0.0.1:0").unwrap();
    let rows = inspect(&SocketFilter::default().port(port)).unwrap();
    let kept = |sieve: &SocketSieve| rows.iter().filter(|row| sieve.keeps(&row.socket)).count();
    let me = SocketSieve { pids: vec![std::process::id()], ..SocketSieve::default() };
    assert_eq!(kept(&me), 3);
    assert_eq!(kept(&SocketSieve { side: Some(Side::Client), ..me.clone() }), 1);
    assert_eq!(kept(&SocketSieve { pids: vec![1], ..SocketSieve::default() }), 0);
    let peer = format!("127.0.0.1:{port}").parse().unwrap();
    assert_eq!(kept(&SocketSieve { peers: vec![peer], ..SocketSieve::default() }), 1);
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
    command.args(arguments);
    command
}

fn stdout(output: &Output) -> &str {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn the_program_lists_one_process_s_end_for_each_reader() {
    let (port, _listener, mut client, _server) = connection("127.0.0.1:0").unwrap();
    client.write_all(&[b'q'; 83]).unwrap();
    let (port, pid) = (port.to_string(), std::process::id().to_string());
    let list = |more: &[&str]| {
        let asked = ["list", "--port", &port, "--pid", &pid, "--side", "client"];
        program(&[&asked, more].concat()).output().unwrap()
    };
    let json: serde_json::Value =
        serde_json::from_str(stdout(&list(&["--format", "json"]))).unwrap();
    assert_eq!(json["sockets"].as_array().unwrap().len(), 1);
    assert_eq!(json["sockets"][0]["tcp_info"]["sent_bytes"], 83);
    assert_eq!(json["not_seen"].as_array().unwrap().len(), 0);

    let csv = list(&["--format", "csv"]);
    let lines: Vec<&str> = stdout(&csv).lines().collect();
    assert_eq!(lines.len(), 2);
    assert!(lines[0].starts_with("local,peer,side,state,recv_queue_bytes"));

    let wide = list(&["--wide"]);
    assert!(stdout(&wide).contains("sent 83"), "{}", stdout(&wide));
    let columns = list(&["--columns", "sent,state"]);
    assert_eq!(stdout(&columns), "SENT  STATE\n  83  ESTABLISHED\n");
}

/// Plays the client of [`both_ends_of_a_process_s_connection_are_listed`] in a process of its own:
/// two connections, of which it keeps one, until its stdin ends.
#[test]
#[ignore = "plays a client for another test"]
fn client_process() {
    let Ok(server) = std::env::var(SERVER) else { return };
    let mut kept = TcpStream::connect(&server).unwrap();
    drop(TcpStream::connect(&server).unwrap());
    kept.write_all(b"?").unwrap();
    let _ = std::io::stdin().read(&mut [0]);
}

const SERVER: &str = "IN_DEPTH_TEST_SERVER";

#[test]
fn both_ends_of_a_process_s_connection_are_listed_unless_a_side_is_asked_for() {
    let listener = unhaunted_listener_at("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut client = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "client_process"])
        .env(SERVER, address.to_string())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let (mut kept, mut dropped) = (listener.accept().unwrap().0, listener.accept().unwrap().0);
    kept.read_exact(&mut [0]).unwrap();
    assert_eq!(dropped.read(&mut [0]).unwrap(), 0); // closed by the client; here CLOSE_WAIT
    let deadline = Instant::now() + Duration::from_secs(20);
    let half_closed = SocketFilter::default().port(address.port()).state(TcpState::FinWait2);
    while snapshot(&half_closed).unwrap().sockets.is_empty() {
        assert!(Instant::now() < deadline, "the client's FIN is never acknowledged");
        std::thread::sleep(Duration::from_millis(2));
    }

    let port = address.port().to_string();
    let list = |pid: u32, more: &[&str]| {
        let pid = pid.to_string();
        let asked = ["list", "--port", &port, "--pid", &pid, "--columns", "side,state,owner"];
        let output = program(&[&asked, more].concat()).output().unwrap();
        let text = stdout(&output).lines().skip(1).map(|line| {
            let line = line.replace(&format!("({})", client.id()), "(client)");
            let line = line.replace(&format!("({})", std::process::id()), "(server)");
            line.split_whitespace()
                .filter(|word| !word.starts_with("in_"))
                .collect::<Vec<_>>()
                .join(" ")
        });
        let mut lines: Vec<String> = text.collect();
        lines.sort();
        lines
    };
    // The client: its one connection, whole. The server, which is this test: both, whole, though no
    // process holds the client's end of one of them; and the socket that listens.
    let whole = ["client ESTABLISHED (client)", "server ESTABLISHED (server)"];
    assert_eq!(list(client.id(), &[]), whole);
    assert_eq!(list(client.id(), &["--side", "client"]), whole[..1]);
    assert_eq!(list(client.id(), &["--side", "server"]), [""; 0]);
    let all = [
        "LISTEN (server)",
        "client ESTABLISHED (client)",
        "client FIN_WAIT_2 no process",
        "server CLOSE_WAIT (server)",
        "server ESTABLISHED (server)",
    ];
    assert_eq!(list(std::process::id(), &[]), all);
    assert_eq!(list(std::process::id(), &["--side", "server"]), all[3..]);
    client.stdin.take();
    client.wait().unwrap();
}

#[test]
fn what_needs_more_privilege_is_said_once() {
    let (port, _listener, _client, _server) = connection("127.0.0.1:0").unwrap();
    let port = port.to_string();
    let mut asked = program(&["--port", &port, "--sort", "local"]);
    let Ok(output) = asked.uid(65534).gid(65534).output() else {
        return eprintln!("SKIPPED: only root can become nobody, or nobody may not run it");
    };
    let text = stdout(&output);
    assert_eq!(text.matches("root alone sees").count(), 1, "{text}");
    assert_eq!(text.matches("ESTABLISHED").count(), 2, "{text}");
}
