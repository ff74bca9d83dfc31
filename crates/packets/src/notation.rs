//! A segment as `tcpdump -n` prints it.

use std::collections::HashMap;
use std::fmt::Write;
use std::net::SocketAddr;

use evidence::{Segment, SegmentFlags, TcpOption};

/// What is taken off the numbers of a segment before they are shown. Nothing at all by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequenceBase {
    /// Off the numbers of the end that sent it.
    pub seq: u32,
    /// Off the numbers of the other end: what is acknowledged, selectively or not.
    pub ack: u32,
}

/// Returns `segment` as `tcpdump -n -t` prints it, with its numbers counted from `base` on:
///
/// `IP 127.0.0.1.40000 > 127.0.0.1.8080: Flags [P.], seq 1:78, ack 1, win 512, options [nop,nop,TS val
/// 7 ecr 3], length 77`
///
/// Unlike tcpdump it names options of rare kinds by their number (`unknown-34 0x…`), and shows nothing
/// of the payload.
#[must_use]
pub fn line(segment: &Segment, base: SequenceBase) -> String {
    let ip = if segment.source.is_ipv6() { "IP6" } else { "IP" };
    let (source, destination) = (end(segment.source), end(segment.destination));
    let mut line = format!("{ip} {source} > {destination}: Flags [{}]", segment.flags);
    let seq = segment.seq.wrapping_sub(base.seq);
    let payload = segment.payload_bytes;
    let counts = [SegmentFlags::SYN, SegmentFlags::FIN, SegmentFlags::RST];
    if payload > 0 {
        let _ = write!(line, ", seq {seq}:{}", seq.wrapping_add(payload));
    } else if counts.into_iter().any(|flag| segment.has(flag)) {
        let _ = write!(line, ", seq {seq}");
    }
    if segment.has(SegmentFlags::ACK) {
        let _ = write!(line, ", ack {}", segment.ack.wrapping_sub(base.ack));
    }
    let _ = write!(line, ", win {}", segment.window);
    if segment.has(SegmentFlags::URG) {
        let _ = write!(line, ", urg {}", segment.urgent);
    }
    if !segment.options.is_empty() {
        let options: Vec<String> =
            segment.options.iter().map(|option| option_text(option, base.ack)).collect();
        let _ = write!(line, ", options [{}]", options.join(","));
    }
    let _ = write!(line, ", length {payload}");
    line
}

/// An address and its port, a dot between them, as tcpdump has it also for IPv6.
fn end(address: SocketAddr) -> String {
    format!("{}.{}", address.ip(), address.port())
}

fn option_text(option: &TcpOption, base: u32) -> String {
    match option {
        TcpOption::End => "eol".to_owned(),
        TcpOption::Nop => "nop".to_owned(),
        TcpOption::Mss(bytes) => format!("mss {bytes}"),
        TcpOption::WindowScale(shift) => format!("wscale {shift}"),
        TcpOption::SackPermitted => "sackOK".to_owned(),
        TcpOption::Sack(blocks) => {
            let number = |number: u32| number.wrapping_sub(base);
            let mut text = format!("sack {} ", blocks.len());
            for block in blocks {
                let _ = write!(text, "{{{}:{}}}", number(block.from), number(block.to));
            }
            text
        }
        TcpOption::Timestamps { value, echo } => format!("TS val {value} ecr {echo}"),
        TcpOption::Other { kind, bytes } => {
            let mut text = format!("unknown-{kind}");
            if !bytes.is_empty() {
                text.push_str(" 0x");
                bytes.iter().for_each(|byte| {
                    let _ = write!(text, "{byte:02x}");
                });
            }
            text
        }
        TcpOption::Malformed(_) => "[bad opt]".to_owned(),
    }
}

/// How sequence numbers are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceNumbers {
    /// As they are in the header, as with `tcpdump -S`.
    Absolute,
    /// From each end's SYN, which is 0. The first byte of data is 1.
    Relative,
    /// As tcpdump shows them by default: the handshake as it is, and what follows from each end's
    /// SYN.
    AsTcpdump,
}

/// Remembers from where the numbers of each connection are counted, as its segments pass by.
///
/// Of a connection whose beginning was not heard, the first segment gives the numbers: its first byte
/// is 1. A new SYN begins anew.
#[derive(Clone, Debug)]
pub struct SequenceBook {
    numbers: SequenceNumbers,
    /// The number of each end's SYN, under its own address and the other's.
    begins: HashMap<(SocketAddr, SocketAddr), u32>,
}

impl SequenceBook {
    /// A book without a connection.
    #[must_use]
    pub fn new(numbers: SequenceNumbers) -> Self {
        Self { numbers, begins: HashMap::new() }
    }

    /// Returns from where the numbers of `segment` are counted; to be asked for each segment once, in
    /// the order in which they were heard.
    pub fn base(&mut self, segment: &Segment) -> SequenceBase {
        match self.numbers {
            SequenceNumbers::Absolute => SequenceBase::default(),
            SequenceNumbers::Relative => self.relative(segment),
            SequenceNumbers::AsTcpdump => self.as_tcpdump(segment),
        }
    }

    /// Returns `segment` as one line, its numbers counted as this book counts them.
    pub fn line(&mut self, segment: &Segment) -> String {
        line(segment, self.base(segment))
    }

    fn relative(&mut self, segment: &Segment) -> SequenceBase {
        let (own, other) = keys(segment);
        let Segment { seq, ack, .. } = *segment;
        let (is_syn, has_ack) = (segment.has(SegmentFlags::SYN), segment.has(SegmentFlags::ACK));
        let before = if is_syn { self.begins.insert(own, seq) } else { None };
        if before.is_some_and(|before| before != seq) && !has_ack {
            self.begins.remove(&other); // another connection between the same two addresses
        }
        let seq = *self.begins.entry(own).or_insert(seq.wrapping_sub(1));
        if has_ack && !self.begins.contains_key(&other) {
            self.begins.insert(other, ack.wrapping_sub(1));
        }
        SequenceBase { seq, ack: self.begins.get(&other).copied().unwrap_or(0) }
    }

    /// tcpdump takes both ends' numbers from one segment, the first that has an ACK, and shows that as
    /// it is, as well as all that have none.
    fn as_tcpdump(&mut self, segment: &Segment) -> SequenceBase {
        if !segment.has(SegmentFlags::ACK) {
            return SequenceBase::default();
        }
        let (own, other) = keys(segment);
        match (self.begins.get(&own), self.begins.get(&other)) {
            (Some(seq), Some(ack)) if !segment.has(SegmentFlags::SYN) => {
                SequenceBase { seq: *seq, ack: *ack }
            }
            _ => {
                self.begins.insert(own, segment.seq);
                self.begins.insert(other, segment.ack.wrapping_sub(1));
                SequenceBase::default()
            }
        }
    }
}

fn keys(segment: &Segment) -> ((SocketAddr, SocketAddr), (SocketAddr, SocketAddr)) {
    let Segment { source, destination, .. } = *segment;
    ((source, destination), (destination, source))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evidence::SackBlock;
    use proptest::prelude::*;

    use super::*;

    const CLIENT: &str = "127.0.0.1:40000";
    const SERVER: &str = "127.0.0.1:8080";

    fn segment(from_client: bool, letters: &str, seq: u32, ack: u32, payload: u32) -> Segment {
        let (source, destination) = if from_client { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        Segment {
            at: Duration::ZERO,
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
            seq,
            ack,
            flags: SegmentFlags::try_from(letters.to_owned()).unwrap(),
            window: 512,
            urgent: 3,
            options: Vec::new(),
            payload_bytes: payload,
            tcp_header_bytes: 20,
            ip_header_bytes: 20,
        }
    }

    /// A connection whose client begins shortly before its numbers begin again from 0.
    fn connection() -> [Segment; 6] {
        let (client, server) = (u32::MAX - 1, 1000);
        [
            segment(true, "S", client, 0, 0),
            segment(false, "S.", server, client + 1, 0),
            segment(true, ".", client + 1, server + 1, 0),
            segment(true, "P.", client + 1, server + 1, 77),
            segment(false, "F.", server + 1, 76, 11),
            segment(true, "R", 76, 0, 0),
        ]
    }

    /// What the lines say of numbers.
    fn told(numbers: SequenceNumbers) -> Vec<String> {
        let mut book = SequenceBook::new(numbers);
        let number = |segment: &Segment| {
            let line = book.line(segment);
            let (_, numbers) = line.split_once(": ").unwrap();
            numbers.split_once(", win").unwrap().0.to_owned()
        };
        connection().iter().map(number).collect()
    }

    #[test]
    fn a_syn_of_linux_is_one_line_of_tcpdump_s() {
        let mut syn = segment(true, "S", 0, 0, 0);
        syn.window = 65_495;
        syn.options = vec![
            TcpOption::Mss(65_495),
            TcpOption::SackPermitted,
            TcpOption::Timestamps { value: 7, echo: 0 },
            TcpOption::Nop,
            TcpOption::WindowScale(7),
        ];
        assert_eq!(
            line(&syn, SequenceBase::default()),
            "IP 127.0.0.1.40000 > 127.0.0.1.8080: Flags [S], seq 0, win 65495, \
             options [mss 65495,sackOK,TS val 7 ecr 0,nop,wscale 7], length 0"
        );
    }

    #[test]
    fn rare_options_and_the_urgent_pointer_have_their_places() {
        let mut segment = segment(false, "U.", 7, 107, 0);
        segment.options = vec![
            TcpOption::Sack(vec![
                SackBlock { from: 110, to: 120 },
                SackBlock { from: 130, to: 140 },
            ]),
            TcpOption::Other { kind: 254, bytes: vec![0xf9, 7] },
            TcpOption::Other { kind: 253, bytes: Vec::new() },
            TcpOption::End,
            TcpOption::Malformed(vec![8]),
        ];
        assert_eq!(
            line(&segment, SequenceBase { seq: 0, ack: 100 }),
            "IP 127.0.0.1.8080 > 127.0.0.1.40000: Flags [.U], ack 7, win 512, urg 3, options \
             [sack 2 {10:20}{30:40},unknown-254 0xf907,unknown-253,eol,[bad opt]], length 0"
        );
    }

    #[test]
    fn relative_numbers_count_from_each_end_s_syn_also_over_the_end_of_all_numbers() {
        let expected = [
            "Flags [S], seq 0",
            "Flags [S.], seq 0, ack 1",
            "Flags [.], ack 1",
            "Flags [P.], seq 1:78, ack 1",
            "Flags [F.], seq 1:12, ack 78",
            "Flags [R], seq 78",
        ];
        assert_eq!(told(SequenceNumbers::Relative), expected);
    }

    #[test]
    fn tcpdump_shows_the_handshake_and_what_has_no_ack_as_they_are() {
        let expected = [
            "Flags [S], seq 4294967294",
            "Flags [S.], seq 1000, ack 4294967295",
            "Flags [.], ack 1",
            "Flags [P.], seq 1:78, ack 1",
            "Flags [F.], seq 1:12, ack 78",
            "Flags [R], seq 76",
        ];
        assert_eq!(told(SequenceNumbers::AsTcpdump), expected);
    }

    #[test]
    fn absolute_numbers_are_those_of_the_header() {
        let expected = "Flags [P.], seq 4294967295:76, ack 1001";
        assert_eq!(told(SequenceNumbers::Absolute)[3], expected);
    }

    #[test]
    fn of_a_connection_that_was_met_midway_the_first_byte_heard_is_1() {
        let mut book = SequenceBook::new(SequenceNumbers::Relative);
        let first = segment(true, "P.", 5000, 900, 10);
        assert_eq!(book.base(&first), SequenceBase { seq: 4999, ack: 899 });
        let answer = segment(false, ".", 900, 5010, 0);
        assert_eq!(book.base(&answer), SequenceBase { seq: 899, ack: 4999 });
    }

    #[test]
    fn a_new_connection_between_the_same_addresses_counts_anew() {
        let mut book = SequenceBook::new(SequenceNumbers::Relative);
        connection().iter().for_each(|segment| drop(book.line(segment)));
        book.line(&segment(true, "S", 70, 0, 0));
        let answer = book.line(&segment(false, "S.", 90, 71, 0));
        assert!(answer.contains("[S.], seq 0, ack 1,"), "{answer}");
    }

    proptest! {
        #[test]
        fn no_numbers_make_it_panic(
            seq: u32, ack: u32, payload: u32, bits: u16, base: (u32, u32),
        ) {
            let mut any = segment(true, "none", seq, ack, payload);
            any.flags = SegmentFlags::from_bits(bits);
            let text = line(&any, SequenceBase { seq: base.0, ack: base.1 });
            let length = format!(", length {payload}");
            prop_assert!(text.ends_with(&length));
        }
    }
}
