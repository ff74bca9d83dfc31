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
