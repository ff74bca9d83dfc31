//! The ear: what a connection tells, and how it ended.

/// The end that closed a connection first, as seen from one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstClose {
    /// This end: it shut down its side, or dropped the socket, or its system gave the connection
    /// up, before the peer's FIN had come.
    Here,
    /// The peer: its FIN had come before this end closed.
    There,
    /// A reset came from the peer before this end had closed.
    Reset,
}

/// How a connection ended at this end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The end that closed first.
    pub first: FirstClose,
    /// Bytes that lay unread in the kernel when this end let go of the socket. Linux then sends a
    /// reset instead of a FIN (RFC 2525 section 2.17), and nobody holds `TIME_WAIT`. Always 0
    /// where the system cannot be asked (not Unix).
    pub unread: u64,
}

/// Whoever wants to know what passes through a [`Wire`](crate::Wire). Every method does nothing by default.
pub trait Tap: Send + 'static {
    /// Bytes were read from the socket (never empty).
    fn received(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// Bytes were accepted by the socket for sending (never empty).
    fn sent(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }

    /// The writer above has nothing left to hand to the socket.
    fn flushed(&mut self) {}

    /// The peer is known to have gone: its FIN was read, or a reset was met. A reset may follow a
    /// FIN, of either end. Always before whoever reads from or writes to the [`Wire`](crate::Wire) learns of it.
    fn peer_left(&mut self, how: FirstClose) {
        let _ = how;
    }

    /// The system has given the connection up, since the peer was silent for too long
    /// (`ETIMEDOUT`): nobody has closed it. Always before whoever reads from or writes to the
    /// [`Wire`](crate::Wire) learns of it.
    fn given_up(&mut self) {}

    /// This end lets go of the socket. The last call of all.
    fn closed(&mut self, ending: Ending) {
        let _ = ending;
    }
}

/// Nobody listens.
impl Tap for () {}

/// A listener may be absent at run time.
impl<T: Tap> Tap for Option<T> {
    fn given_up(&mut self) {
        if let Some(tap) = self {
            tap.given_up();
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        if let Some(tap) = self {
            tap.received(bytes);
        }
    }

    fn sent(&mut self, bytes: &[u8]) {
        if let Some(tap) = self {
            tap.sent(bytes);
        }
    }

    fn flushed(&mut self) {
        if let Some(tap) = self {
            tap.flushed();
        }
    }

    fn peer_left(&mut self, how: FirstClose) {
        if let Some(tap) = self {
            tap.peer_left(how);
        }
    }

    fn closed(&mut self, ending: Ending) {
        if let Some(tap) = self {
            tap.closed(ending);
        }
    }
}
