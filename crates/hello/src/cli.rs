//! What can be typed after `hello`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use evidence::ByteCount;
use hello::Answer;

/// Answers `Hello world` on every path: the server of Keep-Alive Lab.
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Listen on this address; port 0 takes any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// Send bodies of this size
    #[arg(long, value_name = "SIZE", default_value = "11")]
    bytes: ByteCount,

    /// Wait before the head of each response
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = humantime::parse_duration)]
    delay: Duration,

    /// Wait between head and body of each response, the head being sent already
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = humantime::parse_duration)]
    pause_before_body: Duration,

    /// Answer `Connection: close`, so close every connection after one exchange
    #[arg(long)]
    close: bool,

    /// Send bodies chunked, without announcing their length
    #[arg(long)]
    chunked: bool,

    /// Close a connection that has been idle so long after a response; `none` for never
    #[arg(long, value_name = "TIME", default_value = "none", value_parser = time_limit)]
    idle_timeout: TimeLimit,

    /// Show what happens, as it happens
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub(crate) show: Vec<Shown>,

    /// Write what is shown as text, or an object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,

    /// Write a line for each exchange
    #[arg(long, value_name = "FORMAT")]
    pub(crate) log: Option<LogFormat>,

    /// Count for Prometheus, and answer /metrics with the counts
    #[arg(long)]
    pub(crate) metrics: bool,
}

/// What `--show` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shown {
    /// How the server came to listen, and what it costs at rest
    Startup,
    /// A line at every step of every connection
    Connections,
    /// The bytes of every message, with the length of each part
    Bytes,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Jsonl,
}

/// How an exchange is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Apache's combined format
    Combined,
    /// An object a line
    Json,
}

/// A time, or none.
#[derive(Clone, Copy, Debug)]
struct TimeLimit(Option<Duration>);

fn time_limit(text: &str) -> Result<TimeLimit, String> {
    match text {
        "none" => Ok(TimeLimit(None)),
        _ => humantime::parse_duration(text)
            .map(|time| TimeLimit(Some(time)))
            .map_err(|cause| format!("neither `none` nor a time: {cause}, as in 500ms or 90s")),
    }
}

const EXAMPLES: &str = "\
Each request can ask for its own answer in its query: bytes, delay,
pause_before_body, close, chunked.

Examples:
  hello --listen 127.0.0.1:0           # any free port; the real one is printed
  hello --bytes 1MiB --delay 20ms      # long bodies from a slow server
  hello --idle-timeout 5s              # the server closes first
  hello --show startup,connections     # watch it, and every connection
  hello --log combined --metrics       # as a web server would
  curl 'http://127.0.0.1:8080/?bytes=64KiB&close'";

impl Args {
    pub(crate) fn idle_timeout(&self) -> Option<Duration> {
        self.idle_timeout.0
    }

    pub(crate) fn answer(&self) -> Answer {
        Answer {
            bytes: self.bytes.0,
            delay: self.delay,
            pause_before_body: self.pause_before_body,
            close: self.close,
            chunked: self.chunked,
        }
    }
}
