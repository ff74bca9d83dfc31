//! A server that is running already: what can be asked of it, and what cannot be known.

#[path = "../../apparatus/tests/program/mod.rs"]
mod program;

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
