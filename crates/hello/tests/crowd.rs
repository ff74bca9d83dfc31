//! Thousands who do nothing, or do it slowly. The only test of its file, because the limit on
//! descriptors is one of the whole process.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]
#![allow(clippy::print_stderr, reason = "what is not tested is told")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{Client, FOREVER, Site, answer, bind};
use hello::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many idle connections are wanted.
const CROWD: u64 = 10_000;
/// Both ends of a connection are in this process, and others want descriptors too.
const RESERVE: u64 = 500;

/// As many connections as the system grants.
fn crowd() -> u64 {
    let limits = getrlimit(Resource::Nofile);
    let hard = limits.maximum.unwrap_or(u64::MAX);
    let wanted = 2 * CROWD + RESERVE;
    let granted = wanted.min(hard);
    if limits.current.is_some_and(|current| current < granted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(granted), ..limits }).unwrap();
    }
    let crowd = CROWD.min(granted.saturating_sub(RESERVE) / 2);
    if crowd < CROWD {
        eprintln!(
            "skipped in part: {crowd} idle connections instead of {CROWD}, because this process may have no more than {hard} descriptors"
        );
    }
    crowd
}

#[test]
fn a_crowd_of_idle_and_slow_clients_stops_nobody_from_being_served() {
    let limits = Limits { read: Some(FOREVER), write: Some(FOREVER), ..Limits::default() };
    let bound = bind(answer()).1.map(|server| server.limits(limits));
    let mut site = Site::unobserved(bound);
    let mut idle: Vec<TcpStream> = Vec::new();
    for number in 0..crowd() {
        let mut stream = TcpStream::connect(site.address).unwrap();
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
        let mut client = Client::connect(site.address);
        assert_eq!(client.get("/?delay=1ms").text(), "Hello world");
    }
    // All of them are still welcome, and all of them go at once.
    let mut old = Client::of(idle.swap_remove(2));
    assert_eq!(old.get("/").text(), "Hello world");
    assert_eq!(site.stop(Duration::from_secs(3600)), 0);
    old.sees_the_close().unwrap();
}
