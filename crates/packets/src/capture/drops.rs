//! What the kernel says it has dropped, by `sock_diag(7)` (`linux/packet_diag.h`).
//!
//! `PACKET_STATISTICS`, the usual way, cannot be read by any crate without unsafe code.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `SOCK_DIAG_BY_FAMILY`: a question, and a row of the answer.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_ALL: u16 = 0x001 | 0x300;
/// `AF_PACKET`.
const PACKET: u8 = 17;
/// `PACKET_SHOW_MEMINFO`.
const SHOW_MEMORY: u32 = 0x10;
/// `PACKET_DIAG_MEMINFO`.
const MEMORY: u16 = 6;
/// `SK_MEMINFO_DROPS`: the ninth number of it.
const DROPS: usize = 8 * 4;

const HEADER_LEN: usize = 16; // struct nlmsghdr
const ROW_LEN: usize = HEADER_LEN + 16; // and struct packet_diag_msg
const QUESTION_LEN: u32 = 36; // struct nlmsghdr, struct packet_diag_req
const ANSWER_LEN: usize = 64 * 1024;

/// Asks about packet sockets of the network in which it was made.
#[derive(Debug)]
pub(crate) struct DropWitness {
    kernel: OwnedFd,
}

impl DropWitness {
    pub(crate) fn here() -> io::Result<Self> {
        let kernel = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )?;
        rustix::net::connect(&kernel, &SocketAddrNetlink::new(0, 0))?;
        Ok(Self { kernel })
    }

    /// Returns how many packets `socket` has lost since it was made; `None` if the kernel does not
    /// tell.
    pub(crate) fn drops_of(&self, socket: impl AsFd) -> io::Result<Option<u64>> {
        let inode = rustix::fs::fstat(socket)?.st_ino;
        let Ok(inode) = u32::try_from(inode) else { return Ok(None) };
        rustix::net::send(&self.kernel, &question(), SendFlags::empty())?;
        let mut answer = vec![0; ANSWER_LEN];
        loop {
            let (length, _) = rustix::net::recv(&self.kernel, &mut answer, RecvFlags::empty())?;
            match drops_in(answer.get(..length).unwrap_or_default(), inode) {
                Rows::Told(drops) => return Ok(Some(drops)),
                Rows::More => {}
                Rows::End => return Ok(None),
            }
        }
    }
}

fn question() -> Vec<u8> {
    let mut question = Vec::new();
    question.extend(QUESTION_LEN.to_ne_bytes());
    question.extend(BY_FAMILY.to_ne_bytes());
    question.extend(REQUEST_ALL.to_ne_bytes());
    question.extend([0; 8]); // number, and who asks
    question.extend([PACKET, 0, 0, 0]);
    question.extend([0; 4]); // any inode: the kernel gives all
    question.extend(SHOW_MEMORY.to_ne_bytes());
    question.extend([0; 8]); // any cookie
    question
}

/// What a datagram of the answer comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rows {
    /// The socket is among them.
    Told(u64),
    /// It is not, and there are more.
    More,
    /// There are no more, or nothing that can be understood.
    End,
}

fn drops_in(mut datagram: &[u8], inode: u32) -> Rows {
    while let Some(length) = number(datagram, 0) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let kind = datagram.get(4..6).and_then(|kind| kind.first_chunk().copied());
        if length < HEADER_LEN || kind.map(u16::from_ne_bytes) != Some(BY_FAMILY) {
            return Rows::End; // NLMSG_DONE, or NLMSG_ERROR from a kernel that cannot be asked
        }
        let Some(row) = datagram.get(..length) else { return Rows::End };
        if number(row, HEADER_LEN + 4) == Some(inode) {
            return drops_of_row(row).map_or(Rows::End, Rows::Told);
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Rows::More
}

fn drops_of_row(row: &[u8]) -> Option<u64> {
    let mut attributes = row.get(ROW_LEN..)?;
    loop {
        let [a, b, c, d, ..] = attributes else { return None };
        let length = usize::from(u16::from_ne_bytes([*a, *b]));
        let value = attributes.get(4..length)?;
        if u16::from_ne_bytes([*c, *d]) == MEMORY {
            return number(value, DROPS).map(u64::from);
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn number(bytes: &[u8], start: usize) -> Option<u32> {
    bytes.get(start..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(inode: u32, drops: u32) -> Vec<u8> {
        let mut row = Vec::new();
        row.extend(76_u32.to_ne_bytes());
        row.extend(BY_FAMILY.to_ne_bytes());
        row.extend([0; 10]);
        row.extend([PACKET, 2, 0, 3]);
        row.extend(inode.to_ne_bytes());
        row.extend([0; 8]);
        row.extend([8, 0, 5, 0, 0, 0, 0, 0]); // an attribute that nobody asked for
        row.extend([36, 0]); // 4 and eight numbers ...
        row.extend(MEMORY.to_ne_bytes());
        row.extend([0; 32]);
        row.extend(drops.to_ne_bytes()); // ... and the ninth
        let memory = row.len() - 40;
        row[memory] = 40;
        let length = u32::try_from(row.len()).unwrap();
        row[..4].copy_from_slice(&length.to_ne_bytes());
        row
    }

    #[test]
    fn the_drops_of_the_one_socket_are_found_among_those_of_others() {
        let both = [row(7, 100), row(11, 3)].concat();
        assert_eq!(drops_in(&both, 11), Rows::Told(3));
        assert_eq!(drops_in(&both, 13), Rows::More);
        let mut done = row(7, 1);
        done[4] = 3;
        assert_eq!(drops_in(&done, 7), Rows::End);
    }

    #[test]
    fn a_question_is_as_long_as_it_says() {
        assert_eq!(question().len(), QUESTION_LEN as usize);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, inode: u32) {
            let _ = drops_in(&bytes, inode);
            let _ = drops_of_row(&bytes);
        }
    }
}
