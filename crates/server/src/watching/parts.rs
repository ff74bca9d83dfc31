//! The parts of messages, put together for whoever is told of them.

use bytes::Bytes;
use wire::http1::{BodyLength, MessagePart, MessageSplitter, UnfinishedPart};

use crate::watching::observer::WireBody;

/// A head or a body that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WholePart {
    Head {
        bytes: u64,
        status: Option<u16>,
        /// The head itself if bytes are kept, its beginning if not.
        raw: Bytes,
    },
    Body(WireBody),
}

/// A head or a body that has begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BegunPart {
    /// So many bytes of a head, and the first of them.
    Head(u64, Bytes),
    Body(WireBody),
}

/// The bytes that are kept of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BytesKept {
    /// None.
    Nothing,
    /// The first of each head, in case it is refused.
    Beginnings,
    /// All of each head, and the first of each body.
    Heads,
}

/// Puts the parts of one direction together.
#[derive(Debug)]
pub(crate) struct PartKeeper {
    kept: BytesKept,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl PartKeeper {
    pub(crate) fn new(kept: BytesKept) -> Self {
        Self { kept, head: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn keeps_bytes(&self) -> bool {
        self.kept == BytesKept::Heads
    }

    /// Takes a whole head without a body, which nobody wants to see whole.
    pub(crate) fn bodyless_head(&self, bytes: &[u8]) -> WholePart {
        let first = bytes.get(..bytes.len().min(WireBody::KEPT)).unwrap_or(bytes);
        let raw = Bytes::copy_from_slice(first);
        WholePart::Head { bytes: bytes.len() as u64, status: None, raw }
    }

    /// Takes a part; returns what is over with it.
    pub(crate) fn take(&mut self, part: &MessagePart<'_>) -> Option<WholePart> {
        match part {
            MessagePart::Line(line) => {
                match self.kept {
                    BytesKept::Nothing => {}
                    BytesKept::Beginnings => fill(&mut self.head, line.bytes),
                    BytesKept::Heads => self.head.extend_from_slice(line.bytes),
                }
                None
            }
            MessagePart::Body(bytes) => {
                if self.keeps_bytes() {
                    fill(&mut self.body, bytes);
                }
                None
            }
            MessagePart::Head(facts) => {
                let raw = std::mem::take(&mut self.head).into();
                Some(WholePart::Head { bytes: facts.bytes, status: facts.status, raw })
            }
            MessagePart::End(length) => {
                let raw = std::mem::take(&mut self.body);
                Some(WholePart::Body(self.body_of(*length, raw)))
            }
        }
    }

    fn body_of(&self, length: BodyLength, raw: Vec<u8>) -> WireBody {
        let BodyLength { bytes, content_bytes } = length;
        WireBody { bytes, content_bytes, raw: self.keeps_bytes().then(|| raw.into()) }
    }

    /// Returns what has come of the part that is not over.
    pub(crate) fn begun(&self, splitter: &MessageSplitter) -> Option<BegunPart> {
        Some(match splitter.unfinished()? {
            UnfinishedPart::Head { bytes, line } => {
                let mut first = self.head.get(..self.head.len().min(WireBody::KEPT))?.to_vec();
                fill(&mut first, line);
                BegunPart::Head(bytes, first.into())
            }
            UnfinishedPart::Body(length) => {
                BegunPart::Body(self.body_of(length, self.body.clone()))
            }
        })
    }
}

/// Keeps the first bytes.
fn fill(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = WireBody::KEPT.saturating_sub(kept.len());
    kept.extend_from_slice(bytes.get(..bytes.len().min(room)).unwrap_or_default());
}
