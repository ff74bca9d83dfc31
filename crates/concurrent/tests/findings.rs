//! The article's concurrent experiments, run as a user runs them, on this machine's kernel.

#[path = "../../apparatus/tests/program/mod.rs"]
mod program;

use std::sync::{Mutex, PoisonError};

use program::{closed, closed_by, running};
use serde_json::{Value, json};

/// One run at a time: workers that have to be busy at once should not wait for another test's.
static TURN: Mutex<()> = Mutex::new(());

fn concurrent(arguments: &str) -> Value {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    program::json(env!("CARGO_BIN_EXE_concurrent"), arguments)
}

const TRANSPORTS: [&str; 3] = ["go", "go1.27", "hyper-util"];

#[test]
fn a_pool_smaller_than_its_workers_dials_the_rest_anew_in_every_round() {
    for transport in TRANSPORTS {
        let outcome = concurrent(&format!("--per-host 2 --interval 100ms --transport {transport}"));
        // Fewer than 82 if the system holds one of them up for longer than the server's delay.
        let opened = outcome["opened"].as_u64().unwrap();
        assert!((11..=82).contains(&opened), "{transport}: {opened}");
        let closed_early = opened - 2;
        assert_eq!(running(&outcome), &json!({ "ESTABLISHED": 2, "TIME_WAIT": closed_early }));
        assert_eq!(outcome["sockets"]["while_running"]["server"], json!({ "ESTABLISHED": 2 }));
        assert_eq!(closed(&outcome), &json!({ "TIME_WAIT": opened }));
        assert_eq!(closed_by(&outcome, "client"), opened as usize);
        assert_eq!(outcome["predicted"]["formula"], "10 + 9 x (10 - 2)");
    }
}

#[test]
fn a_pool_as_large_as_its_workers_opens_one_connection_for_each() {
    for transport in TRANSPORTS {
        let outcome = concurrent(&format!("--per-host 10 --interval 50ms --transport {transport}"));
        assert_eq!(outcome["opened"], 10, "{transport}");
        assert_eq!(running(&outcome), &json!({ "ESTABLISHED": 10 }));
    }
}

#[test]
fn the_formula_holds_for_every_cap() {
    for (per_host, opened) in [(0, 21), (1, 19), (3, 15), (6, 9), (7, 7), (11, 7)] {
        let outcome = concurrent(&format!(
            "--workers 7 --requests 3 --delay 60ms --interval 100ms --per-host {per_host}"
        ));
        // As far as all are busy at once: `--per-host 0` and one for every worker do not ask that.
        let (least, most) = (&outcome["predicted"]["least"], &outcome["predicted"]["most"]);
        assert_eq!(most, opened, "cap {per_host}");
        assert_eq!(least == most, per_host == 0 || per_host >= 7, "cap {per_host}: {least}");
    }
}

#[test]
fn three_at_once_are_three_connections_of_which_two_stay() {
    for transport in TRANSPORTS {
        let outcome = concurrent(&format!(
            "--workers 3 --requests 1 --per-host 2 --delay 200ms --transport {transport}"
        ));
        assert_eq!(outcome["opened"], 3, "{transport}");
        assert_eq!(outcome["sockets"]["busiest"]["client"], json!({ "ESTABLISHED": 3 }));
        assert_eq!(running(&outcome), &json!({ "ESTABLISHED": 2, "TIME_WAIT": 1 }));
    }
}

#[test]
fn without_a_pause_each_worker_takes_up_the_connection_it_has_just_put_back() {
    let outcome = concurrent("--requests 20 --interval 0s");
    assert_eq!(outcome["opened"], 10);
    assert_eq!(running(&outcome), &json!({ "ESTABLISHED": 2, "TIME_WAIT": 8 }));
}

#[test]
fn a_cap_on_connections_makes_requests_wait_instead_of_dialling() {
    let outcome = concurrent(
        "--workers 10 --requests 3 --interval 20ms --per-host 10 --max-conns-per-host 4",
    );
    assert_eq!(outcome["opened"], 4);
    assert_eq!(running(&outcome), &json!({ "ESTABLISHED": 4 }));
}

#[test]
fn with_no_flag_but_the_cap_the_formula_stands_beside_what_was_observed() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // The interval alone is shortened: by default it is the article's second.
    let ran =
        program::run(env!("CARGO_BIN_EXE_concurrent"), "--per-host 2 --interval 100ms --port 0");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for part in [
        "predicted 10 to 82 connections; at most 10 + 9 x (10 - 2)",
        " connections, as predicted",
        "workers + (requests - 1) x (workers - kept idle)",
        "client   ESTABLISHED 2 · TIME_WAIT ",
        "they agree",
        "cargo run -p concurrent -- --interval 100ms --per-host 10 --port 0",
    ] {
        assert!(ran.stdout.contains(part), "`{part}` in\n{}", ran.stdout);
    }
    assert!(ran.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ran.stdout);
}

#[test]
fn no_worker_at_all_is_refused() {
    let ran = program::run(env!("CARGO_BIN_EXE_concurrent"), "--workers 0");
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("1..=10000"), "{}", ran.stderr);
}
