//! The sum of TCP and UDP over IPv4 (RFC 1071), which a kernel leaves to a device that says it can do
//! it: a virtual one says so, and does not.

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Fills in the sum of a whole IPv4 packet, as a device would that sends it. What has no such sum, or is
/// a part of a packet, stays as it is: there the kernel has done it.
pub(crate) fn finish(packet: &mut [u8]) {
    let Some((header, payload)) = split(packet) else { return };
    let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
    let place = match header[9] {
        TCP => 16,
        UDP => 6,
        _ => return,
    };
    if is_fragment || payload.len() < place + 2 {
        return;
    }
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let pseudo = sum(&header[12..20]) + u32::from(header[9]) + length;
    payload[place..place + 2].fill(0);
    let mut all = pseudo + sum(payload);
    while all > 0xffff {
        all = (all >> 16) + (all & 0xffff);
    }
    let finished = match !(all as u16) {
        0 if header[9] == UDP => 0xffff, // 0 says that there is none (RFC 768)
        finished => finished,
    };
    payload[place..place + 2].copy_from_slice(&finished.to_be_bytes());
}

/// The header, of 20 bytes at the least, and what is behind it.
fn split(packet: &mut [u8]) -> Option<(&mut [u8], &mut [u8])> {
    let first = *packet.first()?;
    let (header, total) =
        (usize::from(first & 0xf) * 4, u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
    if first >> 4 != 4 || header < 20 {
        return None;
    }
    packet.get_mut(..usize::from(total))?.split_at_mut_checked(header)
}

/// The sum of 16 bits each, the last filled up with a zero; packets are too short for it to overflow.
fn sum(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks(2);
    pairs.map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0))).sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_sum_of_a_segment_is_that_of_the_kernel() {
        // A SYN from 10.0.0.1:40000 to 10.0.0.2:80 without options.
        let mut packet = [0_u8; 40];
        packet[..12].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, TCP, 0, 0]);
        packet[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
        packet[20..24].copy_from_slice(&[0x9c, 0x40, 0, 80]);
        packet[32..34].copy_from_slice(&[0x50, 0x02]);
        packet[36..38].copy_from_slice(&[0x14, 0x29]); // what the kernel leaves there
        finish(&mut packet);
        // The words: 0a00 0001 0a00 0002 0006 0014 9c40 0050 5002 come to 100af, and that to 00b0.
        assert_eq!(packet[36..38], [0xff, 0x4f]);
        let once = packet;
        finish(&mut packet);
        assert_eq!(packet, once);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes: Vec<u8>) {
            finish(&mut bytes);
        }

        #[test]
        fn a_receiver_finds_nothing_wrong(payload in prop::collection::vec(any::<u8>(), 20..1480)) {
            let total = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
            let mut packet = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, TCP, 0, 0];
            packet.extend([10, 0, 0, 1, 10, 0, 0, 2]);
            packet.extend(&payload);
            finish(&mut packet);
            let mut all = sum(&packet[12..]) + u32::from(TCP) + u32::try_from(payload.len()).unwrap();
            while all > 0xffff {
                all = (all >> 16) + (all & 0xffff);
            }
            prop_assert_eq!(all, 0xffff);
        }
    }
}
