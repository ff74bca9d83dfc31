//! The packets of a run, as they are told and counted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use evidence::{
    Observed, Passage, PassageFate, Segment, SegmentFlags, Side, WirePlace, WireRecord,
};

use crate::tls_log::TlsLog;

/// So many packets are told one by one; all are counted.
const MOST_TOLD: usize = 100_000;

/// The log that becomes a [`WireRecord`].
#[derive(Clone, Debug)]
pub struct WireLog {
    record: WireRecord,
    /// The number behind the last byte that each end has sent, SYN and FIN counted.
    sent_up_to: HashMap<(SocketAddr, SocketAddr), u32>,
    tls: TlsLog,
}

impl WireLog {
    /// A log of packets that are heard at `place`.
    #[must_use]
    pub fn new(place: WirePlace) -> Self {
        Self { record: WireRecord::of(place), sent_up_to: HashMap::new(), tls: TlsLog::default() }
    }

    /// Adds a segment, which has met its fate. `packet` is its bytes from the IP header on, as far as
    /// they were kept. Numbers grow.
    pub fn heard(
        &mut self,
        number: u64,
        from: Side,
        segment: Segment,
        packet: &[u8],
        fate: PassageFate,
    ) {
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
        tally.payload_bytes += u64::from(segment.payload_bytes);
        tally.ack += u64::from(acknowledges_alone(&segment));
        tally.again += u64::from(again);
        tally.lost += u64::from(fate.is_lost());
        if self.record.passages.len() < MOST_TOLD {
            let arrived = match self.record.place {
                WirePlace::Loopback | WirePlace::Device => Observed::NotObservable,
                WirePlace::Cable { .. } => Observed::Known(Vec::new()),
            };
            let begins = first_line(packet, &segment);
            let payload = packet.get(headers(&segment)..).unwrap_or_default();
            self.tls.heard(self.record.passages.len(), from, &segment, payload);
            let tls = None;
            self.record.passages.push(Passage {
                number,
                from,
                segment,
                begins,
                tls,
                fate,
                arrived,
            });
        } else {
            self.record.untold += 1;
        }
    }

    /// Counts a packet that is no segment of the run's.
    pub fn other(&mut self) {
        self.record.others += 1;
    }

    /// Notes that the packet with this number was handed over. A reset in its stead is not it.
    pub fn arrived(&mut self, number: u64, at: Duration) {
        let passages = &mut self.record.passages;
        if let Ok(place) = passages.binary_search_by_key(&number, |passage| passage.number)
            && let Some(passage) = passages.get_mut(place)
            && passage.fate != PassageFate::Reset
            && let Observed::Known(arrived) = &mut passage.arrived
        {
            arrived.push(at);
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

    /// Ends it, and returns what was heard.
    #[must_use]
    pub fn into_record(self) -> WireRecord {
        let Self { mut record, tls, .. } = self;
        tls.tell(&mut record.passages);
        record
    }
}

/// Returns true for an ACK with nothing beside it.
fn acknowledges_alone(segment: &Segment) -> bool {
    segment.has(SegmentFlags::ACK) && !segment.has(SegmentFlags::RST) && segment.sequence_len() == 0
}

/// A line that is longer tells no more.
const LONGEST_LINE: usize = 200;

/// The methods of RFC 9110 and PATCH (RFC 5789).
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// The length of the headers in front of a segment's data.
fn headers(segment: &Segment) -> usize {
    usize::from(segment.ip_header_bytes) + usize::from(segment.tcp_header_bytes)
}

/// The line with which the data of `segment` begins, if it looks like that of an HTTP/1.1 message.
fn first_line(packet: &[u8], segment: &Segment) -> Option<String> {
    let data = packet.get(headers(segment)..)?;
    let line = data.split(|byte| *byte == b'\r' || *byte == b'\n').next()?;
    let line = std::str::from_utf8(line.get(..LONGEST_LINE).unwrap_or(line)).ok()?;
    let is_request = line
        .split_once(' ')
        .is_some_and(|(method, rest)| METHODS.contains(&method) && rest.contains("HTTP/1."));
    let is_plain = line.chars().all(|letter| letter == ' ' || letter.is_ascii_graphic());
    ((is_request || line.starts_with("HTTP/1.")) && is_plain).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CABLE: WirePlace = WirePlace::Cable { delay: Duration::from_millis(20) };

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
        let mut log = WireLog::new(CABLE);
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
            log.heard(number, Side::Client, segment(flags, seq, payload), &[], PassageFate::Passed);
            assert_eq!(log.record.client.again - before, u64::from(again), "{flags} {seq}");
        }
        let tally = log.into_record().client;
        assert_eq!((tally.packets, tally.syn, tally.fin, tally.data), (9, 3, 2, 3));
        assert_eq!((tally.ack, tally.payload_bytes), (1, 24));
        assert_eq!(tally.bytes, 9 * 52 + 24);
    }

    #[test]
    fn an_arrival_is_told_of_the_packet_with_its_number() {
        let mut log = WireLog::new(CABLE);
        log.other();
        log.heard(2, Side::Client, segment("S", 1, 0), &[], PassageFate::Passed);
        log.heard(3, Side::Client, segment("S", 1, 0), &[], PassageFate::Reset);
        for number in 1..5 {
            log.arrived(number, Duration::from_millis(25));
        }
        let record = log.into_record();
        let told: Vec<_> = record.passages.into_iter().map(|it| it.arrived).collect();
        let at = vec![Duration::from_millis(25)];
        assert_eq!(told, [Observed::Known(at), Observed::Known(vec![])]);
        assert_eq!(record.others, 1);
    }

    #[test]
    fn the_line_that_a_message_begins_with_is_kept_and_no_other_data() {
        let mut packet = vec![0; 52];
        for (data, line) in [
            (&b"GET /?a=1 HTTP/1.1\r\nHost: a\r\n\r\n"[..], Some("GET /?a=1 HTTP/1.1")),
            (b"HTTP/1.1 200 OK\r\n", Some("HTTP/1.1 200 OK")),
            (b"Hello world", None),
            (b"GET back", None),
            (b"HTTP/1.1 200 \x1b[31m\r\n", None),
            (b"", None),
        ] {
            packet.truncate(52);
            packet.extend(data);
            assert_eq!(first_line(&packet, &segment("P.", 1, 9)).as_deref(), line);
        }
        assert_eq!(first_line(&[], &segment("P.", 1, 9)), None);
    }

    #[test]
    fn on_loopback_nobody_sees_an_arrival() {
        let mut log = WireLog::new(WirePlace::Loopback);
        log.heard(1, Side::Client, segment("S", 1, 0), &[], PassageFate::Passed);
        log.arrived(1, Duration::ZERO);
        assert_eq!(log.into_record().passages[0].arrived, Observed::NotObservable);
    }
}
