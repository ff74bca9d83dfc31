//! The words of `rtnetlink(7)`: the requests for a change of an interface, and what the answer to
//! one means.
//!
//! Bytes in, values out; the socket that carries them is `linux.rs`'s business. All numbers are in
//! the byte order of this machine. The layouts are those of `linux/netlink.h` and
//! `linux/rtnetlink.h`.

use std::net::Ipv4Addr;

use thiserror::Error;

/// `LOOPBACK_IFINDEX`: in every network, the loopback interface is the first.
pub(crate) const LOOPBACK: u32 = 1;

/// `NLMSG_ERROR`: what a request came to; error number 0 is an acknowledgement.
const OUTCOME: u16 = 2;
/// `RTM_NEWLINK`: make an interface, change one, or: this is how it is.
const NEW_LINK: u16 = 16;
/// `RTM_GETLINK`: tell how an interface is.
const GET_LINK: u16 = 18;
/// `RTM_NEWROUTE`: add a way to a network.
const NEW_ROUTE: u16 = 24;
/// `RTM_NEWADDR`: give an interface an address.
const NEW_ADDRESS: u16 = 20;
/// `NLM_F_CREATE`.
const CREATE: u16 = 0x400;
/// `NLM_F_EXCL`: what is there already is an error.
const ALONE: u16 = 0x200;
/// `RTA_OIF`: the interface that a way leads through.
const ROUTE_INTERFACE: u16 = 4;
/// `AF_INET`.
const IPV4: u8 = 2;
/// `RT_TABLE_MAIN`.
const MAIN_TABLE: u8 = 254;
/// `RTPROT_BOOT`: as if somebody had typed it.
const TYPED: u8 = 3;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 0x001;
/// `NLM_F_ACK`: the kernel answers even if all is well.
const ACK: u16 = 0x004;
/// `IFF_UP`.
const UP: u32 = 1;
/// `IFF_NOARP`.
const NO_ARP: u32 = 0x80;
/// `IFLA_MTU`.
const MTU: u16 = 4;
/// `IFLA_GSO_MAX_SEGS`.
const GSO_MAX_SEGS: u16 = 40;

/// `IFLA_TXQLEN`: how many packets may wait to be sent.
const QUEUE_LENGTH: u16 = 13;

const HEADERS_LEN: usize = 32; // struct nlmsghdr, struct ifinfomsg
const ATTRIBUTE_LEN: usize = 8; // struct rtattr, and the number that it is about

/// How an interface cuts what is sent through it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PacketLimits {
    /// The longest IP packet, in bytes.
    pub(crate) mtu: Option<u32>,
    /// How many segments may be handed over as one, to be cut by the device or never.
    pub(crate) segments: Option<u32>,
}

impl PacketLimits {
    /// Ethernet's packets, each handed over on its own.
    pub(crate) const AS_ON_A_WIRE: Self = Self { mtu: Some(1500), segments: Some(1) };
}

/// Asks for the interface with this number to be brought up.
pub(crate) fn bring_up(interface: u32, sequence: u32) -> Vec<u8> {
    request(NEW_LINK, REQUEST | ACK, interface, UP, &[], sequence)
}

/// Asks for the interface with this number to cut packets like this.
pub(crate) fn limit(interface: u32, limits: PacketLimits, sequence: u32) -> Vec<u8> {
    let PacketLimits { mtu, segments } = limits;
    let attributes = [(MTU, mtu), (GSO_MAX_SEGS, segments)];
    let attributes: Vec<(u16, u32)> =
        attributes.into_iter().filter_map(|(kind, value)| Some((kind, value?))).collect();
    request(NEW_LINK, REQUEST | ACK, interface, 0, &attributes, sequence)
}

/// Asks for room for so many packets that wait to be sent through the interface with this number.
pub(crate) fn queue_of(interface: u32, packets: u32, sequence: u32) -> Vec<u8> {
    request(NEW_LINK, REQUEST | ACK, interface, 0, &[(QUEUE_LENGTH, packets)], sequence)
}

/// What becomes of a packet to an IPv4 address for which there is no other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DefaultWay {
    /// It leaves through the interface.
    Out,
    /// It is this host's own: every address is.
    Home,
}

/// Asks for a way to every IPv4 address through the interface with this number, behind all other ways.
pub(crate) fn default_way(way: DefaultWay, interface: u32, sequence: u32) -> Vec<u8> {
    let (scope, kind) = match way {
        DefaultWay::Out => (253, 1),  // RT_SCOPE_LINK, RTN_UNICAST
        DefaultWay::Home => (254, 2), // RT_SCOPE_HOST, RTN_LOCAL
    };
    let len = 16 + 12 + ATTRIBUTE_LEN; // struct nlmsghdr, struct rtmsg
    let mut message = Vec::with_capacity(len);
    message.extend(u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(NEW_ROUTE.to_ne_bytes());
    message.extend((REQUEST | ACK | CREATE).to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]); // the kernel fills in who asks
    message.extend([IPV4, 0, 0, 0]); // to and from any address, any type of service
    message.extend([MAIN_TABLE, TYPED, scope, kind]);
    message.extend([0; 4]); // no flags
    message.extend((ATTRIBUTE_LEN as u16).to_ne_bytes());
    message.extend(ROUTE_INTERFACE.to_ne_bytes());
    message.extend(interface.to_ne_bytes());
    message
}

/// Asks for a pair of virtual Ethernet devices with these names.
pub(crate) fn pair(name: &str, peer: &str, sequence: u32) -> Vec<u8> {
    // IFLA_IFNAME, struct ifinfomsg, VETH_INFO_PEER
    let named = |name: &str| attribute(3, &[name.as_bytes(), &[0]].concat());
    let peer = attribute(1, &[vec![0; 16], named(peer)].concat());
    // IFLA_INFO_KIND, IFLA_INFO_DATA, IFLA_LINKINFO
    let info = attribute(18, &[attribute(1, b"veth\0"), attribute(2, &peer)].concat());
    message(NEW_LINK, &[vec![0; 16], named(name), info].concat(), sequence)
}

/// Asks for this IPv4 address at the interface with this number, in a network of so many bits.
pub(crate) fn address(interface: u32, address: Ipv4Addr, prefix: u8, sequence: u32) -> Vec<u8> {
    let index = interface.to_ne_bytes();
    // IFA_ADDRESS, IFA_LOCAL
    let both = [1, 2].map(|kind| attribute(kind, &address.octets())).concat();
    message(NEW_ADDRESS, &[&[IPV4, prefix, 0, 0], &index[..], &both].concat(), sequence)
}

/// Asks for the interface with this number to be brought up, and to take every neighbour for known.
pub(crate) fn bring_up_without_arp(interface: u32, sequence: u32) -> Vec<u8> {
    request(NEW_LINK, REQUEST | ACK, interface, UP | NO_ARP, &[], sequence)
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let len = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let mut attribute = [len.to_ne_bytes(), kind.to_ne_bytes()].concat();
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// A request that makes something.
fn message(kind: u16, body: &[u8], sequence: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend(u32::try_from(16 + body.len()).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((REQUEST | ACK | CREATE | ALONE).to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]); // the kernel fills in who asks
    message.extend(body);
    message
}

/// Asks how the interface with this number is.
pub(crate) fn look(interface: u32, sequence: u32) -> Vec<u8> {
    request(GET_LINK, REQUEST, interface, 0, &[], sequence)
}

fn request(
    kind: u16,
    flags: u16,
    interface: u32,
    set: u32,
    attributes: &[(u16, u32)],
    sequence: u32,
) -> Vec<u8> {
    let len = HEADERS_LEN + attributes.len() * ATTRIBUTE_LEN;
    let mut message = Vec::with_capacity(len);
    message.extend(u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]); // the kernel fills in who asks
    message.extend([0; 4]); // any address family, padding, any type
    message.extend(interface.to_ne_bytes());
    message.extend(set.to_ne_bytes()); // how its flags are to be ...
    message.extend(set.to_ne_bytes()); // ... and which of them this is about
    for (kind, value) in attributes {
        message.extend((ATTRIBUTE_LEN as u16).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(value.to_ne_bytes());
    }
    message
}

/// An answer that does not have the kernel's own layout; the words say where it departs from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the kernel's answer {0}")]
pub(crate) struct MalformedAck(&'static str);

/// Returns what the request with number `sequence` came to: 0, or an error number.
pub(crate) fn outcome(datagram: &[u8], sequence: u32) -> Result<i32, MalformedAck> {
    let cut = MalformedAck("is cut short");
    let kind = array(datagram, 4).map(u16::from_ne_bytes).ok_or(cut)?;
    let answers = array(datagram, 8).map(u32::from_ne_bytes).ok_or(cut)?;
    let negated = array(datagram, 16).map(i32::from_ne_bytes).ok_or(cut)?;
    if kind != OUTCOME {
        return Err(MalformedAck("is no acknowledgement"));
    }
    if answers != sequence {
        return Err(MalformedAck("belongs to another request"));
    }
    Ok(negated.saturating_neg())
}

/// Returns how the interface cuts packets, as the answer to the request with number `sequence` tells.
/// What it does not tell is `None`: an old kernel does not have it.
pub(crate) fn limits(datagram: &[u8], sequence: u32) -> Result<PacketLimits, MalformedAck> {
    let cut = MalformedAck("is cut short");
    let len = array(datagram, 0).map(u32::from_ne_bytes).ok_or(cut)?;
    if array(datagram, 4).map(u16::from_ne_bytes) != Some(NEW_LINK) {
        return Err(MalformedAck("is not about an interface"));
    }
    if array(datagram, 8).map(u32::from_ne_bytes) != Some(sequence) {
        return Err(MalformedAck("belongs to another request"));
    }
    let end = usize::try_from(len).map_err(|_| cut)?;
    let mut rest = datagram.get(HEADERS_LEN..end).ok_or(cut)?;
    let mut limits = PacketLimits::default();
    while !rest.is_empty() {
        let len = array(rest, 0).map(u16::from_ne_bytes).map(usize::from).ok_or(cut)?;
        let kind = array(rest, 2).map(u16::from_ne_bytes).ok_or(cut)?;
        let value = rest.get(4..len).ok_or(MalformedAck("has an attribute of no length"))?;
        let number = array(value, 0).map(u32::from_ne_bytes);
        match kind {
            MTU => limits.mtu = number,
            GSO_MAX_SEGS => limits.segments = number,
            _ => {}
        }
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(limits)
}

/// The `N` bytes from `start` on.
fn array<const N: usize>(bytes: &[u8], start: usize) -> Option<[u8; N]> {
    bytes.get(start..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Returns what the kernel answers: a header, an error number, the header of the request.
    fn answer(kind: u16, sequence: u32, errno: i32) -> Vec<u8> {
        let mut answer = 36_u32.to_ne_bytes().to_vec();
        answer.extend(kind.to_ne_bytes());
        answer.extend([0; 2]);
        answer.extend(sequence.to_ne_bytes());
        answer.extend([0; 4]);
        answer.extend(errno.to_ne_bytes());
        answer.extend(bring_up(LOOPBACK, sequence).get(..16).unwrap());
        answer
    }

    #[test]
    fn a_request_is_as_long_as_it_says() {
        let request = bring_up(LOOPBACK, 7);
        assert_eq!(request.len(), 32);
        assert_eq!(request[..4], 32_u32.to_ne_bytes());
        assert_eq!(limit(LOOPBACK, PacketLimits::AS_ON_A_WIRE, 7)[..4], 48_u32.to_ne_bytes());
        assert_eq!(request[20..24], 1_u32.to_ne_bytes(), "the interface");
        assert_eq!(request[24..28], request[28..], "it changes the flag that it sets");
    }

    #[test]
    fn a_way_is_asked_for_in_the_layout_of_a_route() {
        let home = default_way(DefaultWay::Home, LOOPBACK, 7);
        assert_eq!(home.len(), 36);
        assert_eq!(home[..4], 36_u32.to_ne_bytes());
        assert_eq!(home[16..24], [2, 0, 0, 0, 254, 3, 254, 2]);
        assert_eq!(home[32..], LOOPBACK.to_ne_bytes());
    }

    #[test]
    fn attributes_lie_in_each_other_and_begin_at_multiples_of_four() {
        let pair = pair("cable0", "wire0", 7);
        assert_eq!(pair.len() % 4, 0);
        assert_eq!(pair[..4], u32::try_from(pair.len()).unwrap().to_ne_bytes());
        // Header 32, name 12; then its kind in 12, its data in 4 with the peer in 4, 16 and 12.
        assert_eq!(pair.len(), 32 + 12 + 4 + 12 + 4 + 4 + 16 + 12);
        let address = address(5, Ipv4Addr::new(10, 0, 0, 1), 24, 7);
        assert_eq!(address.len(), 16 + 8 + 2 * 8);
        assert_eq!(address[16..20], [2, 24, 0, 0]);
        assert_eq!(address[28..32], [10, 0, 0, 1]);
    }

    #[test]
    fn an_attribute_belongs_to_the_length() {
        let request = queue_of(5, 65_536, 7);
        assert_eq!(request.len(), 40);
        assert_eq!(request[..4], 40_u32.to_ne_bytes());
        assert_eq!(request[24..32], [0; 8], "it changes no flag");
        assert_eq!(request[36..], 65_536_u32.to_ne_bytes());
    }

    #[test]
    fn what_is_asked_of_an_interface_is_read_back_in_the_same_layout() {
        let asked = PacketLimits::AS_ON_A_WIRE;
        assert_eq!(limits(&limit(LOOPBACK, asked, 7), 7), Ok(asked));
        assert_eq!(limits(&bring_up(LOOPBACK, 7), 7), Ok(PacketLimits::default()));
        assert!(limits(&limit(LOOPBACK, asked, 7), 8).is_err());
        assert!(limits(&look(LOOPBACK, 7), 7).is_err(), "a question is no answer");
    }

    #[test]
    fn zero_is_an_acknowledgement_and_anything_else_the_kernel_s_reason() {
        assert_eq!(outcome(&answer(2, 7, 0), 7), Ok(0));
        assert_eq!(outcome(&answer(2, 7, -1), 7), Ok(1));
    }

    #[test]
    fn what_is_no_answer_to_the_request_is_none() {
        assert_eq!(outcome(&answer(3, 7, 0), 7), Err(MalformedAck("is no acknowledgement")));
        assert_eq!(outcome(&answer(2, 8, 0), 7), Err(MalformedAck("belongs to another request")));
        assert_eq!(outcome(&answer(2, 7, 0)[..19], 7), Err(MalformedAck("is cut short")));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, sequence: u32) {
            let _ = outcome(&bytes, sequence);
            let _ = limits(&bytes, sequence);
        }
    }
}
