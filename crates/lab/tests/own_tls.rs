//! The lab's own servers with TLS: the witnesses agree as they do without it.

#[path = "program/files.rs"]
mod files;
#[path = "program/tshark.rs"]
mod tshark;

use std::process::{Command, Output, Stdio};

use files::own;
use serde_json::Value;
use tshark::tshark;

fn lab(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// An experiment with servers of this version, on this network.
fn source(version: &str, network: &str) -> String {
    format!(
        "question = 'How many?'\ntransports = ['go', 'hyper-util']\n[server]\ntls = '{version}'\n[workload]\nrequests = 3\n{network}\
         [[case]]\nname = 'drained'\n[[case]]\nname = 'held'\nclient.body = 'hold'\n\
         [[case]]\nname = 'none idle'\nclient.per_host = 0\nserver.tls_sessions = true\n\
         [[case]]\nname = 'server closes'\nserver.close = true\n\
         [[case]]\nname = 'http2'\nclient.version = 'http2'\n\
         [[case]]\nname = 'server idle'\nserver.idle_timeout = '50ms'\n\
         workload.interval = '200ms'\n\
         [[predict]]\ncases = ['drained', 'http2']\nexpect.opened = 1\n\
         expect.'wire.tls.hello' = 1\nbecause = 'one connection for all'\n\
         [[predict]]\ncases = ['none idle', 'server closes', 'server idle']\nexpect.opened = 3\n\
         expect.'wire.tls.hello' = 3\nbecause = 'none stays'\n\
         [[predict]]\ncases = ['held']\nexpect.opened = '1 .. 3'\nbecause = 'as without TLS'\n"
    )
}

#[test]
fn the_witnesses_agree_on_connections_with_tls() {
    let hosts = "[network]\nhosts = 2\ndelay = '5ms'\n";
    for (version, network) in [("1.2", ""), ("1.3", hosts)] {
        let directory = tempfile::tempdir().unwrap();
        let file = own(&directory, &source(version, network));
        let output = lab(&["run", "--format", "json", "--evidence", &file]);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        let runs = value["experiments"][0]["runs"].as_array().unwrap();
        if value["network"] != "private" || runs.iter().any(|run| run["verdict"] == "skipped") {
            eprintln!("SKIPPED: {}", String::from_utf8_lossy(&output.stderr));
            continue;
        }
        assert_eq!(runs.len(), 12);
        for run in runs {
            assert_eq!(run["verdict"], "held", "{run:#}");
            let outcome = &run["evidence"]["outcome"];
            assert_eq!(outcome["disagreements"].as_array().map(Vec::len), Some(0), "{run:#}");
            let url = outcome["setup"]["server"]["url"].as_str().unwrap();
            assert!(url.starts_with("https://"), "{url}");
        }
    }
}

#[test]
fn what_makes_no_sense_with_tls_is_refused_with_the_key() {
    let cases = [
        ("[server]\ntls_sessions = true\n[workload]\nrequests = 1\n", "server.tls_sessions"),
        (
            "[server]\ntls = '1.3'\n[workload]\nkind = 'script'\n\
             steps = [{ raw = { send = 'GET', wait = 'close' } }]\n",
            "server.tls",
        ),
        ("[server]\ntls = '1.1'\n[workload]\nrequests = 1\n", "1.1"),
    ];
    for (settings, key) in cases {
        let directory = tempfile::tempdir().unwrap();
        let predicted = "[[predict]]\nexpect.opened = 1\nbecause = 'it is not run'\n";
        let file = own(&directory, &format!("question = 'How?'\n{settings}{predicted}"));
        let output = lab(&["run", &file]);
        let words = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), words.contains(key)), (Some(2), true), "{words}");
    }
}

#[test]
fn a_trace_of_the_labs_own_server_with_tls_opens_decrypted() {
    for version in ["--tls=1.2", "--tls"] {
        let directory = tempfile::tempdir().unwrap();
        let capture = directory.path().join("trace.pcapng").display().to_string();
        let output = lab(&["trace", version, "--http1", "--body", "drop", "--pcap", &capture]);
        let words = String::from_utf8(output.stderr).unwrap();
        if words.contains("own network:") || words.contains("nothing was heard") {
            eprintln!("SKIPPED: {words}");
            return;
        }
        assert_eq!(output.status.code(), Some(0), "{words}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.matches("resumed,").count(), 1, "the second goes on: {text}");
        let Some(requests) = tshark(&capture, &["-Y", "http.request"]) else { return };
        assert_eq!(requests.lines().count(), 2, "{version}");
    }
}

#[test]
fn a_file_of_runs_with_tls_opens_decrypted_too() {
    let directory = tempfile::tempdir().unwrap();
    let predicted = "[[predict]]\nexpect.opened = 1\nbecause = 'one request'\n";
    let settings = "[server]\ntls = '1.3'\n[workload]\nrequests = 1\n";
    let file = own(&directory, &format!("question = 'How?'\n{settings}{predicted}"));
    let capture = directory.path().join("runs.pcapng").display().to_string();
    let output = lab(&["run", "--format", "json", "--pcap", &capture, &file]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    if value["network"] != "private" {
        eprintln!("SKIPPED: {}", value["network_shared_because"]);
        return;
    }
    assert_eq!(output.status.code(), Some(0));
    let Some(requests) = tshark(&capture, &["-Y", "http.request"]) else { return };
    assert_eq!(requests.lines().count(), 3, "one for each transport");
}

/// The bytes that both ends of a run have sent, without those that were sent again: of TLS what its
/// records carry, and all of it.
fn carried(settings: &str) -> Option<(u64, u64)> {
    let directory = tempfile::tempdir().unwrap();
    let predicted = "[[predict]]\nexpect.opened = 1\nbecause = 'one after the other'\n";
    let source = format!(
        "question = 'How much?'\ntransports = ['go']\n[server]\nbytes = '20KiB'\n{settings}\
         [workload]\nrequests = 3\n{predicted}"
    );
    let file = own(&directory, &source);
    let output = lab(&["run", "--format", "json", "--evidence", "--packets", &file]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    if value["network"] != "private" {
        eprintln!("SKIPPED: {}", value["network_shared_because"]);
        return None;
    }
    let wire = &value["experiments"][0]["runs"][0]["evidence"]["outcome"]["wire"]["Ok"];
    if wire["client"]["again"] != 0 || wire["server"]["again"] != 0 {
        eprintln!("SKIPPED: something was sent again, perhaps in other pieces");
        return None;
    }
    let mut seen = std::collections::HashSet::new();
    let has_data = |it: &&Value| it["segment"]["payload_bytes"] != 0;
    let passages = wire["passages"].as_array().unwrap().iter().filter(has_data);
    let fresh =
        passages.filter(|it| seen.insert((it["from"].clone(), it["segment"]["seq"].clone())));
    Some(fresh.fold((0, 0), |(data, all), passage| {
        let payload = passage["segment"]["payload_bytes"].as_u64().unwrap();
        let bytes = &passage["tls"]["bytes"];
        let of = |what: &str| bytes[what].as_u64().unwrap_or(0);
        assert_eq!(of("unknown"), 0, "{passage:#}");
        let carried = if bytes.is_null() { payload } else { of("data") };
        (data + carried, all + payload)
    }))
}

#[test]
fn what_records_carry_is_what_is_sent_without_tls() {
    let Some((plain, _)) = carried("") else { return };
    let Some((tls12, all)) = carried("tls = '1.2'\n") else { return };
    assert_eq!(tls12, plain);
    assert!(all > plain);
    // There the goodbyes, of two bytes each, look like data: that of the client, and of the server, if
    // somebody is left to hear it.
    let Some((tls13, _)) = carried("tls = '1.3'\n") else { return };
    assert!([2, 4].contains(&(tls13 - plain)), "{tls13} {plain}");
}
