//! Packets beside another witness, against connections of this machine.

use std::net::Shutdown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, geteuid};
use serde_json::Value;

use crate::common::unhaunted_listener;
use crate::tracer::{Tracefs, Tracer, connection, program, reset_on_close, trace};
use crate::wait_for_fin;

/// A tracer that hears packets, too; `None`, said aloud, where it may not.
fn tracer(listener: &std::net::TcpListener, witness: &str) -> Option<Tracer> {
    let mut command = trace(Path::new(program()), listener, witness);
    command.arg("--packets");
    let tracer = Tracer::start(command);
    if let Some(why) = tracer.witness["no_packets_because"].as_str() {
        assert!(why.starts_with("no packets: "), "{why}");
        eprintln!("SKIPPED: packets beside {witness}: {why}");
        return None;
    }
    assert_eq!(tracer.witness["packets"], true);
    Some(tracer)
}

/// What the packets say of the end of the one connection.
fn told(mut tracer: Tracer) -> (Vec<Value>, Value) {
    let mut told = tracer.until_ended(1);
    let (rest, status) = tracer.end(Signal::INT);
    assert_eq!(status.code(), Some(0));
    told.extend(rest);
    let ended: Vec<&Value> = told.iter().filter(|it| it["kind"] == "packets_ended").collect();
    assert_eq!(ended.len(), 1, "{told:#?}");
    let ended = ended[0].clone();
    let last = told.last().unwrap();
    assert_eq!((&last["opened_by_packets"], &last["lost_packets"]), (&1.into(), &0.into()));
    (told, ended)
}

fn packets(told: &[Value]) -> Vec<(&str, &str, bool)> {
    let packets = told.iter().filter(|it| it["kind"] == "packet");
    packets
        .map(|it| {
            assert_eq!((&it["witness"], &it["connection"]), (&"packets".into(), &1.into()), "{it}");
            let text = |name: &str| it[name].as_str().unwrap();
            (text("side"), text("flags"), it["first"].as_bool().unwrap())
        })
        .collect()
}

#[test]
fn the_first_fin_is_of_the_end_that_the_tracepoint_saw_close_first() {
    let Some(_tracefs) = Tracefs::open() else { return };
    for first in ["client", "server"] {
        let listener = unhaunted_listener();
        let Some(tracer) = tracer(&listener, "tracepoint") else { return };
        let (client, server) = connection(&listener);
        let [one, other] = if first == "client" { [client, server] } else { [server, client] };
        one.shutdown(Shutdown::Write).unwrap();
        wait_for_fin(&other);
        drop(other);
        wait_for_fin(&one);
        drop(one);
        let (told, ended) = told(tracer);
        let second = if first == "client" { "server" } else { "client" };
        assert_eq!(packets(&told), [(first, "F.", true), (second, "F.", false)], "{told:#?}");
        assert_eq!((&ended["first"], &ended["first_by"]), (&"fin".into(), &first.into()));
        assert_eq!((&ended["agrees"], &ended["connection"]), (&true.into(), &1.into()));
        let changes = || told.iter().filter(|it| it["kind"] == "change");
        assert!(changes().any(|it| it["witness"] == "tracepoint"));
        let to_time_wait = changes().find(|it| it["to"] == "TIME_WAIT").unwrap();
        assert_eq!(to_time_wait["witness"], "sock_diag");
    }
}

#[test]
fn a_reset_is_told_of_the_end_that_sent_it_also_beside_samples() {
    let listener = unhaunted_listener();
    let Some(tracer) = tracer(&listener, "sampling") else { return };
    let (client, server) = connection(&listener);
    // Long enough for samples to see it: the number is theirs.
    std::thread::sleep(std::time::Duration::from_millis(200));
    reset_on_close(&client);
    drop(client);
    let (told, ended) = told(tracer);
    drop(server);
    assert_eq!(packets(&told), [("client", "R.", true)], "{told:#?}");
    assert_eq!((&ended["first"], &ended["first_by"]), (&"rst".into(), &"client".into()));
    assert!(told.iter().all(|it| it["kind"] != "change" || it["witness"] == "sock_diag"));
}

#[test]
fn whoever_may_not_hear_packets_is_told_who_refuses_and_traces_on() {
    let listener = unhaunted_listener();
    let mut command = trace(Path::new(program()), &listener, "sampling");
    command.arg("--packets");
    if geteuid().is_root() {
        command.uid(65_534).gid(65_534); // without any capability
        if let Err(error) = Command::new(program()).arg("--version").uid(65_534).output() {
            return eprintln!("SKIPPED: the refusal of packets: nobody may not run it: {error}");
        }
    }
    let mut tracer = Tracer::start(command);
    let why = tracer.witness["no_packets_because"].as_str().unwrap();
    assert!(why.starts_with("no packets: ") && why.contains("; fix: "), "{why}");
    assert_eq!(tracer.witness["packets"], false);
    let (client, server) = connection(&listener);
    std::thread::sleep(std::time::Duration::from_millis(200));
    drop((client, server));
    let told = tracer.until_ended(1);
    assert!(told.iter().all(|it| it["witness"] != "packets"));
}
