//! Bytes that no well-meaning client sends.

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::{DEADLINE, Site, answer, bind};
use proptest::prelude::*;
use server::{ServerCloseReason, ServerLimits, ServerMoment};

static SITE: LazyLock<Site> = LazyLock::new(|| Site::new(answer()));

const GOOD: &str = "GET /good HTTP/1.1\r\nHost: hello\r\n\r\n";

/// Sends these bytes, closes the sending side if `half_close`, and reads to the end.
fn reply_to(address: SocketAddr, bytes: &[u8], half_close: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let bytes = bytes.to_vec();
    // The server may answer and close while these are still on their way.
    let sending = std::thread::spawn(move || {
        let _ = writer.write_all(&bytes);
        if half_close {
            let _ = writer.shutdown(Shutdown::Write);
        }
    });
    let mut reply = Vec::new();
    let end = stream.read_to_end(&mut reply);
    let hangs =
        |kind| matches!(kind, std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
    assert!(!end.is_err_and(|error| hangs(error.kind())), "the server hangs");
    sending.join().unwrap();
    reply
}

/// The status of every response in these bytes, which are nothing else. A last one that the end of
/// the connection cuts off does not count.
fn statuses(mut bytes: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        bytes = &bytes[end + 4..];
        let mut lines = head.split("\r\n");
        let line = lines.next().unwrap();
        let (version, rest) = line.split_once(' ').unwrap();
        assert!(version == "HTTP/1.1" || version == "HTTP/1.0", "{head:?}");
        let status = rest[..3].parse().unwrap();
        let headers: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap()).collect();
        let length = headers.iter().find(|(name, _)| *name == "content-length");
        if status != 100 {
            statuses.push(status);
            let length: usize = length.map_or(0, |(_, length)| length.parse().unwrap());
            bytes = bytes.get(length..).unwrap_or_default();
        }
    }
    assert!(bytes.is_empty() || bytes.starts_with(b"HTTP/1."), "{bytes:?}");
    statuses
}

/// What a client gets that sends this, with a good request at once behind it.
fn answers(bytes: &[u8]) -> Vec<u16> {
    let whole = [bytes, GOOD.as_bytes()].concat();
    let reply = reply_to(SITE.address, &whole, false);
    statuses(&reply)
}

#[test]
fn what_is_no_request_is_refused_and_nothing_behind_it_is_served() {
    let head = |headers: &str| format!("GET / HTTP/1.1\r\nHost: hello\r\n{headers}\r\n\r\n");
    let mut cases: Vec<(Vec<u8>, u16)> = [
        "What is this?\r\n\r\n".to_owned(),
        "GET /\r\n\r\n".to_owned(), // HTTP/0.9
        "GET / HTTP/2.0\r\nHost: hello\r\n\r\n".to_owned(),
        "GET / HTTP/1.2x\r\nHost: hello\r\n\r\n".to_owned(),
        "GET  / HTTP/1.1\r\nHost: hello\r\n\r\n".to_owned(),
        "G\u{1}T / HTTP/1.1\r\nHost: hello\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n Host: hello\r\n\r\n".to_owned(),
        head("Name : space before the colon"),
        head(": no name"),
        head("no colon"),
        head("Folded: a\r\n b"),
        head("Folded: a\r\n\tb"),
        head("Bare: a\rb"),
        head("Bare: a\0b"),
        head("Na\0me: a"),
        head("Content-Length: 5\r\nContent-Length: 6"),
        head("Content-Length: +5"),
        head("Content-Length: -5"),
        head("Content-Length: 5, 6"),
        head("Content-Length: five"),
        head("Content-Length: 99999999999999999999999"),
        head("Content-Length: 5\r\nTransfer-Encoding: chunked"),
        head("Transfer-Encoding: chunked\r\nContent-Length: 5"),
        head("Transfer-Encoding: chunked, gzip"),
        head("Transfer-Encoding: gzip"),
        "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nX: y\r\n\r\n".to_owned(),
        "GET http://hello/ HTTP/1.1\r\n\r\n".to_owned(),
        head("Host: other"),
        head("Host: hello"),
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n".to_owned(),
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(),
    ]
    .into_iter()
    .map(|text| (text.into_bytes(), 400))
    .collect();
    cases.push((b"GET /\xff\xfe\x80 HTTP/1.1\r\nHost: hello\r\n\r\n".to_vec(), 400));
    cases.push((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(), 400)); // TLS
    cases.push((head(&format!("Long: {}", "a".repeat(64 << 10))).into_bytes(), 431));
    cases.push((head(&format!("Long: {}", "a".repeat(1 << 20))).into_bytes(), 431));
    cases.push((head(&"Many: a\r\n".repeat(1000)).into_bytes(), 431));
    let long = format!("GET /{} HTTP/1.1\r\nHost: hello\r\n\r\n", "a".repeat(70_000));
    cases.push((long.into_bytes(), 414));
    for (bytes, status) in cases {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(99)]).into_owned();
        assert_eq!(answers(&bytes), [status], "{shown:?}");
    }
}

/// RFC 9110 section 9.1: methods are case-sensitive, so this is another one. The rest is allowed.
#[test]
fn what_is_odd_but_a_request_is_answered() {
    for (text, status) in [
        ("get / HTTP/1.1\r\nHost: hello\r\n\r\n", 405),
        ("GET http://other/x HTTP/1.1\r\nHost: hello\r\n\r\n", 200),
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: hello\r\n\r\n", 200),
        ("GET / HTTP/1.1\nHost: hello\n\n", 200),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nhOsT:[::1]:80\r\n\r\n", 200),
        ("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: hello\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 200),
        ("GET / HTTP/1.1\r\nHost: hello\r\nX: \u{e9}\r\n\r\n", 200),
    ] {
        let last = format!("{text}GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n");
        let reply = reply_to(SITE.address, last.as_bytes(), false);
        assert_eq!(statuses(&reply), [status, 200], "{text:?}");
    }
}

#[test]
fn two_lengths_for_one_body_are_refused_wherever_the_bytes_are_cut() {
    let smuggled = "GET / HTTP/1.1\r\nHost: hello\r\n\r\n\
        POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 41\r\nTransfer-Encoding: chunked\r\n\r\n\
        0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: hello\r\n\r\n";
    for cut in [0, 31, 40, 80, 100, 110] {
        let mut client = SITE.connect();
        let (first, second) = smuggled.split_at(cut);
        client.send(first);
        std::thread::sleep(Duration::from_millis(5));
        client.send(second);
        assert_eq!(client.response().status, 200);
        let refusal = client.response();
        assert_eq!((refusal.status, refusal.header("connection")), (400, Some("close")));
        client.sees_the_close().unwrap();
    }
}

#[test]
fn a_bad_chunk_is_never_read_as_the_next_request() {
    let head = "POST / HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: chunked\r\n\r\n";
    for chunk in [
        "x\r\n",
        "-1\r\n",
        "0x5\r\n",
        "5\rhello",
        "fffffffffffffffff\r\n",
        "3\r\nabcdef\r\n",
        "\r\n",
    ] {
        let whole = format!("{head}{chunk}{GOOD}");
        let reply = reply_to(SITE.address, whole.as_bytes(), true);
        assert_eq!(statuses(&reply), [400], "{chunk:?}");
    }
}

#[test]
fn a_response_to_a_body_nobody_reads_survives_the_close() {
    for headers in ["Content-Length: 8000000", "Expect: 100-continue\r\nContent-Length: 8000000"] {
        let head = format!("POST / HTTP/1.1\r\nHost: hello\r\n{headers}\r\n\r\n");
        let mut bytes = head.into_bytes();
        bytes.resize(bytes.len() + 8_000_000, b'x');
        let reply = reply_to(SITE.address, &bytes, true);
        assert_eq!(statuses(&reply), [405]);
    }
}

/// RFC 9112 section 9.6: a client that is not told would send its next request into the close.
#[test]
fn an_answer_after_which_the_server_closes_says_so() {
    let body = "x".repeat(100);
    for text in [
        &format!("POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 100000\r\n\r\n{body}"),
        "POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: hello\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "GET / HTTP/1.1\r\n\r\n",
        "What is this?\r\n\r\n",
    ] {
        let mut client = SITE.connect();
        client.send(text);
        let response = client.response();
        assert_eq!(response.header("connection"), Some("close"), "{text:?}: {response:?}");
        client.sees_the_close().unwrap();
    }
    for text in [
        "POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 100\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: hello\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n",
        "CONNECT hello:80 HTTP/1.1\r\nHost: hello\r\n\r\n",
    ] {
        let mut client = SITE.connect();
        client.send(&format!("{text}{}", if text.contains("Length") { &*body } else { "" }));
        let response = client.response();
        assert_eq!((response.status, response.header("connection")), (405, None), "{text:?}");
        assert_eq!(client.get("/").status, 200, "{text:?}");
    }
}

#[test]
fn a_refusal_survives_what_comes_behind_the_request() {
    for request in ["GET / HTTP/1.1\r\n\r\n", "GET /# HTTP/1.1\r\nHost: hello\r\n\r\n"] {
        let mut client = SITE.connect();
        client.send(request);
        common::until("the end of the response", || {
            client.stream().peek(&mut [0]).is_ok_and(|count| count == 1)
        });
        // The server's half is over already, and it does not reset.
        for byte in ["G", "E", "T", " "] {
            client.send(byte);
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(client.response().status, 400, "{request:?}");
        client.sees_the_close().unwrap();
    }
}

/// The response is on its way while the client is still sending: without the half-close its system
/// would be told to forget both.
#[test]
fn a_closing_server_hears_the_client_out() {
    let site = Site::new(answer());
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 1000000\r\n\r\n");
    // In the middle of the body the server's half is over already, and it does not reset.
    common::until("the end of the response", || {
        let mut some = [0; 1];
        client.stream().peek(&mut some).is_ok_and(|count| count == 1)
    });
    client.send(&"x".repeat(100_000));
    assert_eq!(client.response().status, 405);
    client.sees_the_close().unwrap();
    drop(client);
    let story = site.story();
    let end = story.last().unwrap();
    let unread = Some(ServerCloseReason::RequestBodyUnread);
    assert!(
        matches!(end, ServerMoment::Closed { unread: 0, why, .. } if *why == unread),
        "{end:?}"
    );
}

/// A server with limits, for clients who stop in the middle.
static LIMITED: LazyLock<Site> = LazyLock::new(|| {
    let limit = Some(Duration::from_millis(50));
    let limits = ServerLimits { read: limit, write: limit, ..ServerLimits::default() };
    Site::unobserved(bind(answer()).1.map(|server| server.limits(limits)))
});

/// A good request.
fn good() -> impl Strategy<Value = (Vec<u8>, usize)> {
    proptest::sample::select(vec![
        GOOD,
        "GET / HTTP/1.1\nhost: h\n\n",
        "GET /?bytes=0 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
        "GET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    ])
    .prop_map(|text| (text.as_bytes().to_vec(), 1))
}

/// A piece of a conversation: a good request, or bytes that may be anything.
fn piece() -> impl Strategy<Value = (Vec<u8>, usize)> {
    let edges = b"\r\n\0 :\t\x80G05/Hx";
    let mutated = (0_usize..80, proptest::sample::select(edges.to_vec()), any::<bool>()).prop_map(
        |(place, byte, replace)| {
            let mut bytes = b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc".to_vec();
            let place = place % bytes.len();
            if replace {
                bytes[place] = byte;
            } else {
                bytes.insert(place, byte);
            }
            (bytes, 1) // may still be one
        },
    );
    let random = proptest::collection::vec(any::<u8>(), 1..60).prop_map(|bytes| (bytes, 0));
    prop_oneof![5 => good(), 4 => mutated, 1 => random]
}

/// Whether a good client is served. On a busy machine it may miss the limit once.
fn still_answers() -> bool {
    (0..9).any(|_| statuses(&reply_to(LIMITED.address, GOOD.as_bytes(), false)) == [200])
}

const LAST: &[u8] = b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// Pieces, the place of a cut, and whether the client closes its side.
fn conversation() -> impl Strategy<Value = (Vec<(Vec<u8>, usize)>, usize, bool)> {
    (proptest::collection::vec(piece(), 1..6), 1_usize..600, any::<bool>())
}

/// Conversations until the time in the environment variable `HELLO_FUZZ_SECONDS` is over:
/// `HELLO_FUZZ_SECONDS=60 cargo test -p hello --test hostile -- --ignored --nocapture`.
#[test]
#[ignore = "as long as HELLO_FUZZ_SECONDS says"]
fn any_bytes_are_answered_or_the_end_for_as_long_as_you_like() {
    let seconds = std::env::var("HELLO_FUZZ_SECONDS").map_or(5, |text| text.parse().unwrap());
    let (start, time) = (Instant::now(), Duration::from_secs(seconds));
    let mut cases = 0_u64;
    while start.elapsed() < time {
        // A new seed for each, which proptest tells if one fails.
        let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(71) };
        let mut runner = proptest::test_runner::TestRunner::new(config);
        let run = runner
            .run(&conversation(), |(pieces, cut, half_close)| survives(pieces, cut, half_close));
        if let Err(error) = run {
            panic!("after {cases} conversations: {error}");
        }
        cases += 71;
    }
    eprintln!("{cases} conversations in {:?}", start.elapsed());
}

/// Every answer but the last is to a request, and the server lives on.
fn survives(
    pieces: Vec<(Vec<u8>, usize)>,
    cut: usize,
    half_close: bool,
) -> Result<(), TestCaseError> {
    let requests: usize = pieces.iter().map(|(_, requests)| requests).sum();
    let mut bytes: Vec<u8> = pieces.into_iter().flat_map(|(bytes, _)| bytes).collect();
    bytes.truncate(cut);
    bytes.extend_from_slice(LAST);
    let statuses = statuses(&reply_to(LIMITED.address, &bytes, half_close));
    let fine = statuses.iter().filter(|status| **status < 300).count();
    prop_assert!(fine <= requests + 1, "{} of {}", fine, requests + 1);
    prop_assert!(statuses.iter().rev().skip(1).all(|status| [200, 405].contains(status)));
    prop_assert!(still_answers());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(71) })]

    #[test]
    fn well_formed_requests_are_answered_all(
        pieces in proptest::collection::vec(good(), 1..20),
    ) {
        let mut whole: Vec<u8> = pieces.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
        whole.extend_from_slice(LAST);
        let mut client = SITE.connect();
        // At once: what has come of a body that nobody reads does not end the connection.
        client.send_bytes(&whole);
        prop_assert_eq!(statuses(&client.rest()), vec![200; pieces.len() + 1]);
    }

    #[test]
    fn any_bytes_are_answered_or_the_end((pieces, cut, half_close) in conversation()) {
        survives(pieces, cut, half_close)?;
    }
}
