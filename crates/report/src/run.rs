//! A run, from its plan over its exchanges to its verdict, as it happens.

mod exhibits;
mod lines;
mod tables;
mod verdict;

use std::io::{self, Write};
use std::time::Instant;

use evidence::{Exchange, Outcome, Prediction, Setup, TraceEvent};

use crate::json;
use crate::words::{FAINT, HEADING};

pub use exhibits::evidence;
pub use lines::facts;

/// Writes the report of one run.
pub struct RunReport<W> {
    out: W,
    audience: Audience,
    started: Instant,
    lines: usize,
}

/// Who reads it.
enum Audience {
    People,
    /// Programs want one object, so the trace is kept until the end.
    Programs(Vec<TraceEvent>),
}

impl<W: Write> RunReport<W> {
    /// A report for people: written as the run goes on.
    pub fn text(out: W) -> Self {
        Self { out, audience: Audience::People, started: Instant::now(), lines: 0 }
    }

    /// A report for programs: one JSON object, at the end.
    pub fn json(out: W) -> Self {
        let audience = Audience::Programs(Vec::new());
        Self { out, audience, started: Instant::now(), lines: 0 }
    }

    /// What is about to be run, from `started` on, and what is predicted of it.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn start(
        &mut self,
        setup: &Setup,
        prediction: Option<&Prediction>,
        started: Instant,
    ) -> io::Result<()> {
        self.started = started;
        match self.audience {
            Audience::Programs(_) => Ok(()),
            Audience::People => {
                lines::setup(setup, &mut self.out)?;
                lines::predicted(prediction, &mut self.out)?;
                writeln!(self.out)
            }
        }
    }

    /// An exchange that has ended, and the moments of the trace since the one before.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn exchange(&mut self, exchange: &Exchange, moments: &[TraceEvent]) -> io::Result<()> {
        match &mut self.audience {
            Audience::Programs(kept) => kept.extend_from_slice(moments),
            Audience::People => {
                if self.lines == 0 {
                    lines::exchange_header(&mut self.out)?;
                }
                self.lines += 1;
                for moment in moments {
                    lines::moment(moment, self.started, &mut self.out)?;
                }
                lines::exchange(exchange, &mut self.out)?;
            }
        }
        Ok(())
    }

    /// What the run has shown, and the moments of the trace since its last exchange.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn end(&mut self, outcome: &Outcome, moments: &[TraceEvent]) -> io::Result<()> {
        let out = &mut self.out;
        match &mut self.audience {
            Audience::Programs(kept) => {
                kept.extend_from_slice(moments);
                json::run(outcome, kept, self.started, out)?;
            }
            Audience::People => {
                for moment in moments {
                    lines::moment(moment, self.started, out)?;
                }
                if self.lines > 0 {
                    lines::exchange_legend(&outcome.exchanges, out)?;
                    writeln!(out)?;
                }
                tables::text(outcome, out)?;
                verdict::text(outcome, out)?;
            }
        }
        self.out.flush()
    }
}

/// A heading, with what it means beside it.
fn heading(title: &str, meaning: &str, out: &mut impl Write) -> io::Result<()> {
    write!(out, "{HEADING}{title}{HEADING:#}")?;
    match meaning {
        "" => writeln!(out),
        meaning => writeln!(out, "  {FAINT}{meaning}{FAINT:#}"),
    }
}

#[cfg(test)]
mod tests;
