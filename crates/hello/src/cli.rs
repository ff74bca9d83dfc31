//! What can be typed after `hello`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Command, CommandFactory, Parser, ValueEnum};
use evidence::ByteCount;
use program::args::{Limit, time, time_limit};
use server::{Answer, ServerLimits};

/// Answers `Hello world`, and on a few paths something else: the server of Keep-Alive Lab.
#[derive(Debug, Parser)]
#[command(name = "hello", version, after_help = after_help())]
pub struct Args {
    /// Listen on this address; port 0 takes any free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,

    /// Listen on this port of 127.0.0.1: short for --listen 127.0.0.1:PORT
    #[arg(long, value_name = "PORT", conflicts_with = "listen")]
    port: Option<u16>,

    /// Ask the kernel to let so many connections wait to be accepted; it may grant fewer, and
    /// Linux lets one more wait than it grants
    #[arg(long, value_name = "COUNT", default_value_t = server::BACKLOG,
        value_parser = clap::value_parser!(u32).range(..=i64::from(i32::MAX)))]
    pub backlog: u32,

    /// Listen, but never accept, and say how many connections wait, each time that changes
    #[arg(long, conflicts_with_all = ["log", "metrics"])]
    pub no_accept: bool,

    /// Send bodies of this size
    #[arg(long, value_name = "SIZE", default_value = "11")]
    bytes: ByteCount,

    /// Wait before the head of each response
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = time)]
    delay: Duration,

    /// Wait between head and body of each response, the head being sent already
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = time)]
    pause_before_body: Duration,

    /// Answer `Connection: close`, so close every connection after one exchange
    #[arg(long)]
    close: bool,

    /// Send bodies chunked, without announcing their length
    #[arg(long)]
    chunked: bool,

    /// Close a connection whose next head has not come so long after its first byte (the first
    /// head: after accept); `none` for --read-timeout
    #[arg(long, value_name = "TIME", default_value = "none", value_parser = time_limit)]
    read_header_timeout: Limit<Duration>,

    /// Let the head and body of a request take so long; `none` for ever
    #[arg(long, value_name = "TIME", default_value = "none", value_parser = time_limit)]
    read_timeout: Limit<Duration>,

    /// Drop a connection whose response is not sent so long after the head of its request;
    /// `none` for never
    #[arg(long, value_name = "TIME", default_value = "none", value_parser = time_limit)]
    write_timeout: Limit<Duration>,

    /// Close a connection that has been idle so long after a response; `none` for --read-timeout
    #[arg(long, value_name = "TIME", default_value = "none", value_parser = time_limit)]
    idle_timeout: Limit<Duration>,

    /// Answer 503 if an answer is not begun after so long; `none` for never
    #[arg(long, value_name = "TIME", default_value = "none", value_parser = time_limit)]
    handler_timeout: Limit<Duration>,

    /// Show what happens, as it happens
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub show: Vec<Shown>,

    /// Write what is shown as text, or an object a line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: ShowFormat,

    /// Write a line for each exchange
    #[arg(long, value_name = "FORMAT")]
    pub log: Option<LogFormat>,

    /// Count for Prometheus, and answer /metrics with the counts
    #[arg(long)]
    pub metrics: bool,

    /// Keep what is sent to /upload as files in this directory; without, it is counted only
    #[arg(long, value_name = "DIR", value_parser = directory)]
    upload_dir: Option<PathBuf>,

    /// Refuse bodies sent to /upload that are longer
    #[arg(long, value_name = "SIZE", default_value = "10MiB")]
    upload_limit: ByteCount,
}

/// What `--show` shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shown {
    /// How the server came to listen, and what it costs at rest
    Startup,
    /// A line at every step of every connection
    Connections,
    /// The bytes of every message, with the length of each part
    Bytes,
    /// Who ended each connection by its packets; takes CAP_NET_RAW
    Packets,
}

/// How it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ShowFormat {
    /// For people
    Text,
    /// For programs
    Jsonl,
}

/// How an exchange is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Apache's combined format
    Combined,
    /// An object a line
    Json,
}

/// A directory that is there: better told now than at the first upload.
fn directory(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Ok(path),
        Ok(_) => Err("not a directory".into()),
        Err(cause) => Err(cause.to_string()),
    }
}

const EXAMPLES: &str =
    "  hello --port 0                       # any free port; the real one is printed
  hello --bytes 1MiB --delay 20ms      # long bodies from a slow server
  hello --idle-timeout 5s              # the server closes first
  hello --handler-timeout 1s --delay 2s   # a 503, and one that never arrives:
  hello --handler-timeout 1s --delay 2s --write-timeout 500ms
  hello --no-accept --backlog 3        # the kernel opens connections anyway
  hello --show startup,connections     # watch it, and every connection
  sudo hello --show connections,packets   # with a second witness of each close
  hello --log combined --metrics       # as a web server would
  curl 'http://127.0.0.1:8080/?bytes=64KiB&close'";

fn after_help() -> String {
    let (routes, examples) = (crate::index(), program::examples_of("hello"));
    format!(
        "Every path answers Hello world, but for these:
{routes}
Each request can ask for its own answer in its query: bytes, delay,
pause_before_body, close, chunked.

Exit status: 0 ended by Ctrl-C or SIGTERM; 2 could not start, or was ended a
second time, at once.

{examples}
{EXAMPLES}"
    )
}

/// Returns all that can be typed, as clap describes it.
#[must_use]
pub fn command() -> Command {
    Args::command()
}

impl Args {
    /// Where to listen.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match self.port {
            Some(port) => (Ipv4Addr::LOCALHOST, port).into(),
            None => self.listen,
        }
    }

    /// The limits that were typed.
    #[must_use]
    pub fn limits(&self) -> ServerLimits {
        ServerLimits {
            read_header: self.read_header_timeout.0,
            read: self.read_timeout.0,
            write: self.write_timeout.0,
            idle: self.idle_timeout.0,
            handler: self.handler_timeout.0,
        }
    }

    /// Where uploads go, and how long they may be.
    #[must_use]
    pub fn uploads(&self) -> crate::Uploads {
        let uploads = crate::Uploads::default().limited_to(self.upload_limit.0);
        match &self.upload_dir {
            Some(directory) => uploads.kept_in(directory.clone()),
            None => uploads,
        }
    }

    /// What is answered unless a request asks for something else.
    #[must_use]
    pub fn answer(&self) -> Answer {
        Answer {
            bytes: self.bytes.0,
            delay: self.delay,
            pause_before_body: self.pause_before_body,
            close: self.close,
            chunked: self.chunked,
        }
    }
}
