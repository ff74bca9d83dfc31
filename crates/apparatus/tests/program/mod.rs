//! Runs a client program as a user would, and reads what it prints.
//!
//! Shared by the tests of `sequential` and `concurrent`, which include it by its path.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::process::{Command, Output};

use serde_json::Value;

/// What a program printed, and how it ended.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `program` with `arguments`, written as on a command line.
pub fn run(program: &str, arguments: &str) -> Ran {
    let output: Output = Command::new(program)
        .args(arguments.split_whitespace())
        .env_remove("CLICOLOR_FORCE")
        .output()
        .expect("the program can be started");
    Ran {
        code: output.status.code().expect("no signal ended it"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The one JSON object that `program` prints with `--format json`, all witnesses agreeing, and
/// as predicted.
pub fn json(program: &str, arguments: &str) -> Value {
    let Ran { code, stdout, stderr } = run(program, &format!("--format json --port 0 {arguments}"));
    assert_eq!(code, 0, "{arguments}: {stdout}{stderr}");
    let outcome: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(outcome["schema"], 1);
    assert_eq!(outcome["rule_differences"], Value::Array(Vec::new()));
    assert_eq!(outcome["opened"], outcome["accepted"], "{arguments}");
    assert_eq!(outcome["disagreements"], Value::Array(Vec::new()), "{arguments}");
    assert_eq!(outcome["sockets"]["while_running"]["settled"], true, "{arguments}");
    let (predicted, opened) = (&outcome["predicted"], &outcome["opened"]);
    assert_ne!(predicted["held"], false, "{arguments}: predicted {predicted}, opened {opened}");
    outcome
}

/// The client's ends while running, by state: `{"ESTABLISHED": 1}`.
pub fn running(outcome: &Value) -> &Value {
    &outcome["sockets"]["while_running"]["client"]
}

/// The client's ends after closing, by state.
pub fn closed(outcome: &Value) -> &Value {
    &outcome["sockets"]["after_closing"]["client"]
}

/// How many connections were closed first by `whom`.
pub fn closed_by(outcome: &Value, whom: &str) -> usize {
    let connections = outcome["connections"].as_array().unwrap();
    connections.iter().filter(|connection| connection["closed_by"] == whom).count()
}
