//! The layouts are those that Linux 6.18 told (x86-64), up to the line for `printf`.
#![cfg(target_pointer_width = "64")]

use proptest::prelude::*;

use super::*;

fn layout() -> TransferLayout {
    let format = |path: &str| {
        let text = match path {
            SEND => include_str!("send.txt"),
            RECEIVE => include_str!("receive.txt"),
            _ => include_str!("../record/format.txt"),
        };
        Ok::<_, ()>(text.to_owned())
    };
    TransferLayout::read(format).unwrap().unwrap()
}

/// A record of the event `id`.
fn record(id: u16, protocol: u16, ret: i32, flags: i32) -> Vec<u8> {
    let mut record = vec![0; 28];
    record[..2].copy_from_slice(&id.to_ne_bytes());
    record[8..16].copy_from_slice(&7_u64.to_ne_bytes());
    record[18..20].copy_from_slice(&protocol.to_ne_bytes());
    record[20..24].copy_from_slice(&ret.to_ne_bytes());
    record[24..28].copy_from_slice(&flags.to_ne_bytes());
    record
}

fn read(record: &[u8]) -> Option<(TransferWay, u64)> {
    let transfer = layout().transfer(Duration::from_nanos(3), record)?;
    assert_eq!((transfer.at, transfer.kernel_address), (Duration::from_nanos(3), 7));
    Some((transfer.way, transfer.bytes))
}

#[test]
fn what_a_call_moved_is_told_with_its_way() {
    assert_eq!(read(&record(2284, TCP, 83, 0)), Some((TransferWay::Written, 83)));
    assert_eq!(read(&record(2283, TCP, 11, 0x40)), Some((TransferWay::Read, 11)));
}

#[test]
fn a_beginning_is_told_without_bytes() {
    let mut record = record(2287, TCP, 0, 0);
    record.resize(72, 0);
    assert_eq!(read(&record), Some((TransferWay::Begun, 0)));
}

#[test]
fn a_look_an_error_the_end_and_another_protocol_move_nothing() {
    let peeked = record(2283, TCP, 11, 0x2);
    let of_the_error_queue = record(2283, TCP, 11, 0x2000);
    let (failed, ended) = (record(2283, TCP, -11, 0), record(2283, TCP, 0, 0));
    let (udp, other) = (record(2284, 17, 11, 0), record(1, TCP, 11, 0));
    for record in [peeked, of_the_error_queue, failed, ended, udp, other] {
        assert_eq!(read(&record), None, "{record:?}");
    }
}

proptest! {
    #[test]
    fn no_record_upsets_the_reader(
        mut record in prop::collection::vec(any::<u8>(), 0..40),
        id in prop::sample::select(vec![2283_u16, 2284, 2287, 1]),
    ) {
        if let Some(first) = record.first_chunk_mut() {
            *first = id.to_ne_bytes();
        }
        layout().transfer(Duration::ZERO, &record);
    }
}
