//! Says what there is to say, in the format that is asked for.

use std::io::{self, Write};
use std::time::Duration;

use super::change::MomentRange;
use super::clock;
use super::story::{ConnectionStory, StoryEvent};
use super::wire::{WantedPackets, WireEar};
use super::wire_story::{WireEvent, WireStory};
use super::witness::{ChangeWitness, PacketTotal, TraceTotal, TraceWitness};
use super::{jsonl, text};
use crate::trace::args::{TraceArgs, TraceOutput};

/// The story so far, and where it is told.
pub(crate) struct TraceTeller<'a, W> {
    pub(crate) story: ConnectionStory,
    format: TraceOutput,
    ports: Vec<u16>,
    /// When the trace began.
    begun: Duration,
    changes: u64,
    ended: u64,
    changes_by: ChangeWitness,
    packets: Option<(WireEar, WireStory)>,
    /// Why there are none, if they were asked for.
    no_packets: Option<String>,
    out: &'a mut W,
}

/// Something to tell, by whichever witness.
enum TraceEvent {
    Story(StoryEvent),
    Wire(WireEvent),
}

impl TraceEvent {
    fn when(&self) -> MomentRange {
        match self {
            Self::Story(event) => event.when(),
            Self::Wire(event) => event.when(),
        }
    }
}

impl<'a, W: Write> TraceTeller<'a, W> {
    pub(crate) fn new(
        asked: &TraceArgs,
        hears: WantedPackets,
        begun: Duration,
        out: &'a mut W,
    ) -> Self {
        let story = ConnectionStory::new(&asked.ports);
        let ports = asked.ports.clone();
        let heard = (hears != WantedPackets::No).then(|| WireEar::open(&ports));
        let (packets, no_packets) = match heard {
            Some(Ok(ear)) => (Some((ear, WireStory::default())), None),
            Some(Err(why)) => (None, Some(why).filter(|_| hears == WantedPackets::Asked)),
            None => (None, None),
        };
        Self {
            story,
            format: asked.format,
            ports,
            begun,
            changes: 0,
            ended: 0,
            changes_by: ChangeWitness::SockDiag,
            packets,
            no_packets,
            out,
        }
    }

    /// Names the witness, and what it cannot see.
    pub(crate) fn witness(&mut self, witness: &TraceWitness) -> io::Result<()> {
        self.changes_by = witness.of_changes();
        let packets = match (&self.packets, &self.no_packets) {
            (Some(_), _) => Ok(true),
            (None, None) => Ok(false),
            (None, Some(why)) => Err(why.as_str()),
        };
        match self.format {
            TraceOutput::Text => text::witness(witness, packets, &self.ports, self.out)?,
            TraceOutput::Jsonl => jsonl::witness(witness, packets, &self.ports, self.out)?,
        }
        self.out.flush()
    }

    /// Tells what is new.
    pub(crate) fn tell(&mut self) -> io::Result<()> {
        self.tell_up_to(clock::now(), false)
    }

    fn tell_up_to(&mut self, now: Duration, last: bool) -> io::Result<()> {
        let mut told: Vec<TraceEvent> =
            self.story.take().into_iter().map(TraceEvent::Story).collect();
        if let Some((ear, story)) = &mut self.packets {
            let heard = ear.take();
            story.hear(heard.packets, heard.missed);
            for event in &told {
                if let TraceEvent::Story(event) = event {
                    story.note(event);
                }
            }
            told.extend(story.take(now, last).into_iter().map(TraceEvent::Wire));
            told.sort_by_key(|told| (told.when().latest, told.when().earliest));
        }
        if told.is_empty() {
            return Ok(());
        }
        let witness = self.packets.is_some().then_some(self.changes_by);
        let mut page = Vec::new();
        for told in &told {
            match told {
                TraceEvent::Story(StoryEvent::Change(_)) => {
                    self.changes = self.changes.saturating_add(1);
                }
                TraceEvent::Story(StoryEvent::Ended(_)) => {
                    self.ended = self.ended.saturating_add(1);
                }
                TraceEvent::Wire(_) => {}
            }
            match (self.format, told) {
                (TraceOutput::Text, TraceEvent::Story(told)) => {
                    text::told(told, witness, self.begun, &mut page)?;
                }
                (TraceOutput::Text, TraceEvent::Wire(told)) => {
                    text::wire(told, self.changes_by, self.begun, &mut page)?;
                }
                (TraceOutput::Jsonl, TraceEvent::Story(told)) => {
                    jsonl::told(told, self.changes_by, self.begun, &mut page)?;
                }
                (TraceOutput::Jsonl, TraceEvent::Wire(told)) => {
                    jsonl::wire(told, self.begun, &mut page)?;
                }
            }
        }
        self.out.write_all(&page)?;
        self.out.flush()
    }

    /// Tells of changes that the witness could not keep up with.
    pub(crate) fn lost(&mut self, changes: u64) -> io::Result<()> {
        match (changes, self.format) {
            (0, _) => Ok(()),
            (_, TraceOutput::Text) => text::lost(changes, self.out),
            (_, TraceOutput::Jsonl) => jsonl::lost(changes, self.out),
        }
    }

    /// Tells how much there was.
    pub(crate) fn end(&mut self, lost: Option<u64>, lost_transfers: Option<u64>) -> io::Result<()> {
        self.tell_up_to(clock::now(), true)?;
        let packets = self
            .packets
            .as_ref()
            .map(|(_, story)| PacketTotal { opened: story.opened(), missed: story.missed() });
        let total = TraceTotal {
            changes: self.changes,
            connections: self.story.connections(),
            ended: self.ended,
            lost,
            lost_transfers,
            packets,
        };
        match self.format {
            TraceOutput::Text => text::end_of_all(&total, self.out)?,
            TraceOutput::Jsonl => jsonl::end(&total, self.out)?,
        }
        self.out.flush()
    }
}
