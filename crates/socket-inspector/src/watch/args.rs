//! What may be typed after `watch`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use program::args::look_time;

use crate::list::args::SocketArgs;

/// What to watch, how, and for how long.
#[derive(Debug, Args)]
#[command(after_help = WATCH_EXAMPLES)]
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

const WATCH_EXAMPLES: &str = "\
Examples:
  socket-inspector watch --port 8080              a server and its clients, ten looks a second
  socket-inspector watch --process nginx          what a process has, and had
  socket-inspector watch --format jsonl --for 10s | jq -c 'select(.to == \"TIME_WAIT\")'

Keys: q ends it. / narrows: words such as time_wait, :8080, curl, open, over, !close_wait.
s changes the order, space halts the looks, c forgets connections that are over, the arrow
keys select a connection, whose past is told below the list.

What is shorter than the time between two looks is not seen; trace sees it.";

/// Where changes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WatchFormat {
    /// The terminal's screen
    Screen,
    /// One JSON object a line
    Jsonl,
}
