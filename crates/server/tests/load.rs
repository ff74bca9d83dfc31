//! A server that is stopped while it is busy.

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use common::{DEADLINE, FOREVER, Site, answer};
use server::{Answer, ServerMoment};

/// How the last connection of a client ended.
#[derive(Debug, PartialEq)]
enum End {
    /// With not a byte of a response to its last request, if it had asked for one.
    BeforeAResponse,
    /// After a whole response that announced it.
    Announced,
    /// Nobody listens any more.
    Refused,
}

/// Sends one request after another on one connection until the server ends it.
fn ask_until_the_end(address: SocketAddr, answered: &AtomicUsize) -> End {
    let Ok(mut stream) = TcpStream::connect(address) else { return End::Refused };
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut some = [0; 4096];
    loop {
        if stream.write_all(b"GET /?bytes=3000&chunked HTTP/1.1\r\nHost: h\r\n\r\n").is_err() {
            return End::BeforeAResponse;
        }
        let mut reply: Vec<u8> = Vec::new();
        while !reply.ends_with(b"\r\n0\r\n\r\n") {
            match stream.read(&mut some) {
                Ok(count) if count > 0 => reply.extend_from_slice(&some[..count]),
                Ok(_) | Err(_) => {
                    assert_eq!(String::from_utf8_lossy(&reply), "", "half a response");
                    return End::BeforeAResponse;
                }
            }
        }
        assert!(reply.starts_with(b"HTTP/1.1 200 OK\r\n"));
        answered.fetch_add(1, Ordering::Relaxed);
        if reply.windows(17).any(|part| part == b"connection: close") {
            return End::Announced;
        }
    }
}

#[test]
fn a_stop_under_load_loses_no_response_that_was_begun() {
    for delay in [Duration::ZERO, Duration::from_millis(3)] {
        let mut site = Site::new(Answer { delay, ..answer() });
        let address = site.address;
        let answered = std::sync::Arc::new(AtomicUsize::new(0));
        let clients: Vec<JoinHandle<Vec<End>>> = (0..7)
            .map(|_| {
                let answered = std::sync::Arc::clone(&answered);
                std::thread::spawn(move || {
                    let mut ends = Vec::new();
                    while ends.last() != Some(&End::Refused) {
                        ends.push(ask_until_the_end(address, &answered));
                    }
                    ends
                })
            })
            .collect();
        common::until("load", || answered.load(Ordering::Relaxed) > 100);
        assert_eq!(site.stop(FOREVER), 0, "nothing had to be cut off");
        for client in clients {
            assert_eq!(client.join().unwrap().last(), Some(&End::Refused));
        }
        let complete = |moment: &ServerMoment| {
            matches!(moment, ServerMoment::ResponseDone { complete: true, .. })
        };
        let requests = |moment: &ServerMoment| matches!(moment, ServerMoment::Request { .. });
        // Every request that was read was answered whole, and every answer has arrived.
        assert_eq!(site.count(complete), site.count(requests));
        assert_eq!(site.count(complete), answered.load(Ordering::Relaxed));
    }
}
