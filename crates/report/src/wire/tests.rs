//! Packets on paper.

use evidence::PassageFate;

use super::samples::{WireSample, two_exchanges};
use super::*;
use crate::page::PageWriter;
use crate::run::tests::drained;

fn shown(record: WireRecord, view: PacketView, options: PacketOptions, width: usize) -> String {
    use std::io::Write;
    let outcome = Outcome { wire: Some(Ok(record)), ..drained() };
    let mut page = PageWriter::new(Vec::new(), width);
    packets(&outcome, view, options, &mut page).unwrap();
    let mut plain = anstream::StripStream::new(Vec::new());
    plain.write_all(&page.into_inner()).unwrap();
    let text = String::from_utf8(plain.into_inner()).unwrap();
    for line in text.lines() {
        assert!(line.chars().count() <= width, "{width}: {line}");
        assert_eq!(line, line.trim_end(), "ends in spaces");
    }
    text
}

fn list(record: WireRecord) -> String {
    shown(record, PacketView::List, PacketOptions::default(), 80)
}

#[test]
fn a_list_tells_a_packet_a_line_with_its_connection_and_exchange() {
    insta::assert_snapshot!(list(two_exchanges()));
}

#[test]
fn a_list_tells_what_the_cable_did() {
    let time = std::time::Duration::from_millis(300);
    let record = WireSample::on_cable(20)
        .client("S", 0, 0, 0)
        .met(PassageFate::Lost)
        .after(1_000_000)
        .handshake(40_000)
        .client("P.", 1, 1, 77)
        .says("GET /a-rather-long-path-that-has-no-room HTTP/1.1")
        .met(PassageFate::Held { time })
        .after(400_000)
        .server("P.", 1, 78, 128)
        .says("HTTP/1.1 200 OK")
        .met(PassageFate::Doubled { time })
        .server("F.", 129, 78, 0)
        .met(PassageFate::Reset)
        .record();
    insta::assert_snapshot!(list(record));
}

/// The line of the packets in a verdict, and what a program reads of them.
fn witness_of(wire: Result<WireRecord, Unreadable>) -> (String, serde_json::Value) {
    let outcome = Outcome { wire: Some(wire), ..drained() };
    let mut plain = anstream::StripStream::new(Vec::new());
    crate::run::RunReport::text(&mut plain).end(&outcome, &[]).unwrap();
    let text = String::from_utf8(plain.into_inner()).unwrap();
    let from = text.find("packets   ").unwrap();
    let line = text[from..].lines().next().unwrap().to_owned();
    let mut json = Vec::new();
    crate::json::run(&outcome, &[], &mut json).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    (line, json["packets"].clone())
}

#[test]
fn the_verdict_hears_the_packets_too() {
    let (line, json) = witness_of(Ok(two_exchanges()));
    assert_eq!(line, "packets         handshakes 1, in 13 packets");
    assert_eq!((&json["handshakes"], &json["place"]), (&1.into(), &"loopback".into()));
    assert_eq!((&json["client"]["syn"], &json["server"]["bytes"]), (&1.into(), &524.into()));
    assert_eq!((&json["missed"], &json["not_heard"]), (&0.into(), &serde_json::Value::Null));
}

#[test]
fn packets_that_nobody_heard_are_no_count_of_0() {
    let why = "this user may not listen";
    let (line, json) = witness_of(Err(Unreadable(why.into())));
    assert_eq!(line, format!("packets         none heard: {why}"));
    assert_eq!(
        (&json["handshakes"], &json["client"]),
        (&serde_json::Value::Null, &serde_json::Value::Null)
    );
    assert_eq!(json["not_heard"], why);
    let missed = WireRecord { missed: 1, untold: 20, ..two_exchanges() };
    let (line, json) = witness_of(Ok(missed));
    assert!(
        line.starts_with("packets         handshakes 1, in the first 13 of 13 packets; 1"),
        "{line}"
    );
    assert_eq!((&json["missed"], &json["not_kept"]), (&1.into(), &20.into()));
}
