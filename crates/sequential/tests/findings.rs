//! The article's sequential experiments, run as a user runs them, on this machine's kernel.

#[path = "../../apparatus/tests/program/mod.rs"]
mod program;

use program::{closed, closed_by, running};
use serde_json::{Value, json};

fn sequential(arguments: &str) -> Value {
    program::json(env!("CARGO_BIN_EXE_sequential"), arguments)
}

#[test]
fn drained_bodies_need_one_connection_whatever_the_transport() {
    for transport in ["go", "go1.27", "hyper-util"] {
        let outcome = sequential(&format!("--interval 20ms --transport {transport}"));
        assert_eq!(outcome["opened"], 1, "{transport}");
        assert_eq!(outcome["used"], 1);
        assert_eq!(outcome["requests"], 10);
        assert_eq!(outcome["failed"], 0);
        assert_eq!(running(&outcome), &json!({ "ESTABLISHED": 1 }));
        assert_eq!(outcome["sockets"]["while_running"]["server"], json!({ "ESTABLISHED": 1 }));
        assert_eq!(closed(&outcome), &json!({ "TIME_WAIT": 1 }));
        assert_eq!(outcome["connections"][0]["exchanges"], 10);
        assert_eq!(outcome["connections"][0]["closed_by"], "client");
        assert_eq!(outcome["connections"][0]["why"], "transport closed");
    }
}

#[test]
fn held_bodies_keep_every_connection_established_under_gos_rules() {
    for transport in ["go", "go1.27"] {
        let outcome = sequential(&format!(
            "--requests 11 --interval 5ms --body hold --transport {transport}"
        ));
        assert_eq!(outcome["opened"], 11, "{transport}");
        assert_eq!(running(&outcome), &json!({ "ESTABLISHED": 11 }));
    }
}

#[test]
fn dropped_bodies_leave_time_wait_at_the_client_up_to_go_1_26() {
    let outcome = sequential("--requests 11 --interval 5ms --body drop");
    assert_eq!(outcome["opened"], 11);
    assert_eq!(running(&outcome), &json!({ "TIME_WAIT": 11 }));
    assert_eq!(closed_by(&outcome, "client"), 11);
    for connection in outcome["connections"].as_array().unwrap() {
        assert_eq!(connection["why"], "body unread, 11 B left");
    }
}

#[test]
fn dropped_bodies_are_drained_since_go_1_27() {
    let outcome = sequential("--interval 20ms --body drop --transport go1.27");
    assert_eq!(outcome["opened"], 1);
    assert_eq!(running(&outcome), &json!({ "ESTABLISHED": 1 }));
}

#[test]
fn small_unread_bodies_cost_hyper_util_nothing() {
    for body in ["drop", "hold"] {
        let outcome = sequential(&format!("--interval 20ms --transport hyper-util --body {body}"));
        assert_eq!(outcome["opened"], 1, "{body}");
        assert_eq!(running(&outcome), &json!({ "ESTABLISHED": 1 }));
    }
}

#[test]
fn large_held_bodies_lie_unread_in_the_kernel_with_hyper_util() {
    let outcome =
        sequential("--requests 7 --interval 20ms --transport hyper-util --body hold --bytes 64KiB");
    assert_eq!(outcome["opened"], 7);
    assert_eq!(running(&outcome), &json!({ "ESTABLISHED": 7 }));
    let unread = outcome["sockets"]["while_running"]["client_unread_bytes"].as_u64().unwrap();
    assert!(unread > 0, "Recv-Q shows what nobody has read");
}

#[test]
fn bodies_that_come_late_and_are_dropped_cost_hyper_util_their_connections() {
    let outcome = sequential(
        "--requests 7 --interval 50ms --transport hyper-util --body drop --pause-before-body 30ms",
    );
    assert_eq!(outcome["opened"], 7);
}

#[test]
fn large_dropped_bodies_end_in_resets_and_leave_no_time_wait_at_all() {
    for transport in ["go", "go1.27"] {
        let outcome = sequential(&format!(
            "--requests 7 --interval 20ms --body drop --bytes 1MiB --transport {transport}"
        ));
        assert_eq!(outcome["opened"], 7, "{transport}");
        assert_eq!(closed_by(&outcome, "reset"), 7);
        assert_eq!(closed(&outcome), &json!({}));
        assert_eq!(outcome["sockets"]["after_closing"]["server"], json!({}));
    }
}

#[test]
fn back_to_back_bodies_of_any_size_need_one_connection_under_gos_rules() {
    for bytes in ["0", "11", "64KiB", "256KiB"] {
        let outcome = sequential(&format!("--requests 200 --interval 0s --bytes {bytes}"));
        assert_eq!(outcome["opened"], 1, "{bytes}");
    }
}

#[test]
fn an_idle_timeout_shorter_than_the_pause_costs_the_connection_every_time() {
    let outcome = sequential("--requests 3 --interval 400ms --idle-timeout 100ms");
    assert_eq!(outcome["opened"], 3);
    assert_eq!(outcome["connections"][0]["why"], "idle for 100ms");
    // On a busy machine the third may have had its time, too, before the table was read.
    let time_wait = running(&outcome)["TIME_WAIT"].as_u64().unwrap();
    assert!((2..=3).contains(&time_wait), "{time_wait}");
}

#[test]
fn without_keep_alives_every_request_has_a_connection_of_its_own() {
    let outcome = sequential("--requests 5 --interval 5ms --no-keep-alives");
    assert_eq!(outcome["opened"], 5);
    assert_eq!(outcome["connections"][0]["why"], "keep-alives disabled");
}

#[test]
fn the_trace_has_gos_moments_under_gos_names() {
    let outcome = sequential("--requests 2 --interval 5ms --trace");
    let events = outcome["events"].as_array().unwrap();
    let names: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "GetConn",
            "ConnectStart",
            "ConnectDone",
            "GotConn",
            "WroteHeaderField",
            "WroteHeaders",
            "WroteRequest",
            "GotFirstResponseByte",
            "PutIdleConn",
            "GetConn",
            "GotConn",
            "WroteHeaderField",
            "WroteHeaders",
            "WroteRequest",
            "GotFirstResponseByte",
            "PutIdleConn",
            "ConnectionClosed",
        ]
    );
    let reuse = events.iter().rfind(|event| event["event"] == "GotConn").unwrap();
    assert_eq!((&reuse["reused"], &reuse["was_idle"]), (&json!(true), &json!(true)));
    assert!(reuse["idle_time_us"].as_u64().unwrap() >= 4_000);
    let moments: Vec<u64> = events.iter().map(|event| event["at_us"].as_u64().unwrap()).collect();
    assert!(moments.is_sorted());
}

#[test]
fn the_text_predicts_first_then_shows_then_explains() {
    let ran = program::run(
        env!("CARGO_BIN_EXE_sequential"),
        "--port 0 --requests 3 --interval 5ms --body drop",
    );
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut rest = ran.stdout.as_str();
    for part in [
        "predicted 3 connections",
        "#3 new",
        "closed: 11 B unread",
        "While running",
        "client   TIME_WAIT 3",
        "After closing",
        "observed  3 connections, as predicted",
        "they agree",
        "RFC 9112 section 9.3",
        "cargo run -p sequential -- --requests 3 --interval 5ms --body drop \\\n",
        "--port 0 --transport go1.27\n",
    ] {
        let place = rest.find(part).unwrap_or_else(|| panic!("`{part}` in\n{}", ran.stdout));
        rest = &rest[place..];
    }
    assert!(!ran.stdout.contains('\u{1b}'), "no colour in a pipe");
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
    assert!(ran.stdout.lines().all(|line| line.trim_end() == line), "no line ends in spaces");
}
