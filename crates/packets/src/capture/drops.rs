//! What the kernel says it has dropped, by `sock_diag(7)` (`linux/packet_diag.h`).
//!
//! `PACKET_STATISTICS`, the usual way, cannot be read by any crate without unsafe code.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;

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

    /// Returns how many packets `sockets` have lost together since they were made; `None` if the kernel
    /// does not tell of each.
    pub(crate) fn drops_of(&self, sockets: &[OwnedFd]) -> io::Result<Option<u64>> {
        let mut wanted = Vec::new();
        for socket in sockets {
            wanted.push(u32::try_from(rustix::fs::fstat(socket)?.st_ino).ok());
        }
        rustix::net::send(&self.kernel, &question(), SendFlags::empty())?;
        let mut answer = vec![0; ANSWER_LEN];
        let mut told = HashMap::new();
        // To its end: what is left would be taken for the answer to the next question.
        loop {
            let (length, _) = rustix::net::recv(&self.kernel, &mut answer, RecvFlags::empty())?;
            if is_last(answer.get(..length).unwrap_or_default(), &mut told) {
                break;
            }
        }
        Ok(wanted.into_iter().map(|inode| told.get(&inode?).copied()).sum())
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

/// Reads the rows of a datagram: drops by the inode of the socket. Returns true if there are no more,
/// or nothing that can be understood.
fn is_last(mut datagram: &[u8], told: &mut HashMap<u32, u64>) -> bool {
    if datagram.is_empty() {
        return true;
    }
    while let Some(length) = number(datagram, 0) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let kind = datagram.get(4..6).and_then(|kind| kind.first_chunk().copied());
        if length < HEADER_LEN || kind.map(u16::from_ne_bytes) != Some(BY_FAMILY) {
            return true; // NLMSG_DONE, or NLMSG_ERROR from a kernel that cannot be asked
        }
        let Some(row) = datagram.get(..length) else { return true };
        if let (Some(inode), Some(drops)) = (number(row, HEADER_LEN + 4), drops_of_row(row)) {
            told.insert(inode, drops);
        }
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    false
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
    fn the_drops_of_each_socket_are_found_and_the_end_of_the_answer() {
        let mut told = HashMap::new();
        let both = [row(7, 100), row(11, 3)].concat();
        assert!(!is_last(&both, &mut told), "there may be more");
        assert_eq!(told, HashMap::from([(7, 100), (11, 3)]));
        let mut done = row(13, 1);
        done[4] = 3;
        assert!(is_last(&[both, done].concat(), &mut told));
        assert_eq!(told.get(&13), None);
    }

    #[test]
    fn a_question_is_as_long_as_it_says() {
        assert_eq!(question().len(), QUESTION_LEN as usize);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = is_last(&bytes, &mut HashMap::new());
            let _ = drops_of_row(&bytes);
        }
    }
}
