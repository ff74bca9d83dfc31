//! The bytes of a connection, at both ends.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::unhaunted_listener;
use crate::tracer::{Tracefs, Tracer, connection, eventually};
use crate::{ended, reset_on_close, traced, wait_for_fin};

/// The four numbers of a connection: what the client wrote and read, and what the server did.
fn bytes(told: &[Value]) -> [Value; 4] {
    ["client_wrote_bytes", "client_read_bytes", "server_wrote_bytes", "server_read_bytes"]
        .map(|key| ended(told)[key].clone())
}

fn exactly(bytes: u64) -> Value {
    json!({ "min": bytes, "max": bytes })
}

fn at_least(bytes: u64) -> Value {
    json!({ "min": bytes, "max": null })
}

/// Whether the kernel tells bytes; said aloud if not.
fn told_by_this_kernel(tracer: &Tracer) -> bool {
    let why = &tracer.witness["no_bytes_because"];
    if !why.is_null() {
        eprintln!("SKIPPED: {why}");
    }
    why.is_null()
}

fn take(mut from: &TcpStream, bytes: usize) {
    from.read_exact(&mut vec![0; bytes]).unwrap();
}

#[test]
fn what_one_end_wrote_the_other_has_read() {
    let Some(told) = traced(|mut client, mut server| {
        client.write_all(&[1; 83]).unwrap();
        take(&server, 83);
        server.write_all(&[2; 100]).unwrap();
        server.write_all(&[2; 28]).unwrap();
        take(&client, 128);
        drop(client);
        wait_for_fin(&server);
    }) else {
        return;
    };
    assert_eq!(bytes(&told), [exactly(83), exactly(128), exactly(128), exactly(83)]);
}

#[test]
fn a_body_that_is_dropped_was_written_and_not_read() {
    let Some(told) = traced(|client, mut server| {
        server.write_all(&[2; 70_001]).unwrap();
        take(&client, 11);
        drop(client); // a reset, as bytes are left
        drop(server);
    }) else {
        return;
    };
    assert_eq!(bytes(&told), [exactly(0), exactly(11), exactly(70_001), exactly(0)]);
}

#[test]
fn a_look_at_bytes_does_not_read_them() {
    let Some(told) = traced(|client, mut server| {
        server.write_all(&[2; 11]).unwrap();
        for _ in 0..5 {
            assert!(client.peek(&mut [0; 11]).unwrap() > 0);
        }
        drop(client);
        drop(server);
    }) else {
        return;
    };
    assert_eq!(bytes(&told), [exactly(0), exactly(0), exactly(11), exactly(0)]);
}

#[test]
fn what_is_read_after_a_half_close_counts() {
    let Some(told) = traced(|client, mut server| {
        client.shutdown(Shutdown::Write).unwrap();
        wait_for_fin(&server);
        server.write_all(&[2; 1009]).unwrap();
        take(&client, 1009);
        drop(server);
        wait_for_fin(&client);
    }) else {
        return;
    };
    assert_eq!(bytes(&told), [exactly(0), exactly(1009), exactly(1009), exactly(0)]);
}

#[test]
fn a_write_that_a_reset_cuts_short_counts_for_what_it_wrote() {
    let mut written = 0;
    let Some(told) = traced(|client, server| {
        let stuck = std::thread::spawn(move || {
            let mut server = server;
            server.write(&vec![2; 1 << 28]).unwrap()
        });
        take(&client, 11);
        // It waits for room once more has come than the client's buffer takes.
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(client);
        written = stuck.join().unwrap();
    }) else {
        return;
    };
    assert!(written > 11);
    let wrote = exactly(u64::try_from(written).unwrap());
    assert_eq!(bytes(&told), [exactly(0), exactly(11), wrote, exactly(0)]);
}

#[test]
fn a_connection_from_before_the_trace_has_moved_at_least_what_was_seen() {
    let Some(_tracefs) = Tracefs::open() else { return };
    let listener = unhaunted_listener();
    let (mut client, mut server) = connection(&listener);
    client.write_all(&[1; 5000]).unwrap();
    take(&server, 5000);
    let mut tracer = Tracer::of(&listener, "tracepoint");
    if !told_by_this_kernel(&tracer) {
        return;
    }
    client.write_all(&[1; 83]).unwrap();
    take(&server, 83);
    server.write_all(&[2; 128]).unwrap();
    take(&client, 128);
    drop(client);
    wait_for_fin(&server);
    drop(server);
    let told = tracer.until_ended(1);
    assert_eq!(bytes(&told), [at_least(83), at_least(128), at_least(128), at_least(83)]);
}

#[test]
fn a_flood_of_other_connections_costs_no_change_and_makes_sums_the_least_there_was() {
    const CONNECTIONS: usize = 1009;
    let Some(_tracefs) = Tracefs::open() else { return };
    let (of_others, listener) = (unhaunted_listener(), unhaunted_listener());
    let mut tracer = Tracer::of(&listener, "tracepoint");
    if !told_by_this_kernel(&tracer) {
        return;
    }
    // More than the buffers for bytes hold while nobody reads them.
    tracer.signal(Signal::STOP);
    let (mut one, other) = connection(&of_others);
    let over = AtomicBool::new(false);
    let mut calls = 0_u64;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut buffer = [0; 1 << 16];
            while (&other).read(&mut buffer).unwrap() > 0 {}
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) || calls < 700_000 {
                one.write_all(&[1]).unwrap();
                calls += 1;
            }
            one.shutdown(Shutdown::Write).unwrap();
        });
        for _ in 0..CONNECTIONS {
            let (mut client, server) = connection(&listener);
            client.write_all(&[1; 11]).unwrap();
            take(&server, 11);
            reset_on_close(&client);
            drop((client, server));
        }
        over.store(true, Ordering::Relaxed);
    });
    tracer.signal(Signal::CONT);
    let told = tracer.until_ended(CONNECTIONS);
    let (rest, _) = tracer.end(Signal::INT);
    let end = rest.last().unwrap();
    let lost = end["lost_sends_and_receives"].as_u64().unwrap();
    eprintln!("{calls} calls of others: {lost} records of bytes lost, of changes none");
    assert_eq!(end["lost_changes"], 0);
    assert!(lost > 0);
    for line in told.iter().filter(|line| line["kind"] == "ended") {
        let wrote = &line["client_wrote_bytes"];
        assert!(wrote.is_null() || *wrote == at_least(11), "{line}");
    }
}

#[test]
fn sampling_tells_the_least_that_went_through() {
    let listener = unhaunted_listener();
    let mut tracer = Tracer::of(&listener, "sampling");
    let (mut client, mut server) = connection(&listener);
    client.write_all(&[1; 83]).unwrap();
    take(&server, 83);
    server.write_all(&[2; 128]).unwrap();
    take(&client, 128);
    // Two readings later the numbers have been seen.
    let (second, _peer) = connection(&listener);
    let seen = second.local_addr().unwrap().to_string();
    let mut line = String::new();
    let mut tell = || {
        line.clear();
        std::io::BufRead::read_line(&mut tracer.out, &mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()["local"] == seen.as_str()
    };
    eventually(&mut tell, "the second connection was not seen");
    drop(client);
    wait_for_fin(&server);
    drop(server);
    let told = tracer.until_ended(1);
    assert_eq!(bytes(&told), [at_least(83), at_least(128), at_least(128), at_least(83)]);
    drop(second);
}
