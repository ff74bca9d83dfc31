//! `socket-inspector trace`: every change of a TCP socket's state as it happens.
//!
//! It belongs to the program, not to the library: whoever lists sockets does not build it.
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
//! | `remains.rs` | `FIN_WAIT_2` and `TIME_WAIT` after the tracepoint's last word |
//! | `sampler.rs`, `sampling.rs` | the witness for everybody: what two readings of the table differ in |
//! | `teller.rs`, `text.rs`, `jsonl.rs` | what is told, and how |
//!
//! On systems other than Linux it is refused.

pub(crate) mod cli;

#[cfg(target_os = "linux")]
mod bytes;
#[cfg(target_os = "linux")]
mod change;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod jsonl;
#[cfg(target_os = "linux")]
mod page;
#[cfg(target_os = "linux")]
mod record;
#[cfg(target_os = "linux")]
mod remains;
#[cfg(target_os = "linux")]
mod sampler;
#[cfg(target_os = "linux")]
mod sampling;
#[cfg(target_os = "linux")]
mod story;
#[cfg(target_os = "linux")]
mod tally;
#[cfg(target_os = "linux")]
mod teller;
#[cfg(target_os = "linux")]
mod text;
#[cfg(target_os = "linux")]
mod tracefs;
#[cfg(target_os = "linux")]
mod tracepoint;
#[cfg(target_os = "linux")]
mod traffic;
#[cfg(target_os = "linux")]
mod transfer;
#[cfg(target_os = "linux")]
mod watchdog;

#[cfg(target_os = "linux")]
mod linux {
    use std::io::Write;

    use anyhow::Context;

    use super::cli::{Trace, Wanted};
    use super::teller::Teller;
    use super::{clock, sampler, tracepoint};
    use crate::stop::{Parent, Stop};

    /// Traces until the time is over or somebody ends it.
    pub(crate) fn run(asked: &Trace, out: &mut impl Write) -> anyhow::Result<u8> {
        let stop = Stop::new(asked.time, Parent::Matters).context("cannot listen for Ctrl-C")?;
        let mut instead = None;
        if asked.witness != Wanted::Sampling {
            match tracepoint::Tracepoint::open(&asked.ports) {
                Ok(witness) => {
                    return witness.follow(&stop, Teller::new(asked, clock::now(), out));
                }
                Err(error) if asked.witness == Wanted::Tracepoint => {
                    return Err(error.context("cannot use the tracepoint"));
                }
                Err(error) => instead = Some(format!("{error:#}")),
            }
        }
        let teller = Teller::new(asked, clock::now(), out);
        sampler::follow(&asked.ports, instead, &stop, teller)
    }
}

#[cfg(target_os = "linux")]
pub(crate) use linux::run;
#[cfg(target_os = "linux")]
pub(crate) use watchdog::watch;

/// Only Linux tells.
#[cfg(not(target_os = "linux"))]
pub(crate) fn run(_: &cli::Trace, _: &mut impl std::io::Write) -> anyhow::Result<u8> {
    anyhow::bail!("trace needs Linux: other systems do not tell how their sockets change")
}

/// Only Linux has something to watch.
#[cfg(not(target_os = "linux"))]
pub(crate) fn watch(_: &str) -> anyhow::Result<u8> {
    anyhow::bail!("trace needs Linux")
}
