//! A listing of all TCP sockets at the kernel's own price: asked for, received, not looked at.
#![allow(unreachable_pub, reason = "benches include it")]

use rustix::buffer::spare_capacity;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};

/// `AF_INET` and `AF_INET6`.
const FAMILIES: [u8; 2] = [2, 10];
const DATAGRAM_LEN: usize = 32 * 1024;
/// `NLMSG_DONE`, the kind of the message that ends a dump.
const DONE: u16 = 3;

/// Asks what a snapshot asks; returns how many bytes came.
pub fn bare_dump() -> usize {
    FAMILIES.into_iter().map(bare_dump_of).sum()
}

fn bare_dump_of(family: u8) -> usize {
    let domain = AddressFamily::NETLINK;
    let socket = rustix::net::socket(domain, SocketType::RAW, Some(netlink::SOCK_DIAG)).unwrap();
    rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0)).unwrap();
    rustix::net::send(&socket, &question(family), SendFlags::empty()).unwrap();
    let mut datagram = Vec::with_capacity(DATAGRAM_LEN);
    let mut bytes = 0;
    loop {
        datagram.clear();
        let flags = RecvFlags::empty();
        bytes += rustix::net::recv(&socket, spare_capacity(&mut datagram), flags).unwrap().0;
        // The end comes in a datagram of its own.
        if u16::from_ne_bytes([datagram[4], datagram[5]]) == DONE {
            return bytes;
        }
    }
}

/// `struct nlmsghdr`, `struct inet_diag_req_v2`: every state but `TCP_BOUND_INACTIVE`.
fn question(family: u8) -> Vec<u8> {
    const LEN: u32 = 16 + 56;
    const BY_FAMILY: u16 = 20;
    const REQUEST_DUMP: u16 = 0x301;
    const IPPROTO_TCP: u8 = 6;
    const STATES: u32 = 0b1_1111_1111_1110;
    let mut question = LEN.to_ne_bytes().to_vec();
    question.extend(BY_FAMILY.to_ne_bytes());
    question.extend(REQUEST_DUMP.to_ne_bytes());
    question.extend([0; 8]); // the number of the question, and who asks
    question.extend([family, IPPROTO_TCP, 0, 0]);
    question.extend(STATES.to_ne_bytes());
    question.extend([0; 48]);
    question
}
