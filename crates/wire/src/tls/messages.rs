//! Messages of the handshake, put together from records.

use super::hello::{CLIENT_HELLO, ClientHello, SERVER_HELLO, ServerHello};

/// The bytes of a message's head: its kind, and its length.
const HEAD: usize = 4;

/// No hello is as long as this.
const LONGEST: usize = 64 * 1024;

/// A hello that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    Client(ClientHello),
    Server(ServerHello),
}

/// The reader of the messages of one direction, as far as they are in the clear. Of other messages
/// than hellos only the length is read.
///
/// Behind a `ChangeCipherSpec` messages are encrypted in TLS 1.2, and look like any; but a client of
/// TLS 1.3 that is asked to begin again sends one before its second hello. So there a hello counts
/// that fills its record: what is encrypted cannot be read as one by chance.
#[derive(Clone, Debug, Default)]
pub(super) struct MessageReader {
    /// The beginning of the message that is being read, if its end has not come.
    begun: Vec<u8>,
    /// So many bytes of a message are still to come that nobody wants.
    unwanted: usize,
    /// Where the message begins that is being read.
    at: u64,
    is_deaf: bool,
    has_changed_cipher: bool,
}

impl MessageReader {
    /// A record of the handshake begins.
    pub(super) fn record_begins(&mut self) {
        if self.has_changed_cipher {
            self.begun.clear();
            (self.unwanted, self.is_deaf) = (0, false);
        }
    }

    /// What comes is encrypted, in TLS 1.2.
    pub(super) fn cipher_changes(&mut self) {
        self.has_changed_cipher = true;
    }

    /// Bytes were not seen: what they belonged to is not read.
    pub(super) fn misses(&mut self) {
        self.is_deaf = true;
        self.begun.clear();
    }

    /// Reads bytes of a record's body; `record` is where that begins, and `left` how many are still to
    /// come. Tells the hellos that are complete, each with the place of the record that it began in.
    pub(super) fn read(
        &mut self,
        record: u64,
        mut bytes: &[u8],
        left: usize,
        mut tell: impl FnMut(u64, Hello),
    ) {
        while !self.is_deaf && !bytes.is_empty() {
            let skipped = self.unwanted.min(bytes.len());
            self.unwanted -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if bytes.is_empty() {
                return;
            }
            if self.begun.is_empty() {
                self.at = record;
            }
            let wanted = self.wanted();
            let taken = wanted.saturating_sub(self.begun.len()).min(bytes.len());
            let (now, later) = bytes.split_at(taken);
            self.begun.extend_from_slice(now);
            bytes = later;
            if self.begun.len() < wanted {
                return;
            }
            self.step(bytes.len() + left, &mut tell);
        }
    }

    /// How many bytes make the next step possible.
    fn wanted(&self) -> usize {
        if self.begun.len() < HEAD { HEAD } else { HEAD + length(&self.begun) }
    }

    /// A head is complete, or a message; `behind` bytes of the record follow.
    fn step(&mut self, behind: usize, tell: &mut impl FnMut(u64, Hello)) {
        let length = length(&self.begun);
        let kind = self.begun.first().copied().unwrap_or_default();
        let is_hello = matches!(kind, CLIENT_HELLO | SERVER_HELLO);
        let is_whole = self.begun.len() == HEAD + length;
        if !is_whole {
            // Its head alone.
            let fills = !self.has_changed_cipher || behind == length;
            if !is_hello || length > LONGEST || !fills {
                self.begun.clear();
                self.unwanted = length;
                self.is_deaf = self.has_changed_cipher;
            }
            return;
        }
        let body = self.begun.get(HEAD..).unwrap_or_default();
        let hello = match kind {
            CLIENT_HELLO => ClientHello::of(body).map(Hello::Client),
            SERVER_HELLO => ServerHello::of(body).map(Hello::Server),
            _ => None,
        };
        if let Some(hello) = hello {
            tell(self.at, hello);
        }
        self.begun.clear();
    }
}

/// The length in the head of a message.
fn length(message: &[u8]) -> usize {
    match message {
        [_, a, b, c, ..] => usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c),
        _ => 0,
    }
}
