//! Checksums that a device was to fill in, filled in.
//!
//! Where a device can do it, the kernel leaves in a segment's checksum field the sum over the pseudo
//! header alone, for the device to add the rest. `lo` never does, and on the way out a packet is
//! heard before the device sees it. Whoever reads such packets takes them for damaged.

use crate::decode::NoSegment;

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Fills in the checksum of TCP or UDP in an IP packet, if the kernel has left that to a device. A
/// checksum that is merely wrong stays as it was heard, and so does everything in a packet of which a
/// part is missing.
pub(crate) fn complete(packet: &mut [u8]) {
    let _ = try_complete(packet);
}

fn try_complete(packet: &mut [u8]) -> Result<(), NoSegment> {
    let cut = NoSegment::CutShort;
    let (protocol, start, end, mut pseudo) = match packet.first().ok_or(cut)? >> 4 {
        4 => {
            let header = packet.first_chunk::<20>().ok_or(cut)?;
            let fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
            if fragment {
                return Err(NoSegment::Fragment);
            }
            let end = usize::from(u16::from_be_bytes([header[2], header[3]]));
            (header[9], usize::from(header[0] & 0xf) * 4, end, sum(&header[12..20]))
        }
        6 => {
            let header = packet.first_chunk::<40>().ok_or(cut)?;
            let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
            (header[6], 40, 40 + length, sum(&header[8..40]))
        }
        _ => return Err(NoSegment::NotIp),
    };
    let at = match protocol {
        TCP => 16,
        UDP => 6,
        protocol => return Err(NoSegment::NotTcp { protocol }),
    };
    let segment = packet.get_mut(start..end).ok_or(cut)?;
    pseudo += u64::from(protocol) + segment.len() as u64;
    let field = segment.get(at..at + 2).and_then(|field| field.first_chunk()).ok_or(cut)?;
    if u16::from_be_bytes(*field) != fold(pseudo) {
        return Ok(());
    }
    // The sum that stands in the field is the pseudo header's, so all is summed up already.
    let whole = !fold(sum(segment));
    let whole = if protocol == UDP && whole == 0 { 0xffff } else { whole };
    if let Some(field) = segment.get_mut(at..at + 2) {
        field.copy_from_slice(&whole.to_be_bytes());
    }
    Ok(())
}

/// The sum of the 16-bit numbers of which `bytes` consist, the last padded (RFC 1071).
fn sum(bytes: &[u8]) -> u64 {
    let (pairs, last) = bytes.as_chunks::<2>();
    let pairs: u64 = pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum();
    pairs + last.first().map_or(0, |last| u64::from(*last) << 8)
}

/// The same in 16 bits, what is carried added in.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    use super::*;

    fn packet(v6: bool, udp: bool, payload: &[u8]) -> (Vec<u8>, usize) {
        let ip = if v6 {
            PacketBuilder::ipv6([0xfe; 16], [9; 16], 3)
        } else {
            PacketBuilder::ipv4([127, 0, 0, 1], [127, 0, 0, 1], 3)
        };
        let header_len = if v6 { 40 } else { 20 };
        let mut bytes = Vec::new();
        if udp {
            ip.udp(40_000, 53).write(&mut bytes, payload).unwrap();
            (bytes, header_len + 6)
        } else {
            ip.tcp(40_000, 80, 7, 11).ack(3).write(&mut bytes, payload).unwrap();
            (bytes, header_len + 16)
        }
    }

    /// What the kernel leaves in the field.
    fn pseudo(v6: bool, udp: bool, bytes: &[u8]) -> u16 {
        let (addresses, start) = if v6 { (8..40, 40) } else { (12..20, 20) };
        let protocol = u64::from(if udp { UDP } else { TCP });
        fold(sum(&bytes[addresses]) + protocol + (bytes.len() - start) as u64)
    }

    proptest! {
        #[test]
        fn what_was_left_to_a_device_is_filled_in(
            v6: bool, udp: bool, payload in proptest::collection::vec(any::<u8>(), 0..99),
        ) {
            let (right, at) = packet(v6, udp, &payload);
            let mut bytes = right.clone();
            bytes[at..at + 2].copy_from_slice(&pseudo(v6, udp, &right).to_be_bytes());
            complete(&mut bytes);
            prop_assert_eq!(bytes, right);
        }

        #[test]
        fn a_checksum_that_is_wrong_stays_wrong(v6: bool, udp: bool, wrong: u16) {
            let (right, at) = packet(v6, udp, b"abc");
            prop_assume!(wrong != pseudo(v6, udp, &right));
            let mut bytes = right;
            bytes[at..at + 2].copy_from_slice(&wrong.to_be_bytes());
            let before = bytes.clone();
            complete(&mut bytes);
            prop_assert_eq!(bytes, before);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let mut bytes = bytes;
            complete(&mut bytes);
        }
    }
}
