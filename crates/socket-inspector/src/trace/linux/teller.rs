//! Says what there is to say, in the format that is asked for.

use std::io::{self, Write};
use std::time::Duration;

use super::story::{ConnectionStory, StoryEvent};
use super::witness::{TraceTotal, TraceWitness};
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
    out: &'a mut W,
}

impl<'a, W: Write> TraceTeller<'a, W> {
    pub(crate) fn new(asked: &TraceArgs, begun: Duration, out: &'a mut W) -> Self {
        let story = ConnectionStory::new(&asked.ports);
        let ports = asked.ports.clone();
        Self { story, format: asked.format, ports, begun, changes: 0, ended: 0, out }
    }

    /// Names the witness, and what it cannot see.
    pub(crate) fn witness(&mut self, witness: &TraceWitness) -> io::Result<()> {
        match self.format {
            TraceOutput::Text => text::witness(witness, &self.ports, self.out)?,
            TraceOutput::Jsonl => jsonl::witness(witness, &self.ports, self.out)?,
        }
        self.out.flush()
    }

    /// Tells what is new.
    pub(crate) fn tell(&mut self) -> io::Result<()> {
        let told = self.story.take();
        if told.is_empty() {
            return Ok(());
        }
        let mut page = Vec::new();
        for told in &told {
            match told {
                StoryEvent::Change(_) => self.changes = self.changes.saturating_add(1),
                StoryEvent::Ended(_) => self.ended = self.ended.saturating_add(1),
            }
            match self.format {
                TraceOutput::Text => text::told(told, self.begun, &mut page)?,
                TraceOutput::Jsonl => jsonl::told(told, self.begun, &mut page)?,
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
        let total = TraceTotal {
            changes: self.changes,
            connections: self.story.connections(),
            ended: self.ended,
            lost,
            lost_transfers,
        };
        match self.format {
            TraceOutput::Text => text::end_of_all(&total, self.out)?,
            TraceOutput::Jsonl => jsonl::end(&total, self.out)?,
        }
        self.out.flush()
    }
}
