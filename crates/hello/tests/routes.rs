//! What the paths answer that mean something, over real sockets.
mod common;

use std::io::Read;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use common::{Client, Response, Site, answer};
use serde_json::{Value, json};
use server::{Answer, ServerCloseReason, ServerMoment};

fn site() -> Site {
    common::site(answer())
}

/// Every route, in a form that answers at once.
const TARGETS: [&str; 9] = [
    "/routes",
    "/json",
    "/upload",
    "/slow?for=1ms",
    "/bytes/23",
    "/chunks?count=3&every=1ms",
    "/status/200",
    "/early-hints?for=1ms",
    "/echo",
];

/// Sends a request with a body.
fn send(client: &mut Client, method: &str, target: &str, content_type: &str, body: &str) {
    let length = body.len();
    client.send(&format!(
        "{method} {target} HTTP/1.1\r\nHost: hello\r\nContent-Type: {content_type}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    ));
}

fn post_json(client: &mut Client, content_type: &str, body: &str) -> Response {
    send(client, "POST", "/json", content_type, body);
    client.response()
}

#[test]
fn the_index_lists_each_route_that_answers() {
    let site = site();
    let index = site.get("/routes").text().to_owned();
    assert_eq!(index, hello::index());
    // What goes on below a path begins with spaces.
    let lines = index.lines().filter(|line| line.starts_with('/'));
    let paths: Vec<&str> = lines.map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(paths.len(), TARGETS.len());
    for (path, target) in paths.iter().zip(TARGETS) {
        assert!(target.starts_with(path.trim_end_matches('N')), "{path}, {target}");
    }
}

#[test]
fn paths_that_mean_nothing_still_answer_hello_world() {
    let site = site();
    for target in ["/", "/bytes", "/jsonx", "/slow/", "/status/200/x", "/metrics/x"] {
        assert_eq!(site.get(target).text(), "Hello world", "{target}");
    }
}

#[test]
fn each_route_tells_which_methods_it_knows() {
    let site = site();
    let mut client = site.connect();
    for target in TARGETS {
        client.ask("OPTIONS", target);
        let told = client.head(); // 204: no body and no length
        let allow = told.header("allow").unwrap().to_owned();
        assert_eq!((told.status, told.header("content-length")), (204, None), "{target}");
        for method in ["DELETE", "PATCH", "BREW"] {
            client.ask(method, target);
            let refused = client.response();
            assert_eq!(refused.status, 405, "{method} {target}");
            assert_eq!(refused.header("allow"), Some(&*allow), "{method} {target}");
        }
        for method in allow.split(", ").filter(|method| ["GET", "HEAD"].contains(method)) {
            client.ask(method, target);
            if target.starts_with("/early-hints") {
                assert_eq!(client.head().status, 103);
            }
            let reply = if method == "HEAD" { client.head() } else { client.response() };
            assert_eq!(reply.status, 200, "{method} {target}");
        }
    }
    assert_eq!(site.accepted(), 1, "refusals of requests without a body close nothing");
}

#[test]
fn json_is_understood_numbered_and_told_again() {
    let site = site();
    let mut client = site.connect();
    let sent = json!({"name": "Grüße", "sizes": [2, 3, 5.5], "none": null});
    for (id, content_type) in [
        (1, "application/json"),
        (2, "Application/JSON; charset=utf-8"),
        (3, "application/ld+json"),
    ] {
        let text = sent.to_string();
        let response = post_json(&mut client, content_type, &text);
        assert_eq!(response.status, 201, "{}", response.text());
        assert_eq!(response.header("content-type"), Some("application/json"));
        let told: Value = serde_json::from_str(response.text()).unwrap();
        assert_eq!(told, json!({"id": id, "body_bytes": text.len(), "understood": sent}));
    }
    assert_eq!(site.accepted(), 1);
}

#[test]
fn json_of_another_type_is_refused_with_the_right_one() {
    let site = site();
    for content_type in ["text/plain", "application/jsonx", "text/json+x", "application/xml"] {
        let response = post_json(&mut site.connect(), content_type, "{}");
        assert_eq!(response.status, 415, "{content_type}");
        assert_eq!(response.header("accept-post"), Some("application/json"));
        assert_eq!(response.header("accept"), Some("application/json"));
    }
}

#[test]
fn broken_json_is_told_where_it_breaks_and_closes_nothing() {
    let site = site();
    let mut client = site.connect();
    for (body, place) in [
        ("{\n  \"a\": 1,\n  oops\n}", "line 3 column 3"),
        ("", "line 1 column 0"),
        ("[1, 2", "line 1 column 5"),
        ("{} {}", "line 1 column 4"),
        (&"[".repeat(10_000), "recursion limit exceeded at line 1"),
    ] {
        let response = post_json(&mut client, "application/json", body);
        assert_eq!(response.status, 400);
        assert!(response.text().contains(place), "{}", response.text());
    }
    assert_eq!(site.accepted(), 1);
}

#[test]
fn a_body_cut_short_is_a_bad_request_and_the_end() {
    let site = site();
    for head in
        ["Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"a\"\r\n"]
    {
        let mut client = site.connect();
        client.send(&format!(
            "POST /json HTTP/1.1\r\nHost: hello\r\nContent-Type: application/json\r\n{head}"
        ));
        client.stream().shutdown(Shutdown::Write).unwrap();
        let response = client.response();
        assert_eq!(response.status, 400);
        assert_eq!(response.header("connection"), Some("close"));
        client.sees_the_close().unwrap();
    }
}

#[test]
fn json_too_long_is_refused_before_it_comes_or_while_it_comes() {
    let site = site();
    let head = "POST /json HTTP/1.1\r\nHost: hello\r\nContent-Type: application/json\r\n";
    let mut client = site.connect();
    client.send(&format!("{head}Content-Length: 1048577\r\n\r\n"));
    let announced = client.response();
    let mut client = site.connect();
    client.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n100001\r\n"));
    client.send(&" ".repeat(0x10_0001));
    for response in [announced, client.response()] {
        assert_eq!((response.status, response.text()), (413, "the body is longer than 1 MiB\n"));
        assert_eq!(response.header("connection"), Some("close"));
    }
}

#[test]
fn a_body_that_is_exactly_at_the_limit_is_taken() {
    let body = format!("\"{}\"", "x".repeat((1 << 20) - 2));
    let response = post_json(&mut site().connect(), "application/json", &body);
    assert_eq!(response.status, 201);
}

#[test]
fn a_body_that_never_comes_is_waited_for() {
    let site = site();
    let mut client = site.connect();
    client.send(
        "POST /json HTTP/1.1\r\nHost: hello\r\nContent-Type: application/json\r\n\
         Content-Length: 2\r\n\r\n[",
    );
    client.stream().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(client.stream().read(&mut [0]).is_err(), "not a byte, and no end");
    client.send("]");
    client.stream().set_read_timeout(Some(common::DEADLINE)).unwrap();
    assert_eq!(client.response().status, 201);
}

#[test]
fn slow_takes_the_time_asked_for() {
    let site = site();
    let start = Instant::now();
    let response = site.get("/slow?for=230ms");
    assert!(start.elapsed() >= Duration::from_millis(230));
    assert_eq!(response.text(), "answered after 230ms\n");
    let refused = site.get("/slow?for=soon");
    assert_eq!(refused.status, 400);
    assert!(refused.text().starts_with("the query asks for for=soon: "), "{}", refused.text());
}

#[test]
fn a_client_that_leaves_a_slow_answer_is_not_worked_for_any_longer() {
    let site = site();
    let mut client = site.connect();
    client.ask("GET", "/slow?for=1h");
    site.until_requests(1);
    drop(client);
    let given_up = ServerMoment::ResponseDone { number: 1, complete: false };
    assert!(site.story().contains(&given_up), "{:?}", site.moments(1));
}

#[test]
fn bytes_are_as_many_as_the_path_says() {
    let site = site();
    let mut client = site.connect();
    for (target, bytes) in
        [("0", 0), ("1", 1), ("65537", 65_537), ("64KiB", 65_536), ("1MiB", 1 << 20)]
    {
        let response = client.get(&format!("/bytes/{target}"));
        assert_eq!(response.body.len(), bytes);
        assert_eq!(response.header("content-length"), Some(&*bytes.to_string()));
    }
    client.ask("HEAD", "/bytes/10GiB");
    assert_eq!(client.head().header("content-length"), Some("10737418240"));
    for nonsense in ["many", "", "-1", "1.5"] {
        assert_eq!(client.get(&format!("/bytes/{nonsense}")).status, 400, "{nonsense}");
    }
}

#[test]
fn chunks_come_one_by_one_in_the_size_asked_for() {
    let site = site();
    for (query, count, size) in [
        ("count=3&size=5&every=20ms", 3, 5),
        ("count=7&size=2KiB&every=0s", 7, 2048),
        ("count=0", 0, 0),
    ] {
        let mut client = site.connect();
        client.ask("GET", &format!("/chunks?{query}&close"));
        let head = client.head();
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        let raw = client.rest();
        let mut rest = &raw[..];
        let line = format!("{size:X}\r\n");
        for _ in 0..count {
            assert!(rest.starts_with(line.as_bytes()), "{:?}", String::from_utf8_lossy(rest));
            rest = &rest[line.len() + size + 2..];
        }
        assert_eq!(rest, b"0\r\n\r\n");
    }
    for nonsense in ["size=0", "size=2MiB", "count=-1", "count=some", "every=often"] {
        assert_eq!(site.get(&format!("/chunks?{nonsense}")).status, 400, "{nonsense}");
    }
}

#[test]
fn a_chunk_is_on_the_wire_before_the_next_one_is_due() {
    let site = site();
    let mut client = site.connect();
    client.ask("GET", "/chunks?count=2&size=5&every=1h");
    assert_eq!(client.head().status, 200);
    let mut first = [0; 10];
    client.read_exact(&mut first);
    assert_eq!(&first, b"5\r\nHello\r\n");
}

#[test]
fn any_final_status_can_be_had() {
    let site = site();
    let mut client = site.connect();
    for (status, name) in
        [(200, "OK"), (404, "Not Found"), (418, "I'm a teapot"), (503, "Service Unavailable")]
    {
        let response = client.get(&format!("/status/{status}"));
        assert_eq!((response.status, response.text()), (status, &*format!("{status} {name}\n")));
    }
    for status in [301, 302, 303, 307, 308] {
        let response = client.get(&format!("/status/{status}"));
        assert_eq!((response.status, response.header("location")), (status, Some("/")));
    }
    for status in [204, 304] {
        client.ask("GET", &format!("/status/{status}?chunked&pause_before_body=1ms"));
        let head = client.head();
        assert_eq!((head.status, head.header("transfer-encoding")), (status, None));
    }
    assert_eq!(client.get("/status/205").body, b"");
    assert!(client.get("/status/401").header("www-authenticate").is_some());
    // That nothing followed the heads without a body shows in the next response.
    assert_eq!(client.get("/").text(), "Hello world");
    assert_eq!(site.accepted(), 1);
}

#[test]
fn what_is_no_final_status_is_refused() {
    let site = site();
    for status in ["100", "101", "103", "199", "99", "600", "1000", "ok", ""] {
        let response = site.get(&format!("/status/{status}"));
        assert_eq!(response.status, 400, "{status}");
    }
    assert!(site.get("/status/103").text().contains("/early-hints"));
}

#[test]
fn echo_sends_the_body_back_while_it_comes() {
    let site = site();
    let mut client = site.connect();
    client.send(
        "POST /echo HTTP/1.1\r\nHost: hello\r\nContent-Type: text/x-poem\r\n\
         Transfer-Encoding: chunked\r\n\r\n5\r\nroses\r\n",
    );
    let head = client.head();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/x-poem")));
    let mut first = [0; 10];
    client.read_exact(&mut first);
    assert_eq!(&first, b"5\r\nroses\r\n", "before the second half was sent");
    client.send("5\r\n red.\r\n0\r\n\r\n");
    let mut second = [0; 15];
    client.read_exact(&mut second);
    assert_eq!(&second, b"5\r\n red.\r\n0\r\n\r\n");
    assert_eq!(client.get("/").text(), "Hello world");
    send(&mut client, "PUT", "/echo", "text/plain", "known length");
    let response = client.response();
    assert_eq!((response.text(), response.header("content-length")), ("known length", Some("12")));
}

#[test]
fn echo_without_a_body_tells_the_requests_head() {
    let site = site();
    let mut client = site.connect();
    client.send("GET /echo?x=1 HTTP/1.1\r\nHost: hello\r\nX-Colour: Red\r\n\r\n");
    let response = client.response();
    assert_eq!(response.text(), "GET /echo?x=1 HTTP/1.1\nhost: hello\nx-colour: Red\n");
}

#[test]
fn the_ways_of_answering_hold_for_routes_too() {
    let site = site();
    let start = Instant::now();
    let mut client = site.connect();
    let response = client.get("/bytes/5?delay=120ms&pause_before_body=110ms&close&chunked");
    assert!(start.elapsed() >= Duration::from_millis(230));
    assert_eq!(response.header("transfer-encoding"), Some("chunked"));
    assert_eq!(response.header("connection"), Some("close"));
    assert_eq!(response.text(), "Hello");
    client.sees_the_close().unwrap();
    assert_eq!(site.get("/echo?delay=tomorrow").status, 400);
    let closing = common::site(Answer { close: true, ..answer() });
    assert_eq!(closing.get("/routes").header("connection"), Some("close"));
}

#[test]
fn a_response_that_breaks_off_in_the_middle_ends_its_connection_and_says_so() {
    let site = site();
    let mut client = site.connect();
    client.ask("GET", "/chunks?count=3&size=5&every=1ms&break_after=2");
    let rest = String::from_utf8(client.rest()).unwrap();
    assert!(rest.ends_with("5\r\nHello\r\n5\r\nHello\r\n"), "no last chunk: {rest}");
    let story = site.story();
    let Some(ServerMoment::Closed { why, .. }) = story.last() else { panic!("{story:?}") };
    assert_eq!(*why, Some(ServerCloseReason::Error));
}
