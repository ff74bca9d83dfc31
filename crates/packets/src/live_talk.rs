//! What the packets of one connection come to while it lives: sums, never the packets themselves.
//! Pure.

use evidence::{Segment, SegmentFlags, Side, WireClose};

mod words;

/// So many gaps are remembered at each end. What comes behind more of them is no longer told from
/// what was sent again.
const MOST_GAPS: usize = 16;

/// One connection, followed packet by packet.
///
/// It takes a few hundred bytes, however long the connection lasts.
#[derive(Clone, Debug, Default)]
pub struct LiveTalk {
    client: LiveEnd,
    server: LiveEnd,
    /// Who sent the first of all FINs and RSTs, and where it is a FIN the number behind it.
    first: Option<(Side, Option<u32>)>,
}

/// The packets that one end of a connection has sent.
#[derive(Clone, Debug, Default)]
pub struct LiveEnd {
    /// How many there were.
    pub packets: u64,
    /// How many carried or said nothing that this end had not been heard to say before.
    pub again: u64,
    /// How many filled a gap in what had been heard of this end: sent again after the first was lost
    /// on its way here, or overtaken by others. That nobody can tell here.
    pub late: u64,
    /// True if one of them was a RST.
    pub reset: bool,
    syn: Option<u32>,
    fin: Option<FirstFin>,
    /// The number behind the last byte that was heard.
    reach: Option<u32>,
    gaps: Vec<(u32, u32)>,
    /// Gaps were forgotten.
    blurred: bool,
    /// How much of the other end's has been acknowledged.
    acked: Option<u32>,
    /// The interface on which packets are counted: others hear the same ones.
    interface: Option<u32>,
}

/// The first FIN of an end.
#[derive(Clone, Copy, Debug)]
struct FirstFin {
    /// The number behind it.
    behind: u32,
    /// What it acknowledged.
    ack: u32,
}

impl LiveTalk {
    /// Takes a packet that this end has sent and that was heard on this interface.
    pub fn hear(&mut self, from: Side, segment: &Segment, interface: u32) {
        let end = match from {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        if *end.interface.get_or_insert(interface) == interface {
            end.count(segment);
        }
        let behind = segment.seq.wrapping_add(segment.sequence_len());
        let first = if segment.has(SegmentFlags::RST) {
            end.reset = true;
            Some((from, None))
        } else if segment.has(SegmentFlags::FIN) {
            end.fin.get_or_insert(FirstFin { behind, ack: segment.ack });
            Some((from, Some(behind)))
        } else {
            None
        };
        self.first = self.first.or(first);
        if segment.has(SegmentFlags::ACK) && !segment.has(SegmentFlags::RST) {
            let known = end.acked.get_or_insert(segment.ack);
            if is_ahead(segment.ack, *known) {
                *known = segment.ack;
            }
        }
    }

    /// Returns true if `segment` is the first SYN of a connection that is not this one, between the
    /// same ends.
    #[must_use]
    pub fn is_left_by(&self, segment: &Segment) -> bool {
        Self::is_dial(segment) && self.is_heard() && self.client.syn != Some(segment.seq)
    }

    /// Returns true for a SYN that is no answer.
    #[must_use]
    pub fn is_dial(segment: &Segment) -> bool {
        segment.has(SegmentFlags::SYN) && !segment.has(SegmentFlags::ACK)
    }

    /// The same connection, if it was the server's end that was taken for the client's.
    #[must_use]
    pub fn turned(self) -> Self {
        let first = self.first.map(|(side, behind)| (side.opposite(), behind));
        Self { client: self.server, server: self.client, first }
    }

    /// The packets that this end has sent.
    #[must_use]
    pub fn end(&self, side: Side) -> &LiveEnd {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// Returns true if any packet was heard.
    #[must_use]
    pub fn is_heard(&self) -> bool {
        self.client.packets + self.server.packets > 0
    }

    /// Returns true if it was heard from its first SYN on.
    #[must_use]
    pub fn has_its_beginning(&self) -> bool {
        self.client.syn.is_some()
    }

    /// How it ended, by the same rule as [`evidence::Conversation::close`]; `None` while no packet
    /// ends it.
    #[must_use]
    pub fn close(&self) -> Option<WireClose> {
        let (side, behind) = self.first?;
        let Some(behind) = behind else { return Some(WireClose::Reset(side)) };
        Some(match self.end(side.opposite()).fin {
            Some(fin) if is_ahead(behind, fin.ack) => WireClose::Both,
            _ => WireClose::First(side),
        })
    }

    /// Returns true if no further packet is to be expected: one end has reset it, or each has
    /// acknowledged the other's FIN.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let is_acked = |end: &LiveEnd, by: &LiveEnd| match (end.fin, by.acked) {
            (Some(fin), Some(acked)) => !is_ahead(fin.behind, acked),
            _ => false,
        };
        let (client, server) = (&self.client, &self.server);
        client.reset || server.reset || is_acked(client, server) && is_acked(server, client)
    }
}

impl LiveEnd {
    /// Returns true if it has sent a FIN.
    #[must_use]
    pub fn has_fin(&self) -> bool {
        self.fin.is_some()
    }

    fn count(&mut self, segment: &Segment) {
        self.packets += 1;
        if segment.has(SegmentFlags::SYN) && self.syn.is_none() {
            self.syn = Some(segment.seq);
        }
        let length = segment.sequence_len();
        if length == 0 {
            return;
        }
        let (from, to) = (segment.seq, segment.seq.wrapping_add(length));
        let reach = *self.reach.get_or_insert(from);
        if is_ahead(to, reach) {
            if is_ahead(from, reach) {
                self.remember((reach, from));
            }
            self.reach = Some(to);
        } else if self.fills(from, to) || self.blurred {
            self.late += 1;
        } else {
            self.again += 1;
        }
    }

    fn remember(&mut self, gap: (u32, u32)) {
        if self.gaps.len() == MOST_GAPS {
            self.gaps.remove(0);
            self.blurred = true;
        }
        self.gaps.push(gap);
    }

    /// Takes what lies between `from` and `to` out of the gaps. Returns false if there was none.
    fn fills(&mut self, from: u32, to: u32) -> bool {
        let touches = |(low, high): (u32, u32)| is_ahead(to, low) && is_ahead(high, from);
        let touched: Vec<_> = self.gaps.extract_if(.., |gap| touches(*gap)).collect();
        for (low, high) in &touched {
            if is_ahead(from, *low) {
                self.remember((*low, from));
            }
            if is_ahead(*high, to) {
                self.remember((to, *high));
            }
        }
        !touched.is_empty()
    }
}

/// Returns true if `one` lies behind `other`. Numbers wrap: what is less than half the circle ahead
/// is ahead.
fn is_ahead(one: u32, other: u32) -> bool {
    let ahead = one.wrapping_sub(other);
    ahead != 0 && ahead < 1 << 31
}

#[cfg(test)]
mod tests;
