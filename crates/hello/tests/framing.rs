//! Requests whose framing is unusual, and what the server makes of them: where one ends and the next
//! begins decides what is answered, when a connection is idle, and why it ends.
mod common;

use std::time::Duration;

use evidence::ClosedBy;

use common::{Site, answer, bind, site};
use server::{ServerCloseReason, ServerLimits, ServerMoment};

const LIMIT: Duration = Duration::from_millis(150);

fn idle_limited() -> Site {
    let limits = ServerLimits { idle: Some(LIMIT), ..ServerLimits::default() };
    Site::of(bind(answer()).1.map(|server| server.limits(limits)))
}

fn why(site: &Site) -> Option<ServerCloseReason> {
    match site.story().last() {
        Some(ServerMoment::Closed { why, .. }) => *why,
        other => panic!("not closed but {other:?}"),
    }
}

#[test]
fn a_second_length_is_refused_even_if_it_cannot_be_read() {
    let spaces = " ".repeat(60);
    let lengths = ["5", "5, 5", "+5", "-5", "", "99999999999999999999999", &format!("{spaces}5")];
    for length in lengths {
        let length = format!("Content-Length: {length}\r\n");
        let coding = "Transfer-Encoding: chunked\r\n";
        for headers in [format!("{coding}{length}"), format!("{length}{coding}")] {
            let site = common::site(answer());
            let mut client = site.connect();
            client.send(&format!(
                "POST /echo HTTP/1.1\r\nHost: hello\r\n{headers}\r\n5\r\nhello\r\n0\r\n\r\n"
            ));
            let reply = String::from_utf8(client.rest()).unwrap();
            drop(client); // nobody lingers
            assert!(reply.starts_with("HTTP/1.1 400 "), "{headers:?} {reply}");
            assert_eq!(why(&site), Some(ServerCloseReason::BadRequest), "{headers:?}");
        }
    }
}

#[test]
fn a_body_with_trailers_is_over_with_them() {
    let site = idle_limited();
    let mut client = site.connect();
    client.send(
        "POST /echo HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: chunked\r\n\r\n\
         3\r\nabc\r\n0\r\nT: 1\r\n\r\n",
    );
    assert_eq!(client.response().text(), "abc");
    let story = site.story();
    let done = |moment: &ServerMoment| {
        matches!(moment, ServerMoment::ResponseDone { number: 1, complete: true })
    };
    assert!(story.iter().any(done), "{story:?}");
    assert_eq!(why(&site), Some(ServerCloseReason::IdleTimeout));
}

#[test]
fn the_body_of_the_next_request_is_not_the_rest_of_this_one_s() {
    let site = idle_limited();
    let mut client = site.connect();
    client.send(
        "POST /status/200 HTTP/1.1\r\nHost: hello\r\nContent-Length: 5\r\n\r\nhello\
         POST /json HTTP/1.1\r\nHost: hello\r\nContent-Type: application/json\r\n\
         Content-Length: 10\r\n\r\n{\"a\":",
    );
    assert_eq!(client.response().status, 405);
    client.send("1234}");
    assert_eq!(client.response().status, 201);
    assert_eq!(why(&site), Some(ServerCloseReason::IdleTimeout));
}

#[test]
fn an_empty_line_between_requests_does_not_make_a_connection_busy() {
    let site = idle_limited();
    let mut client = site.connect();
    client.get("/");
    client.send("\r\n");
    assert_eq!(why(&site), Some(ServerCloseReason::IdleTimeout));
}

#[test]
fn an_echo_that_is_asked_to_wait_says_continue() {
    let site = common::site(answer());
    let mut client = site.connect();
    client.send(
        "POST /echo HTTP/1.1\r\nHost: hello\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    assert_eq!(client.head().status, 100);
    client.send("hello");
    assert_eq!(client.response().text(), "hello");
}

#[test]
fn chunks_that_never_come_break_nothing_off() {
    let site = common::site(answer());
    let mut client = site.connect();
    client.ask("GET", "/chunks?count=2&size=1&every=500000000000y");
    client.head();
    drop(client);
    assert!(matches!(
        why(&site),
        Some(ServerCloseReason::ClientClosed | ServerCloseReason::ClientReset)
    ));
}

/// RFC 9112 section 9.6: a client that is not told would send its next request into the close.
#[test]
fn a_route_that_reads_no_body_says_close_unless_the_body_has_come() {
    let site = site(answer());
    for (request, status) in [
        ("POST /slow HTTP/1.1\r\n", 405),
        ("POST /json HTTP/1.1\r\nContent-Type: text/plain\r\n", 415),
        ("POST /json?delay=x HTTP/1.1\r\n", 400),
        ("GET /bytes/3 HTTP/1.1\r\n", 200),
        ("OPTIONS /echo HTTP/1.1\r\n", 204),
        ("HEAD /echo HTTP/1.1\r\n", 200),
        ("GET /status/404 HTTP/1.1\r\n", 404),
    ] {
        for (length, persists) in [(70_000, false), (100, true)] {
            let mut client = site.connect();
            let head = format!("{request}Host: hello\r\nContent-Length: {length}\r\n\r\n");
            client.send(&format!("{head}{}", "x".repeat(100)));
            let response = client.head();
            assert_eq!(response.status, status, "{head}");
            assert_eq!(response.header("connection") == Some("close"), !persists, "{head}");
            if !persists {
                client.rest();
            }
        }
    }
}

#[test]
fn a_408_is_the_servers_close_also_if_the_client_resets_instead_of_closing() {
    let limits = ServerLimits { read: Some(LIMIT), ..ServerLimits::default() };
    let site = Site::of(bind(answer()).1.map(|server| server.limits(limits)));
    let mut client = site.connect();
    client.send(
        "POST /json HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\
         Content-Length: 45\r\n\r\n{\"name\": ",
    );
    assert!(client.rest().starts_with(b"HTTP/1.1 408 "));
    client.reset();
    let story = site.story();
    let Some(ServerMoment::Closed { by, why, .. }) = story.last() else { panic!("{story:?}") };
    assert_eq!((*by, *why), (ClosedBy::Server, Some(ServerCloseReason::ReadTimeout)));
}

/// hyper takes any number of zeros before a length; so must the eye that reads along.
#[test]
fn zeros_before_a_length_hide_neither_the_next_request_nor_the_idle_time() {
    let zeros = "0".repeat(58);
    let smuggled = "GET / HTTP/1.1\r\n\r\n\n";
    let fixed = format!("Content-Length: {zeros}19\r\n\r\n{smuggled}");
    let chunked = format!("Transfer-Encoding: chunked\r\n\r\n{zeros}13\r\n{smuggled}\r\n0\r\n\r\n");
    for body in [fixed, chunked] {
        let site = idle_limited();
        let mut client = site.connect();
        client.send(&format!("POST /echo HTTP/1.1\r\nHost: a\r\n{body}"));
        assert_eq!(client.response().text(), smuggled);
        client.sees_the_close().unwrap();
        assert_eq!(why(&site), Some(ServerCloseReason::IdleTimeout));

        let site = idle_limited();
        let mut client = site.connect();
        client.send(&format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\n{body}POST /echo HTTP/1.1\r\nHost: a\r\n\
             Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        ));
        assert_eq!(client.response().text(), smuggled);
        assert_eq!(client.response().status, 400);
        client.sees_the_close().unwrap();
    }
}

#[test]
fn a_body_against_the_grammar_is_refused_and_nothing_behind_it_is_served() {
    let site = site(answer());
    let good = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for body in [
        "0\r\na: b\n\nGET / HTTP/1.1\nX: \r\n\r\n",
        "5;\r\nabcde\r\n0\r\n\r\n",
        "5;a b\r\nabcde\r\n0\r\n\r\n",
        "5 \r\nabcde\r\n0\r\n\r\n",
        "5\r\nabcde\r\n0;=\r\n\r\n",
    ] {
        for target in ["/echo", "/upload", "/slow", "/?delay=20ms"] {
            for pause in [false, true] {
                let mut client = site.connect();
                let head = format!("POST {target} HTTP/1.1\r\nHost: a\r\n");
                client.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
                if pause {
                    site.until_requests(1);
                    std::thread::sleep(Duration::from_millis(5));
                }
                // A closing server may have had enough of it.
                let _ = client.try_send(&format!("{body}{good}"));
                let response = client.response();
                let expected: &[u16] = if target.starts_with("/s") || target.contains('?') {
                    &[400, 405]
                } else {
                    &[400]
                };
                assert!(expected.contains(&response.status), "{target} {body:?} {response:?}");
                assert_eq!(response.header("connection"), Some("close"), "{target} {body:?}");
                client.sees_the_close().unwrap();
            }
        }
    }
}

#[test]
fn hosts_targets_and_codings_against_the_grammar_are_refused() {
    let site = site(answer());
    let host = |host: &str| format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let target = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let coding = |coding: &str| {
        format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {coding}\r\n\r\n0\r\n\r\n")
    };
    let mut cases = Vec::new();
    cases.extend(["a:b", "a:80:80", "[::1", "::1", "%zz", "]["].map(|it| (host(it), 400)));
    cases.extend(
        ["/é", "/\\", "/{}", "/|", "/^", "/a#f", "#f", "echo", "*", "a:80"]
            .map(|it| (target(it), 400)),
    );
    cases.extend(
        ["chunked, chunked", ";, chunked", "chunked\r\nTransfer-Encoding: chunked"]
            .map(|it| (coding(it), 400)),
    );
    cases.extend(["gzip, chunked", "x, chunked", "identity, chunked"].map(|it| (coding(it), 501)));
    for (request, status) in cases {
        let mut client = site.connect();
        client.send(&request);
        let response = client.response();
        assert_eq!(response.status, status, "{request:?}");
        assert_eq!(response.header("connection"), Some("close"), "{request:?}");
        client.sees_the_close().unwrap();
    }
    for request in [host("[::1]:80"), host(""), target("/a?b=c/%41"), coding(", chunked")] {
        let mut client = site.connect();
        client.send(&request);
        assert!([200, 405].contains(&client.response().status), "{request:?}");
        assert_eq!(client.get("/").status, 200, "{request:?}");
    }
}
