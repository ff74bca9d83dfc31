//! A run, from its plan over its exchanges to its verdict, as it happens.

mod change;
mod exhibits;
mod facts;
mod lines;
mod next;
mod peer;
mod shell;
mod tables;
mod verdict;

use std::io::{self, Write};

use evidence::{Exchange, Outcome, Prediction, RuleDifference, RunEvent, Setup};

use crate::json;
use crate::page::{PageWriter, USUAL_WIDTH};
use crate::wire::{self, PacketOptions, PacketView};

pub use exhibits::evidence;
pub use lines::facts;
pub use next::{NextStep, next_step};
pub use peer::{accept_gap, keep_alive_offers, time_waits_cut_short};
pub use verdict::rule_differences;

/// Writes the report of one run.
pub struct RunReport<W> {
    out: PageWriter<W>,
    audience: Audience,
    lines: usize,
    packets: Option<(PacketView, PacketOptions)>,
}

/// The audience of a report.
enum Audience {
    People,
    /// Programs want one object, so the trace is kept until the end.
    Programs(Vec<RunEvent>),
}

impl<W: Write> RunReport<W> {
    /// A report for people: written as the run goes on.
    pub fn text(out: W) -> Self {
        Self::of_width(out, USUAL_WIDTH)
    }

    /// A report for people, on a page of `width` characters a line.
    pub fn of_width(out: W, width: usize) -> Self {
        Self {
            out: PageWriter::new(out, width),
            audience: Audience::People,
            lines: 0,
            packets: None,
        }
    }

    /// A report for programs: one JSON object, at the end.
    pub fn json(out: W) -> Self {
        let audience = Audience::Programs(Vec::new());
        Self { out: PageWriter::new(out, USUAL_WIDTH), audience, lines: 0, packets: None }
    }

    /// The same, with the packets of the run, if `view` says how to look at them. Programs are told
    /// of them in sums.
    #[must_use]
    pub fn with_packets(self, view: Option<(PacketView, PacketOptions)>) -> Self {
        Self { packets: view, ..self }
    }

    /// Tells what is about to be run, where the client's rules are not the ones that it is named
    /// after, and what is predicted of it.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn start(
        &mut self,
        setup: &Setup,
        differences: &[RuleDifference],
        prediction: Option<&Prediction>,
    ) -> io::Result<()> {
        match self.audience {
            Audience::Programs(_) => Ok(()),
            Audience::People => {
                lines::setup(setup, differences, &mut self.out)?;
                lines::predicted(prediction, &mut self.out)?;
                writeln!(self.out)
            }
        }
    }

    /// Tells an exchange that has ended, and the moments of the trace since the one before.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn exchange(&mut self, exchange: &Exchange, moments: &[RunEvent]) -> io::Result<()> {
        match &mut self.audience {
            Audience::Programs(kept) => kept.extend_from_slice(moments),
            Audience::People => {
                if self.lines == 0 {
                    lines::exchange_header(&mut self.out)?;
                }
                self.lines += 1;
                for moment in moments {
                    lines::moment(moment, &mut self.out)?;
                }
                lines::exchange(exchange, &mut self.out)?;
            }
        }
        Ok(())
    }

    /// Tells what the run has shown, and the moments of the trace since its last exchange.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn end(&mut self, outcome: &Outcome, moments: &[RunEvent]) -> io::Result<()> {
        let out = &mut self.out;
        match &mut self.audience {
            Audience::Programs(kept) => {
                kept.extend_from_slice(moments);
                json::run(outcome, kept, out)?;
            }
            Audience::People => {
                for moment in moments {
                    lines::moment(moment, out)?;
                }
                if self.lines > 0 {
                    lines::exchange_legend(&outcome.exchanges, out)?;
                    writeln!(out)?;
                }
                tables::text(outcome, out)?;
                if let Some((view, options)) = self.packets {
                    wire::packets(outcome, view, options, out)?;
                }
                verdict::text(outcome, out)?;
            }
        }
        self.out.flush()
    }
}

#[cfg(test)]
pub(crate) mod tests;
