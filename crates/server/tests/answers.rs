//! What a client gets for what it asks, over real sockets.

mod common;

use std::io::{ErrorKind, Read};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::{Client, FOREVER, Response, Site, answer};
use proptest::prelude::*;
use server::Answer;

/// A server that nobody asked anything special of.
fn site() -> Site {
    Site::new(answer())
}

#[test]
fn every_path_answers_hello_world() {
    let site = site();
    for target in ["/", "/a", "/a/b.html", "/?x=1", "/%20", "/a?bytes_=1", "http://hello/abs"] {
        let response = site.get(target);
        assert_eq!((response.status, response.text()), (200, "Hello world"), "{target}");
        assert_eq!(response.version, "HTTP/1.1");
        assert_eq!(response.header("content-length"), Some("11"));
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(response.header("connection"), None);
    }
}

#[test]
fn a_connection_carries_one_exchange_after_another() {
    let site = site();
    let mut client = site.connect();
    for _ in 0..23 {
        assert_eq!(client.get("/").text(), "Hello world");
    }
    assert_eq!(site.accepted(), 1);
}

#[test]
fn head_announces_the_body_and_sends_none() {
    let site = site();
    let mut client = site.connect();
    client.ask("HEAD", "/?bytes=1MiB");
    let head = client.head();
    assert_eq!((head.status, head.header("content-length")), (200, Some("1048576")));
    // What follows the head is the next response, not a body.
    assert_eq!(client.get("/").text(), "Hello world");
}

#[test]
fn other_methods_are_refused_with_those_allowed() {
    let site = site();
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let mut client = site.connect();
        client.ask(method, "/");
        let response = client.response();
        assert_eq!((response.status, response.header("allow")), (405, Some("GET, HEAD")));
        assert_eq!(response.text(), "hello answers GET and HEAD\n");
        // A refusal does not cost the connection.
        assert_eq!(client.get("/").status, 200, "{method}");
    }
}

#[test]
fn delay_comes_before_the_head() {
    let site = site();
    let start = Instant::now();
    let mut client = site.connect();
    client.ask("GET", "/?delay=70ms");
    client.head();
    assert!(start.elapsed() >= Duration::from_millis(70), "{:?}", start.elapsed());
}

#[test]
fn the_head_is_on_the_wire_whole_while_the_body_is_held_back() {
    for chunked in ["", "&chunked"] {
        let site = Site::new(Answer { pause_before_body: FOREVER, ..answer() });
        let mut client = site.connect();
        client.ask("GET", &format!("/?bytes=1MiB{chunked}"));

        let mut stream = client.stream();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            let mut some = [0; 4096];
            let read = stream.read(&mut some).unwrap();
            assert_ne!(read, 0, "the server closed");
            seen.extend_from_slice(&some[..read]);
        }
        let end_of_head = seen.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(end_of_head, seen.len(), "{}", String::from_utf8_lossy(&seen));
        assert!(seen.starts_with(b"HTTP/1.1 200 OK\r\n"));

        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let nothing = stream.read(&mut [0]).unwrap_err();
        assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut));
    }
}

#[test]
fn after_the_pause_the_whole_body_follows() {
    let site = site();
    let start = Instant::now();
    let response = site.get("/?bytes=64KiB&pause_before_body=70ms");
    assert!(start.elapsed() >= Duration::from_millis(70), "{:?}", start.elapsed());
    assert_eq!(response.body.len(), 65_536);
}

#[test]
fn head_does_not_wait_for_a_body_that_does_not_come() {
    let site = Site::new(Answer { pause_before_body: FOREVER, ..answer() });
    let mut client = site.connect();
    for _ in 0..2 {
        client.ask("HEAD", "/");
        assert_eq!(client.head().status, 200);
    }
}

#[test]
fn close_is_announced_and_done() {
    let site = site();
    let mut client = site.connect();
    assert_eq!(client.get("/").header("connection"), None);
    let last = client.get("/?close");
    assert_eq!((last.header("connection"), last.text()), (Some("close"), "Hello world"));
    client.sees_the_close().unwrap();
}

#[test]
fn a_client_that_says_close_is_closed() {
    let site = site();
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n");
    let response = client.response();
    assert_eq!((response.header("connection"), response.text()), (Some("close"), "Hello world"));
    client.sees_the_close().unwrap();
}

#[test]
fn a_chunked_body_announces_no_length() {
    let site = site();
    let mut client = site.connect();
    for bytes in [0, 1, 11, 65_532, 65_533, 1 << 20] {
        let response = client.get(&format!("/?chunked&bytes={bytes}"));
        assert_eq!(response.header("transfer-encoding"), Some("chunked"), "{bytes}");
        assert_eq!(response.header("content-length"), None);
        assert_eq!(response.body.len(), bytes);
    }
    assert_eq!(client.get("/").text(), "Hello world"); // the last chunk is where it belongs
}

#[test]
fn an_http_1_0_client_gets_a_chunked_body_up_to_the_close() {
    let site = site();
    let mut client = site.connect();
    client.send("GET /?chunked&bytes=100000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!(response.header("transfer-encoding"), None);
    assert_eq!(response.header("content-length"), None);
    assert_eq!(response.body.len(), 100_000);
}

#[test]
fn http_1_0_persists_only_if_it_asks_to() {
    let site = site();
    let mut client = site.connect();
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    let response = client.response();
    assert_eq!(
        (response.header("connection"), response.text()),
        (Some("keep-alive"), "Hello world")
    );

    client.send("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(client.response().text(), "Hello world");
    client.sees_the_close().unwrap();
}

#[test]
fn a_query_overrides_what_the_server_does_by_default() {
    let site =
        Site::new(Answer { bytes: 23, delay: FOREVER, close: true, chunked: true, ..answer() });
    let mut client = site.connect();
    let response = client.get("/?bytes=7&delay=0s&close=no&chunked=0");
    assert_eq!(response.text(), "Hello w");
    assert_eq!(response.header("content-length"), Some("7"));
    assert_eq!(response.header("connection"), None);

    let response = client.get("/?delay=0s");
    assert_eq!(response.text(), "Hello world\nHello world");
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(response.header("connection"), Some("close"));
    client.sees_the_close().unwrap();
}

#[test]
fn a_query_that_asks_for_nonsense_is_told_why() {
    let site = site();
    let mut client = site.connect();
    for (query, why) in [
        (
            "bytes=many",
            "the query asks for bytes=many: `many` is no number of bytes, as in 11, 64KiB or 1MiB\n",
        ),
        ("close=perhaps", "the query asks for close=perhaps: neither true nor false\n"),
    ] {
        let response = client.get(&format!("/?{query}"));
        assert_eq!((response.status, response.text()), (400, why));
    }
    assert_eq!(client.get("/").status, 200); // the connection is still good
}

#[test]
fn a_request_that_is_no_http_is_refused_and_closed() {
    let site = site();
    let mut client = site.connect();
    client.send("What is this?\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.header("connection")), (400, Some("close")));
    client.sees_the_close().unwrap();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let site = site();
    let mut client = site.connect();
    // Each answer takes less time than the one before it.
    let pipeline =
        |n: u32| format!("GET /?bytes={n}&delay={}ms HTTP/1.1\r\nHost: hello\r\n\r\n", 23 - n);
    client.send(&(1..=23).map(pipeline).collect::<String>());
    for n in 1..=23 {
        assert_eq!(client.response().body.len(), n);
    }
}

/// Byte `index` of any body.
fn byte(index: usize) -> u8 {
    let line = b"Hello world\n";
    line[index % line.len()]
}

fn is_hello(response: &Response, size: usize) -> bool {
    response.body.len() == size && (0..size).all(|index| response.body[index] == byte(index))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(97) })]

    #[test]
    fn a_body_of_any_size_arrives_byte_for_byte(size in 0_usize..300_000, chunked: bool) {
        static SITE: LazyLock<Site> = LazyLock::new(site);
        let mut client = Client::connect(SITE.address);
        let response = client.get(&format!("/?bytes={size}&chunked={chunked}"));
        prop_assert!(is_hello(&response, size), "{} bytes instead of {size}", response.body.len());
        // Nothing is left over on the connection.
        prop_assert_eq!(client.get("/").body, b"Hello world");
    }
}
