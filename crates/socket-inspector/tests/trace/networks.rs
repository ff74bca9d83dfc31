//! The same addresses in several network namespaces: the tracepoint hears of all of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::common::unhaunted_listener;
use crate::tracer::{Tracefs, Tracer, spawn};
use crate::wait_for_fin;

const PORTS: &str = "TRACE_TEST_PORTS";

/// One connection in a network of its own, between ports that are told; closed by the client when
/// stdin ends.
#[test]
#[ignore = "plays another network for the other tests"]
fn network_process() {
    let Ok(ports) = std::env::var(PORTS) else { return };
    let (client, server) = ports.split_once(' ').unwrap();
    let at = |port: &str| SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()));
    let listener = TcpListener::bind(at(server)).unwrap();
    let (domain, kind) = (socket2::Domain::IPV4, socket2::Type::STREAM);
    let socket = socket2::Socket::new(domain, kind, None).unwrap();
    socket.bind(&at(client).into()).unwrap();
    socket.connect(&at(server).into()).unwrap();
    let (client, server) = (TcpStream::from(socket), listener.accept().unwrap().0);
    std::io::stdout().write_all(b"open\n").unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    drop(client);
    wait_for_fin(&server);
}

/// A process that plays it, when its connection is open; `None`, and said aloud, where there is no
/// other network.
fn elsewhere(ports: &str) -> Option<(Child, BufReader<ChildStdout>)> {
    let program = std::env::current_exe().unwrap();
    let play = "--exact --ignored --nocapture networks::network_process";
    let script = format!("ip link set lo up && exec {} {play}", program.display());
    let mut child = spawn(
        Command::new("unshare")
            .args(["--net", "sh", "-c", &script])
            .env(PORTS, ports)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped()),
    );
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.ends_with("open\n") {
        if out.read_line(&mut line).unwrap() == 0 {
            eprintln!("SKIPPED: no other network: {line}");
            child.wait().unwrap();
            return None;
        }
    }
    Some((child, out))
}

#[test]
fn the_same_addresses_in_two_networks_are_two_connections() {
    let Some(_tracefs) = Tracefs::open() else { return };
    let (one, other) = (unhaunted_listener(), unhaunted_listener());
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let ports = format!("{} {}", port(&other), port(&one));
    let mut tracer = Tracer::of(&one, "tracepoint");
    let Some(first) = elsewhere(&ports) else { return };
    let Some(second) = elsewhere(&ports) else { return };
    // While the processes are there, their network can be told.
    let mut told = Vec::new();
    let is_open = |line: &Value| line["connection"] == 2 && line["to"] == "ESTABLISHED";
    while !told.last().is_some_and(is_open) {
        let mut line = String::new();
        assert_ne!(tracer.out.read_line(&mut line).unwrap(), 0, "{told:#?}");
        told.push(serde_json::from_str(&line).unwrap());
    }
    for (mut child, out) in [first, second] {
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        drop(out);
    }
    told.extend(tracer.until_ended(2));
    let (rest, _) = tracer.end(Signal::INT);
    assert_eq!(rest.last().unwrap()["connections"], 2);
    let changes = |number: u64, side: &str| {
        let of_it = told.iter().filter(|line| line["connection"] == number && line["side"] == side);
        let states: Vec<&str> = of_it.map(|line| line["to"].as_str().unwrap_or("")).collect();
        states.into_iter().filter(|state| !state.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let first_pids = std::fs::read_link("/proc/self/ns/pid").unwrap();
    for number in [1, 2] {
        let client = ["SYN_SENT", "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSED"];
        assert_eq!(changes(number, "client"), client, "{told:#?}");
        let server = ["SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "LAST_ACK", "CLOSED"];
        assert_eq!(changes(number, "server"), server, "{told:#?}");
        let is_its_end = |line: &&Value| line["kind"] == "ended" && line["connection"] == number;
        let ended = told.iter().find(is_its_end).unwrap();
        assert_eq!((&ended["ending"], &ended["by"]), (&"closed_first".into(), &"client".into()));
        assert!(!ended["age_ns"].is_null(), "{ended}");
        // Threads are told by their numbers in the first PID namespace.
        if first_pids.as_os_str() == "pid:[4026531836]" {
            assert_eq!(ended["in_other_network"], true, "{ended}");
        }
    }
}
