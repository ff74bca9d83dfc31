//! A packet's bytes, read as a TCP segment. etherparse's types stay in this file.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::{LaxIpSlice, TcpHeaderSlice, ip_number};
use evidence::{Segment, SegmentFlags};
use thiserror::Error;

use crate::options;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// A VLAN's tag stands between Ethernet's header and IP (IEEE 802.1Q and 802.1ad).
const TAGS: [u16; 2] = [0x8100, 0x88a8];
const TAG_LEN: usize = 4;
const ETHERNET_LEN: usize = 14;
const COOKED_LEN: usize = 16;

/// What stands in front of a packet's IP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LinkLayer {
    /// Nothing, as TUN devices and `SOCK_DGRAM` packet sockets give it.
    Raw,
    /// Ethernet's header, with the tags of VLANs or without.
    Ethernet,
    /// The header that `tcpdump -i any` writes in the place of the device's own, in its first version.
    LinuxCooked,
}

impl LinkLayer {
    /// Its number in capture files (`LINKTYPE_RAW`, `LINKTYPE_ETHERNET`, `LINKTYPE_LINUX_SLL`).
    #[must_use]
    pub fn link_type(self) -> u16 {
        match self {
            Self::Raw => 101,
            Self::Ethernet => 1,
            Self::LinuxCooked => 113,
        }
    }
}

/// Why a packet is no TCP segment that could be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoSegment {
    /// Neither IPv4 nor IPv6, such as ARP.
    #[error("not an IP packet")]
    NotIp,
    /// IP that carries something else: UDP is 17, ICMP 1.
    #[error("IP protocol {protocol}, which is not TCP")]
    NotTcp {
        /// IP's number for what it carries.
        protocol: u8,
    },
    /// A piece of an IP packet: the lengths in its headers are not the segment's, and all pieces but
    /// the first have no TCP header. Pieces are not put together here.
    #[error("a fragment of an IP packet")]
    Fragment,
    /// The bytes end before the TCP header does.
    #[error("cut short before the end of its headers")]
    CutShort,
    /// The headers contradict themselves.
    #[error("malformed: {0}")]
    Malformed(&'static str),
}

/// Reads `bytes` as a TCP segment that was heard at `at` on the run's clock.
///
/// `bytes` may be the beginning of the packet alone, as long as the headers are there: `wire_len` is
/// how long all of it was, with what stands in front of its IP header. The lengths told are those
/// that the headers give, whatever was kept.
///
/// # Errors
/// [`NoSegment`], one variant for each reason. No bytes make it panic.
pub fn decode(
    at: Duration,
    link: LinkLayer,
    bytes: &[u8],
    wire_len: usize,
) -> Result<Segment, NoSegment> {
    let packet = ip_packet(link, bytes)?;
    let wire_len = wire_len.saturating_sub(bytes.len() - packet.len());
    let ip = IpHeader::read(packet, wire_len)?;
    let no_room = NoSegment::Malformed("an IP length without room for the TCP header");
    let tcp = TcpHeaderSlice::from_slice(ip.payload).map_err(|error| match error {
        etherparse::err::tcp::HeaderSliceError::Len(_) if ip.total > packet.len() => {
            NoSegment::CutShort
        }
        etherparse::err::tcp::HeaderSliceError::Len(_) => no_room,
        etherparse::err::tcp::HeaderSliceError::Content(_) => {
            NoSegment::Malformed("a TCP header shorter than 20 bytes")
        }
    })?;
    let tcp_len = tcp.slice().len();
    let payload = ip.total.checked_sub(ip.header_len + tcp_len).ok_or(no_room)?;
    let too_long = |_| NoSegment::Malformed("lengths beyond those of any packet");
    Ok(Segment {
        at,
        source: SocketAddr::new(ip.source, tcp.source_port()),
        destination: SocketAddr::new(ip.destination, tcp.destination_port()),
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        flags: flags(tcp.slice()),
        window: tcp.window_size(),
        urgent: tcp.urgent_pointer(),
        options: options::split(tcp.options()),
        payload_bytes: u32::try_from(payload).map_err(too_long)?,
        tcp_header_bytes: u16::try_from(tcp_len).map_err(too_long)?,
        ip_header_bytes: u16::try_from(ip.header_len).map_err(too_long)?,
    })
}

/// Returns what follows the link's header, if that says that it is IP.
pub(crate) fn ip_packet(link: LinkLayer, bytes: &[u8]) -> Result<&[u8], NoSegment> {
    let mut header_len = match link {
        LinkLayer::Raw => return Ok(bytes),
        LinkLayer::Ethernet => ETHERNET_LEN,
        LinkLayer::LinuxCooked => COOKED_LEN,
    };
    let kind = |end: usize| {
        let kind = bytes.get(end - 2..end).and_then(|kind| kind.first_chunk().copied());
        kind.map(u16::from_be_bytes).ok_or(NoSegment::CutShort)
    };
    while TAGS.contains(&kind(header_len)?) {
        header_len += TAG_LEN;
    }
    match kind(header_len)? {
        IPV4 | IPV6 => bytes.get(header_len..).ok_or(NoSegment::CutShort),
        _ => Err(NoSegment::NotIp),
    }
}

/// What the IP header says, extension headers included.
struct IpHeader<'a> {
    source: IpAddr,
    destination: IpAddr,
    header_len: usize,
    /// The length of the whole packet.
    total: usize,
    payload: &'a [u8],
}

impl<'a> IpHeader<'a> {
    fn read(packet: &'a [u8], wire_len: usize) -> Result<Self, NoSegment> {
        let version = packet.first().ok_or(NoSegment::CutShort)? >> 4;
        if version != 4 && version != 6 {
            return Err(NoSegment::NotIp);
        }
        let (ip, stopped) = LaxIpSlice::from_slice(packet).map_err(|error| match error {
            etherparse::err::ip::LaxHeaderSliceError::Len(_) => NoSegment::CutShort,
            etherparse::err::ip::LaxHeaderSliceError::Content(_) => {
                NoSegment::Malformed("an IP header shorter than it can be")
            }
        })?;
        let payload = ip.payload();
        if payload.fragmented {
            return Err(NoSegment::Fragment);
        }
        if stopped.is_some() {
            return Err(NoSegment::CutShort);
        }
        if payload.ip_number != ip_number::TCP {
            return Err(NoSegment::NotTcp { protocol: payload.ip_number.0 });
        }
        // A length of 0 is that of a packet longer than the field can tell (BIG TCP, before it is cut).
        let (header_len, told) = match &ip {
            LaxIpSlice::Ipv4(ip) => {
                let extensions = ip.extensions().auth.as_ref().map_or(0, |auth| auth.slice().len());
                (ip.header().slice().len() + extensions, usize::from(ip.header().total_len()))
            }
            LaxIpSlice::Ipv6(ip) => {
                let told = usize::from(ip.header().payload_length());
                let fixed = ip.header().slice().len();
                (fixed + ip.extensions().slice().len(), if told == 0 { 0 } else { fixed + told })
            }
        };
        let total = if told == 0 { wire_len } else { told };
        let (source, destination) = (ip.source_addr(), ip.destination_addr());
        Ok(Self { source, destination, header_len, total, payload: payload.payload })
    }
}

/// The nine control bits that have names.
fn flags(header: &[u8]) -> SegmentFlags {
    let bits = header.get(12..14).and_then(|bits| bits.first_chunk().copied());
    SegmentFlags::from_bits(bits.map_or(0, u16::from_be_bytes))
}

/// How many packets were read, and what they were: none is passed over in silence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacketCounts {
    /// TCP segments.
    pub segments: u64,
    /// Neither IPv4 nor IPv6.
    pub not_ip: u64,
    /// IP, but not TCP.
    pub not_tcp: u64,
    /// Fragments of IP packets.
    pub fragments: u64,
    /// Too little was kept, or there was too little.
    pub cut_short: u64,
    /// Headers that contradict themselves.
    pub malformed: u64,
}

impl PacketCounts {
    /// Counts one more packet.
    pub fn count(&mut self, decoded: &Result<Segment, NoSegment>) {
        let counter = match decoded {
            Ok(_) => &mut self.segments,
            Err(NoSegment::NotIp) => &mut self.not_ip,
            Err(NoSegment::NotTcp { .. }) => &mut self.not_tcp,
            Err(NoSegment::Fragment) => &mut self.fragments,
            Err(NoSegment::CutShort) => &mut self.cut_short,
            Err(NoSegment::Malformed(_)) => &mut self.malformed,
        };
        *counter += 1;
    }

    /// All packets together.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { segments, not_ip, not_tcp, fragments, cut_short, malformed } = self;
        segments + not_ip + not_tcp + fragments + cut_short + malformed
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
