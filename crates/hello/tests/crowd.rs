//! Thousands who do nothing, or do it slowly. The only test of its file, because the limit on
//! descriptors is one of the whole process; the server has a process of its own, with as many.
#![cfg(unix)]

mod common;
#[path = "common/program.rs"]
mod program;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::Client;
use program::Hello;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

/// How many idle connections are wanted.
const CROWD: u64 = 10_000;
/// Others want descriptors, too.
const RESERVE: u64 = 500;

/// As many connections as the system grants.
fn crowd() -> u64 {
    let limits = getrlimit(Resource::Nofile);
    let hard = limits.maximum.unwrap_or(u64::MAX);
    let granted = (CROWD + RESERVE).min(hard);
    if limits.current.is_some_and(|current| current < granted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(granted), ..limits }).unwrap();
    }
    let crowd = granted.saturating_sub(RESERVE).min(CROWD);
    if crowd < CROWD {
        eprintln!(
            "SKIPPED in part: {crowd} idle connections instead of {CROWD}, because a process may have no more than {hard} descriptors"
        );
    }
    crowd
}

#[test]
fn a_crowd_of_idle_and_slow_clients_stops_nobody_from_being_served() {
    let crowd = crowd();
    // Limits that nobody here reaches.
    let hello = Hello::start(&["--read-timeout", "1h", "--write-timeout", "1h"]);
    let address = hello.address;
    let mut idle: Vec<TcpStream> = Vec::new();
    for number in 0..crowd {
        let mut stream = TcpStream::connect(address).unwrap();
        match number % 50 {
            // Who sends a head or a body byte by byte.
            0 => stream.write_all(b"GET / HT").unwrap(),
            1 => {
                let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nx";
                stream.write_all(head.as_bytes()).unwrap();
            }
            _ => {
                stream.set_read_timeout(Some(common::DEADLINE)).unwrap();
                stream.write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
                let mut reply = Vec::new();
                while !reply.ends_with(b"\r\n\r\nHello world") {
                    let mut some = [0; 1024];
                    let count = stream.read(&mut some).unwrap();
                    assert_ne!(count, 0, "the server closed");
                    reply.extend_from_slice(&some[..count]);
                }
            }
        }
        idle.push(stream);
    }
    for _ in 0..23 {
        let mut client = Client::connect(address);
        assert_eq!(client.get("/?delay=1ms").text(), "Hello world");
    }
    // All of them are still welcome, and all of them go at once.
    let mut old = Client::of(idle.swap_remove(2));
    assert_eq!(old.get("/").text(), "Hello world");
    hello.signal(Signal::TERM);
    let (_, said) = hello.end();
    assert!(said.starts_with("hello: stopped, every exchange in flight was finished\n"), "{said}");
    old.sees_the_close().unwrap();
}
