//! A segment of a run, the end that sent it, and what became of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Observed, Segment, SegmentTls, Side, micros};

/// A segment that one end of a connection sent, and its fate on the way to the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Its number among all packets that were heard, from 1.
    pub number: u64,
    /// The end that sent it.
    pub from: Side,
    /// The segment, as it was heard first.
    pub segment: Segment,
    /// The first line of the HTTP/1.1 message that begins with its data, if one does and the bytes
    /// were kept: what looks like a request line or a status line.
    pub begins: Option<String>,
    /// The TLS in its data, if the connection speaks it and the bytes were kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SegmentTls>,
    /// What the cable did to it; on loopback nothing.
    pub fate: PassageFate,
    /// When it was handed to the other host, once for each copy; never, if it was lost, or was
    /// still under way in the end. On loopback nobody sees it.
    #[serde(rename = "arrived_us", with = "micros")]
    pub arrived: Observed<Vec<Duration>>,
}

/// What a cable does to a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassageFate {
    /// Nothing: it travels.
    Passed,
    /// It was lost: by a rule.
    Lost,
    /// It was lost: by chance, as so many in a hundred are.
    LostByChance,
    /// It was lost: the cable was cut.
    Cut,
    /// It waited so long before it travelled.
    Held {
        /// The pause.
        #[serde(rename = "for_us", with = "micros")]
        time: Duration,
    },
    /// It travelled, and so did a copy of it, after a pause.
    Doubled {
        /// The pause before the copy.
        #[serde(rename = "after_us", with = "micros")]
        time: Duration,
    },
    /// It was thrown away, and a reset in the name of the other end went to each host, as from a
    /// middlebox.
    Reset,
}

impl PassageFate {
    /// Returns true if nothing of it goes to the other host.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost | Self::LostByChance | Self::Cut | Self::Reset)
    }
}

/// The sums of what one end sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassageTally {
    /// TCP segments.
    pub packets: u64,
    /// Their lengths, IP headers included.
    pub bytes: u64,
    /// Those with SYN.
    pub syn: u64,
    /// Those with FIN.
    pub fin: u64,
    /// Those with RST.
    pub rst: u64,
    /// Those that carry data.
    pub data: u64,
    /// The bytes of data that they carry, those sent again included.
    pub payload_bytes: u64,
    /// Those that acknowledge and do nothing else: no data, no SYN, FIN or RST.
    pub ack: u64,
    /// Those that say nothing new: SYN, FIN and every byte of data had been sent before.
    pub again: u64,
    /// Those that the cable let get lost.
    pub lost: u64,
}
