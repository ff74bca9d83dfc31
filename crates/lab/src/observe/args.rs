//! What can be asked of `lab observe` on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use apparatus::cli::PacketArgs;
use clap::{Args, ValueEnum};
use program::args;

use crate::cli::Isolate;

/// `lab observe`.
#[derive(Debug, Args)]
#[command(after_help = observe_help())]
pub(crate) struct Observe {
    /// Expect a number, as in 'opened <= 2'; may be repeated
    #[arg(long = "expect", value_name = "FORMULA", allow_hyphen_values = true)]
    pub(crate) expectations: Vec<String>,

    /// Observe for so long, then end the program; also what it has left in the background
    #[arg(long = "for", value_name = "TIME", value_parser = args::time)]
    pub(crate) time: Option<Duration>,

    /// Let the program reach the real network: each connection is relayed byte for byte, and names are
    /// resolved outside. host.lab.internal is this machine's own loopback
    #[arg(long, conflicts_with = "serve")]
    pub(crate) outside: bool,

    /// The lab's own server.
    #[command(flatten)]
    pub(crate) serve: ServeArgs,

    /// Whether there is to be a private network; without one only the kernel's table is looked at
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub(crate) isolate: Isolate,

    /// Write the report to this file; without it, to stderr. What the program writes is not touched
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,

    /// Write the report for people or for programs
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: ObserveFormat,

    /// The packets of the program.
    #[command(flatten)]
    pub(crate) packets: PacketArgs,

    /// Leave the keys of TLS out of the file of --pcap. Programs that know SSLKEYLOGFILE, and Node, are
    /// asked for them; whoever has them reads what the connections carried
    #[arg(long, requires = "pcap")]
    pub(crate) no_keys: bool,

    /// The program and its arguments
    #[arg(value_name = "COMMAND", required = true, last = true)]
    pub(crate) command: Vec<OsString>,
}

/// The lab's own server for a program that is observed.
#[derive(Debug, Args)]
#[command(next_help_heading = "The lab's own server")]
pub(crate) struct ServeArgs {
    /// Let a server of the lab's answer, on another host: at any name, any address, any port. It is
    /// there by itself if the command has {url}, {host} or {port}, which become its own
    #[arg(long)]
    pub(crate) serve: bool,

    /// Let it send bodies of this size
    #[arg(long, value_name = "SIZE", default_value = "11")]
    bytes: evidence::ByteCount,

    /// Let it wait before the head of each response
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = args::time)]
    delay: Duration,

    /// Let it wait between head and body of each response
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = args::time)]
    pause_before_body: Duration,

    /// Let it answer `Connection: close`
    #[arg(long)]
    close: bool,

    /// Let it send bodies chunked, without announcing their length
    #[arg(long)]
    chunked: bool,

    /// Let it close a connection that has been idle so long; `none` for never
    #[arg(long, value_name = "TIME", default_value = "none", value_parser = args::time_limit)]
    idle_timeout: args::Limit<Duration>,

    /// Let a packet to it and the answer take so long, as over a distance
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = args::time)]
    pub(crate) round_trip: Duration,
}

impl ServeArgs {
    /// What it answers where a query does not ask for something else.
    pub(crate) fn answer(&self) -> server::Answer {
        server::Answer {
            bytes: self.bytes.0,
            delay: self.delay,
            pause_before_body: self.pause_before_body,
            close: self.close,
            chunked: self.chunked,
        }
    }

    /// How long it waits for what.
    pub(crate) fn limits(&self) -> server::ServerLimits {
        server::ServerLimits { idle: self.idle_timeout.0, ..server::ServerLimits::default() }
    }

    /// Returns true if any of these flags says something about it.
    pub(crate) fn is_described(&self) -> bool {
        let answer = self.answer();
        let usual = server::Answer::default();
        let is_usual = answer.bytes == usual.bytes
            && answer.delay == usual.delay
            && answer.pause_before_body == usual.pause_before_body
            && !(answer.close || answer.chunked);
        !is_usual || self.idle_timeout.0.is_some() || !self.round_trip.is_zero()
    }
}

fn observe_help() -> String {
    let examples = program::examples_of("lab");
    let names: String = observe::NUMBERS
        .iter()
        .map(|(name, meaning)| format!("  {name:<18} {meaning}\n"))
        .collect();
    format!(
        "\
The program runs as it is, as the same user, in a private network of its own:
what it says to a server that it starts itself, on 127.0.0.1 or ::1, is heard,
and what it says to the lab's own server, if the command names it.

Numbers to expect something of, with <, <=, =, !=, >=, > and arithmetic:
{names}  counter.NAME       by how much a counter of the kernel grew, as in nstat

Exit status: 0 the program ended with 0, or --for ended it, and what is expected
held; 1 it did not; 125 the lab itself failed, or expectations stand on numbers
that two witnesses tell differently; 126 the program cannot be executed; 127
there is no such program; else that of the program, 128 and the number of a
signal that ended it.

{examples}
  lab observe -- npm test
  lab observe -- curl {{url}} {{url}}
  lab observe --idle-timeout 1s -- python3 client.py {{url}}
  lab observe --serve -- ./program-that-calls api.example.com
  lab observe --outside -- git clone https://example.com/project.git
  lab observe --expect 'opened <= 2' --expect 'resets = 0' -- pytest tests/http
  lab observe --packets=ladder --pcap run.pcapng -- ./run-client-and-server
  lab observe --for 30s -o report.txt -- ./start-everything"
    )
}

/// How a report of `lab observe` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObserveFormat {
    /// For people
    Text,
    /// For programs: one JSON object
    Json,
    /// For programs: one JSON object a connection, then one of the whole
    Jsonl,
    /// For a CI system: JUnit XML, a case an expectation
    Junit,
}
