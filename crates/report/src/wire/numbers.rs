//! Sequence numbers as they are shown: counted from each end's SYN, or as they are.

use std::collections::HashMap;

use evidence::{Conversation, Passage, Segment, SegmentFlags, Side};

/// The numbers from which those of both ends are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SequenceOrigins {
    client: u32,
    server: u32,
}

/// The origins under the number of each packet.
pub(super) type OriginBook = HashMap<u64, SequenceOrigins>;

impl SequenceOrigins {
    /// Counts from 0: every number as it is in the header.
    const ABSOLUTE: Self = Self { client: 0, server: 0 };

    /// Counts from the SYN of each end, which is 0. Where none was heard the first byte that was is 1.
    fn of(conversation: &Conversation<'_>) -> Self {
        let [client, server] = [Side::Client, Side::Server].map(|side| origin(conversation, side));
        Self { client, server }
    }

    /// Returns from where the numbers of each packet are counted, by the numbers of the packets: a
    /// SYN of another number, with which a server answers an old duplicate, begins anew.
    pub(super) fn of_each(conversation: &Conversation<'_>, absolute: bool) -> OriginBook {
        let mut now = if absolute { Self::ABSOLUTE } else { Self::of(conversation) };
        let mut book = OriginBook::new();
        for passage in &conversation.passages {
            let segment = &passage.segment;
            if segment.has(SegmentFlags::SYN) && !absolute {
                match passage.from {
                    Side::Client => now.client = segment.seq,
                    Side::Server => now.server = segment.seq,
                }
            }
            book.insert(passage.number, now);
        }
        book
    }

    fn of_side(self, side: Side) -> u32 {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }

    /// `0`, `1:78`: the bytes that a packet carries. Empty where it carries none, and neither begins
    /// nor ends anything.
    pub(super) fn seq(self, passage: &Passage) -> String {
        let Passage { from, segment, .. } = passage;
        let first = segment.seq.wrapping_sub(self.of_side(*from));
        let counts = [SegmentFlags::SYN, SegmentFlags::FIN, SegmentFlags::RST];
        match segment.payload_bytes {
            0 if counts.into_iter().any(|flag| segment.has(flag)) => first.to_string(),
            0 => String::new(),
            bytes => format!("{first}:{}", first.wrapping_add(bytes)),
        }
    }

    /// The byte that is expected next; `None` for a packet that says nothing of it.
    pub(super) fn ack(self, passage: &Passage) -> Option<u32> {
        let Passage { from, segment, .. } = passage;
        let base = self.of_side(from.opposite());
        segment.has(SegmentFlags::ACK).then(|| segment.ack.wrapping_sub(base))
    }
}

fn origin(conversation: &Conversation<'_>, side: Side) -> u32 {
    let sent = || conversation.sent_by(side);
    let syn = sent().find(|segment| segment.has(SegmentFlags::SYN)).map(|segment| segment.seq);
    let first = || {
        let counts = |segment: &&Segment| !segment.has(SegmentFlags::RST);
        sent().find(counts).map(|segment| segment.seq.wrapping_sub(1))
    };
    let told = || {
        let tells = |segment: &&Segment| segment.has(SegmentFlags::ACK);
        let first = conversation.sent_by(side.opposite()).find(tells);
        first.map(|segment| segment.ack.wrapping_sub(1))
    };
    // What refuses a SYN has a number that belongs to nothing.
    let refusal = || sent().next().map(|segment| segment.seq);
    syn.or_else(first).or_else(told).or_else(refusal).unwrap_or(0)
}
