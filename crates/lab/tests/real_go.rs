//! The re-created rules beside Go itself, cell by cell, where `go` is installed.
//!
//! Both go through the same run in a private network. Where two runs of Go agree with each other,
//! ours has to agree with them: connections, states at rest, resets, and the moments of each
//! exchange.

#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

use evidence::{Moment, Side};
use lab::RunRecord;
use serde_json::Value;

/// What a run has shown, as far as it is no matter of ports and times.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    opened: u64,
    resets: u64,
    while_running: BTreeMap<String, usize>,
    after_closing: BTreeMap<String, usize>,
    /// The moments of each exchange, in their order.
    moments: BTreeMap<u64, Vec<&'static str>>,
}

impl Shown {
    fn of(record: &RunRecord) -> Self {
        let states = |table: &evidence::SocketTable| {
            let mut states = BTreeMap::new();
            for socket in table.sockets.iter().filter(|socket| socket.ends().is_some()) {
                let side = socket.side.map_or("", Side::name);
                *states.entry(format!("{side} {}", socket.state.name())).or_default() += 1;
            }
            states
        };
        let tables = &record.outcome.tables;
        let mut moments: BTreeMap<u64, Vec<&'static str>> = BTreeMap::new();
        for event in &record.events {
            // Told by us of what Go's hook is silent about, or of no exchange.
            let is_gos = match &event.moment {
                Moment::PutIdleConn { refused } => {
                    refused.is_none_or(evidence::NotPooled::go_tells)
                }
                Moment::WroteHeaderField { .. } | Moment::WaitedForSlot { .. } => false,
                _ => true,
            };
            if let (Some(exchange), true) = (event.exchange, is_gos) {
                moments.entry(exchange.0).or_default().push(event.moment.name());
            }
        }
        let opened = record.counters["TcpActiveOpens"];
        Self {
            opened,
            // Data that still comes to a connection which was reset is answered with one reset more:
            // how often is a matter of timing alone.
            resets: record.counters["TcpOutRsts"].min(opened),
            while_running: states(tables.while_running.table.as_ref().unwrap()),
            after_closing: states(tables.after_closing.table.as_ref().unwrap()),
            moments,
        }
    }
}

/// What Go has shown, and what its rules as we re-create them have, by case.
type Cells = BTreeMap<String, [Shown; 2]>;

/// Runs `experiment` through both, with the evidence.
fn both(experiment: &str) -> Option<Cells> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("beside-go.toml");
    std::fs::write(&file, experiment).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["run", file.to_str().unwrap(), "--isolate", "always", "--jobs", "2"])
        .args(["--transport", "go", "--transport", "go1.27", "--transport", "real-go"])
        .args(["--format", "json", "--evidence"])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    if words.contains("SKIPPED") || words.contains("--isolate always") {
        eprintln!("SKIPPED: {words}");
        return None;
    }
    let value: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{words}"));
    let mut shown: BTreeMap<String, BTreeMap<String, Shown>> = BTreeMap::new();
    for run in value["experiments"][0]["runs"].as_array().unwrap() {
        let word = |key: &str| run[key].as_str().unwrap().to_owned();
        let record = serde_json::from_value(run["evidence"].clone())
            .unwrap_or_else(|error| panic!("{error}: {run:#}"));
        shown.entry(word("case")).or_default().insert(word("transport"), Shown::of(&record));
    }
    // `lab: real-go is Go 1.19.8`: which rules are held against it.
    let version = words.split_once("real-go is Go 1.").unwrap().1;
    let minor: u32 = version.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap();
    let rules = if minor >= 27 { "go1.27" } else { "go" };
    let pair = |mut shown: BTreeMap<String, Shown>| {
        ["real-go", rules].map(|transport| shown.remove(transport).unwrap())
    };
    Some(shown.into_iter().map(|(case, shown)| (case, pair(shown))).collect())
}

/// Holds ours against Go, for every case on which Go agrees with itself.
fn hold_against_go(experiment: &str) {
    let Some(first) = both(experiment) else { return };
    let second = both(experiment).unwrap();
    let (mut cells, mut steady, mut differing) = (0, 0, String::new());
    for (case, [go, ours]) in &first {
        let [again, ours_again] = &second[case];
        cells += 1;
        if go != again {
            continue;
        }
        steady += 1;
        if ![ours, ours_again].contains(&go) {
            let _ = write!(differing, "\n{case}\n  Go   {go:?}\n  ours {ours:?}");
        }
    }
    eprintln!("{cells} cells, {steady} in which Go agrees with itself");
    assert!(steady * 2 >= cells, "Go agrees with itself in too few cells to be a judge");
    assert!(differing.is_empty(), "{differing}");
}

/// An experiment of these cases, in which nothing is predicted: Go is the judge.
fn experiment(common: &str, cases: impl IntoIterator<Item = (String, String)>) -> String {
    let mut text =
        format!("question = \"As Go does it?\"\ntransports = [\"go\", \"go1.27\"]\n{common}\n");
    for (name, settings) in cases {
        let _ = write!(text, "\n[[case]]\nname = \"{name}\"\n{settings}\n");
    }
    text + "\n[[predict]]\nexpect.opened = \"1 ..\"\nbecause = \"Go says how many\"\n"
}

const SIZES: [&str; 8] = ["0", "11", "2KiB", "3970", "4000", "4KiB", "20KiB", "1MiB"];

#[test]
fn bodies_of_every_size_end_their_connections_as_in_go_whatever_the_reader_does() {
    let cases = ["drain", "drop", "hold"].into_iter().flat_map(|body| {
        SIZES.map(|size| {
            let settings = format!("client.body = \"{body}\"\nserver.bytes = \"{size}\"");
            (format!("{body} {size}"), settings)
        })
    });
    let common = "[workload]\nkind = \"sequential\"\nrequests = 5\ninterval = \"30ms\"";
    hold_against_go(&experiment(common, cases));
}

#[test]
fn a_server_that_tires_of_a_connection_leaves_the_same_states_behind_as_with_go() {
    let cases = ["drain", "drop", "hold"].into_iter().flat_map(|body| {
        ["11", "2KiB", "20KiB"].map(|size| {
            let settings = format!("client.body = \"{body}\"\nserver.bytes = \"{size}\"");
            (format!("{body} {size}"), settings)
        })
    });
    // The last pause, too, is longer than the server's patience: at the end nobody races it.
    let steps = "{ request = {} }, { wait = \"150ms\" }, ".repeat(5);
    let common = format!(
        "[server]\nidle_timeout = \"60ms\"\n[workload]\nkind = \"script\"\nsteps = [{steps}]"
    );
    hold_against_go(&experiment(&common, cases));
}

#[test]
fn caps_and_delays_cost_the_connections_that_they_cost_with_go() {
    let cases = [0, 1, 2, 3, 5].into_iter().flat_map(|cap| {
        ["0ms", "40ms"].map(|delay| {
            let settings = format!("client.per_host = {cap}\nserver.delay = \"{delay}\"");
            (format!("cap {cap} delay {delay}"), settings)
        })
    });
    let common = "[workload]\nkind = \"sequential\"\nrequests = 5\ninterval = \"60ms\"";
    hold_against_go(&experiment(common, cases));
}

#[test]
fn an_idle_connection_is_closed_by_the_timers_of_either_end_as_with_go() {
    let cases = [("client", "client.idle_timeout = \"60ms\""), ("neither", "")];
    let cases = cases.map(|(name, settings)| (name.to_owned(), settings.to_owned()));
    let common = "[workload]\nkind = \"sequential\"\nrequests = 4\ninterval = \"200ms\"";
    hold_against_go(&experiment(common, cases));
}
