//! `lab trace` against real servers on loopback.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::thread;

use serde_json::Value;

/// Runs `lab trace` with `arguments`, written as on a command line.
fn trace(arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("trace")
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The one object of `--format json`, and the exit code.
fn json(arguments: &str) -> (Value, i32) {
    let output = trace(&format!("{arguments} --format json"));
    let value = serde_json::from_slice(&output.stdout);
    let value = value.unwrap_or_else(|_| panic!("{}", text(&output.stderr)));
    (value, output.status.code().unwrap())
}

/// The names of the moments of an exchange, in their order.
fn moments(exchange: &Value) -> Vec<&str> {
    let events = exchange["events"].as_array().unwrap();
    events.iter().map(|event| event["event"].as_str().unwrap()).collect()
}

/// `hello`, for as long as the test runs.
fn hello() -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let any = SocketAddr::from(([127, 0, 0, 1], 0));
            let server = hello::Server::bind(any, hello::Answer::default()).unwrap().start();
            sender.send(server.address().socket_addr()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    receiver.recv().unwrap()
}

/// A server that answers each connection with what `answers` has for it, and then closes it. An
/// answer goes out when the head of a request has come.
fn raw(answers: Vec<&'static str>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut read = Vec::new();
            let mut buffer = [0; 4096];
            while !read.windows(4).any(|window| window == b"\r\n\r\n") {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    n => read.extend_from_slice(&buffer[..n]),
                }
            }
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

const CLOSE: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn the_second_of_two_requests_has_the_first_one_s_connection() {
    let (session, code) = json(&format!("http://localhost:{}/", hello().port()));
    assert_eq!(code, 0, "{session:#}");
    let [first, second] = &session["exchanges"].as_array().unwrap()[..] else { panic!("two") };
    assert_eq!((&first["reused"], &second["reused"]), (&false.into(), &true.into()));
    assert_eq!((&first["connection"], &second["connection"]), (&1.into(), &1.into()));
    assert!(first["phases"]["dns_us"].is_u64() && first["phases"]["connect_us"].is_u64());
    assert!(second["phases"]["dns_us"].is_null() && second["phases"]["connect_us"].is_null());
    for phase in ["request_us", "wait_us", "body_us"] {
        assert!(second["phases"][phase].is_u64(), "{phase}");
    }
    assert_eq!(moments(first)[..3], ["GetConn", "DNSStart", "DNSDone"]);
    assert_eq!(moments(second)[..2], ["GetConn", "GotConn"]);
    assert_eq!(moments(second).last(), Some(&"PutIdleConn"));
    assert_eq!(session["afterwards"][0]["event"], "ConnectionClosed");
    assert!(session["saved"].as_str().unwrap().starts_with("Reuse saved the second request"));
}

#[test]
fn who_has_no_url_at_hand_gets_a_server() {
    let (session, code) = json("--requests 3");
    assert_eq!((code, session["exchanges"].as_array().unwrap().len()), (0, 3));
    assert!(session["exchanges"][0]["url"].as_str().unwrap().starts_with("http://localhost:"));
}

#[test]
fn people_see_moments_phases_bars_and_what_reuse_saved() {
    let report = text(&trace(&format!("http://{}/", hello())).stdout);
    for line in [
        "1  GET http://127.0.0.1:",
        "GetConn              127.0.0.1:",
        "GotConn              reused=true was_idle=true idle_time=",
        "   HTTP/1.1 200 OK on #1, 11 B read",
        "Afterwards  the client closes",
        "  CONN  NO  CONNECT  REQUEST",
        "c connect  r request  w wait  b body",
        "Reuse saved the second request what the first one paid for its connection,",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
    let too_wide = report.lines().find(|line| line.chars().count() > 100);
    assert_eq!(too_wide, None);
}

#[test]
fn a_body_that_is_dropped_says_why_reuse_saved_nothing() {
    let (session, _) = json(&format!("http://{}/ --body drop", hello()));
    let saved = session["saved"].as_str().unwrap();
    assert!(saved.contains("(body unread, 11 B left): it paid for one of its own, #2"), "{saved}");
}

#[test]
fn jsonl_is_an_object_a_moment_with_its_facts_beside_it() {
    let output = trace(&format!("http://{}/ --format jsonl", hello()));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_second = lines.iter().filter(|event| event["exchange"] == 2);
    let got = of_second.clone().find(|event| event["event"] == "GotConn").unwrap();
    assert_eq!((&got["reused"], &got["was_idle"]), (&true.into(), &true.into()));
    assert!(got["idle_time_us"].is_u64() && got["at_us"].is_u64());
    assert!(
        of_second.clone().all(|event| event["connection"].is_null() || event["connection"] == 1)
    );
}

#[test]
fn har_has_minus_one_for_a_phase_that_did_not_happen() {
    let output = trace(&format!("http://{}/?a=b&c --format har --header X-Lab:1", hello()));
    let har: Value = serde_json::from_slice(&output.stdout).unwrap();
    let log = &har["log"];
    assert_eq!(log["version"], "1.2");
    let [first, second] = &log["entries"].as_array().unwrap()[..] else { panic!("two") };
    assert_eq!((&first["connection"], &second["connection"]), (&"1".into(), &"1".into()));
    assert_eq!(first["timings"]["dns"], -1.0, "an IP address needs no look-up");
    assert!(first["timings"]["connect"].as_f64().unwrap() > 0.0);
    assert_eq!(second["timings"]["connect"], -1.0);
    assert_eq!(first["serverIPAddress"], "127.0.0.1");
    assert_eq!(first["request"]["queryString"][0]["name"], "a");
    assert_eq!(first["response"]["content"]["size"], 11);
    for entry in [first, second] {
        let timings = entry["timings"].as_object().unwrap();
        let of = |phase: &str| timings[phase].as_f64().unwrap();
        let phases = ["blocked", "dns", "connect", "send", "wait", "receive"];
        let sum: f64 = phases.iter().map(|phase| of(phase)).filter(|time| *time >= 0.0).sum();
        assert!((sum - entry["time"].as_f64().unwrap()).abs() < 1e-6, "{entry:#}");
    }
}

#[test]
fn a_redirect_is_shown_and_followed_only_if_asked_to() {
    let target = raw(vec![CLOSE, CLOSE]);
    let location = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{target}/there\r\nContent-Length: 0\r\n\r\n"
    );
    let location: &'static str = Box::leak(location.into_boxed_str());
    let start = raw(vec![location, location]);
    let (session, _) = json(&format!("http://{start}/ --requests 1"));
    assert_eq!(session["exchanges"].as_array().unwrap().len(), 1);
    assert_eq!(session["exchanges"][0]["status"], 302);
    let (session, code) = json(&format!("http://{start}/ --requests 1 --follow"));
    let hops = session["exchanges"].as_array().unwrap();
    assert_eq!((code, hops.len(), &hops[1]["status"]), (0, 2, &200.into()));
    assert_eq!(hops[1]["redirected_from"], 1);
    assert!(hops[1]["url"].as_str().unwrap().ends_with("/there"));
}

#[test]
fn a_request_that_fails_ends_with_1_and_its_moments_are_shown() {
    for (answer, expected) in [
        ("", "without answering the request"),
        ("HTTP/1.1 200", "the head of the response"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", "ended after 2 B of 9 B"),
        ("no http\r\n\r\n", "does not answer in HTTP/1.1"),
    ] {
        let (session, code) = json(&format!("http://{}/ --requests 1", raw(vec![answer])));
        let exchange = &session["exchanges"][0];
        let error = exchange["error"].as_str().unwrap();
        assert!(code == 1 && error.contains(expected), "{code} {error}");
        assert!(moments(exchange).contains(&"WroteRequest"), "{exchange:#}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (session, code) = json(&format!("http://{nobody}/ --requests 1"));
    assert_eq!((code, moments(&session["exchanges"][0]).last()), (1, Some(&"ConnectDone")));
    let (session, code) = json("http://name.invalid/ --requests 1");
    assert_eq!((code, moments(&session["exchanges"][0]).last()), (1, Some(&"DNSDone")));
}

#[test]
fn a_time_out_says_where_the_time_went() {
    let (session, code) =
        json(&format!("http://{}/?delay=1h --timeout 200ms --requests 1", hello()));
    let error = session["exchanges"][0]["error"].as_str().unwrap();
    assert_eq!(code, 1);
    assert!(error.starts_with("not over within 200ms (--timeout): connect "), "{error}");
    assert!(error.ends_with("the last moment was WroteRequest"), "{error}");
}

#[test]
fn what_cannot_be_asked_for_ends_with_2() {
    for (arguments, expected) in [
        ("nonsense", "cannot fetch `nonsense`"),
        ("ftp://localhost/", "the scheme is neither http nor https"),
        ("http://localhost/ --header nonsense", "is not of the form NAME: VALUE"),
        ("http://localhost/ --expect-continue", "--expect-continue needs a body"),
        ("http://localhost/ --cacert /nowhere", "cannot read --cacert /nowhere"),
        ("http://localhost/ --data @/nowhere", "cannot read --data @/nowhere"),
        ("http://localhost/ --http1 --http2", "cannot be used with"),
    ] {
        let output = trace(arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {message}");
        assert!(message.contains(expected), "{arguments}: {message}");
    }
}
