//! The packets of one connection, and what they alone say of it.

use std::collections::HashMap;

use crate::{ClientAddr, Ends, Passage, Segment, SegmentFlags, ServerAddr, Side, WireRecord};

/// The packets of one connection, from its first SYN on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation<'a> {
    /// Both ends.
    pub ends: Ends,
    /// Its packets, in the order in which they were heard.
    pub passages: Vec<&'a Passage>,
}

/// The end of a connection by its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireClose {
    /// This end sent its FIN, and the other had it before it sent its own, if it did.
    First(Side),
    /// Both ends sent a FIN before they had the other's.
    Both,
    /// This end sent a RST, and there was no FIN before.
    Reset(Side),
}

impl WireRecord {
    /// The packets, connection by connection, in the order of their first packets. A port that is
    /// used again begins a new one with a SYN of another number.
    #[must_use]
    pub fn conversations(&self) -> Vec<Conversation<'_>> {
        let mut all: Vec<Conversation<'_>> = Vec::new();
        let mut current: HashMap<Ends, usize> = HashMap::new();
        for passage in &self.passages {
            let ends = ends_of(passage);
            let known = current.get(&ends).copied();
            let fresh = known.is_none_or(|place| all[place].is_left_by(passage));
            let place = if fresh { all.len() } else { known.unwrap_or(all.len()) };
            if fresh {
                all.push(Conversation { ends, passages: Vec::new() });
                current.insert(ends, place);
            }
            if let Some(conversation) = all.get_mut(place) {
                conversation.passages.push(passage);
            }
        }
        all
    }
}

impl Conversation<'_> {
    /// Returns true if `passage` is the first SYN of another connection between the same ends.
    fn is_left_by(&self, passage: &Passage) -> bool {
        let seq = passage.segment.seq;
        let is_of_it = |known: &Passage| is_dial(known) && known.segment.seq == seq;
        is_dial(passage) && !self.passages.iter().any(|known| is_of_it(known))
    }

    /// The packets that this end sent.
    pub fn sent_by(&self, side: Side) -> impl Iterator<Item = &Segment> {
        self.passages.iter().filter(move |it| it.from == side).map(|it| &it.segment)
    }

    /// Returns true if the client's end is open by its packets: its SYN was answered, and it
    /// acknowledged the answer.
    #[must_use]
    pub fn is_opened(&self) -> bool {
        let mut answered = None;
        for passage in &self.passages {
            let Passage { from, segment, .. } = passage;
            match from {
                Side::Server if segment.has(SegmentFlags::SYN.with(SegmentFlags::ACK)) => {
                    answered = Some(segment.seq.wrapping_add(1));
                }
                Side::Client
                    if segment.has(SegmentFlags::ACK) && !segment.has(SegmentFlags::RST) =>
                {
                    // What is acknowledged is the SYN, or more.
                    let reached = |syn: u32| segment.ack.wrapping_sub(syn) < 1 << 31;
                    if answered.is_some_and(reached) {
                        return true;
                    }
                }
                _ => {}
            }
        }
        false
    }

    /// Returns true if this end has sent a FIN.
    #[must_use]
    pub fn has_fin(&self, side: Side) -> bool {
        self.sent_by(side).any(|segment| segment.has(SegmentFlags::FIN))
    }

    /// Returns true if any packet has these flags.
    #[must_use]
    pub fn has(&self, flags: SegmentFlags) -> bool {
        self.passages.iter().any(|passage| passage.segment.has(flags))
    }

    /// How it ended; `None` if no packet ends it.
    #[must_use]
    pub fn close(&self) -> Option<WireClose> {
        let ends_it =
            |it: &&&Passage| it.segment.has(SegmentFlags::FIN) || it.segment.has(SegmentFlags::RST);
        let first = self.passages.iter().find(ends_it)?;
        let (side, segment) = (first.from, &first.segment);
        if segment.has(SegmentFlags::RST) {
            return Some(WireClose::Reset(side));
        }
        let behind = segment.seq.wrapping_add(segment.sequence_len());
        let other = side.opposite();
        let fin = self.sent_by(other).find(|segment| segment.has(SegmentFlags::FIN));
        Some(match fin {
            Some(fin) if behind.wrapping_sub(fin.ack).wrapping_sub(1) < 1 << 31 => WireClose::Both,
            _ => WireClose::First(side),
        })
    }
}

/// Returns true for a SYN that is no answer.
fn is_dial(passage: &Passage) -> bool {
    passage.from == Side::Client
        && passage.segment.has(SegmentFlags::SYN)
        && !passage.segment.has(SegmentFlags::ACK)
}

fn ends_of(passage: &Passage) -> Ends {
    let Segment { source, destination, .. } = passage.segment;
    let (client, server) = match passage.from {
        Side::Client => (source, destination),
        Side::Server => (destination, source),
    };
    Ends { client: ClientAddr::new(client), server: ServerAddr::new(server) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Observed, PassageFate, WirePlace};

    /// Flags, first number, acknowledged number, bytes.
    type Told = (Side, &'static str, u32, u32, u32);

    const START: u32 = u32::MAX - 2;

    fn record(packets: &[Told]) -> WireRecord {
        let mut record = WireRecord::of(WirePlace::Loopback);
        for (number, &(from, flags, seq, ack, payload_bytes)) in (1..).zip(packets) {
            let (client, server) =
                ("127.0.0.1:40000".parse().unwrap(), "127.0.0.1:8080".parse().unwrap());
            let (source, destination) =
                if from == Side::Client { (client, server) } else { (server, client) };
            let segment = Segment {
                at: Duration::ZERO,
                source,
                destination,
                seq: START.wrapping_add(seq),
                ack: START.wrapping_add(ack),
                flags: flags.to_owned().try_into().unwrap(),
                window: 0,
                urgent: 0,
                options: Vec::new(),
                payload_bytes,
                tcp_header_bytes: 20,
                ip_header_bytes: 20,
            };
            let (fate, arrived) = (PassageFate::Passed, Observed::NotObservable);
            record.passages.push(Passage {
                number,
                from,
                segment,
                begins: None,
                tls: None,
                fate,
                arrived,
            });
        }
        record
    }

    use Side::{Client, Server};

    const OPEN: [Told; 3] =
        [(Client, "S", 0, 0, 0), (Server, "S.", 0, 1, 0), (Client, ".", 1, 1, 0)];

    fn close(rest: &[Told]) -> Option<WireClose> {
        let record = record(&[&OPEN[..], rest].concat());
        let all = record.conversations();
        assert_eq!(all.len(), 1);
        all[0].close()
    }

    #[test]
    fn a_connection_is_open_when_the_answer_to_its_syn_is_acknowledged() {
        for (packets, opened) in [(&OPEN[..], true), (&OPEN[..2], false), (&OPEN[..1], false)] {
            assert_eq!(record(packets).conversations()[0].is_opened(), opened);
        }
        let with_data = [OPEN[0], OPEN[1], (Client, "P.", 1, 1, 5)];
        assert!(record(&with_data).conversations()[0].is_opened());
    }

    #[test]
    fn a_syn_that_is_sent_again_is_the_same_connection_and_one_of_another_number_is_not() {
        let packets = [OPEN[0], OPEN[0], OPEN[1], OPEN[2], (Client, "S", 77, 0, 0)];
        let record = record(&packets);
        let all = record.conversations();
        assert_eq!(all.iter().map(|it| it.passages.len()).collect::<Vec<_>>(), [4, 1]);
    }

    #[test]
    fn who_closed_first_is_told_by_whose_fin_the_other_had_acknowledged() {
        use WireClose::{Both, First, Reset};
        assert_eq!(close(&[]), None);
        assert_eq!(close(&[(Client, "F.", 1, 1, 0)]), Some(First(Client)));
        let answered = [(Client, "F.", 1, 1, 0), (Server, "F.", 1, 2, 0), (Client, ".", 2, 2, 0)];
        assert_eq!(close(&answered), Some(First(Client)));
        let crossed = [(Server, "F.", 1, 1, 0), (Client, "F.", 1, 1, 0)];
        assert_eq!(close(&crossed), Some(Both));
        let with_data = [(Server, "FP.", 1, 1, 9), (Client, "F.", 1, 11, 0)];
        assert_eq!(close(&with_data), Some(First(Server)));
        assert_eq!(close(&[(Server, "R", 1, 1, 0)]), Some(Reset(Server)));
    }
}
