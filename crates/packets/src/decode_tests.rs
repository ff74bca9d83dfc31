use etherparse::{PacketBuilder, TcpOptionElement};
use evidence::TcpOption;
use proptest::prelude::*;

use super::*;

const AT: Duration = Duration::from_micros(23);

fn told(link: LinkLayer, bytes: &[u8]) -> Result<Segment, NoSegment> {
    decode(AT, link, bytes, bytes.len())
}

/// A segment of IPv4 on Ethernet.
fn ethernet(payload: &[u8]) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2; 6], [4; 6])
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(40_000, 8_080, 0xffff_fffe, 1024)
        .ack(7)
        .psh()
        .options(&[TcpOptionElement::Noop, TcpOptionElement::MaximumSegmentSize(1460)])
        .unwrap();
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    bytes
}

#[test]
fn a_segment_on_ethernet_tells_its_ends_numbers_and_lengths() {
    let segment = told(LinkLayer::Ethernet, &ethernet(b"eleven byte")).unwrap();
    assert_eq!(segment.at, AT);
    assert_eq!(segment.source.to_string(), "10.0.0.1:40000");
    assert_eq!(segment.destination.to_string(), "10.0.0.2:8080");
    assert_eq!((segment.seq, segment.ack, segment.window), (0xffff_fffe, 7, 1024));
    assert_eq!(segment.flags.to_string(), "P.");
    assert_eq!(segment.options[..2], [TcpOption::Nop, TcpOption::Mss(1460)]);
    assert_eq!(segment.payload_bytes, 11);
    assert_eq!((segment.ip_header_bytes, segment.tcp_header_bytes), (20, 28));
    assert_eq!(segment.ip_bytes(), 59);
}

#[test]
fn what_stands_in_front_of_ip_does_not_matter() {
    let ethernet = ethernet(b"abc");
    let raw = &ethernet[14..];
    let mut cooked = vec![0; 14];
    cooked.extend([8, 0]);
    cooked.extend(raw);
    let mut tagged = ethernet[..12].to_vec();
    tagged.extend([0x81, 0, 0, 7, 8, 0]);
    tagged.extend(raw);
    let expected = told(LinkLayer::Raw, raw).unwrap();
    assert_eq!(told(LinkLayer::Ethernet, &ethernet).unwrap(), expected);
    assert_eq!(told(LinkLayer::Ethernet, &tagged).unwrap(), expected);
    assert_eq!(told(LinkLayer::LinuxCooked, &cooked).unwrap(), expected);
}

#[test]
fn padding_behind_a_short_packet_is_no_payload() {
    let mut bytes = ethernet(b"");
    bytes.extend([0; 18]);
    assert_eq!(told(LinkLayer::Ethernet, &bytes).unwrap().payload_bytes, 0);
}

#[test]
fn of_a_packet_that_was_kept_in_part_the_whole_length_is_told() {
    let bytes = ethernet(&[7; 1000]);
    let headers = 14 + 20 + 28;
    let kept = decode(AT, LinkLayer::Ethernet, &bytes[..headers], bytes.len()).unwrap();
    assert_eq!(kept, told(LinkLayer::Ethernet, &bytes).unwrap());
    assert_eq!(kept.payload_bytes, 1000);
    for end in 0..headers {
        let cut = decode(AT, LinkLayer::Ethernet, &bytes[..end], bytes.len());
        assert_eq!(cut, Err(NoSegment::CutShort), "{end} bytes");
    }
}

#[test]
fn ipv6_with_its_extension_headers_is_told() {
    let builder = PacketBuilder::ipv6([1; 16], [2; 16], 64).tcp(1, 2, 3, 4).syn();
    let mut bytes = Vec::new();
    builder.write(&mut bytes, &[]).unwrap();
    let plain = told(LinkLayer::Raw, &bytes).unwrap();
    assert_eq!((plain.ip_header_bytes, plain.flags), (40, SegmentFlags::SYN));
    bytes[5] += 8; // the payload's length
    bytes[6] = 60; // destination options, of which there are none but padding
    bytes.splice(40..40, [6, 0, 1, 4, 0, 0, 0, 0]);
    let extended = told(LinkLayer::Raw, &bytes).unwrap();
    assert_eq!((extended.ip_header_bytes, extended.payload_bytes), (48, 0));
}

#[test]
fn what_is_no_segment_says_why_and_is_counted() {
    let mut counts = PacketCounts::default();
    let mut hear = |bytes: &[u8]| {
        let decoded = told(LinkLayer::Raw, bytes);
        counts.count(&decoded);
        decoded.err()
    };
    let good = ethernet(b"abc")[14..].to_vec();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert_eq!(hear(&good), None);
    assert_eq!(hear(&with(9, 17)), Some(NoSegment::NotTcp { protocol: 17 }));
    assert_eq!(hear(&with(6, 0x20)), Some(NoSegment::Fragment), "the first of several");
    assert_eq!(hear(&with(7, 9)), Some(NoSegment::Fragment), "a later one");
    assert_eq!(hear(&with(0, 0x15)), Some(NoSegment::NotIp));
    assert_eq!(hear(&[]), Some(NoSegment::CutShort));
    let short_header = NoSegment::Malformed("a TCP header shorter than 20 bytes");
    assert_eq!(hear(&with(32, 0x40)), Some(short_header));
    let no_room = NoSegment::Malformed("an IP length without room for the TCP header");
    assert_eq!(hear(&with(3, 20)), Some(no_room));
    assert_eq!(hear(&with(3, 47)), Some(no_room));
    let arp = [&[2; 12][..], &[8, 6], &[0; 28]].concat();
    assert_eq!(told(LinkLayer::Ethernet, &arp), Err(NoSegment::NotIp));
    assert_eq!(counts.total(), 9);
    assert_eq!((counts.segments, counts.fragments, counts.not_tcp, counts.not_ip), (1, 2, 1, 1));
}

fn link() -> impl Strategy<Value = LinkLayer> {
    prop_oneof![Just(LinkLayer::Raw), Just(LinkLayer::Ethernet), Just(LinkLayer::LinuxCooked)]
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(link in link(), bytes: Vec<u8>, wire_len: usize) {
        let _ = decode(AT, link, &bytes, wire_len);
    }

    #[test]
    fn headers_that_are_told_were_there(
        bytes in proptest::collection::vec(any::<u8>(), 40..120),
        version in prop_oneof![Just(0x45_u8), Just(0x46), Just(0x60)],
    ) {
        let mut bytes = bytes;
        bytes[0] = version;
        let protocol = if version == 0x60 { 6 } else { 9 };
        bytes[protocol] = 6;
        if let Ok(segment) = told(LinkLayer::Raw, &bytes) {
            let headers = segment.ip_header_bytes + segment.tcp_header_bytes;
            prop_assert!(usize::from(headers) <= bytes.len());
            prop_assert!(segment.tcp_header_bytes >= 20);
        }
    }

    #[test]
    fn what_was_built_is_what_is_told(
        seq: u32, ack: u32, window: u16, urgent: u16, fin: bool, syn: bool, rst: bool,
        payload in proptest::collection::vec(any::<u8>(), 0..100),
        ports: (u16, u16),
        v6: bool,
    ) {
        let ip = if v6 {
            PacketBuilder::ipv6([7; 16], [9; 16], 3)
        } else {
            PacketBuilder::ipv4([7; 4], [9; 4], 3)
        };
        let mut tcp = ip.tcp(ports.0, ports.1, seq, window).ack(ack).urg(urgent);
        let mut flags = SegmentFlags::ACK.with(SegmentFlags::URG);
        if fin { tcp = tcp.fin(); flags = flags.with(SegmentFlags::FIN); }
        if syn { tcp = tcp.syn(); flags = flags.with(SegmentFlags::SYN); }
        if rst { tcp = tcp.rst(); flags = flags.with(SegmentFlags::RST); }
        let mut bytes = Vec::new();
        tcp.write(&mut bytes, &payload).unwrap();
        let segment = told(LinkLayer::Raw, &bytes).unwrap();
        prop_assert_eq!(segment.seq, seq);
        prop_assert_eq!(segment.ack, ack);
        prop_assert_eq!(segment.window, window);
        prop_assert_eq!(segment.urgent, urgent);
        prop_assert_eq!(segment.flags, flags);
        prop_assert_eq!((segment.source.port(), segment.destination.port()), ports);
        prop_assert_eq!(segment.payload_bytes as usize, payload.len());
        prop_assert_eq!(segment.ip_bytes() as usize, bytes.len());
    }
}
