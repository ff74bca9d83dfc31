//! What came and was no request, and messages that did not come to their end: in the log, in the
//! counts, and byte by byte.

mod common;
#[path = "common/program.rs"]
mod program;

use std::io::Read;

use program::Hello;
use serde_json::{Value, json};

/// What comes, the status of the answer, and the protocol.
const STRANGERS: [(&[u8], u16, Option<&str>); 8] = [
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", 400, Some("TLS")),
    (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nGET / HTTP/1.1\r\n", 400, Some("PROXY protocol 1")),
    (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", 400, Some("PROXY protocol 2")),
    (b"EHLO me\r\n", 400, Some("SMTP")),
    (b"SSH-2.0-me\r\n", 400, Some("SSH")),
    (b"*1\r\n$4\r\nPING\r\n", 400, Some("Redis")),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\nno\r\n", 400, Some("HTTP/2")),
    (b"What is this?\r\n", 400, None),
];

#[test]
fn what_is_no_request_stands_in_the_log_with_what_came_and_whose_it_is() {
    let mut hello = Hello::start(&["--log", "json"]);
    let address = hello.address;
    let mut log = hello.objects();
    for (bytes, status, protocol) in STRANGERS {
        let mut client = common::Client::connect(address);
        client.send_bytes(bytes);
        assert_eq!(client.response().status, status);
        let line = log.next().unwrap();
        assert_eq!(line["status"], status, "{line}");
        assert_eq!(line["protocol"], json!(protocol), "{line}");
        assert_eq!((&line["method"], &line["request"]), (&Value::Null, &json!(1)), "{line}");
        let begins = line["refused_begins"].as_str().unwrap();
        let begin = String::from_utf8_lossy(&bytes[..3]).escape_default().to_string();
        assert!(
            begins.starts_with(&begin.replace("\\u{16}\\u{3}\\u{1}", "\\x16\\x03\\x01")),
            "{line}"
        );
    }
    // Too much of what would be a request.
    let fields = "Many: a\r\n".repeat(120);
    let path = "a".repeat(70_000);
    for (start, status) in [
        (format!("GET / HTTP/1.1\r\n{fields}\r\n"), 431),
        (format!("GET /{path} HTTP/1.1\r\n\r\n"), 414),
    ] {
        let mut client = common::Client::connect(address);
        client.send(&start);
        assert_eq!(client.response().status, status);
        let line = log.next().unwrap();
        assert_eq!(
            (&line["status"], &line["refused_bytes"]),
            (&json!(status), &json!(start.len()))
        );
    }
    // A second request that is none, and one that is not even answered.
    let good = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    for (bad, status) in
        [("nonsense\r\n\r\n", json!(400)), ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Value::Null)]
    {
        let mut client = common::Client::connect(address);
        client.send(&format!("{good}{bad}"));
        client.rest();
        assert_eq!(log.next().unwrap()["status"], 200);
        let line = log.next().unwrap();
        assert_eq!((&line["request"], &line["status"]), (&json!(2), &status), "{line}");
    }
}

#[test]
fn what_is_no_request_is_counted_by_its_protocol() {
    let hello = Hello::start(&["--metrics"]);
    for (bytes, ..) in STRANGERS {
        let mut client = hello.connect();
        client.send_bytes(bytes);
        client.rest();
    }
    let counts = hello.connect().get("/metrics").text().to_owned();
    for (_, status, protocol) in STRANGERS {
        let count = format!(
            "hello_requests_refused_total{{http_response_status_code=\"{status}\",protocol=\"{}\"}} 1\n",
            protocol.unwrap_or_default()
        );
        assert!(counts.contains(&count), "{count}{counts}");
    }
}

/// The sum of what is shown of the requests of one connection, and of its responses.
fn shown(objects: &[Value]) -> (u64, u64) {
    let number = |object: &Value, key: &str| object[key].as_u64().unwrap_or(0);
    let (mut received, mut sent) = (0, 0);
    for object in objects {
        match object["event"].as_str().unwrap() {
            "request" | "request_body" | "refused" => {
                received += number(object, "head_bytes") + number(object, "body_bytes");
                received += number(object, "refused_bytes");
            }
            "head_written" => sent += number(object, "head_bytes"),
            "response_written" => sent += number(object, "body_bytes"),
            "cut_short" if object["part"] == "response_body" => sent += number(object, "cut_bytes"),
            "cut_short" => received += number(object, "cut_bytes"),
            _ => {}
        }
    }
    (received, sent)
}

#[test]
fn every_byte_is_shown_also_of_what_does_not_come_to_its_end() {
    let mut hello = Hello::start(&["--show", "connections,bytes", "--format", "jsonl"]);
    let json = "POST /json HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
    for (request, part, begins) in [
        ("GET / HTT".to_owned(), "request_head", "GET / HTT"),
        ("GET / HTTP/1.1\r\nHost: h".to_owned(), "request_head", "GET / HTTP/1.1\\r\\nHost: h"),
        (format!("{json}Content-Length: 45\r\n\r\n{{\"name\": 1"), "request_body", "{\"name\": 1"),
        (format!("{json}Transfer-Encoding: chunked\r\n\r\n5\r\n[1"), "request_body", "5\\r\\n[1"),
        (
            "GET /chunks?size=3&every=0ms&break_after=2 HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
            "response_body",
            "3\\r\\nHel\\r\\n3\\r\\nHel\\r\\n",
        ),
    ] {
        let mut client = hello.connect();
        client.send(&request);
        if part == "response_body" {
            client.rest();
        } else {
            client.stream().shutdown(std::net::Shutdown::Write).unwrap();
            client.rest();
        }
        drop(client);
        let objects = hello.objects_until("closed");
        let cut = objects.iter().find(|it| it["event"] == "cut_short").expect(&request);
        assert_eq!((&cut["part"], &cut["cut_begins"]), (&json!(part), &json!(begins)));
        let closed = objects.last().unwrap();
        let all =
            (closed["received_bytes"].as_u64().unwrap(), closed["sent_bytes"].as_u64().unwrap());
        assert_eq!(shown(&objects), all, "{request:?}: {objects:#?}");
    }
}

#[test]
fn the_log_counts_what_was_sent_of_a_response_that_was_cut() {
    let mut hello = Hello::start(&["--log", "json", "--show", "connections", "--format", "jsonl"]);
    for (target, complete) in [("/bytes/64MiB", false), ("/bytes/200000", true)] {
        let mut client = hello.connect();
        client.ask("GET", target);
        let head = client.head();
        if complete {
            client.read_exact(&mut [0; 200_000]);
            drop(client);
        } else {
            client.stream().read_exact(&mut [0; 100_000]).unwrap();
            client.reset();
        }
        let lines = hello.objects_until("closed");
        let sent = lines.last().unwrap()["sent_bytes"].as_u64().unwrap();
        let head_bytes = lines.iter().find(|it| it["event"] == "head_written").unwrap();
        let line = lines.iter().find(|it| it["path"] == target).unwrap();
        let expected = sent - head_bytes["head_bytes"].as_u64().unwrap();
        assert_eq!(line["body_bytes"], expected, "{head:?}");
        assert_eq!(line["complete"], complete);
    }
}

#[test]
fn a_request_without_an_answer_has_a_number_in_the_place_of_a_status() {
    let mut hello = Hello::start(&["--log", "combined", "--write-timeout", "2s"]);
    let mut client = hello.connect();
    client.ask("GET", "/slow?for=1h");
    std::thread::sleep(std::time::Duration::from_millis(50));
    drop(client);
    assert!(hello.line().unwrap().contains("/slow?for=1h HTTP/1.1\" 499 - \"-\""));
    let mut client = hello.connect();
    client.ask("GET", "/slow?for=1h");
    client.sees_the_close().unwrap();
    assert!(hello.line().unwrap().contains("/slow?for=1h HTTP/1.1\" 444 - \"-\""));
    client.rest();
    let mut client = hello.connect();
    client.send_bytes(b"\x16\x03\x01\x02\x00\x01\r\n");
    client.rest();
    assert!(
        hello.line().unwrap().contains("] \"\\x16\\x03\\x01\\x02\\x00\\x01\" 400 - \"-\" \"-\"")
    );
}
