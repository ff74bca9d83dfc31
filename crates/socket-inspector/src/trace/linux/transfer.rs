//! One record of `sock:sock_send_length` or `sock:sock_recv_length`: a process has handed bytes to
//! a socket, or taken some from it. The kernel tells it when the call is over.
//!
//! These events name a socket by the place where the kernel keeps it, and nothing else. Places are
//! used again, perhaps by a connection with a port that nobody asked for. So the beginnings of all
//! connections (`sock:inet_sock_set_state`) are read along with them.
//!
//! Not told are bytes that leave a socket by `splice(2)` or that a process has mapped into its own
//! memory (`TCP_ZEROCOPY_RECEIVE`). `sendfile(2)` into a socket is told.

use std::time::Duration;

use super::record::{TCP, bytes, field, id};
use super::tracefs::KernelEvent;

const SEND: &str = "events/sock/sock_send_length";
const RECEIVE: &str = "events/sock/sock_recv_length";
const BEGIN: &str = "events/sock/inet_sock_set_state";
/// `TCP_SYN_SENT` and `TCP_SYN_RECV`: a socket comes to have a connection.
const BEGINNINGS: [i32; 2] = [2, 3];
/// `MSG_PEEK`: looked at and not taken. `MSG_ERRQUEUE`: what the kernel reports of earlier sends.
const NOT_TAKEN: i32 = 0x2 | 0x2000;

/// The events, and which of their records are wanted. The kernel cannot be asked for ports here:
/// the records have none.
pub(crate) fn events() -> [KernelEvent; 3] {
    let [sent, received] = BEGINNINGS;
    let begin = format!("protocol==6 && (newstate=={sent} || newstate=={received})");
    [
        KernelEvent { path: BEGIN, filter: begin },
        KernelEvent { path: SEND, filter: "protocol==6 && ret>0".to_owned() },
        KernelEvent {
            path: RECEIVE,
            filter: format!("protocol==6 && ret>0 && !(flags & {NOT_TAKEN})"),
        },
    ]
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransferWay {
    /// None yet: a connection has begun at this place.
    Begun,
    /// From a process to its socket.
    Written,
    /// From a socket to its process.
    Read,
}

/// One call that has moved bytes, or the beginning of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    /// When the call was over, or the connection began.
    pub(crate) at: Duration,
    /// Where the kernel keeps the socket: the name that a change calls it by, too.
    pub(crate) kernel_address: u64,
    pub(crate) way: TransferWay,
    pub(crate) bytes: u64,
}

/// Where the fields of the events begin, as their `format` files tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransferLayout {
    send: TransferFields,
    receive: TransferFields,
    begin: BeginFields,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BeginFields {
    id: u16,
    skaddr: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TransferFields {
    id: u16,
    sk: usize,
    protocol: usize,
    ret: usize,
    flags: usize,
}

impl TransferLayout {
    /// Reads the `format` files, which `format` gives by the path of the event. `None` if a field
    /// is missing or has another size.
    ///
    /// # Errors
    /// Those of `format`.
    pub(crate) fn read<E>(format: impl Fn(&str) -> Result<String, E>) -> Result<Option<Self>, E> {
        let (send, receive, begin) = (format(SEND)?, format(RECEIVE)?, format(BEGIN)?);
        Ok(Self::of(&send, &receive, &begin))
    }

    fn of(send: &str, receive: &str, begin: &str) -> Option<Self> {
        Some(Self {
            send: TransferFields::read(send)?,
            receive: TransferFields::read(receive)?,
            begin: BeginFields {
                id: id(begin)?,
                skaddr: field(begin, "skaddr", size_of::<usize>())?,
            },
        })
    }

    /// Reads a record. `None` if it tells of no beginning, and of no bytes that went from or to a
    /// process.
    pub(crate) fn transfer(&self, at: Duration, record: &[u8]) -> Option<Transfer> {
        let number = u16::from_ne_bytes(bytes(record, 0)?);
        let place = |at| u64::try_from(usize::from_ne_bytes(bytes(record, at)?)).ok();
        if number == self.begin.id {
            let kernel_address = place(self.begin.skaddr)?;
            return Some(Transfer { at, kernel_address, way: TransferWay::Begun, bytes: 0 });
        }
        let (way, fields) = match number {
            id if id == self.send.id => (TransferWay::Written, self.send),
            id if id == self.receive.id => (TransferWay::Read, self.receive),
            _ => return None,
        };
        let word = |at| Some(i32::from_ne_bytes(bytes(record, at)?));
        if u16::from_ne_bytes(bytes(record, fields.protocol)?) != TCP
            || (way == TransferWay::Read && word(fields.flags)? & NOT_TAKEN != 0)
        {
            return None;
        }
        let bytes = u64::try_from(word(fields.ret)?).ok().filter(|bytes| *bytes > 0)?;
        Some(Transfer { at, kernel_address: place(fields.sk)?, way, bytes })
    }
}

impl TransferFields {
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
