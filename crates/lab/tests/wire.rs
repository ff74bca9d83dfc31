//! Packets of runs on one host, as a witness beside the others.

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

/// The runs of an experiment, with all of their evidence; `None` where no private network is to be had.
fn runs(source: &str, flags: &[&str]) -> Option<Vec<Value>> {
    let directory = tempfile::tempdir().unwrap();
    let file = own(&directory, source);
    let output = lab(&[&["run", "--format", "json", "--evidence", &file], flags].concat());
    let words = || String::from_utf8_lossy(&output.stderr).into_owned();
    let value: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", words()));
    if value["network"] != "private" {
        eprintln!("SKIPPED: {}", value["network_shared_because"]);
        return None;
    }
    Some(value["experiments"][0]["runs"].as_array().unwrap().clone())
}

/// The article's: two requests, and what becomes of their bodies.
const TWO_REQUESTS: &str = "question = 'How many SYNs do two requests take?'\ntransports = ['go']\n\
    [workload]\nrequests = 2\n\
    [[case]]\nname = 'held'\nclient.body = 'hold'\n[[case]]\nname = 'drained'\n";

#[test]
fn two_requests_take_two_syns_where_bodies_are_held_and_one_where_they_are_drained() {
    let predicted = "[[predict]]\ncases = ['held']\nexpect.'wire.client.syn' = 2\n\
        expect.'wire.server.syn' = 2\nexpect.opened = 2\nexpect.'wire.rst' = 0\n\
        because = 'a body that is not read keeps its connection'\n\
        [[predict]]\ncases = ['drained']\nexpect.'wire.client.syn' = 1\n\
        expect.'wire.server.syn' = 1\nexpect.opened = 1\nexpect.'wire.fin' = 2\n\
        because = 'a body that is read gives its connection back'\n";
    let Some(runs) = runs(&format!("{TWO_REQUESTS}{predicted}"), &[]) else { return };
    for run in &runs {
        assert_eq!(run["verdict"], "held", "{run:#}");
        let outcome = &run["evidence"]["outcome"];
        let wire = &outcome["wire"]["Ok"];
        assert_eq!(wire["place"], "loopback");
        assert_eq!(wire["client"]["syn"], outcome["accepted"], "and the server says so, too");
    }
}

#[test]
fn without_a_private_network_packets_alone_are_not_observed_and_the_rest_is_judged() {
    let run = |expect: &str| {
        let source = format!(
            "question = 'x'\ntransports = ['go']\n[workload]\nrequests = 2\n\
             [[predict]]\n{expect}\nbecause = 'y'\n"
        );
        let directory = tempfile::tempdir().unwrap();
        let file = own(&directory, &source);
        let output = lab(&["run", "--format", "json", "--isolate", "never", &file]);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code(), value["experiments"][0]["runs"][0].clone())
    };
    let (code, both) = run("expect.opened = 1\nexpect.'wire.client.syn' = 1");
    assert_eq!((code, &both["verdict"]), (Some(0), &Value::from("held")), "{both:#}");
    let by_packets = &both["predictions"][1];
    // Who may listen in the machine's own network hears them there.
    let expected = if by_packets["observed"].is_null() { Value::Null } else { Value::from(true) };
    assert_eq!(by_packets["held"], expected, "{both:#}");
    let (code, wrong) = run("expect.opened = 2\nexpect.'wire.client.syn' = 1");
    assert_eq!((code, &wrong["verdict"]), (Some(1), &Value::from("not-held")), "{wrong:#}");
    let (code, alone) = run("expect.'wire.client.syn' = 1");
    assert_eq!((code, &alone["verdict"]), (Some(0), &Value::from("skipped")), "{alone:#}");
}

#[test]
fn a_fin_takes_a_number_of_its_own_and_who_acknowledges_it_says_one_more() {
    let source = "question = 'Which numbers?'\ntransports = ['go']\n\
        [client]\nper_host = 0\n[workload]\nrequests = 1\n\
        [[predict]]\nexpect.'packet.client.fin.seq - wire.client.payload' = 1\n\
        expect.'packet.server.fin.ack - wire.client.payload' = 2\n\
        expect.'packet.server.fin.seq - wire.server.payload' = 1\n\
        expect.'packet.client.last.ack - wire.server.payload' = 2\n\
        expect.'packet.client.syn.seq' = 0\nexpect.'wire.client.ack' = 3\n\
        expect.'wire.client.fin_wait_1' = 1\nexpect.'wire.server.last_ack' = 1\n\
        because = 'the client closes first'\n";
    let Some(runs) = runs(source, &[]) else { return };
    assert_eq!(runs[0]["verdict"], "held", "{:#}", runs[0]["predictions"]);
}

#[test]
fn what_is_heard_is_cut_as_on_a_wire() {
    let source = "question = 'How long is a packet?'\ntransports = ['go']\n\
        [server]\nbytes = '1MiB'\n[workload]\nrequests = 1\n\
        [[predict]]\nexpect.opened = 1\nbecause = 'one request'\n";
    let Some(runs) = runs(source, &["--packets"]) else { return };
    let wire = &runs[0]["evidence"]["outcome"]["wire"]["Ok"];
    let longest = wire["passages"].as_array().unwrap().iter().map(|passage| {
        let bytes = |what: &str| passage["segment"][what].as_u64().unwrap();
        bytes("payload_bytes") + bytes("tcp_header_bytes") + bytes("ip_header_bytes")
    });
    assert_eq!(longest.max(), Some(1500));
    let alone = self::runs(source, &[]).unwrap();
    assert_eq!(alone[0]["evidence"]["outcome"]["wire"], Value::Null, "nobody listens unasked");
}

#[test]
fn of_one_connection_that_is_asked_for_nothing_else_is_shown_and_one_that_no_run_had_is_an_error() {
    let predicted = "[[predict]]\nexpect.opened = '1 .. 2'\nbecause = 'two requests'\n";
    let directory = tempfile::tempdir().unwrap();
    let file = own(&directory, &format!("{TWO_REQUESTS}{predicted}"));
    let of = |number| lab(&["run", "--packets", "--packets-of", number, &file]);
    let output = of("2");
    let text = String::from_utf8(output.stdout).unwrap();
    if !text.contains("[S.]") {
        eprintln!("SKIPPED: {}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    assert_eq!(output.status.code(), Some(0), "one of both runs has it");
    assert_eq!((text.matches("[S] ").count(), text.matches("#1    C").count()), (1, 0), "{text}");
    assert!(
        text.contains("there is no connection #2: the only one that was opened is #1"),
        "{text}"
    );
    let none = of("3");
    assert_eq!(none.status.code(), Some(2));
    let told = String::from_utf8(none.stderr).unwrap();
    assert!(told.contains("lab: none of 2 runs has a connection #3\n"), "{told}");
    let traced = lab(&["trace", "--packets", "--packets-of", "7"]);
    assert_eq!(traced.status.code(), Some(2));
    let told = String::from_utf8(traced.stderr).unwrap();
    assert!(
        told.ends_with("there is no connection #7: the only one that was opened is #1\n"),
        "{told}"
    );
}

#[test]
fn tshark_counts_the_syns_that_the_other_witnesses_count_and_finds_no_wrong_checksum() {
    let predicted = "[[predict]]\nexpect.opened = '1 .. 2'\nbecause = 'two requests'\n";
    let hosts = "[network]\nhosts = 2\ndelay = '5ms'\n";
    for network in ["", hosts] {
        let directory = tempfile::tempdir().unwrap();
        let file = own(&directory, &format!("{TWO_REQUESTS}{network}{predicted}"));
        let capture = directory.path().join("runs.pcapng");
        let capture = capture.to_str().unwrap();
        let output = lab(&["run", "--format", "json", "--pcap", capture, &file]);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        let runs = value["experiments"][0]["runs"].as_array().unwrap();
        if value["network"] != "private" || runs.iter().any(|run| run["verdict"] == "skipped") {
            eprintln!("SKIPPED: {}", String::from_utf8_lossy(&output.stderr));
            continue;
        }
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2);
        let Some(syns) = tshark(capture, &["-Y", "tcp.flags.syn == 1 && tcp.flags.ack == 0"])
        else {
            return;
        };
        let opened = runs.iter().map(|run| run["observed"]["opened"].as_f64().unwrap());
        assert_eq!((syns.lines().count(), opened.sum::<f64>()), (3, 3.0));
        let wrong = "tcp.checksum.status != 1 || ip.checksum.status == 0 || _ws.malformed";
        let checked = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];
        let wrong = tshark(capture, &[&checked[..], &["-Y", wrong]].concat()).unwrap();
        assert_eq!(wrong, "");
        let told = tshark(capture, &["-T", "fields", "-e", "frame.comment"]).unwrap();
        let count = |what: &str| told.matches(what).count();
        assert_eq!((count("exchange 1 begins on #1"), count("exchange 2 begins on #2")), (2, 1));
        assert_eq!(count("is closed by the client"), 3);
    }
}

#[test]
fn a_file_is_not_overwritten_unasked_and_not_left_half_where_the_run_cannot_be() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("there.pcapng");
    std::fs::write(&capture, "another's").unwrap();
    let shown = capture.to_str().unwrap();
    let refused = lab(&["run", "1", "--pcap", shown]);
    assert_eq!(refused.status.code(), Some(2));
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("is not overwritten (--force replaces it)"), "{told}");
    assert_eq!(std::fs::read_to_string(&capture).unwrap(), "another's");
    let nowhere = lab(&["run", "1", "--pcap", "/no/such/directory/a.pcapng"]);
    assert_eq!(nowhere.status.code(), Some(2));
}

#[test]
fn a_trace_of_two_requests_is_one_syn_and_its_file_says_where_each_begins() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("trace.pcapng");
    let capture = capture.to_str().unwrap();
    let output = lab(&["trace", "--packets", "--pcap", capture]);
    let words = String::from_utf8(output.stderr).unwrap();
    if words.contains("own network:") || words.contains("nothing was heard") {
        eprintln!("SKIPPED: {words}");
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{words}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!((text.matches("[S] ").count(), text.matches("GET / HTTP/1.1\n").count()), (1, 2));
    let Some(syns) = tshark(capture, &["-Y", "tcp.flags.syn == 1 && tcp.flags.ack == 0"]) else {
        return;
    };
    assert_eq!(syns.lines().count(), 1);
    let told = tshark(capture, &["-T", "fields", "-e", "frame.comment"]).unwrap();
    for what in ["#1 begins", "exchange 1 begins on #1", "exchange 2 begins on #1"] {
        assert!(told.contains(what), "{told}");
    }
}
