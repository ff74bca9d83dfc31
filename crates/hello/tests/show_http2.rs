//! What the program shows of HTTP/2: over one real connection, many requests at once.

mod common;
#[path = "common/program.rs"]
mod program;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use bytes::Bytes;
use common::Client;
use http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use program::Hello;
use serde_json::Value;
use tokio::net::TcpStream;

/// Requests at once on the one connection.
const STREAMS: u64 = 23;

/// Asks for bodies of 0, 1, 2 … bytes at once, reads them all, and closes.
fn ask_at_once(address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        let (sender, connection) = handshake(TokioExecutor::new(), io).await.unwrap();
        let connection = tokio::spawn(connection);
        let answers: Vec<_> = (0..STREAMS)
            .map(|bytes| {
                let request = Request::builder()
                    .version(Version::HTTP_2)
                    .uri(format!("http://hello/?bytes={bytes}"))
                    .body(Empty::<Bytes>::new())
                    .unwrap();
                let mut sender = sender.clone();
                tokio::spawn(async move {
                    let body = sender.send_request(request).await.unwrap().into_body();
                    body.collect().await.unwrap().to_bytes().len() as u64
                })
            })
            .collect();
        for (bytes, answer) in (0..).zip(answers) {
            assert_eq!(answer.await.unwrap(), bytes);
        }
        drop(sender);
        connection.await.unwrap().unwrap();
    });
}

fn numbers(values: impl Iterator<Item = Value>) -> BTreeSet<u64> {
    values.map(|value| value.as_u64().unwrap()).collect()
}

#[test]
fn every_stream_is_an_exchange_of_the_log_with_its_own_number_and_size() {
    let mut hello = Hello::start(&["--log", "json"]);
    ask_at_once(hello.address);
    let lines: Vec<Value> = hello.objects().take(STREAMS as usize).collect();
    for line in &lines {
        assert_eq!(line["version"], "HTTP/2.0", "{line}");
        assert_eq!((&line["connection"], &line["status"]), (&1.into(), &200.into()), "{line}");
        assert_eq!((&line["method"], &line["complete"]), (&"GET".into(), &true.into()), "{line}");
        assert_eq!(line["path"], format!("/?bytes={}", line["body_bytes"]), "{line}");
    }
    let all = |name: &str| numbers(lines.iter().map(|line| line[name].clone()));
    assert_eq!(all("request"), (1..=STREAMS).collect());
    assert_eq!(all("body_bytes"), (0..STREAMS).collect());
}

#[test]
fn a_connection_is_shown_with_all_its_streams_and_idle_in_between_only() {
    let mut hello = Hello::start(&["--show", "connections", "--format", "jsonl"]);
    ask_at_once(hello.address);
    let mut events = Vec::new();
    for object in hello.objects() {
        let is_last = object["event"] == "closed";
        events.push(object);
        if is_last {
            break;
        }
    }
    let of = |event: &'static str| events.iter().filter(move |object| object["event"] == event);
    for event in ["request", "handler_start", "handler_end", "response_done"] {
        let told = numbers(of(event).map(|object| object["request"].clone()));
        assert_eq!(told, (1..=STREAMS).collect(), "{event}");
    }
    assert!(of("request").all(|object| object["version"] == "HTTP/2.0"));
    assert!(of("response_done").all(|object| object["complete"] == true));
    // Frames are not taken apart, so nothing is told that only HTTP/1.1 has.
    assert_eq!(of("head_written").count() + of("response_written").count(), 0);
    assert!(of("request").all(|object| object["head_bytes"].is_null()));
    // What is open is Active, and Idle only when nothing is.
    let mut open = 0;
    for object in &events {
        match object["event"].as_str().unwrap() {
            "request" => open += 1,
            "response_done" => open -= 1,
            "state" if object["to"] == "Idle" => assert_eq!(open, 0),
            _ => {}
        }
    }
    let closed = of("closed").next().unwrap();
    assert_eq!(closed["requests"], STREAMS);
    // The client says GOAWAY, after which either end may close (RFC 9113 section 6.8).
    assert!(closed["by"] == "client" || closed["by"] == "server", "{closed}");
    assert_eq!(closed["unread_bytes"], 0);
}

#[test]
fn the_counts_are_those_of_streams_and_of_one_connection() {
    let mut hello = Hello::start(&["--metrics", "--log", "json"]);
    ask_at_once(hello.address);
    assert_eq!(hello.objects().take(STREAMS as usize).count() as u64, STREAMS);
    let counts = Client::connect(hello.address).get("/metrics");
    let counts = counts.text();
    let count = |name: &str| {
        let line = counts.lines().find(|line| line.starts_with(name)).expect(counts);
        line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(count("hello_connections_accepted_total"), 2.0);
    let streams = "http_server_request_duration_seconds_count{";
    assert_eq!(count(streams), STREAMS as f64, "{counts}");
}
