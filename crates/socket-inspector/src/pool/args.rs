//! What may be typed after `pool`.

use std::time::Duration;

use clap::Args;
use program::args::look_time;
use socket_table::{PeerPattern, SocketSieve};

use crate::ports::args::ReportFormat;

/// Whose connections to look at, and for how long.
#[derive(Debug, Args)]
pub(crate) struct PoolArgs {
    /// Look at the client connections of this process; may be repeated
    #[arg(long = "pid", value_name = "PID", required_unless_present_any = ["ports", "processes", "peers"])]
    pub(crate) pids: Vec<u32>,

    /// Look at the client connections of processes of this name; may be repeated
    #[arg(long = "process", value_name = "NAME")]
    processes: Vec<String>,

    /// Look at client connections to this server port; may be repeated
    #[arg(short, long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) ports: Vec<u16>,

    /// Look at client connections to this server, such as 10.0.0.7:443; may be repeated
    #[arg(long = "peer", value_name = "ADDR[:PORT]")]
    pub(crate) peers: Vec<PeerPattern>,

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
        let any = |items: Vec<String>| items.join(" or ");
        let pids = any(self.pids.iter().map(u32::to_string).collect());
        let ports = any(self.ports.iter().map(u16::to_string).collect());
        let parts = [
            ("of process", pids),
            ("of", any(self.processes.clone())),
            ("to port", ports),
            ("to", any(self.peers.iter().map(PeerPattern::to_string).collect())),
        ];
        let said = parts.iter().filter(|(_, items)| !items.is_empty());
        said.map(|(what, items)| format!("{what} {items}")).collect::<Vec<_>>().join(" ")
    }

    /// The processes that are asked for.
    pub(crate) fn processes(&self) -> SocketSieve {
        let (pids, processes) = (self.pids.clone(), self.processes.clone());
        SocketSieve { pids, processes, ..SocketSieve::default() }
    }
}
