//! What may be typed after `watch`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use program::args::look_time;

use crate::list::args::SocketArgs;

/// What to watch, how, and for how long.
#[derive(Debug, Args)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux can watch"))]
pub(crate) struct WatchArgs {
    #[command(flatten)]
    pub(crate) which: SocketArgs,

    /// Look every so often [default: 100ms, or more rarely where looks would take a tenth of a
    /// processor]
    #[arg(long, value_name = "TIME", value_parser = look_time)]
    pub(crate) interval: Option<Duration>,

    /// End after this time, such as 10s, rather than when q is pressed
    #[arg(long = "for", value_name = "TIME", value_parser = look_time)]
    pub(crate) time: Option<Duration>,

    /// Draw on the screen, or write the changes as jsonl for programs
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "screen",
        hide_possible_values = true
    )]
    pub(crate) format: WatchFormat,
}

/// Where changes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WatchFormat {
    /// The terminal's screen
    Screen,
    /// One JSON object a line
    Jsonl,
}
