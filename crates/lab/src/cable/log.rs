//! Packets, as they are told and counted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use evidence::{Passage, PassageFate, PassageTally, Segment, SegmentFlags, Side};
use netlab::CableTally;
use serde::{Deserialize, Serialize};

/// So many packets are told one by one; all are counted.
const MOST_TOLD: usize = 100_000;

/// All that a cable has seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CableRecord {
    /// Each TCP segment with its fate, in the order in which the cable took them.
    pub passages: Vec<Passage>,
    /// How many more there were, which are counted only.
    pub untold: u64,
    /// The sums of what the client's host sent.
    pub client: PassageTally,
    /// The sums of what the servers' host sent.
    pub server: PassageTally,
    /// Packets that are no TCP segments, such as those of ICMP.
    pub others: u64,
    /// Packets that a host did not take from the cable, though no rule said so.
    pub refused: u64,
    /// Packets that were still on their way when the cable was unplugged.
    pub under_way: u64,
    /// Packets that the hosts dropped before the cable could take them.
    pub dropped_before: u64,
}

impl CableRecord {
    /// Adds what the cable itself counted.
    pub(crate) fn unplugged(&mut self, tally: CableTally, dropped_before: u64) {
        self.refused = tally.refused;
        self.under_way = tally.under_way;
        self.dropped_before = dropped_before;
    }

    /// Where the cable was not as it should be, in a sentence: then numbers are not the
    /// experiment's.
    pub(crate) fn fault(&self) -> Option<String> {
        let Self { refused, dropped_before, .. } = self;
        (refused + dropped_before > 0).then(|| {
            format!(
                "packets: {dropped_before} were dropped before the cable took them, and {refused} \
                 were refused by the host that they were for; no rule said so"
            )
        })
    }
}

/// The log that becomes a [`CableRecord`].
#[derive(Debug, Default)]
pub(crate) struct CableLog {
    record: CableRecord,
    /// The number behind the last byte that each end has sent, SYN and FIN counted.
    sent_up_to: HashMap<(SocketAddr, SocketAddr), u32>,
}

impl CableLog {
    /// A segment, which has met its fate.
    pub(crate) fn heard(&mut self, number: u64, from: Side, segment: Segment, fate: PassageFate) {
        let again = self.is_again(&segment);
        let tally = match from {
            Side::Client => &mut self.record.client,
            Side::Server => &mut self.record.server,
        };
        let has = |flag| u64::from(segment.has(flag));
        tally.packets += 1;
        tally.bytes += u64::from(segment.ip_bytes());
        tally.syn += has(SegmentFlags::SYN);
        tally.fin += has(SegmentFlags::FIN);
        tally.rst += has(SegmentFlags::RST);
        tally.data += u64::from(segment.payload_bytes > 0);
        tally.again += u64::from(again);
        tally.lost += u64::from(fate.is_lost());
        if self.record.passages.len() < MOST_TOLD {
            let arrived = Vec::new();
            self.record.passages.push(Passage { number, from, segment, fate, arrived });
        } else {
            self.record.untold += 1;
        }
    }

    /// A packet that is no segment.
    pub(crate) fn other(&mut self) {
        self.record.others += 1;
    }

    /// The packet with this number was handed over. A reset in its stead is not it.
    pub(crate) fn arrived(&mut self, number: u64, at: Duration) {
        let passages = &mut self.record.passages;
        if let Ok(place) = passages.binary_search_by_key(&number, |passage| passage.number)
            && let Some(passage) = passages.get_mut(place)
            && passage.fate != PassageFate::Reset
        {
            passage.arrived.push(at);
        }
    }

    /// Returns true if all that `segment` says its end has said before.
    fn is_again(&mut self, segment: &Segment) -> bool {
        let length = segment.sequence_len();
        if length == 0 {
            return false;
        }
        let end = segment.seq.wrapping_add(length);
        let is_first = segment.has(SegmentFlags::SYN);
        let key = (segment.source, segment.destination);
        let sent = self.sent_up_to.entry(key).or_insert(segment.seq);
        // Numbers wrap: what is less than half the circle ahead is ahead.
        let ahead = end.wrapping_sub(*sent);
        let is_new = ahead != 0 && ahead < 1 << 31;
        // A new connection between the same addresses begins anew, wherever it likes.
        let begins = is_first && end != *sent;
        if is_new || begins {
            *sent = end;
        }
        !(is_new || begins)
    }

    /// The record, on a clock that began so much later.
    pub(crate) fn since(self, before: Duration) -> CableRecord {
        let mut record = self.record;
        for passage in &mut record.passages {
            passage.segment.at = passage.segment.at.saturating_sub(before);
            for at in &mut passage.arrived {
                *at = at.saturating_sub(before);
            }
        }
        record
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(flags: &str, seq: u32, payload_bytes: u32) -> Segment {
        Segment {
            at: Duration::from_millis(5),
            source: "10.0.0.1:40000".parse().unwrap(),
            destination: "10.0.0.2:8080".parse().unwrap(),
            seq,
            ack: 0,
            flags: flags.to_owned().try_into().unwrap(),
            window: 0,
            urgent: 0,
            options: Vec::new(),
            payload_bytes,
            tcp_header_bytes: 32,
            ip_header_bytes: 20,
        }
    }

    #[test]
    fn what_says_nothing_new_is_counted_as_sent_again_also_where_numbers_wrap() {
        let mut log = CableLog::default();
        let first = u32::MAX - 5;
        let packets = [
            ("S", first, 0, false),
            ("S", first, 0, true),
            (".", first + 1, 0, false),
            ("P.", first + 1, 10, false),
            ("P.", first + 1, 10, true),
            ("P.", first + 1, 4, true),
            ("F.", first.wrapping_add(11), 0, false),
            ("F.", first.wrapping_add(11), 0, true),
            ("S", 77, 0, false),
        ];
        for (number, (flags, seq, payload, again)) in (1..).zip(packets) {
            let before = log.record.client.again;
            log.heard(number, Side::Client, segment(flags, seq, payload), PassageFate::Passed);
            assert_eq!(log.record.client.again - before, u64::from(again), "{flags} {seq}");
        }
        let tally = log.since(Duration::from_millis(2)).client;
        assert_eq!((tally.packets, tally.syn, tally.fin, tally.data), (9, 3, 2, 3));
        assert_eq!(tally.bytes, 9 * 52 + 24);
    }

    #[test]
    fn an_arrival_is_told_of_the_packet_with_its_number_on_the_clock_of_the_run() {
        let mut log = CableLog::default();
        log.other();
        log.heard(2, Side::Client, segment("S", 1, 0), PassageFate::Passed);
        log.heard(3, Side::Client, segment("S", 1, 0), PassageFate::Reset);
        for number in 1..5 {
            log.arrived(number, Duration::from_millis(25));
        }
        let record = log.since(Duration::from_millis(2));
        let told: Vec<_> = record.passages.iter().map(|it| (it.segment.at, &it.arrived)).collect();
        let ms = Duration::from_millis;
        assert_eq!(told, [(ms(3), &vec![ms(23)]), (ms(3), &vec![])]);
        assert_eq!(record.others, 1);
    }
}
