//! Packets on paper.

use evidence::{PassageFate, Side};
use proptest::prelude::*;

use super::samples::{WireSample, exchange_with_tls, hellos, two_exchanges};
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
fn where_packets_are_left_out_no_column_stands_for_what_nobody_saw() {
    let many = (0..100).fold(WireSample::on_loopback().handshake(0), |sample, _| {
        sample.client("P.", 1, 1, 40).server(".", 1, 41, 0)
    });
    let record = many.record();
    let count = record.passages.len();
    let text = list(record);
    assert!(text.contains(&format!("the last 40 of {count} are shown")), "{text}");
    assert!(text.contains("LEN") && !text.contains("CABLE"), "{text}");
}

fn ladder(record: WireRecord) -> String {
    shown(record, PacketView::Ladder, PacketOptions::default(), 80)
}

/// A request under way to a server that closes meanwhile, on a cable.
fn stale() -> WireRecord {
    let open = WireSample::on_cable(20)
        .client("S", 0, 0, 0)
        .after(20_100)
        .server("S.", 0, 1, 0)
        .after(20_100)
        .client(".", 1, 1, 0)
        .after(300_000);
    let crossed = open
        .client("P.", 1, 1, 77)
        .says("GET / HTTP/1.1")
        .server("F.", 1, 1, 0)
        .after(20_000)
        .server("R", 2, 0, 0)
        .after(100);
    crossed.client(".", 78, 2, 0).after(20_000).server("R", 2, 0, 0).record()
}

#[test]
fn a_ladder_has_both_ends_states_and_says_that_nothing_happened_for_a_while() {
    insta::assert_snapshot!(ladder(two_exchanges()));
}

#[test]
fn a_ladder_over_a_distance_shows_packets_leave_and_arrive() {
    insta::assert_snapshot!(ladder(stale()));
}

fn states(record: WireRecord, width: usize) -> String {
    shown(record, PacketView::States, PacketOptions::default(), width)
}

#[test]
fn the_diagram_has_the_way_of_both_ends() {
    insta::assert_snapshot!(states(two_exchanges(), 80));
}

#[test]
fn a_reset_is_an_edge_that_figure_5_does_not_have() {
    insta::assert_snapshot!(states(stale(), 80));
}

#[test]
fn a_page_that_is_too_narrow_for_the_diagram_has_its_changes_all_the_same() {
    insta::assert_snapshot!(states(two_exchanges(), 60));
}

#[test]
fn the_bytes_of_each_packet_are_headers_and_data() {
    let record = two_exchanges();
    insta::assert_snapshot!(shown(record, PacketView::Bytes, PacketOptions::default(), 80));
}

#[test]
fn a_list_tells_which_records_of_tls_begin_in_a_packet() {
    insta::assert_snapshot!(list(exchange_with_tls()));
}

#[test]
fn a_ladder_tells_which_records_of_tls_begin_in_a_packet() {
    insta::assert_snapshot!(ladder(exchange_with_tls()));
}

#[test]
fn the_bytes_of_tls_are_handshake_records_and_data() {
    let record = exchange_with_tls();
    insta::assert_snapshot!(shown(record, PacketView::Bytes, PacketOptions::default(), 80));
}

#[test]
fn what_is_encrypted_and_not_known_has_a_sign_and_a_column_of_its_own() {
    let sample = WireSample::on_loopback().handshake(0).client("P.", 1, 1, 251);
    let record = sample.tls(&hellos()[..1], [100, 10, 20]).record();
    let text = shown(record, PacketView::Bytes, PacketOptions::default(), 80);
    let row = text.lines().find(|line| line.contains("[P.]")).unwrap();
    assert!(row.contains(" 110  121    20  "), "{text}");
    assert!(row.contains('?') && text.contains("? encrypted, of which nobody"), "{text}");
}

#[test]
fn a_ladder_shows_what_the_cable_did() {
    insta::assert_snapshot!(ladder(maltreated()));
}

#[test]
fn a_list_tells_what_the_cable_did() {
    insta::assert_snapshot!(list(maltreated()));
}

/// Packets that meet every fate.
fn maltreated() -> WireRecord {
    let time = std::time::Duration::from_millis(300);
    WireSample::on_cable(20)
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
        .record()
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

/// Any packet, its numbers counted from the SYNs.
fn any_packet() -> impl Strategy<Value = (bool, u16, u16, u32, u32, u32, u8, u64)> {
    let numbers = (prop_oneof![0_u32..300, any::<u32>()], prop_oneof![0_u32..300, any::<u32>()]);
    let size = prop_oneof![Just(0_u32), 0_u32..70_000];
    let flags = prop_oneof![prop::sample::select(vec![2_u16, 18, 16, 24, 17, 4, 20]), any::<u16>()];
    let pause = prop_oneof![0_u64..50_000, 0_u64..100_000_000_000];
    (any::<bool>(), 0_u16..3, flags, numbers, size, 0_u8..9, pause).prop_map(
        |(c, port, flags, (seq, ack), size, fate, pause)| {
            (c, port, flags, seq, ack, size, fate, pause)
        },
    )
}

fn any_record() -> impl Strategy<Value = WireRecord> {
    let packets = prop::collection::vec(any_packet(), 0..60);
    (prop::option::of(0_u64..200), packets, 0_u64..3, 0_u64..3).prop_map(
        |(delay, packets, missed, untold)| {
            let mut sample = match delay {
                None if missed > 0 => WireSample::on_device(),
                None => WireSample::on_loopback(),
                Some(ms) => WireSample::on_cable(ms),
            };
            let time = std::time::Duration::from_millis(77);
            for (client, port, flags, seq, ack, size, fate, pause) in packets {
                let from = if client { Side::Client } else { Side::Server };
                let letters = evidence::SegmentFlags::from_bits(flags).to_string();
                sample = sample.port(40_001 + port).packet(from, &letters, seq, ack, size);
                sample = sample.met(match fate {
                    0 => PassageFate::Lost,
                    1 => PassageFate::LostByChance,
                    2 => PassageFate::Cut,
                    3 => PassageFate::Held { time },
                    4 => PassageFate::Doubled { time },
                    5 => PassageFate::Reset,
                    _ => PassageFate::Passed,
                });
                if size > 0 && pause % 3 == 0 {
                    sample =
                        sample.says("GET /a/path/that/goes/on/and/on/without/a/space HTTP/1.1");
                }
                sample = sample.after(pause);
            }
            WireRecord { missed, untold, ..sample.record() }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn whatever_was_heard_fits_on_the_page(
        record in any_record(),
        width in 60_usize..=160,
        absolute in any::<bool>(),
    ) {
        for view in [PacketView::List, PacketView::Ladder, PacketView::States, PacketView::Bytes] {
            shown(record.clone(), view, PacketOptions { absolute, ..Default::default() }, width);
        }
    }
}

#[test]
fn a_body_that_nobody_reads_belongs_to_its_exchange_until_the_next() {
    let mut outcome = Outcome { wire: Some(Ok(two_exchanges())), ..drained() };
    for exchange in &mut outcome.exchanges {
        exchange.body = Ok(evidence::BodySeen::Dropped { left: None });
        exchange.took = std::time::Duration::from_micros(410);
    }
    let Some(Ok(record)) = &outcome.wire else { unreachable!() };
    let talks = talks::talks(&outcome, record);
    let of = |number: usize| talks[0].exchange(&record.passages[number - 1]).map(|it| it.0);
    assert_eq!([4, 6, 8, 9].map(of), [Some(1), Some(1), Some(2), Some(2)]);
    assert_eq!([1, 7, 13].map(of), [None; 3], "a packet without data is nobody's");
}

#[test]
fn ends_that_were_used_again_are_numbered_in_their_order_or_not_at_all() {
    let life = |sample: WireSample| sample.handshake(0).client("F.", 1, 1, 0).server("F.", 1, 2, 0);
    let record = life(life(WireSample::on_loopback()).again()).record();
    let mut outcome = drained();
    let names = |outcome: &Outcome| {
        talks::talks(outcome, &record).iter().map(talks::WireTalk::name).collect::<Vec<_>>()
    };
    assert_eq!(names(&outcome), ["—", "—"], "one of two: nobody knows which");
    let mut second = outcome.connections[0].clone();
    second.id = ConnectionId(2);
    outcome.connections.push(second);
    assert_eq!(names(&outcome), ["#1", "#2"]);
}

#[test]
fn numbers_are_counted_anew_from_a_syn_of_another_number() {
    let late = WireSample::on_loopback().handshake(0).server("S.", 90_000, 1, 0);
    let record = late.client("R", 1, 0, 0).record();
    let list = list(record.clone());
    let row = list.lines().find(|line| line.contains("0.000120")).unwrap();
    assert!(row.contains("[S.]   0 "), "{row}");
    let absolute = PacketOptions { absolute: true, ..PacketOptions::default() };
    let list = shown(record, PacketView::List, absolute, 80);
    assert!(list.contains("7090000"), "{list}");
}

#[test]
fn of_one_connection_that_is_asked_for_nothing_else_is_shown() {
    let other = two_exchanges().passages;
    let sample = WireSample::on_loopback().port(40_002).handshake(0).client("F.", 1, 1, 0);
    let mut record = sample.record();
    record.passages.extend(other);
    for (number, passage) in (1..).zip(&mut record.passages) {
        passage.number = number;
    }
    for view in [PacketView::List, PacketView::Ladder, PacketView::States, PacketView::Bytes] {
        let of = |id| {
            let connection = Some(ConnectionId(id));
            shown(record.clone(), view, PacketOptions { absolute: false, connection }, 80)
        };
        let all = shown(record.clone(), view, PacketOptions::default(), 80);
        assert!(all.contains('—') && all.contains("#1"), "both are there: {all}");
        let one = of(1);
        assert!(one.contains("#1") && !one.contains("—  ") && !one.contains("of —"), "{one}");
        let none = of(2);
        let told = "  there is no connection #2: the only one that was opened is #1\n";
        assert!(none.contains(told), "{none}");
    }
}
