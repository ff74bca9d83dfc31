//! What can be asked of the lab on the command line.

use std::path::PathBuf;
use std::time::Duration;

use apparatus::cli::{BodyArg, PacketArgs, PresetArg};
use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use evidence::Preset;
use program::args;

use crate::real_go;

/// Experiments on TCP connections of HTTP clients: predicted, run on this machine's kernel, judged
#[derive(Debug, Parser)]
#[command(name = "lab", version, after_help = after_help())]
pub(crate) struct Cli {
    /// What to do
    #[command(subcommand)]
    pub(crate) action: Action,
}

fn after_help() -> String {
    let examples = program::examples_of("lab");
    format!(
        "{RUN_STATUS}

{examples}
  lab list                           # what there is to find out
  lab run                            # everything, in less than half a minute
  lab run 4 --predict                # guess first
  lab run 4 --set client.per_host=5  # the prediction follows
  lab run my-own.toml                # see experiments/README.md
  lab trace https://example.com      # every moment of two requests
  lab doctor                         # what of this works here, and why not"
    )
}

const RUN_STATUS: &str = "\
Exit status: 0 every prediction held; 1 some did not; 2 something could not run;
130 ended by Ctrl-C.";

fn run_help() -> String {
    let examples = program::examples_of("lab");
    format!(
        "\
Keys of --set: those that `lab show NAME` lists under Setup, and all others of
an experiment's file, which experiments/README.md tells with their meaning. An
unknown key is refused with those that its table has.

{RUN_STATUS}

{examples}
  lab run                                # every experiment
  lab run 4 6 my-own.toml                # these
  lab run 4 --predict                    # guess first, each number
  lab run 4 --set client.per_host=5      # the prediction follows
  lab run 3 --transport go --evidence    # and what the witnesses saw
  lab run 2 --packets=ladder             # and what was on the wire
  lab run --format junit > results.xml   # for a CI system"
    )
}

fn show_help() -> String {
    let examples = program::examples_of("lab");
    format!(
        "\
Exit status: 0 shown; 2 there is no such experiment, or no such setting.

{examples}
  lab show 4
  lab show 4 --set client.per_host=5   # the predictions with another setting"
    )
}

/// A command of the lab.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Name every experiment and its question
    List,
    /// Show an experiment: its question, setup, prediction, and what to look for
    #[command(after_help = show_help())]
    Show {
        /// Its name, number or file
        name: String,
        /// Override a setting, as in client.per_host=5
        #[arg(long = "set", value_name = "KEY=VALUE")]
        overrides: Vec<String>,
    },
    /// Run experiments; all of them if none is named
    Run(Run),
    /// Fetch a URL, twice, and tell every moment of it
    Trace(Trace),
    /// Tell what of the lab works on this machine, and how to allow the rest
    #[command(after_help = doctor_help())]
    Doctor(Doctor),
    /// What the lab starts for each run
    #[command(name = crate::run::CHILD, hide = true)]
    Trial {
        /// The process id of the lab, without which a run does not go on
        parent: u32,
    },
}

/// `lab run`.
#[derive(Debug, Args)]
#[command(after_help = run_help())]
pub(crate) struct Run {
    /// Their names, numbers or files
    #[arg(value_name = "NAME|FILE")]
    pub(crate) names: Vec<String>,

    /// Override a setting, as in client.per_host=5
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,

    /// Ask for your own predictions before each experiment, and score them
    #[arg(long)]
    pub(crate) predict: bool,

    /// Run only through this transport; may be repeated
    #[arg(long = "transport", value_name = "RULES")]
    pub(crate) transports: Vec<TransportArg>,

    /// Whether each run has a private network, made without root
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub(crate) isolate: Isolate,

    /// Write results for people, for programs, or for a CI system
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: RunFormat,

    /// Show the evidence of every run, not only of those that did not go as predicted; with
    /// --format json all that the witnesses saw: exchanges, connections, moments, tables
    #[arg(long)]
    pub(crate) evidence: bool,

    /// The packets of every run.
    #[command(flatten)]
    pub(crate) packets: PacketArgs,

    /// Let so many runs go on side by side
    #[arg(long, value_name = "N", default_value_t = jobs(), value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,

    /// Give up on a run that takes longer
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = args::time)]
    pub(crate) at_most: Duration,
}

/// A transport of `lab run`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransportArg {
    /// One that this program brings.
    Own(Preset),
    /// Go's.
    RealGo,
}

impl ValueEnum for TransportArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [TransportArg; 4] = [
            TransportArg::Own(Preset::Go),
            TransportArg::Own(Preset::Go127),
            TransportArg::Own(Preset::HyperUtil),
            TransportArg::RealGo,
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(match self {
            Self::Own(preset) => PossibleValue::new(preset.name()).help(preset.description()),
            Self::RealGo => PossibleValue::new(real_go::NAME)
                .help("Go's http.Transport itself, as it is installed here"),
        })
    }
}

/// Runs wait most of their time, so more of them fit than there are cores; but they must not be
/// in each other's way.
fn jobs() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(3 * cores).unwrap_or(8).clamp(1, 8)
}

/// Whether each run has a private network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Isolate {
    /// If the system makes one; else the machine's own, and what needs more is skipped
    Auto,
    /// Yes, or not at all
    Always,
    /// No: all in the machine's own network
    Never,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RunFormat {
    /// For people
    Text,
    /// For programs: one JSON object
    Json,
    /// For a CI system: JUnit XML
    Junit,
}

/// `lab trace`.
#[derive(Debug, Args)]
#[command(after_help = trace_help())]
pub(crate) struct Trace {
    /// What to fetch, one after the other; without any, from a server that the lab starts for it
    #[arg(value_name = "URL")]
    pub(crate) urls: Vec<String>,

    /// Fetch each URL so many times
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) requests: u32,

    /// Wait between a round of requests and the next
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = args::interval)]
    pub(crate) interval: Duration,

    /// Use this method; GET by default, POST with --data
    #[arg(long, short = 'X', value_name = "METHOD")]
    pub(crate) method: Option<String>,

    /// Send this header field, too; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub(crate) headers: Vec<String>,

    /// Send this body, or what is in a file after @
    #[arg(long, short = 'd', value_name = "TEXT|@FILE")]
    pub(crate) data: Option<String>,

    /// Let the body wait for the server's 100 Continue
    #[arg(long)]
    pub(crate) expect_continue: bool,

    /// What to do with the body of each response
    #[arg(long, value_name = "POLICY", default_value = "drain")]
    pub(crate) body: BodyArg,

    /// Speak HTTP/1.1 only
    #[arg(long, conflicts_with = "http2")]
    pub(crate) http1: bool,

    /// Speak HTTP/2 only; without TLS, with prior knowledge
    #[arg(long)]
    pub(crate) http2: bool,

    /// Dial another address for a host, as curl does; may be repeated
    #[arg(long, value_name = "HOST:PORT:ADDR:PORT")]
    pub(crate) connect_to: Vec<String>,

    /// Whose rules the client follows
    #[arg(long, value_name = "RULES", default_value = "go")]
    pub(crate) transport: PresetArg,

    /// Follow redirects, and trace each hop
    #[arg(long, short = 'L')]
    pub(crate) follow: bool,

    /// Trust the certificates in this file (PEM), and no others
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,

    /// Trust whoever answers: no certificate is checked
    #[arg(long, conflicts_with = "cacert")]
    pub(crate) insecure: bool,

    /// Show credentials and cookies as they are; without it their values are left out
    #[arg(long)]
    pub(crate) show_secrets: bool,

    /// Give up on a request that takes longer
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = args::time)]
    pub(crate) timeout: Duration,

    /// The packets of the requests.
    #[command(flatten)]
    pub(crate) packets: PacketArgs,

    /// Write results for people or for programs
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: TraceFormat,
}

fn trace_help() -> String {
    let examples = program::examples_of("lab");
    format!(
        "\
Exit status: 0 every request was answered; 1 some failed; 2 could not run;
130 ended by Ctrl-C.

{examples}
  lab trace                          # of a server that the lab starts itself
  lab trace --packets --pcap two.pcapng   # and what was on the wire
  lab trace https://example.com --requests 3 --interval 1s
  lab trace https://example.com --format har > example.har
  lab trace http://127.0.0.1:8080/ -d hello --expect-continue"
    )
}

/// `lab doctor`.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Write for people or for programs
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: DoctorFormat,

    /// Print an AppArmor profile that allows private networks to this program, and nothing else
    #[arg(long, conflicts_with = "format")]
    pub(crate) apparmor: bool,
}

fn doctor_help() -> String {
    let examples = program::examples_of("lab");
    format!(
        "\
Each thing is tried, as the lab would do it, in a process of its own; nothing of
the machine is changed.

Exit status: 0 everything works; 1 something does not, or could not be tried;
2 could not look.

{examples}
  lab doctor
  lab doctor --format json | jq '.rows[] | select(.state != \"works\")'
  lab doctor --apparmor     # for Ubuntu 24.04: with the commands that load it"
    )
}

/// How the doctor's word is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DoctorFormat {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// How a trace is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TraceFormat {
    /// For people: every moment, the phases as numbers and bars
    Text,
    /// One JSON object
    Json,
    /// One JSON object a moment, as it happens
    Jsonl,
    /// HTTP Archive 1.2, which browsers' developer tools read
    Har,
}
