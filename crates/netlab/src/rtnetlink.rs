//! The words of `rtnetlink(7)`: the requests for a change of an interface, and what the answer to
//! one means.
//!
//! Bytes in, values out; the socket that carries them is `linux.rs`'s business. All numbers are in
//! the byte order of this machine. The layouts are those of `linux/netlink.h` and
//! `linux/rtnetlink.h`.

use thiserror::Error;

/// `LOOPBACK_IFINDEX`: in every network, the loopback interface is the first.
pub(crate) const LOOPBACK: u32 = 1;

/// `NLMSG_ERROR`: what a request came to; error number 0 is an acknowledgement.
const OUTCOME: u16 = 2;
/// `RTM_NEWLINK`: make an interface, or change one.
const NEW_LINK: u16 = 16;
/// `NLM_F_REQUEST | NLM_F_ACK`: the kernel answers even if all is well.
const REQUEST_ACK: u16 = 0x001 | 0x004;
/// `IFF_UP`.
const UP: u32 = 1;

/// `IFLA_TXQLEN`: how many packets may wait to be sent.
const QUEUE_LENGTH: u16 = 13;

const MESSAGE_LEN: u32 = 32; // struct nlmsghdr, struct ifinfomsg

/// Asks for the interface with this number to be brought up.
pub(crate) fn bring_up(interface: u32, sequence: u32) -> Vec<u8> {
    change(interface, UP, &[], sequence)
}

/// Asks for room for so many packets that wait to be sent through the interface.
pub(crate) fn queue_of(interface: u32, packets: u32, sequence: u32) -> Vec<u8> {
    let mut attribute = Vec::new();
    attribute.extend(8_u16.to_ne_bytes()); // struct rtattr with its four bytes
    attribute.extend(QUEUE_LENGTH.to_ne_bytes());
    attribute.extend(packets.to_ne_bytes());
    change(interface, 0, &attribute, sequence)
}

/// Asks for the interface to have these flags beside those that it has, and these attributes.
fn change(interface: u32, flags: u32, attributes: &[u8], sequence: u32) -> Vec<u8> {
    let mut message = Vec::new();
    let length = MESSAGE_LEN.saturating_add(u32::try_from(attributes.len()).unwrap_or(0));
    message.extend(length.to_ne_bytes());
    message.extend(NEW_LINK.to_ne_bytes());
    message.extend(REQUEST_ACK.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend([0; 4]); // the kernel fills in who asks
    message.extend([0; 4]); // any address family, padding, any type
    message.extend(interface.to_ne_bytes());
    message.extend(flags.to_ne_bytes()); // how its flags are to be ...
    message.extend(flags.to_ne_bytes()); // ... and which of them this is about
    message.extend(attributes);
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
        assert_eq!(request[20..24], 1_u32.to_ne_bytes(), "the interface");
        assert_eq!(request[24..28], request[28..], "it changes the flag that it sets");
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
        }
    }
}
