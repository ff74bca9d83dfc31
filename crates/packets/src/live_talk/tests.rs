use std::time::Duration;

use Side::{Client, Server};
use WireClose::{Both, First, Reset};
use proptest::prelude::*;

use super::*;

/// Flags, first number, acknowledged number, bytes.
type Packet = (Side, &'static str, u32, u32, u32);

const START: u32 = u32::MAX - 7;
const OPEN: [Packet; 3] = [(Client, "S", 0, 0, 0), (Server, "S.", 0, 1, 0), (Client, ".", 1, 1, 0)];

fn segment((from, flags, seq, ack, payload_bytes): Packet) -> Segment {
    let ends = ["127.0.0.1:40000", "127.0.0.1:8080"].map(|end| end.parse().unwrap());
    let [source, destination] = if from == Client { ends } else { [ends[1], ends[0]] };
    Segment {
        at: Duration::ZERO,
        source,
        destination,
        seq: START.wrapping_add(seq),
        ack: START.wrapping_add(ack),
        flags: flags.to_owned().try_into().unwrap(),
        window: 0,
        urgent: 0,
        options: Vec::new(),
        payload_bytes,
        tcp_header_bytes: 20,
        ip_header_bytes: 20,
    }
}

fn talk(rest: &[Packet]) -> LiveTalk {
    let mut talk = LiveTalk::default();
    for packet in OPEN.iter().chain(rest) {
        talk.hear(packet.0, &segment(*packet), 1);
    }
    talk
}

#[test]
fn who_ended_it_first_is_told_by_the_fin_that_the_other_had_acknowledged() {
    let end = |rest: &[Packet]| (talk(rest).close(), talk(rest).is_over());
    assert_eq!(end(&[]), (None, false));
    assert_eq!(end(&[(Client, "F.", 1, 1, 0)]), (Some(First(Client)), false));
    let answered = [(Client, "F.", 1, 1, 0), (Server, "F.", 1, 2, 0), (Client, ".", 2, 2, 0)];
    assert_eq!(end(&answered), (Some(First(Client)), true));
    assert_eq!(end(&answered[..2]), (Some(First(Client)), false));
    let crossed = [(Server, "F.", 1, 1, 0), (Client, "F.", 1, 1, 0)];
    assert_eq!(end(&crossed), (Some(Both), false));
    assert_eq!(end(&[(Server, "R", 1, 1, 0)]), (Some(Reset(Server)), true));
    let late_reset = [(Client, "F.", 1, 1, 0), (Server, "R.", 1, 2, 0)];
    assert_eq!(end(&late_reset), (Some(First(Client)), true));
    assert!(talk(&late_reset).end(Server).reset);
}

#[test]
fn what_was_said_before_is_sent_again_and_what_fills_a_gap_is_late() {
    let client = |rest: &[Packet]| {
        let talk = talk(rest);
        let end = talk.end(Client);
        (end.packets, end.again, end.late)
    };
    let data = |seq, bytes| (Client, "P.", seq, 1, bytes);
    assert_eq!(client(&[data(1, 10)]), (3, 0, 0));
    assert_eq!(client(&[data(1, 10), data(1, 10), data(1, 4)]), (5, 2, 0));
    // The second came first: lost and sent again, or overtaken.
    assert_eq!(client(&[data(11, 10), data(1, 10)]), (4, 0, 1));
    assert_eq!(client(&[data(11, 10), data(1, 10), data(1, 10)]), (5, 1, 1));
    assert_eq!(client(&[data(31, 10), data(11, 10), data(1, 10), data(21, 10)]), (6, 0, 3));
    assert_eq!(client(&[OPEN[0]]), (3, 1, 0), "a SYN counts one");
    assert_eq!(client(&[OPEN[2]]), (3, 0, 0), "an ACK alone says nothing that has a number");
}

#[test]
fn what_is_heard_on_a_second_interface_is_no_second_packet() {
    let mut talk = talk(&[]);
    for interface in [1, 7] {
        for packet in [(Client, "P.", 1, 1, 10), (Client, "F.", 11, 1, 0)] {
            talk.hear(Client, &segment(packet), interface);
        }
    }
    assert_eq!((talk.end(Client).packets, talk.end(Client).again), (4, 0));
    assert_eq!(talk.close(), Some(First(Client)));
}

#[test]
fn a_syn_of_another_number_is_another_connection() {
    let talk = talk(&[]);
    assert!(!talk.is_left_by(&segment(OPEN[0])));
    assert!(talk.is_left_by(&segment((Client, "S", 77, 0, 0))));
    assert!(!LiveTalk::default().is_left_by(&segment(OPEN[0])), "nothing was heard yet");
}

proptest! {
    #[test]
    fn no_order_of_packets_takes_more_than_its_room_or_counts_one_twice(
        packets in prop::collection::vec((any::<bool>(), 0..9_u16, any::<u32>(), any::<u32>(), 0..2000_u32), 0..200)
    ) {
        let mut talk = LiveTalk::default();
        for (is_client, bits, seq, ack, bytes) in &packets {
            let from = if *is_client { Client } else { Server };
            let mut segment = segment((from, "none", *seq, *ack, *bytes));
            segment.flags = SegmentFlags::from_bits(bits * 2 + 1);
            talk.hear(from, &segment, 1);
            let _ = (talk.close(), talk.is_over());
        }
        for end in [&talk.client, &talk.server] {
            prop_assert!(end.gaps.len() <= MOST_GAPS);
            prop_assert!(end.again + end.late <= end.packets);
        }
    }
}
