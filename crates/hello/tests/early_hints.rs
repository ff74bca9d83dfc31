//! 103 Early Hints, byte by byte.
mod common;

use common::answer;

/// The hint, exactly as it is on the wire.
const HINT: &str = "HTTP/1.1 103 Early Hints\r\n\
    link: </style.css>; rel=preload; as=style\r\n\
    link: </script.js>; rel=preload; as=script\r\n\r\n";

fn get(target: &str, version: &str) -> String {
    format!("GET {target} HTTP/{version}\r\nHost: hello\r\nConnection: keep-alive\r\n\r\n")
}

/// `text` without its `date` fields, which nobody can foretell.
fn dateless(text: &[u8]) -> String {
    let text = std::str::from_utf8(text).unwrap();
    text.split_inclusive("\r\n").filter(|line| !line.starts_with("date: ")).collect()
}

#[test]
fn the_hint_is_on_the_wire_long_before_the_response() {
    let site = common::site(answer());
    let mut client = site.connect();
    client.send(&get("/early-hints?for=1h", "1.1"));
    let mut hint = vec![0; HINT.len()];
    client.read_exact(&mut hint);
    assert_eq!(String::from_utf8(hint).unwrap(), HINT);
}

#[test]
fn hint_response_and_the_next_exchange_follow_each_other_on_one_connection() {
    let site = common::site(answer());
    let mut client = site.connect();
    let mut expected = String::new();
    for _ in 0..3 {
        client.send(&get("/early-hints?for=3ms", "1.1"));
        expected += HINT;
        expected += "HTTP/1.1 200 OK\r\nlink: </style.css>; rel=preload; as=style\r\n\
            link: </script.js>; rel=preload; as=script\r\n\
            content-type: text/plain; charset=utf-8\r\ncontent-length: 42\r\n\r\n\
            103 Early Hints came before this response\n";
    }
    client.send(&get("/?close", "1.1"));
    expected += "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n\
        connection: close\r\ncontent-length: 11\r\n\r\nHello world";
    assert_eq!(dateless(&client.rest()), expected);
    assert_eq!(site.accepted(), 1);
}

/// A long response fills the socket while its client does not read; the request after it waits in
/// the pipeline. Its hint comes when the long response is over, not amidst it.
#[test]
fn a_hint_is_never_inside_the_response_before() {
    const LONG: usize = 8 << 20;
    let site = common::site(answer());
    let mut client = site.connect();
    let pipeline: String =
        ["/bytes/8MiB", "/early-hints?for=0s", "/bytes/8MiB", "/early-hints?for=0s"]
            .iter()
            .map(|target| get(target, "1.1"))
            .collect();
    client.send(&pipeline);
    site.until_requests(1);
    std::thread::sleep(std::time::Duration::from_millis(50));
    for _ in 0..2 {
        let long = client.response();
        assert_eq!((long.status, long.body.len()), (200, LONG));
        assert!(long.body.chunks_exact(12).all(|line| line == b"Hello world\n"));
        let mut hint = vec![0; HINT.len()];
        client.read_exact(&mut hint);
        assert_eq!(String::from_utf8(hint).unwrap(), HINT);
        assert_eq!(client.response().status, 200);
    }
}

/// hyper reads the next request as soon as the body of the last one is read, which can be after
/// the response was begun.
#[test]
fn a_hint_follows_an_echo_that_is_sent_late() {
    let site = common::site(answer());
    let mut client = site.connect();
    let body = "x".repeat(1 << 20);
    let mut writer = client.stream().try_clone().unwrap();
    let text = format!(
        "POST /echo HTTP/1.1\r\nHost: hello\r\nContent-Length: {}\r\n\r\n{body}{}",
        body.len(),
        get("/early-hints?for=0s", "1.1")
    );
    let writing = std::thread::spawn(move || {
        std::io::Write::write_all(&mut writer, text.as_bytes()).unwrap();
    });
    let echo = client.response();
    assert!(echo.body == body.as_bytes());
    assert_eq!(client.head().status, 103);
    assert_eq!(client.response().status, 200);
    writing.join().unwrap();
}

#[test]
fn http_1_0_gets_no_hint_but_the_reason() {
    let site = common::site(answer());
    let mut client = site.connect();
    client.send("GET /early-hints?for=1ms HTTP/1.0\r\n\r\n");
    let response = client.response();
    assert_eq!(response.status, 200);
    assert!(response.text().contains("HTTP/1.0 knows no such responses"), "{}", response.text());
}

#[test]
fn a_client_that_leaves_after_the_hint_ends_it() {
    let site = common::site(answer());
    let mut client = site.connect();
    client.send(&get("/early-hints?for=1h", "1.1"));
    assert_eq!(client.head().status, 103);
    drop(client);
    site.until_closed(1);
}
