//! What may be typed after `ports`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use program::args::look_time;
use socket_table::PeerPattern;

/// Of which destinations to count ports, and for how long.
#[derive(Debug, Args)]
pub(crate) struct PortsArgs {
    /// Count only ports used towards this destination, such as 10.0.0.7:443; may be repeated
    #[arg(long = "peer", value_name = "ADDR[:PORT]")]
    pub(crate) peers: Vec<PeerPattern>,

    /// Look again after this time and tell how fast ports are used
    #[arg(long, value_name = "TIME", value_parser = look_time)]
    interval: Option<Duration>,

    /// Go on for this long, with a report after each interval (1 if none is given)
    #[arg(long, value_name = "TIME", value_parser = look_time)]
    watch: Option<Duration>,

    /// Write text for people or json, one object a report, for programs
    #[arg(short, long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub(crate) format: ReportFormat,
}

/// Who will read a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Aligned columns
    Text,
    /// JSON, one object a line
    Json,
}

impl PortsArgs {
    /// The time between two looks, and how often to look again: never, for a single look.
    pub(crate) fn looks(&self) -> (Duration, usize) {
        let interval = self.interval.or(self.watch.map(|watch| watch.min(Duration::from_secs(1))));
        let Some(interval) = interval else { return (Duration::ZERO, 0) };
        let watch = self.watch.unwrap_or(interval);
        let looks = (watch.as_secs_f64() / interval.as_secs_f64()).round();
        (interval, (looks as usize).max(1))
    }
}
