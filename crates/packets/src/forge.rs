//! Packets that nobody sent.

use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;
use evidence::{Segment, SegmentFlags};

/// How far a forged packet may still travel, in hops; that of most systems.
const HOPS: u8 = 64;

/// Returns the resets by which a middlebox that has seen `segment` ends its connection: the first
/// for the end that it was sent to, in the name of the end that sent it; the second the other way
/// round. Each is a whole packet, from its IP header on.
///
/// A reset counts only if its sequence number is the very one that is expected (RFC 9293 section
/// 3.10.7.4). `segment` tells what each end sends next, if it is the newest of its connection.
/// `None` if its addresses are of two kinds.
#[must_use]
pub fn resets(segment: &Segment) -> Option<[Vec<u8>; 2]> {
    let Segment { source, destination, seq, ack, .. } = segment;
    let forward = reset(*source, *destination, *seq, *ack)?;
    let backward = if segment.has(SegmentFlags::ACK) {
        reset(*destination, *source, *ack, seq.wrapping_add(segment.sequence_len()))?
    } else {
        // A first SYN: its sender knows no number of the other end's, and takes a reset that
        // acknowledges its SYN.
        reset(*destination, *source, 0, seq.wrapping_add(segment.sequence_len()))?
    };
    Some([forward, backward])
}

fn reset(from: SocketAddr, to: SocketAddr, seq: u32, ack: u32) -> Option<Vec<u8>> {
    let ip = match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), HOPS),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), HOPS),
        _ => return None,
    };
    let packet = ip.tcp(from.port(), to.port(), seq, 0).rst().ack(ack);
    let mut bytes = Vec::with_capacity(packet.size(0));
    packet.write(&mut bytes, &[]).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{LinkLayer, decode};

    fn segment(flags: SegmentFlags, payload_bytes: u32) -> Segment {
        Segment {
            at: Duration::ZERO,
            source: "10.0.0.1:40000".parse().unwrap(),
            destination: "10.0.0.2:8080".parse().unwrap(),
            seq: u32::MAX,
            ack: 7,
            flags,
            window: 1,
            urgent: 0,
            options: Vec::new(),
            payload_bytes,
            tcp_header_bytes: 20,
            ip_header_bytes: 20,
        }
    }

    #[test]
    fn each_end_gets_a_reset_with_the_number_that_it_expects_from_the_other() {
        let data = segment(SegmentFlags::ACK, 11);
        let told = resets(&data)
            .unwrap()
            .map(|bytes| decode(Duration::ZERO, LinkLayer::Raw, &bytes, bytes.len()).unwrap());
        let [forward, backward] = told;
        assert_eq!((forward.source, forward.seq), (data.source, u32::MAX));
        assert_eq!((backward.source, backward.seq), (data.destination, 7));
        assert_eq!(backward.ack, 10, "it wraps");
        for reset in [forward, backward] {
            assert_eq!(reset.flags, SegmentFlags::RST.with(SegmentFlags::ACK));
            assert_eq!(reset.ip_bytes(), 40);
        }
    }

    #[test]
    fn a_reset_against_a_syn_acknowledges_it() {
        let [_, backward] = resets(&segment(SegmentFlags::SYN, 0)).unwrap();
        let reset = decode(Duration::ZERO, LinkLayer::Raw, &backward, backward.len()).unwrap();
        assert_eq!((reset.seq, reset.ack), (0, 0), "the SYN's number, and one");
    }

    #[test]
    fn addresses_of_two_kinds_make_no_packet() {
        let mut odd = segment(SegmentFlags::ACK, 0);
        odd.destination = "[::1]:80".parse().unwrap();
        assert_eq!(resets(&odd), None);
    }
}
