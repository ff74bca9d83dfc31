//! What happens to whoever is slower than a limit allows.

mod common;

use std::io::Read;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Client, FOREVER, Site, answer, bind};
use evidence::ClosedBy;
use server::{Answer, ServerCloseReason, ServerLimits, ServerMoment};

const LIMIT: Duration = Duration::from_millis(150);
const NONE: ServerLimits =
    ServerLimits { read_header: None, read: None, write: None, idle: None, handler: None };

fn limited(answer: Answer, limits: ServerLimits) -> Site {
    Site::of(bind(answer).1.map(|server| server.limits(limits)))
}

/// Who closed the first connection first, and why.
fn end(site: &Site) -> (ClosedBy, Option<ServerCloseReason>) {
    match site.story().last() {
        Some(ServerMoment::Closed { by, why, .. }) => (*by, *why),
        other => panic!("not closed but {other:?}"),
    }
}

/// Reads to the end of the connection, which a reset is, too.
fn all(client: &Client) -> String {
    let mut bytes = Vec::new();
    let _ = client.stream().read_to_end(&mut bytes);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_head_that_does_not_come_closes_the_connection_without_a_word() {
    for limits in [
        ServerLimits { read_header: Some(LIMIT), ..NONE },
        ServerLimits { read: Some(LIMIT), ..NONE },
        ServerLimits { read_header: Some(LIMIT), read: Some(FOREVER), ..NONE },
    ] {
        for sent in ["", "G", "GET / HTTP/1.1\r\nHost: hel", "PRI * HT"] {
            let start = Instant::now();
            let site = limited(answer(), limits);
            let mut client = site.connect();
            client.send(sent);
            client.sees_the_close().unwrap();
            assert!(start.elapsed() >= LIMIT, "{:?}", start.elapsed());
            let why = if limits.read_header.is_some() {
                ServerCloseReason::ReadHeaderTimeout
            } else {
                ServerCloseReason::ReadTimeout
            };
            assert_eq!(end(&site), (ClosedBy::Server, Some(why)), "{limits:?} {sent:?}");
        }
    }
}

#[test]
fn byte_by_byte_is_no_way_around_the_limit_on_a_head() {
    let site = limited(answer(), ServerLimits { read_header: Some(LIMIT), ..NONE });
    let mut client = site.connect();
    while client.try_send("G").is_ok() && site.closed() == 0 {
        sleep(LIMIT / 20);
    }
    assert_eq!(all(&client), "");
    assert_eq!(end(&site).1, Some(ServerCloseReason::ReadHeaderTimeout));
}

#[test]
fn the_limit_on_a_next_head_counts_from_its_first_byte() {
    let site = limited(answer(), ServerLimits { read_header: Some(LIMIT), ..NONE });
    let mut client = site.connect();
    client.get("/");
    sleep(LIMIT * 2);
    assert_eq!(client.get("/").status, 200, "idle is no head");
    client.send("G");
    client.sees_the_close().unwrap();
    assert_eq!(end(&site), (ClosedBy::Server, Some(ServerCloseReason::ReadHeaderTimeout)));
}

#[test]
fn half_a_head_behind_a_whole_request_has_the_limit_too() {
    let site = limited(answer(), ServerLimits { read_header: Some(LIMIT), ..NONE });
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: hello\r\n\r\nGET / HT");
    assert_eq!(client.response().status, 200);
    client.sees_the_close().unwrap();
    assert_eq!(end(&site), (ClosedBy::Server, Some(ServerCloseReason::ReadHeaderTimeout)));
}

#[test]
fn the_idle_limit_falls_back_to_the_read_limit() {
    let site = limited(answer(), ServerLimits { read: Some(LIMIT), ..NONE });
    let mut client = site.connect();
    client.get("/");
    client.sees_the_close().unwrap();
    assert_eq!(end(&site), (ClosedBy::Server, Some(ServerCloseReason::ReadTimeout)));
    let site = limited(answer(), ServerLimits { read: Some(FOREVER), idle: Some(LIMIT), ..NONE });
    let mut client = site.connect();
    client.get("/");
    client.sees_the_close().unwrap();
    assert_eq!(end(&site), (ClosedBy::Server, Some(ServerCloseReason::IdleTimeout)));
}

#[test]
fn the_read_limit_leaves_the_work_on_a_response_alone() {
    let site = limited(answer(), ServerLimits { read: Some(LIMIT), idle: Some(FOREVER), ..NONE });
    let mut client = site.connect();
    assert_eq!(client.get("/?delay=400ms").text(), "Hello world");
    assert_eq!(client.get("/?pause_before_body=400ms").text(), "Hello world");
}

#[test]
fn a_body_nobody_reads_may_be_late() {
    let site = limited(answer(), ServerLimits { read: Some(LIMIT), ..NONE });
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 7\r\n\r\n");
    assert_eq!(client.response().status, 405);
    drop(client);
    assert_eq!(end(&site).1, Some(ServerCloseReason::RequestBodyUnread));
}

#[test]
fn a_response_that_is_not_ready_by_the_write_limit_is_never_begun() {
    let site =
        limited(Answer { delay: FOREVER, ..answer() }, ServerLimits { write: Some(LIMIT), ..NONE });
    let mut client = site.connect();
    let start = Instant::now();
    client.ask("GET", "/");
    client.sees_the_close().unwrap();
    assert!(start.elapsed() >= LIMIT, "{:?}", start.elapsed());
    assert_eq!(end(&site), (ClosedBy::Server, Some(ServerCloseReason::WriteTimeout)));
}

#[test]
fn a_client_that_does_not_read_is_dropped_at_the_write_limit() {
    let site = limited(
        Answer { bytes: 64 << 20, ..answer() },
        ServerLimits { write: Some(LIMIT), ..NONE },
    );
    let mut client = site.connect();
    client.ask("GET", "/");
    assert_eq!(end(&site).1, Some(ServerCloseReason::WriteTimeout));
    assert!(all(&client).len() < 64 << 20);
    let given_up = ServerMoment::ResponseDone { number: 1, complete: false };
    assert_eq!(site.count(|moment| *moment == given_up), 1);
}

#[test]
fn every_exchange_has_the_write_limit_for_itself() {
    let limit = LIMIT * 4;
    let site = limited(answer(), ServerLimits { write: Some(limit), ..NONE });
    let mut client = site.connect();
    let start = Instant::now();
    while start.elapsed() < limit * 2 {
        assert_eq!(client.get("/").status, 200);
        sleep(limit / 5);
    }
}

#[test]
fn the_handler_limit_answers_503_and_keeps_the_connection() {
    let site = limited(answer(), ServerLimits { handler: Some(LIMIT), ..NONE });
    let mut client = site.connect();
    for _ in 0..3 {
        let response = client.get("/?delay=1h");
        assert_eq!(response.status, 503);
        assert_eq!(response.text(), "the answer took longer than the handler's limit\n");
        assert_eq!(response.header("connection"), None);
    }
    assert_eq!(client.get("/").text(), "Hello world");
    assert_eq!(site.accepted(), 1);
}

#[test]
fn the_write_limit_eats_the_503() {
    let limits = ServerLimits { write: Some(LIMIT), handler: Some(LIMIT * 2), ..NONE };
    let site = limited(Answer { delay: FOREVER, ..answer() }, limits);
    let mut client = site.connect();
    client.ask("GET", "/");
    client.sees_the_close().unwrap(); // not a byte of a status
    assert_eq!(end(&site), (ClosedBy::Server, Some(ServerCloseReason::WriteTimeout)));
}

#[test]
fn nobody_has_to_observe() {
    let limits = ServerLimits { read_header: Some(LIMIT), ..NONE };
    let site = Site::unobserved(bind(answer()).1.map(|server| server.limits(limits)));
    let mut client = site.connect();
    client.send("GET /");
    client.sees_the_close().unwrap();
}

#[test]
fn a_limit_of_nothing_or_of_eternity_breaks_nothing() {
    let all = |limit| ServerLimits {
        read_header: limit,
        read: limit,
        write: limit,
        idle: limit,
        handler: limit,
    };
    let site = limited(answer(), all(Some(Duration::MAX)));
    assert_eq!(site.get("/").text(), "Hello world");
    let site = limited(answer(), all(Some(Duration::ZERO)));
    let mut client = site.connect();
    let _ = client.try_send("GET / HTTP/1.1\r\nHost: hello\r\n\r\n");
    all_or_nothing(&client);
}

fn all_or_nothing(client: &Client) {
    let reply = all(client);
    assert!(reply.is_empty() || reply.starts_with("HTTP/1.1 "), "{reply:?}");
}
