//! One record of `sock:sock_send_length` or `sock:sock_recv_length`: a process has handed bytes to
//! a socket, or taken some from it. The kernel tells it when the call is over.
//!
//! Not told are bytes that leave a socket by `splice(2)` or that a process has mapped into its own
//! memory (`TCP_ZEROCOPY_RECEIVE`). `sendfile(2)` into a socket is told.

use std::time::Duration;

use super::record::{TCP, bytes, field, id};
use super::tracefs::Event;

const SEND: &str = "events/sock/sock_send_length";
const RECEIVE: &str = "events/sock/sock_recv_length";
/// `MSG_PEEK`: looked at and not taken. `MSG_ERRQUEUE`: what the kernel reports of earlier sends.
const NOT_TAKEN: i32 = 0x2 | 0x2000;

/// The events, and which of their records are wanted. The kernel cannot be asked for ports here:
/// the records have none.
pub(crate) fn events() -> [Event; 2] {
    [
        Event { path: SEND, filter: "protocol==6 && ret>0".to_owned() },
        Event { path: RECEIVE, filter: format!("protocol==6 && ret>0 && !(flags & {NOT_TAKEN})") },
    ]
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From a process to its socket.
    Written,
    /// From a socket to its process.
    Read,
}

/// One call that has moved bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    /// When the call was over.
    pub(crate) at: Duration,
    /// Where the kernel keeps the socket: the name that a change calls it by, too.
    pub(crate) kernel_address: u64,
    pub(crate) way: Way,
    pub(crate) bytes: u64,
}

/// Where the fields of both events begin, as their `format` files tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    send: Fields,
    receive: Fields,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    id: u16,
    sk: usize,
    protocol: usize,
    ret: usize,
    flags: usize,
}

impl Layout {
    /// Reads the `format` files, which `format` gives by the path of the event. `None` if a field
    /// is missing or has another size.
    ///
    /// # Errors
    /// Those of `format`.
    pub(crate) fn read<E>(format: impl Fn(&str) -> Result<String, E>) -> Result<Option<Self>, E> {
        let (send, receive) = (Fields::read(&format(SEND)?), Fields::read(&format(RECEIVE)?));
        Ok(send.zip(receive).map(|(send, receive)| Self { send, receive }))
    }

    /// Reads a record. `None` if it tells of no bytes that went from or to a process.
    pub(crate) fn transfer(&self, at: Duration, record: &[u8]) -> Option<Transfer> {
        let number = u16::from_ne_bytes(bytes(record, 0)?);
        let (way, fields) = match number {
            id if id == self.send.id => (Way::Written, self.send),
            id if id == self.receive.id => (Way::Read, self.receive),
            _ => return None,
        };
        let word = |at| Some(i32::from_ne_bytes(bytes(record, at)?));
        if u16::from_ne_bytes(bytes(record, fields.protocol)?) != TCP
            || (way == Way::Read && word(fields.flags)? & NOT_TAKEN != 0)
        {
            return None;
        }
        let sk = usize::from_ne_bytes(bytes(record, fields.sk)?);
        let bytes = u64::try_from(word(fields.ret)?).ok().filter(|bytes| *bytes > 0)?;
        Some(Transfer { at, kernel_address: u64::try_from(sk).ok()?, way, bytes })
    }
}

impl Fields {
    fn read(format: &str) -> Option<Self> {
        Some(Self {
            id: id(format)?,
            sk: field(format, "sk", size_of::<usize>())?,
            protocol: field(format, "protocol", 2)?,
            ret: field(format, "ret", 4)?,
            flags: field(format, "flags", 4)?,
        })
    }
}

#[cfg(test)]
mod tests;
