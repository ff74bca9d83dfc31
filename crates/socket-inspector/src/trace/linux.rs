//! Linux: two witnesses of changes, and what is told of them.
//!
//! | file | idea |
//! |---|---|
//! | `change.rs` | the nouns: a moment, a span, a change |
//! | `story.rs` | from changes to connections: the state machine |
//! | `bytes.rs` | a number of bytes, exact or the least |
//! | `tracepoint.rs` | the witness that sees every change; needs root |
//! | `traffic.rs`, `transfer.rs` | the witness that sees every send and receive, and its records |
//! | `tally.rs` | from sends and receives to the sums of each socket |
//! | `tracefs.rs` | private instances in the kernel's tracing directory |
//! | `watchdog.rs` | no instance outlives the tracer, however that ends |
//! | `page.rs`, `record.rs` | what the kernel's bytes mean |
//! | `networks.rs` | network namespaces kept apart |
//! | `remains.rs` | `FIN_WAIT_2` and `TIME_WAIT` after the tracepoint's last word |
//! | `sampler.rs`, `sampling.rs` | the witness for everybody: what two readings of the table differ in |
//! | `wire.rs`, `wire_story.rs` | the packets as a further witness, and whose they are |
//! | `witness.rs` | who saw the changes, and how many in all |
//! | `teller.rs`, `text.rs`, `jsonl.rs` | what is told, and how |

mod bytes;
mod change;
mod clock;
mod jsonl;
mod networks;
mod page;
mod record;
mod remains;
mod sampler;
mod sampling;
mod story;
mod tally;
mod teller;
mod text;
mod tracefs;
mod tracepoint;
mod traffic;
mod transfer;
mod watchdog;
mod wire;
mod wire_story;
mod witness;

use std::io::Write;

use anyhow::Context;

use self::teller::TraceTeller;
use self::wire::WantedPackets;
use crate::stop::{ParentTie, TimeToStop};
use crate::trace::args::{TraceArgs, WitnessArg};

pub(crate) use watchdog::watch as watchdog;

/// Traces until the time is over or somebody ends it.
pub(crate) fn run(asked: &TraceArgs, out: &mut impl Write) -> anyhow::Result<u8> {
    let stop =
        TimeToStop::new(asked.time, ParentTie::Matters).context("cannot listen for Ctrl-C")?;
    let mut instead = None;
    if asked.witness != WitnessArg::Sampling {
        match tracepoint::TracepointWitness::open(&asked.ports) {
            Ok(witness) => {
                let hears = if asked.packets { WantedPackets::Asked } else { WantedPackets::No };
                return witness.follow(&stop, TraceTeller::new(asked, hears, clock::now(), out));
            }
            Err(error) if asked.witness == WitnessArg::Tracepoint => {
                return Err(error.context("cannot use the tracepoint"));
            }
            Err(error) => instead = Some(format!("{error:#}")),
        }
    }
    let hears = match (asked.packets, &instead) {
        (true, _) => WantedPackets::Asked,
        (false, Some(_)) => WantedPackets::IfPossible,
        (false, None) => WantedPackets::No,
    };
    let teller = TraceTeller::new(asked, hears, clock::now(), out);
    sampler::follow(&asked.ports, instead, &stop, teller)
}

/// Reads what a kernel's tracing directory might hold: a format up to a byte 0, then a page, whose
/// records are read in the layout of that format and in the usual one.
#[cfg(fuzzing)]
pub fn fuzzed(input: &[u8]) {
    let end = input.iter().position(|byte| *byte == 0).unwrap_or(input.len());
    let (format, rest) = input.split_at(end);
    let format = String::from_utf8_lossy(format);
    let usual = record::ChangeLayout::read(include_str!("linux/record/format.txt"));
    let layouts = [record::ChangeLayout::read(&format), usual];
    let transfers = transfer::TransferLayout::read(|_| Ok::<_, ()>(format.clone().into_owned()));
    let Some(page) = page::page(rest.get(1..).unwrap_or_default()) else { return };
    for (time, record) in &page.records {
        for layout in layouts.iter().flatten() {
            let _ = layout.change(*time, record);
        }
        if let Ok(Some(layout)) = &transfers {
            let _ = layout.transfer(*time, record);
        }
    }
}
