//! The packets of the server's port as a second witness of each close: over real connections.
#![cfg(target_os = "linux")]

mod common;
#[path = "common/program.rs"]
mod program;

use std::io::{BufRead, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use program::Hello;
use serde_json::Value;
use socket2::SockRef;

/// A server whose packets are heard; `None`, said aloud, where this process may not hear them.
fn hello(arguments: &[&str]) -> Option<Hello> {
    let mut hello = Hello::start(
        &[&["--show", "connections,packets", "--format", "jsonl"], arguments].concat(),
    );
    drop(hello.connect()); // what is said of packets is said by now
    hello.objects_until("accepted");
    let may = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = may.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap().trim();
    if u64::from_str_radix(effective, 16).unwrap() & (1 << 13) == 0 {
        let mut refused = String::new();
        hello.said.read_line(&mut refused).unwrap();
        eprintln!("SKIPPED: the packets of a server: {refused}");
        return None;
    }
    hello.objects_until("packets");
    Some(hello)
}

/// What packets and server say of the next connection.
fn of_next(hello: &mut Hello) -> (Value, Value) {
    let told = hello.objects_until("packets");
    let closed = told.iter().find(|object| object["event"] == "closed").unwrap();
    let packets = told.last().unwrap();
    assert_eq!(packets["connection"], closed["connection"]);
    assert_eq!(packets["dropped_packets"], 0);
    assert_eq!(packets["beginning_heard"], true);
    (packets.clone(), closed.clone())
}

fn first(packets: &Value) -> (&str, &str) {
    (packets["first"].as_str().unwrap(), packets["first_by"].as_str().unwrap())
}

#[test]
fn the_end_that_sent_the_first_fin_is_the_one_that_the_server_saw_close_first() {
    let Some(mut hello) = hello(&[]) else { return };
    for _ in 0..7 {
        hello.connect().get("/");
        let (packets, closed) = of_next(&mut hello);
        assert_eq!(first(&packets), ("fin", "client"), "{packets}");
        assert_eq!(closed["by"], "client");
        let mut client = hello.connect();
        client.get("/?close");
        client.sees_the_close().unwrap();
        drop(client);
        let (packets, closed) = of_next(&mut hello);
        assert_eq!(first(&packets), ("fin", "server"), "{packets}");
        assert_eq!(closed["by"], "server");
        assert_eq!(packets["agrees_with_server"], true);
        assert_eq!((&packets["client_fin"], &packets["client_again"]), (&true.into(), &0.into()));
    }
}

#[test]
fn a_reset_is_told_of_the_end_that_sent_it() {
    let Some(mut hello) = hello(&[]) else { return };
    let mut client = hello.connect();
    client.get("/");
    SockRef::from(client.stream()).set_linger(Some(Duration::ZERO)).unwrap();
    drop(client);
    let (packets, closed) = of_next(&mut hello);
    assert_eq!(first(&packets), ("rst", "client"), "{packets}");
    assert_eq!((&closed["by"], &packets["agrees_with_server"]), (&"reset".into(), &true.into()));
    assert_eq!(packets["server_rst"], false);
}

#[test]
fn a_client_that_stays_is_no_longer_waited_for_after_a_second() {
    let Some(mut hello) = hello(&["--idle-timeout", "50ms"]) else { return };
    let mut client = hello.connect();
    client.get("/");
    let (packets, closed) = of_next(&mut hello);
    assert_eq!(first(&packets), ("fin", "server"));
    assert_eq!((&packets["client_fin"], &closed["why"]), (&false.into(), &"idle_timeout".into()));
    drop(client);
}

#[test]
fn packets_of_a_server_on_every_address_are_heard_once_on_loopback() {
    let Some(_) = hello(&[]) else { return };
    let mut command = Command::new(program::PROGRAM);
    command.args(["--listen", "0.0.0.0:0", "--show", "packets", "--format", "jsonl"]);
    let mut hello = Hello::of(&mut command, true);
    let mut client = TcpStream::connect(("127.0.0.1", hello.address.port())).unwrap();
    client.write_all(b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").unwrap();
    std::io::copy(&mut client, &mut std::io::sink()).unwrap();
    drop(client);
    let packets = hello.objects_until("packets").pop().unwrap();
    assert_eq!(first(&packets), ("fin", "server"), "{packets}");
    for key in ["client_again", "server_again", "client_late"] {
        assert_eq!(packets[key], 0, "{packets}");
    }
}

#[test]
fn whoever_may_not_hear_packets_says_who_refuses_and_goes_on() {
    let mut command = Command::new(program::PROGRAM);
    command.args(["--port", "0", "--show", "connections,packets", "--format", "jsonl"]);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    if status.lines().any(|line| line.starts_with("Uid:\t0\t")) {
        command.uid(65_534).gid(65_534); // without any capability
        let mut may = Command::new(program::PROGRAM);
        if let Err(error) = may.arg("--version").uid(65_534).output() {
            return eprintln!("SKIPPED: the refusal of packets: nobody may not run it: {error}");
        }
    }
    let mut hello = Hello::of(&mut command, true);
    let mut refused = hello.first_line.clone();
    if !refused.contains("no packets") {
        refused.clear();
        hello.said.read_line(&mut refused).unwrap();
    }
    assert!(refused.starts_with("hello: no packets: opening a packet socket refused"), "{refused}");
    assert!(refused.contains("; fix: "), "{refused}");
    hello.connect().get("/");
    let told = hello.objects_until("closed");
    assert!(told.iter().all(|object| object["event"] != "packets"));
}
