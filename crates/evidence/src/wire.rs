//! All packets of a run, as one witness heard them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Passage, PassageTally, micros};

/// The packets of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WireRecord {
    /// Where they were heard.
    pub place: WirePlace,
    /// Each TCP segment, in the order in which they were heard.
    pub passages: Vec<Passage>,
    /// How many more there were, which are counted only.
    pub untold: u64,
    /// The sums of what the client's end sent.
    pub client: PassageTally,
    /// The sums of what the servers' end sent.
    pub server: PassageTally,
    /// Packets that are no TCP segments of the run's connections, such as those of ICMP.
    pub others: u64,
    /// Packets that were sent, and that this witness is known to have missed.
    pub missed: u64,
    /// Packets that a host did not take from the cable, though no rule said so.
    pub refused: u64,
    /// Packets that were still on their way in the end.
    pub under_way: u64,
}

/// Where packets are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WirePlace {
    /// On the loopback interface, as they leave. They arrive at once; nobody sees when.
    Loopback,
    /// On a network device of the client's machine: what the client sends as it leaves, what it
    /// receives as it comes. When that left its server, and when the other arrived, nobody sees.
    Device,
    /// On the cable between two hosts, which takes them from one and hands them to the other.
    Cable {
        /// How long a packet travels, each way.
        #[serde(rename = "delay_us", with = "micros")]
        delay: Duration,
    },
}

impl WireRecord {
    /// A record of nothing, so far.
    #[must_use]
    pub fn of(place: WirePlace) -> Self {
        Self {
            place,
            passages: Vec::new(),
            untold: 0,
            client: PassageTally::default(),
            server: PassageTally::default(),
            others: 0,
            missed: 0,
            refused: 0,
            under_way: 0,
        }
    }

    /// Returns true if every packet is told: only then does it mean something that one is not there.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.untold == 0 && self.missed == 0
    }
}
