//! A server that is running already: what can be asked of it, and what cannot be known.

#[path = "../../apparatus/tests/program/mod.rs"]
mod program;

use std::time::Duration;

use peers::{ConnectionScript, ScriptedServer, ServerStep, StepTime};
use serde_json::{Value, json};
use server::{Answer, Server};

/// `hello`, as in another terminal: the tests' threads are not the program's.
struct Hello {
    url: String,
    _running: server::RunningServer,
    _runtime: tokio::runtime::Runtime,
}

fn hello(answer: Answer) -> Hello {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let running = runtime
        .block_on(async { Server::bind("127.0.0.1:0".parse().unwrap(), answer).unwrap().start() });
    Hello { url: format!("http://{}/", running.address()), _running: running, _runtime: runtime }
}

fn sequential(url: &str, arguments: &str) -> Value {
    let arguments = format!("--target {url} --format json --interval 20ms {arguments}");
    let ran = program::run(env!("CARGO_BIN_EXE_sequential"), &arguments);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn what_somebody_elses_server_accepted_is_not_ours_to_say() {
    let hello = hello(Answer::default());
    let outcome = sequential(&hello.url, "--requests 5");
    assert_eq!(outcome["opened"], 1);
    assert_eq!(outcome["accepted"], Value::Null);
    assert_eq!(program::running(&outcome), &json!({ "ESTABLISHED": 1 }));
    assert_eq!(program::closed(&outcome), &json!({ "TIME_WAIT": 1 }));
}

#[test]
fn size_and_times_are_asked_for_in_the_query() {
    let hello = hello(Answer::default());
    let outcome = sequential(&hello.url, "--requests 3 --bytes 1MiB --body drop");
    assert_eq!(outcome["opened"], 3);
    assert_eq!(outcome["connections"][0]["why"], "body unread, 1 MiB left");
    assert_eq!(program::closed_by(&outcome, "reset"), 3);
}

#[test]
fn a_server_that_closes_after_each_response_holds_time_wait() {
    let hello = hello(Answer { close: true, ..Answer::default() });
    let outcome = sequential(&hello.url, "--requests 5");
    assert_eq!(outcome["opened"], 5);
    for connection in outcome["connections"].as_array().unwrap() {
        assert_eq!(connection["why"], "server said close");
    }
    // Both ends close at once, so who is first is a race; nobody resets.
    assert_eq!(program::closed_by(&outcome, "reset"), 0);
    assert_eq!(outcome["sockets"]["after_closing"]["settled"], true);
}

#[test]
fn sockets_of_an_earlier_run_are_not_counted() {
    let hello = hello(Answer::default());
    for _ in 0..2 {
        let outcome = sequential(&hello.url, "--requests 3 --body drop");
        assert_eq!(program::running(&outcome), &json!({ "TIME_WAIT": 3 }));
    }
}

/// A server that answers one request on each connection with these fields, and closes the
/// connection, which lies idle, after `idle`.
fn closing_when_idle(
    fields: &str,
    idle: Duration,
) -> (String, ScriptedServer, tokio::runtime::Runtime) {
    let (server, runtime) =
        answering(format!("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n{fields}\r\nok"), idle);
    (format!("http://{}/", server.address()), server, runtime)
}

/// A server that answers one request on each connection with this, and closes it after `idle`.
fn answering(answer: String, idle: Duration) -> (ScriptedServer, tokio::runtime::Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let script = ConnectionScript::of([
        ServerStep::ReadHead,
        ServerStep::Answer(answer),
        ServerStep::Wait(StepTime(idle)),
        ServerStep::Close,
    ]);
    let bound = async { ScriptedServer::bind("127.0.0.1:0".parse().unwrap(), vec![script]) };
    let server = runtime.block_on(bound).unwrap();
    (server, runtime)
}

#[test]
fn a_keep_alive_field_is_told_with_how_long_the_server_really_kept_what_was_idle() {
    const HINT: &str = "connection: keep-alive\r\nkeep-alive: timeout=60\r\n";
    let (url, _server, _runtime) = closing_when_idle(HINT, Duration::from_millis(50));
    for transport in ["go", "go1.27", "hyper-util"] {
        let run = format!("--requests 3 --interval 600ms --transport {transport}");
        let offers = &sequential(&url, &run)["keep_alive_offers"];
        assert_eq!((&offers["offers"], &offers["responses"]), (&json!(3), &json!(3)), "{offers}");
        assert_eq!((&offers["first"], &offers["same"]), (&json!("timeout=60"), &json!(true)));
        assert_eq!(offers["timeout_least_us"], 60_000_000);
        let closes = offers["idle_closes"].as_u64().unwrap();
        assert_eq!(offers["sooner"], closes, "{offers}");
        // hyper-util's client does not tell when a connection comes back.
        let (seen, unseen) = (closes, offers["idle_unknown"].as_u64().unwrap());
        let told = if transport == "hyper-util" { unseen } else { seen };
        assert!(told >= 2 && seen + unseen == told, "{transport}: {offers}");
        let text = program::run(env!("CARGO_BIN_EXE_sequential"), &format!("--target {url} {run}"));
        let words = "All 3 responses offered to keep an idle connection for 1m (Keep-Alive: timeout=60); this client does not read that.";
        let prose = text.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(prose.contains(words), "{}", text.stdout);
        assert!(text.stdout.lines().all(|line| line.chars().count() <= 80), "{}", text.stdout);
    }
}

#[test]
fn a_server_that_keeps_its_word_is_not_said_to_be_too_soon() {
    let hint = "keep-alive: timeout=1\r\n";
    let (url, _server, _runtime) = closing_when_idle(hint, Duration::from_millis(1100));
    let offers = &sequential(&url, "--requests 2 --interval 1700ms")["keep_alive_offers"];
    assert_eq!((&offers["offers"], &offers["sooner"]), (&json!(2), &json!(0)), "{offers}");
    assert!(offers["idle_closes"].as_u64().unwrap() >= 1, "{offers}");
    assert!(offers["idle_least_us"].as_u64().unwrap() >= 1_000_000, "{offers}");
}

#[test]
fn a_server_that_offers_nothing_is_not_said_to_offer_anything() {
    for fields in ["", "keep-alive: 300\r\n", "connection: close\r\nkeep-alive: timeout=5\r\n"] {
        let (url, _server, _runtime) = closing_when_idle(fields, Duration::from_millis(50));
        assert_eq!(sequential(&url, "--requests 2")["keep_alive_offers"], Value::Null, "{fields}");
    }
}

#[test]
fn held_connections_that_the_server_has_reset_unseen_are_no_table_that_still_changes() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let part = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart";
    let script = ConnectionScript::of([
        ServerStep::ReadHead,
        ServerStep::Answer(part.to_owned()),
        ServerStep::Wait(StepTime(Duration::from_millis(100))),
        ServerStep::Reset,
    ]);
    let server = runtime
        .block_on(async { ScriptedServer::bind("127.0.0.1:0".parse().unwrap(), vec![script]) })
        .unwrap();
    for transport in ["go", "go1.27", "hyper-util"] {
        // The last one is held beyond its reset, too.
        let url = format!("http://{}/", server.address());
        let run = format!("--requests 3 --interval 300ms --body hold --transport {transport}");
        let outcome = sequential(&url, &run);
        assert_eq!(outcome["opened"], 3, "{transport}");
        let running = &outcome["sockets"]["while_running"];
        assert_eq!(running["settled"], true, "{transport}: {running}");
    }
}

#[test]
fn a_trace_names_a_cookie_and_hides_its_value() {
    let head = "HTTP/1.1 103 Early Hints\r\nSet-Cookie: id=milk; Path=/\r\n\r\n\
        HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (server, _runtime) = answering(head.to_owned(), Duration::from_millis(50));
    let url = format!("http://{}/", server.address());
    for format in ["text", "json"] {
        let arguments = format!("--target {url} --requests 1 --trace --format {format}");
        let ran = program::run(env!("CARGO_BIN_EXE_sequential"), &arguments);
        assert!(ran.stdout.contains("id=[not shown]; Path=/"), "{}", ran.stdout);
        assert!(!(ran.stdout.clone() + &ran.stderr).contains("milk"), "{}", ran.stdout);
    }
}
