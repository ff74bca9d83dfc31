//! What can be asked of the lab on the command line.

use std::path::PathBuf;
use std::time::Duration;

use apparatus::cli::{BodyArg, PacketArgs, PresetArg};
use clap::builder::PossibleValue;
use clap::{Args, Parser, Subcommand, ValueEnum};
use evidence::Preset;
use program::args;

use crate::observe::Observe;
use crate::real_go;
use crate::settings::TlsSetting;

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
    /// Run any program, and tell what its TCP connections did
    Observe(Observe),
    /// Find out what a client does when its server does not do as one would wish
    Passport(Passport),
    /// Tell what of the lab works on this machine, and how to allow the rest
    #[command(after_help = doctor_help())]
    Doctor(Doctor),
    /// What the lab starts to have a process outside of a private network
    #[cfg(target_os = "linux")]
    #[command(name = crate::observe::OUTSIDE, hide = true)]
    Outside {
        /// The process id of the lab, with which it ends
        parent: u32,
    },
    /// What the lab starts to find out whether a program can be observed in a private network
    #[cfg(target_os = "linux")]
    #[command(name = crate::observe::TRY, hide = true)]
    TryNetwork,
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

/// Runs wait most of their time, so many more of them fit than there are cores; but they must not
/// be in each other's way.
fn jobs() -> u16 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u16::try_from(12 * cores).unwrap_or(32).clamp(1, 32)
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

    /// Let the lab's own server speak this version of TLS, with a certificate that this client trusts
    #[arg(
        long,
        value_name = "VERSION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1.3",
        conflicts_with_all = ["urls", "cacert", "insecure"]
    )]
    pub(crate) tls: Option<TlsArg>,

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

    /// Leave the keys of TLS out of the file of --pcap: nobody who has it can decrypt what the
    /// connections carried
    #[arg(long, requires = "pcap")]
    pub(crate) no_keys: bool,

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
  lab trace --tls --packets          # the same with TLS
  lab trace https://example.com --requests 3 --interval 1s
  lab trace https://example.com --format har > example.har
  lab trace http://127.0.0.1:8080/ -d hello --expect-continue"
    )
}

/// [`TlsSetting`] as a flag's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TlsArg {
    /// A session is agreed on in two round trips
    #[value(name = "1.2")]
    Tls12,
    /// A session is agreed on in one round trip
    #[value(name = "1.3")]
    Tls13,
}

impl From<TlsArg> for TlsSetting {
    fn from(version: TlsArg) -> Self {
        match version {
            TlsArg::Tls12 => Self::Tls12,
            TlsArg::Tls13 => Self::Tls13,
        }
    }
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

/// `lab passport`.
#[derive(Debug, Args)]
#[command(after_help = passport_help())]
pub(crate) struct Passport {
    /// Carry out this probe alone, by its name or number; may be repeated
    #[arg(long, value_name = "PROBE")]
    pub(crate) only: Vec<String>,

    /// Compare with a passport that was kept with --format json
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,

    /// Show what was seen in every probe, not only in those that nobody can read
    #[arg(long)]
    pub(crate) evidence: bool,

    /// Write it for people or for programs
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: PassportFormat,

    /// Carry out each probe so many times, and say where the client does not do the same each time
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub(crate) times: u16,

    /// Let so many probes go on side by side
    #[arg(long, value_name = "N", default_value = "6", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: u16,

    /// End a client that takes longer for one probe
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = args::time)]
    pub(crate) at_most: Duration,

    /// The client and its arguments; without it the probes are listed
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    pub(crate) command: Vec<String>,
}

/// How a passport is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PassportFormat {
    /// For people
    Text,
    /// For programs, and for --against: one JSON object with all that was seen
    Json,
}

fn passport_help() -> String {
    let examples = program::examples_of("lab");
    format!(
        "\
Each probe starts the command anew, in a private network of its own, against a
server that does as a script says. In the command, {{url}} stands for a URL; most
probes want it twice, fetched one after the other by one process. A word that is
{{url}} and nothing else is left out where a probe wants fewer. {{pause}} stands for
the seconds that the client is to wait between two requests.

What is read is what the server and the packets saw, and the client's exit
status and output: let it write the bodies that it is given to its standard
output, errors to its standard error, and end with another status than 0 if it
had one. Probes that look for a body are left out for a client that writes none.
Variables that name a proxy (http_proxy and the like) are taken from it; an IPv4
address stands in the URLs. A client whose start takes seconds may want a longer
--at-most, and fewer --jobs.

No score: whoever does all that is allowed is not better for it.

Exit status: 0 every probe that fits was read; 1 something has changed against
the file; 2 a probe could not run or be read; 130 ended by Ctrl-C.

{examples}
  lab passport                              # the probes
  lab passport -- curl -s {{url}} {{url}}
  lab passport --only 6 --evidence -- curl -s {{url}} {{url}}
  lab passport --format json -- python3 fetch.py {{pause}} {{url}} {{url}} > old.json
  lab passport --against old.json -- python3 fetch.py {{pause}} {{url}} {{url}}"
    )
}
