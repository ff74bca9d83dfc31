//! `sequential --packets` and `--pcap`: in a build that hears packets, and in one that does not.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Runs the program with these flags; `None`, said aloud, where it can hear nothing. A build without
/// packets has to say what to type.
fn sequential(flags: &[&str]) -> Option<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sequential"));
    let output = command.args(flags).stdin(Stdio::null()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if told.contains("built without packets") {
        assert_eq!(output.status.code(), Some(2));
        let command = "type: cargo run -p sequential --features packets -- --packets";
        assert!(told.contains(command), "{told}");
        eprintln!("SKIPPED: this build hears no packets");
        return None;
    }
    if told.contains("no packets:") || told.contains("own network:") {
        eprintln!("SKIPPED: {told}");
        return None;
    }
    Some(output)
}

#[test]
fn two_requests_take_two_syns_where_bodies_are_held_and_one_where_they_are_drained() {
    for (body, syns) in [("hold", 2), ("drain", 1)] {
        let flags = ["--packets", "--format", "json", "--requests", "2", "--interval", "0"];
        let Some(output) = sequential(&[&flags[..], &["--body", body]].concat()) else { return };
        assert_eq!(output.status.code(), Some(0), "its witnesses agree");
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(value["packets"]["client"]["syn"], syns, "{:#}", value["packets"]);
        assert_eq!(value["packets"]["place"], "loopback");
    }
}

#[test]
fn a_list_shows_a_line_for_each_packet() {
    let flags = ["--packets=list", "--requests", "1"];
    let Some(output) = sequential(&flags) else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("[S.]") && text.contains("1 GET / HTTP/1.1"), "{text}");
    assert!(text.contains("handshakes 1"), "{text}");
    // The port that is the default, whoever has it in the machine's network.
    assert!(text.contains("http://127.0.0.1:8080/"), "{text}");
}

#[test]
fn of_one_connection_that_is_asked_for_nothing_else_is_shown_and_one_that_there_is_not_is_an_error()
{
    let flags = ["--packets", "--requests", "2", "--interval", "0", "--body", "hold"];
    let of = |number: &str| sequential(&[&flags[..], &["--packets-of", number]].concat());
    let Some(output) = of("2") else { return };
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows =
        |id: &str| text.lines().filter(|line| line.contains(id) && line.contains(" S ")).count();
    assert_eq!((rows("#1 "), text.matches("[S] ").count()), (0, 1), "{text}");
    assert!(rows("#2 ") > 3, "{text}");

    let output = of("#3").unwrap();
    assert_eq!(output.status.code(), Some(2));
    let why = "there is no connection #3: of the 2 that were opened the last is #2";
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains(&format!("  {why}\n")) && text.contains("they agree"), "{text}");
    assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("sequential: {why}\n"));

    for (number, because) in [("0", "count from 1"), ("x", "count from 1")] {
        let refused = of(number).unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let told = String::from_utf8(refused.stderr).unwrap();
        assert!(told.contains(because), "{told}");
    }
}

/// Whether tshark reads `file`, and how many SYNs it finds in it.
fn syns(file: &Path) -> Option<usize> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(file).args(["-Y", "tcp.flags.syn == 1 && tcp.flags.ack == 0"]);
    match tshark.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8(output.stdout).unwrap().lines().count())
        }
        Err(error) => {
            eprintln!("SKIPPED: tshark: {error}");
            None
        }
    }
}

#[test]
fn a_file_has_all_packets_is_not_overwritten_unasked_and_is_whole_or_absent() {
    let directory = std::env::temp_dir().join(format!("sequential-pcap-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("run.pcapng");
    let shown = file.to_str().unwrap();
    let flags = ["--pcap", shown, "--requests", "3", "--interval", "0", "--body", "hold"];
    if let Some(output) = sequential(&flags) {
        assert_eq!(output.status.code(), Some(0));
        assert!(syns(&file).is_none_or(|syns| syns == 3));
        let refused = sequential(&flags).unwrap();
        assert_eq!(refused.status.code(), Some(2));
        let again = sequential(&[&flags[..], &["--force"]].concat()).unwrap();
        assert_eq!(again.status.code(), Some(0));
        // A run that comes to nothing.
        let none = directory.join("none.pcapng");
        let target = ["--target", "http://127.0.0.1:1/", "--pcap", none.to_str().unwrap()];
        if let Some(output) = sequential(&target) {
            assert_eq!(output.status.code(), Some(2));
        }
        let names = std::fs::read_dir(&directory).unwrap().count();
        assert_eq!(names, 1, "there is one file, and it is whole");
    }
    std::fs::remove_dir_all(&directory).unwrap();
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_capture_and_leaves_a_whole_file_or_none() {
    use std::io::Read;

    let directory = std::env::temp_dir().join(format!("sequential-int-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("run.pcapng");
    let mut child = Command::new(env!("CARGO_BIN_EXE_sequential"))
        .args(["--requests", "1000", "--interval", "50ms", "--pcap", file.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It listens to signals once it tells of exchanges.
    let (mut told, mut some) = (String::new(), [0; 256]);
    while !told.contains("#1") {
        match child.stdout.as_mut().unwrap().read(&mut some).unwrap() {
            0 => break,
            length => told.push_str(&String::from_utf8_lossy(&some[..length])),
        }
    }
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "it has no name yet");
    let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if ["without packets", "no packets:", "own network:"].iter().any(|it| told.contains(it)) {
        eprintln!("SKIPPED: {told}");
    } else {
        assert_eq!(output.status.code(), Some(130), "{told}");
        assert!(syns(&file).is_none_or(|syns| syns == 1));
    }
    std::fs::remove_dir_all(&directory).unwrap();
}
