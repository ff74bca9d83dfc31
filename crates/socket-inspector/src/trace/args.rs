//! What may be typed after `trace`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use program::args::look_time;

/// What to trace, how, and for how long.
#[derive(Clone, Debug, Args)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux can trace"))]
pub(crate) struct TraceArgs {
    /// Tell only of sockets with this port at either end; may be repeated
    #[arg(short, long = "port", value_name = "PORT")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) ports: Vec<u16>,

    /// End after this time, such as 10s, rather than on Ctrl-C
    #[arg(long = "for", value_name = "TIME", value_parser = look_time)]
    pub(crate) time: Option<Duration>,

    /// Ask this witness: tracepoint (sees every change; needs root), sampling (anybody; sees what
    /// lasts), or auto for the best that can be had
    #[arg(long, value_name = "WITNESS", default_value = "auto", hide_possible_values = true)]
    pub(crate) witness: WitnessArg,

    /// Hear packets as well (needs CAP_NET_RAW): which end sends FIN or RST, and which one first.
    /// Unasked where the tracepoint was wanted and cannot be had
    #[arg(long)]
    pub(crate) packets: bool,

    /// Write text for people or jsonl for programs
    #[arg(short, long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub(crate) format: TraceOutput,
}

/// Which witness is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WitnessArg {
    /// The best that can be had
    Auto,
    /// The kernel's tracepoint
    Tracepoint,
    /// Readings of the socket table
    Sampling,
}

/// Who will read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceOutput {
    /// One aligned line a change
    Text,
    /// One JSON object a line
    Jsonl,
}
