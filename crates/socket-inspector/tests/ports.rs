//! The budget of ports, with real connections.
#![cfg(target_os = "linux")]

mod common;

use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use common::unhaunted_listener;

/// The one destination of a report, as JSON.
fn report(server: SocketAddr, more: &[&str]) -> serde_json::Value {
    let peer = server.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
    command.args(["ports", "--format", "json", "--peer", &peer]).args(more);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["destinations"].as_array().unwrap().len(), 1, "{json:#}");
    json["destinations"][0].clone()
}

#[test]
fn a_port_stays_in_use_after_the_client_has_closed_first() {
    let listener = unhaunted_listener();
    let server = listener.local_addr().unwrap();
    let open = TcpStream::connect(server).unwrap();
    for _ in 0..7 {
        let client = TcpStream::connect(server).unwrap();
        drop(client);
    }
    let _accepted = listener.accept().unwrap();
    for _ in 0..7 {
        let mut server = listener.accept().unwrap().0;
        assert_eq!(server.read(&mut [0]).unwrap(), 0); // the client has closed first
    }
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    loop {
        let there = report(server, &[]);
        assert_eq!(there["forecast"], serde_json::Value::Null);
        assert_eq!(there["opened_per_s"], serde_json::Value::Null);
        // A socket that changes its state while the table is read may be absent from it.
        if there["time_wait_ports"] == 7 && there["in_use_ports"] == 8 {
            assert!(there["last_ends_ms"].as_u64().unwrap() <= 60_000);
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{there:#}");
    }
    drop(open);
}

#[test]
fn who_has_burnt_a_port_is_known_if_it_was_seen_holding_it() {
    // A glance takes some milliseconds, and on a machine that is busy with other things, any time.
    let mut told = serde_json::Value::Null;
    for held in [Duration::from_millis(397), Duration::from_millis(1499), Duration::from_secs(5)] {
        told = watched_while_ports_are_burnt(held);
        // One connection more than at the look before is a growth, which exhausts every budget.
        assert!(matches!(told["forecast"].as_str(), Some("steady" | "exhausted_in")), "{told:#}");
        assert!(told["opened_per_s"].as_f64().unwrap() > 0.0, "{told:#}");
        let me = format!("({})", std::process::id());
        let by_me = |b: &serde_json::Value| b["process"].as_str().is_some_and(|p| p.ends_with(&me));
        if told["burners"].as_array().unwrap().iter().any(by_me) {
            return;
        }
    }
    panic!("this process was never seen holding a connection: {told:#}");
}

/// What is told of a server whose clients hold a connection for some time each, one after the other.
fn watched_while_ports_are_burnt(held: Duration) -> serde_json::Value {
    let listener = unhaunted_listener();
    let server = listener.local_addr().unwrap();
    let _open = TcpStream::connect(server).unwrap();
    let _accepted = listener.accept().unwrap().0;
    let interval = (held * 5).as_secs_f64().to_string();
    let watch = std::thread::spawn(move || report(server, &["--interval", &interval]));
    while !watch.is_finished() {
        let client = TcpStream::connect(server).unwrap();
        let accepted = listener.accept().unwrap().0;
        std::thread::sleep(held);
        drop(client); // first, so that its port is burnt
        drop(accepted);
    }
    watch.join().unwrap()
}

#[test]
fn ports_towards_a_port_of_the_range_are_counted_though_nobody_listens_here() {
    let listener = unhaunted_listener(); // the system picks its port from the same range
    let server = listener.local_addr().unwrap();
    let clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(server).unwrap()).collect();
    let accepted: Vec<TcpStream> = (0..3).map(|_| listener.accept().unwrap().0).collect();
    drop(listener);
    let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
    let output = command.args(["ports", "--format", "json"]).output().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let there = json["destinations"].as_array().unwrap().iter();
    let mut there = there.filter(|there| there["destination"] == server.to_string());
    assert_eq!(there.next().unwrap()["in_use_ports"], 3, "{json:#}");
    assert!(json["likely_client_sockets"].as_u64().unwrap() >= 3, "{json:#}");
    drop((clients, accepted));
}

#[test]
fn programs_are_told_what_an_ordinary_user_could_not_see() {
    let listener = unhaunted_listener();
    let server = listener.local_addr().unwrap();
    let _client = TcpStream::connect(server).unwrap();
    let _accepted = listener.accept().unwrap();
    let told = |user: Option<u32>, format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
        command.args(["ports", "--peer", &server.to_string(), "--format", format]);
        if let Some(user) = user {
            command.uid(user).gid(user);
        }
        let output = command.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let counts = |text: String| {
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        (json["owner_unseen_sockets"].as_u64(), json["side_unknown_sockets"].as_u64())
    };
    assert_eq!(counts(told(None, "json").unwrap()), (Some(0), Some(0)));
    let Some(by_nobody) = told(Some(65534), "json") else {
        return eprintln!("SKIPPED: only root can become nobody, or nobody may not run it");
    };
    assert_eq!(counts(by_nobody), (Some(1), Some(0)));
    let text = told(Some(65534), "text").unwrap();
    assert!(text.contains("1 socket of other users: root alone sees"), "{text}");
}
