//! Many packets with one call.

use std::io::{self, IoSliceMut};
use std::os::fd::AsRawFd;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, LinkAddr, MsgFlags, MultiHeaders, RecvMsg, recvmmsg};
use nix::sys::time::TimeSpec;

use super::store::{PacketHead, PacketStore};
use crate::capture::filter::OUTGOING;

/// So many packets are read with one call. There is room for the longest of each, most of which no
/// packet fills: so the system never has to provide it.
pub(super) const MOST: usize = 64;

/// Room for what is read with one call.
pub(super) struct ReadBatch {
    bytes: Vec<u8>,
    /// How many bytes of each packet are kept.
    keep: usize,
}

impl ReadBatch {
    /// Room for packets of which `keep` bytes are kept.
    pub(super) fn new(keep: usize) -> Self {
        let keep = keep.max(1);
        Self { bytes: vec![0; keep * MOST], keep }
    }

    /// Reads packets, as many as there are, [`MOST`] at the most, and returns how many: if fewer, there
    /// were no more.
    pub(super) fn read(
        &mut self,
        socket: &impl AsRawFd,
        store: &mut PacketStore,
    ) -> io::Result<usize> {
        let (bytes, keep) = (&mut self.bytes, self.keep);
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            bytes.chunks_exact_mut(keep).map(|room| [IoSliceMut::new(room)]).collect();
        // Made anew for each call: the kernel writes into them how much of them it has used.
        let about = nix::cmsg_space!(TimeSpec, u32);
        let mut headers = MultiHeaders::<LinkAddr>::preallocate(slices.len(), Some(about));
        let fd = socket.as_raw_fd();
        // MSG_TRUNC: the length is the packet's, however much of it there is room for. The socket does
        // not wait, so that no signal interrupts the call.
        let received = recvmmsg(fd, &mut headers, slices.iter_mut(), MsgFlags::MSG_TRUNC, None);
        let received = match received {
            Err(Errno::EAGAIN) => return Ok(0),
            other => other?,
        };
        let mut count = 0;
        for message in received {
            put(&message, store)?;
            count += 1;
        }
        Ok(count)
    }
}

fn put(message: &RecvMsg<'_, '_, LinkAddr>, store: &mut PacketStore) -> io::Result<()> {
    let (mut at, mut dropped) = (None, None);
    for about in message.cmsgs()? {
        match about {
            ControlMessageOwned::ScmTimestampns(time) => at = Some(time.into()),
            ControlMessageOwned::RxqOvfl(drops) => dropped = Some(drops),
            _ => {}
        }
    }
    let no_time = || io::Error::new(io::ErrorKind::InvalidData, "it has no time stamp");
    let from = message.address;
    let head = PacketHead {
        at: at.ok_or_else(no_time)?,
        outgoing: from.is_some_and(|from| from.pkttype() == OUTGOING),
        interface: from.and_then(|from| u32::try_from(from.ifindex()).ok()).unwrap_or_default(),
        wire_len: message.bytes,
        dropped,
    };
    store.push(head, message.iovs().next().unwrap_or_default());
    Ok(())
}
