//! What may be typed after `pool`.

use std::time::Duration;

use clap::Args;
use program::args::look_time;

use crate::ports::args::ReportFormat;

/// Whose connections to look at, and for how long.
#[derive(Debug, Args)]
pub(crate) struct PoolArgs {
    /// Look at the client connections of this process
    #[arg(long, value_name = "PID", required_unless_present = "port")]
    pub(crate) pid: Option<u32>,

    /// Look at all client connections to this server port
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,

    /// Look for so long
    #[arg(long, value_name = "TIME", value_parser = look_time, default_value = "2s")]
    pub(crate) watch: Duration,

    /// Call bytes abandoned that nobody has read for so long
    #[arg(long, value_name = "TIME", value_parser = look_time, default_value = "1s")]
    pub(crate) patience: Duration,

    /// Take it that the server closes what has been silent for so long
    #[arg(long, value_name = "TIME", value_parser = look_time)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Write text for people or one json object for programs
    #[arg(short, long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub(crate) format: ReportFormat,
}

impl PoolArgs {
    /// Completes "No client connection …".
    pub(crate) fn whose(&self) -> String {
        let of = self.pid.map(|pid| format!("of process {pid}"));
        let to = self.port.map(|port| format!("to port {port}"));
        [of, to].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}
