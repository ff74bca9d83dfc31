//! Says what there is to say, in the format that is asked for.

use std::io::{self, Write};
use std::time::Duration;

use super::story::{Story, Told};
use super::witness::{TraceTotal, Witness};
use super::{jsonl, text};
use crate::trace::args::{TraceArgs, TraceFormat};

/// The story so far, and where it is told.
pub(crate) struct Teller<'a, W> {
    pub(crate) story: Story,
    format: TraceFormat,
    ports: Vec<u16>,
    /// When the trace began.
    begun: Duration,
    changes: u64,
    ended: u64,
    out: &'a mut W,
}

impl<'a, W: Write> Teller<'a, W> {
    pub(crate) fn new(asked: &TraceArgs, begun: Duration, out: &'a mut W) -> Self {
        let story = Story::new(&asked.ports);
        let ports = asked.ports.clone();
        Self { story, format: asked.format, ports, begun, changes: 0, ended: 0, out }
    }

    /// Names the witness, and what it cannot see.
    pub(crate) fn witness(&mut self, witness: &Witness) -> io::Result<()> {
        match self.format {
            TraceFormat::Text => text::witness(witness, &self.ports, self.out)?,
            TraceFormat::Jsonl => jsonl::witness(witness, &self.ports, self.out)?,
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
                Told::Change(_) => self.changes = self.changes.saturating_add(1),
                Told::Ended(_) => self.ended = self.ended.saturating_add(1),
            }
            match self.format {
                TraceFormat::Text => text::told(told, self.begun, &mut page)?,
                TraceFormat::Jsonl => jsonl::told(told, self.begun, &mut page)?,
            }
        }
        self.out.write_all(&page)?;
        self.out.flush()
    }

    /// Tells of changes that the witness could not keep up with.
    pub(crate) fn lost(&mut self, changes: u64) -> io::Result<()> {
        match (changes, self.format) {
            (0, _) => Ok(()),
            (_, TraceFormat::Text) => text::lost(changes, self.out),
            (_, TraceFormat::Jsonl) => jsonl::lost(changes, self.out),
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
            TraceFormat::Text => text::end_of_all(&total, self.out)?,
            TraceFormat::Jsonl => jsonl::end(&total, self.out)?,
        }
        self.out.flush()
    }
}
