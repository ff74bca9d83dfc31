//! The far host is every host: any name leads to it, any address is its own, any port is open.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use netlab::{CableLaw, Fate, HostEnd, Parcel, Passing};

use crate::names::NameAnswers;

/// The port of name servers.
pub(crate) const NAMES: u16 = 53;
pub(crate) const UDP: u8 = 17;
pub(crate) const TCP: u8 = 6;
const UDP_HEADER: usize = 8;

/// Opens a port of the far host. When it returns, somebody listens there.
pub type PortOpener = Box<dyn FnMut(u16) + Send>;

/// A law by which the cable answers questions for names itself, and opens a port of the far host
/// before the first SYN for it arrives.
pub struct EverywhereLaw {
    names: NameAnswers,
    open: HashSet<u16>,
    opener: PortOpener,
}

impl EverywhereLaw {
    /// A law that opens ports with `opener`, and answers with `names`.
    #[must_use]
    pub fn new(opener: PortOpener, names: NameAnswers) -> Self {
        Self { names, open: HashSet::new(), opener }
    }
}

impl CableLaw for EverywhereLaw {
    fn decide(&mut self, packet: &Passing<'_>) -> Fate {
        if packet.from != HostEnd::Client {
            return Fate::Pass;
        }
        let Some(header) = IpHeader::of(packet.bytes) else { return Fate::Pass };
        match header.protocol {
            TCP => {
                if let Some(port) = header.dialled_port()
                    && self.open.insert(port)
                {
                    (self.opener)(port);
                }
                Fate::Pass
            }
            UDP => {
                let answer = header.udp_to(NAMES).and_then(|query| self.names.answer(query));
                match answer.and_then(|answer| header.udp_answer(&answer)) {
                    Some(bytes) => {
                        let parcel = Parcel { to: HostEnd::Client, bytes, hold: Duration::ZERO };
                        Fate::Replace(vec![parcel])
                    }
                    None => Fate::Pass,
                }
            }
            _ => Fate::Pass,
        }
    }
}

/// The header of an IPv4 packet that is no fragment, and what is behind it.
pub(crate) struct IpHeader<'a> {
    pub(crate) protocol: u8,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
    behind: &'a [u8],
}

impl<'a> IpHeader<'a> {
    pub(crate) fn of(packet: &'a [u8]) -> Option<Self> {
        let first = *packet.first()?;
        let length = usize::from(first & 0xf) * 4;
        let is_whole = packet.get(6)? & 0x3f == 0 && *packet.get(7)? == 0;
        if first >> 4 != 4 || length < 20 || !is_whole {
            return None;
        }
        let address = |from: usize| {
            let octets: [u8; 4] = packet.get(from..from + 4)?.try_into().ok()?;
            Some(Ipv4Addr::from(octets))
        };
        Some(Self {
            protocol: *packet.get(9)?,
            source: address(12)?,
            destination: address(16)?,
            behind: packet.get(length..)?,
        })
    }

    pub(crate) fn port(&self, from: usize) -> Option<u16> {
        Some(u16::from_be_bytes(self.behind.get(from..from + 2)?.try_into().ok()?))
    }

    /// The port that a SYN dials; `None` if it is none.
    pub(crate) fn dialled_port(&self) -> Option<u16> {
        const SYN_AND_ACK: u8 = 0x12;
        const SYN: u8 = 0x02;
        (*self.behind.get(13)? & SYN_AND_ACK == SYN).then(|| self.port(2)).flatten()
    }

    /// The data of a UDP datagram to this port.
    pub(crate) fn udp_to(&self, port: u16) -> Option<&'a [u8]> {
        let length = usize::from(self.port(4)?);
        (self.port(2)? == port).then(|| self.behind.get(UDP_HEADER..length)).flatten()
    }

    /// A packet of ICMP that says that the host which `packet` is for cannot be reached (RFC 792), as
    /// from that host.
    pub(crate) fn unreachable(&self, packet: &[u8]) -> Vec<u8> {
        const ICMP: u8 = 1;
        // Of the packet its header and eight bytes go back.
        let quoted = packet.len() - self.behind.len() + 8;
        let quoted = packet.get(..quoted).unwrap_or(packet);
        let mut message = vec![3, 1, 0, 0, 0, 0, 0, 0];
        message.extend(quoted);
        let sum = checksum(&message);
        message.splice(2..4, sum.to_be_bytes());
        let total = u16::try_from(20 + message.len()).unwrap_or(u16::MAX);
        let mut back = vec![0x45, 0];
        back.extend(total.to_be_bytes());
        back.extend([0, 0, 0, 0, 64, ICMP, 0, 0]);
        back.extend(self.destination.octets());
        back.extend(self.source.octets());
        let sum = checksum(&back);
        back.splice(10..12, sum.to_be_bytes());
        back.extend(message);
        back
    }

    /// A packet with a datagram that answers this one.
    pub(crate) fn udp_answer(&self, data: &[u8]) -> Option<Vec<u8>> {
        let udp = u16::try_from(UDP_HEADER + data.len()).ok()?;
        let total = udp.checked_add(20)?;
        let mut packet = vec![0x45, 0];
        packet.extend(total.to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]); // no fragment, 64 hops, checksum to come
        packet.extend(self.destination.octets());
        packet.extend(self.source.octets());
        let checksum = checksum(&packet);
        packet.get_mut(10..12)?.copy_from_slice(&checksum.to_be_bytes());
        packet.extend(self.port(2)?.to_be_bytes());
        packet.extend(self.port(0)?.to_be_bytes());
        packet.extend(udp.to_be_bytes());
        packet.extend([0, 0]); // over IPv4 a datagram may do without a checksum (RFC 768)
        packet.extend(data);
        Some(packet)
    }
}

/// The checksum of an IP header in which its place is zero (RFC 1071).
fn checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2).map(|two| match two {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        rest => u32::from(rest.first().copied().unwrap_or_default()) << 8,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use proptest::prelude::*;

    use super::*;

    fn passing(bytes: &[u8]) -> Passing<'_> {
        Passing { number: 1, from: HostEnd::Client, at: Instant::now(), bytes }
    }

    fn law() -> (EverywhereLaw, Arc<Mutex<Vec<u16>>>) {
        let opened = Arc::new(Mutex::new(Vec::new()));
        let ports = Arc::clone(&opened);
        (
            EverywhereLaw::new(
                Box::new(move |port| ports.lock().unwrap().push(port)),
                NameAnswers::default(),
            ),
            opened,
        )
    }

    fn packet(protocol: u8, behind: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
        packet.extend([10, 0, 0, 1, 192, 0, 2, 7]);
        packet.extend(behind);
        packet
    }

    #[test]
    fn a_port_is_opened_before_its_first_syn_and_once() {
        let (mut law, opened) = law();
        let mut segment = [0; 20];
        segment[2..4].copy_from_slice(&8443_u16.to_be_bytes());
        for flags in [0x02, 0x10, 0x02, 0x12] {
            segment[13] = flags;
            assert_eq!(law.decide(&passing(&packet(TCP, &segment))), Fate::Pass);
        }
        assert_eq!(*opened.lock().unwrap(), [8443]);
    }

    #[test]
    fn a_question_for_a_name_is_answered_by_whom_it_was_put_to() {
        let (mut law, _) = law();
        let query = [&[7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, b'a', 0][..], &ADDRESS].concat();
        let mut datagram = vec![0x9c, 0x40, 0, 53, 0, 8 + query.len() as u8, 0, 0];
        datagram.extend(&query);
        let Fate::Replace(parcels) = law.decide(&passing(&packet(UDP, &datagram))) else {
            panic!("it was not answered")
        };
        let [parcel] = parcels.as_slice() else { panic!("{parcels:?}") };
        assert_eq!(parcel.to, HostEnd::Client);
        assert_eq!(parcel.bytes[12..20], [192, 0, 2, 7, 10, 0, 0, 1]);
        assert_eq!(checksum(&parcel.bytes[..20]), 0, "the sum with its checksum is all ones");
        assert_eq!(parcel.bytes[20..24], [0, 53, 0x9c, 0x40]);
        assert!(parcel.bytes.ends_with(&[10, 64, 0, 1]));
    }

    const ADDRESS: [u8; 4] = [0, 1, 0, 1];

    #[test]
    fn what_cannot_be_reached_is_told_with_the_packet_that_was_for_it() {
        let syn = packet(TCP, &[7; 20]);
        let back = IpHeader::of(&syn).unwrap().unreachable(&syn);
        assert_eq!((back[9], back[20], back[21]), (1, 3, 1));
        assert_eq!(back[28..], syn[..28]);
        assert_eq!((checksum(&back[..20]), checksum(&back[20..])), (0, 0));
    }

    proptest! {
        #[test]
        fn no_packet_makes_it_panic(bytes: Vec<u8>, behind: Vec<u8>, protocol in 0..20_u8) {
            let (mut law, _) = law();
            law.decide(&passing(&bytes));
            law.decide(&passing(&packet(protocol, &behind)));
        }
    }
}
