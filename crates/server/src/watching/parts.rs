//! The parts of messages, put together for whoever is told of them.

use bytes::Bytes;
use wire::http1::MessagePart;

use crate::watching::observer::WireBody;

/// A head or a body that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WholePart {
    Head {
        bytes: u64,
        status: Option<u16>,
        /// The head itself, if bytes are kept.
        raw: Option<Bytes>,
    },
    Body(WireBody),
}

/// Puts the parts of one direction together.
#[derive(Debug)]
pub(crate) struct PartKeeper {
    /// Heads are kept, and the first bytes of each body.
    keeps_bytes: bool,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl PartKeeper {
    pub(crate) fn new(keeps_bytes: bool) -> Self {
        Self { keeps_bytes, head: Vec::new(), body: Vec::new() }
    }

    /// Takes a part; returns what is over with it.
    pub(crate) fn take(&mut self, part: &MessagePart<'_>) -> Option<WholePart> {
        match part {
            MessagePart::Line(line) if self.keeps_bytes => {
                self.head.extend_from_slice(line.bytes);
                None
            }
            MessagePart::Body(bytes) if self.keeps_bytes => {
                let room = WireBody::KEPT.saturating_sub(self.body.len());
                self.body.extend_from_slice(bytes.get(..bytes.len().min(room))?);
                None
            }
            MessagePart::Line(_) | MessagePart::Body(_) => None,
            MessagePart::Head(facts) => {
                let raw = self.keeps_bytes.then(|| Bytes::from(std::mem::take(&mut self.head)));
                Some(WholePart::Head { bytes: facts.bytes, status: facts.status, raw })
            }
            MessagePart::End(length) => {
                let raw = self.keeps_bytes.then(|| Bytes::from(std::mem::take(&mut self.body)));
                let wire::http1::BodyLength { bytes, content_bytes } = *length;
                Some(WholePart::Body(WireBody { bytes, content_bytes, raw }))
            }
        }
    }
}
