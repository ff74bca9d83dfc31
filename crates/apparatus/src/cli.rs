//! What can be asked of a run on the command line, and the [`Plan`] it means.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, ValueEnum, value_parser};
use evidence::{
    BodyPolicy, ByteCount, CommandFlag, ConnectionId, Outcome, Preset, Program, ServerSetup, Setup,
};
use program::args::{self, Limit};
use report::wire::{NoConnection, PacketOptions, PacketView};
use server::Answer;
use transport::{Config, Dialling, Limits};

use crate::{Plan, ServerPlan, Starts};

/// Go's limits, as they would be typed: where no other is typed, they are those of the transport.
static MAX_IDLE: LazyLock<String> = LazyLock::new(|| typed(Limits::GO.max_idle));
static MAX_CONNS: LazyLock<String> = LazyLock::new(|| typed(Limits::GO.max_conns_per_host));
static IDLE_TIMEOUT: LazyLock<String> = LazyLock::new(|| {
    typed(Limits::GO.idle_timeout.map(|limit| match limit.subsec_nanos() {
        0 => format!("{}s", limit.as_secs()),
        _ => format!("{}ms", limit.as_millis()),
    }))
});

fn typed<T: ToString>(limit: Option<T>) -> String {
    limit.map_or("none".to_owned(), |limit| limit.to_string())
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: a line an exchange, the socket tables, the verdict
    Text,
    /// For programs: one JSON object
    Json,
}

/// The flags that every client program has.
#[derive(Clone, Debug, Args)]
pub struct ClientArgs {
    /// Send so many requests, one after the other
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u64).range(1..=1_000_000))]
    pub requests: u64,

    /// Wait between an exchange and the next
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = args::interval)]
    pub interval: Duration,

    /// What to do with the body of each response
    #[arg(long, value_name = "POLICY", default_value = "drain")]
    body: BodyArg,

    /// Whose rules the client follows
    #[arg(long, value_name = "RULES", default_value = "go")]
    transport: PresetArg,

    /// Ask for bodies of this size
    #[arg(long, value_name = "SIZE", default_value = "11")]
    bytes: ByteCount,

    /// Let the server wait before the head of each response
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = args::time)]
    delay: Duration,

    /// Let the server wait between head and body of each response
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = args::time)]
    pause_before_body: Duration,

    /// Keep so many idle connections per host; 0 keeps none
    #[arg(long, value_name = "N", default_value_t = Limits::GO.max_idle_per_host, allow_hyphen_values = true, value_parser = args::count)]
    per_host: usize,

    /// Keep so many idle connections in all; `none` for no limit. Not with hyper-util
    #[arg(long, value_name = "N", default_value = MAX_IDLE.as_str(), allow_hyphen_values = true, value_parser = args::count_limit)]
    max_idle: Limit<usize>,

    /// Open so many connections per host, busy ones included; `none` for no limit. Not with
    /// hyper-util
    #[arg(long, value_name = "N", default_value = MAX_CONNS.as_str(), allow_hyphen_values = true, value_parser = max_conns)]
    max_conns_per_host: Limit<usize>,

    /// Close a connection that has been idle so long; `none` for never
    #[arg(long, value_name = "TIME", default_value = IDLE_TIMEOUT.as_str(), value_parser = args::time_limit)]
    idle_timeout: Limit<Duration>,

    /// Give up on a request that takes longer; `none` for never. Unless it is typed, what
    /// --delay and --pause-before-body ask for comes on top
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = timeout)]
    timeout: Limit<Duration>,

    /// Use every connection once, and tell the server so. Not with hyper-util
    #[arg(long)]
    no_keep_alives: bool,

    /// Start the server on this port of 127.0.0.1; 0 takes any free one
    #[arg(long, value_name = "PORT", default_value_t = 8080, conflicts_with = "target")]
    port: u16,

    /// Talk to a server that is running already, instead of starting one
    #[arg(long, value_name = "URL")]
    target: Option<String>,

    /// Show every moment of the client's trace
    #[arg(long)]
    pub trace: bool,

    /// The packets of the run.
    #[command(flatten)]
    pub packets: PacketArgs,

    /// Write results for people or for programs
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// [`PacketView`] as a flag's value.
#[derive(Clone, Copy, Debug)]
pub struct PacketViewArg(PacketView);

impl ValueEnum for PacketViewArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [PacketViewArg; 4] = [
            PacketViewArg(PacketView::List),
            PacketViewArg(PacketView::Ladder),
            PacketViewArg(PacketView::States),
            PacketViewArg(PacketView::Bytes),
        ];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self.0 {
            PacketView::List => ("list", "a line for each packet, as tcpdump prints it"),
            PacketView::Ladder => ("ladder", "a connection's packets between its two ends"),
            PacketView::States => ("states", "TCP's states, and the ways that a connection took"),
            PacketView::Bytes => ("bytes", "the bytes of each packet, header by header"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// The flags of every program that can hear packets.
#[derive(Clone, Debug, Default, Args)]
pub struct PacketArgs {
    /// Hear the packets, in a private network made without root, and show them; `list` unless
    /// another view is named
    #[arg(
        long,
        value_name = "VIEW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "list"
    )]
    packets: Option<PacketViewArg>,

    /// Show sequence numbers as they are, not from the start of each connection
    #[arg(long, requires = "packets")]
    absolute: bool,

    /// Show the packets of this connection alone, by its number in the run
    #[arg(long, value_name = "N", requires = "packets", value_parser = connection)]
    packets_of: Option<ConnectionId>,

    /// Hear the packets, and write them to this file, which Wireshark and tshark read (pcapng)
    #[arg(long, value_name = "FILE")]
    pub pcap: Option<PathBuf>,

    /// Let --pcap replace a file that is there already
    #[arg(long, requires = "pcap")]
    pub force: bool,
}

impl PacketArgs {
    /// Returns true if the packets are wanted in any form.
    #[must_use]
    pub fn are_heard(&self) -> bool {
        self.packets.is_some() || self.pcap.is_some()
    }

    /// Returns how they are to be shown, if they are.
    #[must_use]
    pub fn view(&self) -> Option<(PacketView, PacketOptions)> {
        let options = PacketOptions { absolute: self.absolute, connection: self.packets_of };
        self.packets.map(|PacketViewArg(view)| (view, options))
    }

    /// Returns the connection whose packets alone are wanted.
    #[must_use]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.packets_of
    }

    /// Makes sure that a run had the connection whose packets alone are wanted.
    ///
    /// # Errors
    /// [`NoConnection`] if it had not.
    pub fn check(&self, outcome: &Outcome) -> Result<(), NoConnection> {
        self.packets_of.map_or(Ok(()), |id| report::wire::connection(outcome, id))
    }
}

/// What `--transport` says about itself, in `--help` of every client program.
pub const TRANSPORTS: &str = "\
go and go1.27 are the rules of Go's http.Transport (up to 1.26, and since 1.27),
re-created on hyper's HTTP/1.1 connection. hyper-util is no emulation: it is
hyper-util's own legacy Client. Where they differ, so do the clients that they
stand for. With --target, size and times of a response are asked for in the
URL's query, which hello understands; another server will ignore them.";

impl ClientArgs {
    /// Returns what was typed, as a plan for `workers` workers of `program`. `matches` tells which
    /// flags were really typed.
    #[must_use]
    pub fn plan(&self, program: Program, workers: u64, matches: &ArgMatches) -> Plan {
        let typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let preset = self.transport.0;
        let max_idle = match preset {
            // The default is not for a client that has no such limit.
            Preset::HyperUtil if !typed("max_idle") => None,
            _ => self.max_idle.0,
        };
        let limits = Limits {
            max_idle,
            max_idle_per_host: self.per_host,
            max_conns_per_host: self.max_conns_per_host.0,
            idle_timeout: self.idle_timeout.0,
            keep_alives: !self.no_keep_alives,
        };
        let answer = Answer {
            bytes: self.bytes.0,
            delay: self.delay,
            pause_before_body: self.pause_before_body,
            ..Answer::default()
        };
        let (servers, server_setup) = match &self.target {
            None => {
                let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
                let setup = ServerSetup {
                    in_process: true,
                    url: format!("http://{address}/"),
                    bytes: Some(answer.bytes),
                    delay: answer.delay,
                    pause_before_body: answer.pause_before_body,
                };
                let starts = Starts::AtOnce;
                (
                    vec![ServerPlan {
                        address,
                        answer,
                        responder: ServerPlan::hello_world,
                        nodelay: true,
                        lingers: true,
                        limits: server::ServerLimits::default(),
                        starts,
                        tls: None,
                    }],
                    setup,
                )
            }
            Some(target) => {
                // clap would repeat the value, which may hold a password.
                if let Err(error) = transport::check_url(target) {
                    let text = format!("--target: {}\n", crate::with_causes(&error));
                    clap::Error::raw(ErrorKind::ValueValidation, text).exit();
                }
                (Vec::new(), self.target_setup(target, typed))
            }
        };
        let setup = Setup {
            program,
            preset,
            body: self.body.0,
            workers: usize::try_from(workers).unwrap_or(usize::MAX),
            requests: usize::try_from(self.requests).unwrap_or(usize::MAX),
            interval: self.interval,
            per_host: limits.max_idle_per_host,
            max_idle: limits.max_idle,
            max_conns_per_host: limits.max_conns_per_host,
            idle_timeout: limits.idle_timeout,
            keep_alives: limits.keep_alives,
            server: server_setup,
            flags: flags(matches),
        };
        let client = Config { limits, ..Config::of(preset) };
        let timeout = match self.timeout.0 {
            limit if typed("timeout") => limit,
            // Times that were asked for are no reason to give up.
            limit => limit.map(|limit| limit + self.delay + self.pause_before_body),
        };
        Plan {
            setup,
            client,
            dialling: Dialling::default(),
            timeout,
            servers,
            far: None,
            wire: None,
            trace: self.trace,
        }
    }

    /// A server that is not ours is asked only for what was typed.
    fn target_setup(&self, target: &str, typed: impl Fn(&str) -> bool) -> ServerSetup {
        let asked: Vec<String> = [
            ("bytes", self.bytes.0.to_string()),
            ("delay", format!("{}us", self.delay.as_micros())),
            ("pause_before_body", format!("{}us", self.pause_before_body.as_micros())),
        ]
        .into_iter()
        .filter(|(key, _)| typed(key))
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
        // What is after the `#` is for the reader (RFC 9110 section 7.1), and is not sent.
        let mut url = target.split_once('#').map_or(target, |(url, _)| url).to_owned();
        if !asked.is_empty() {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(&asked.join("&"));
        }
        let time = |key, time| if typed(key) { time } else { Duration::ZERO };
        ServerSetup {
            in_process: false,
            url,
            bytes: typed("bytes").then_some(self.bytes.0),
            delay: time("delay", self.delay),
            pause_before_body: time("pause_before_body", self.pause_before_body),
        }
    }
}

/// Returns what was typed, in the order of the help; without what is about packets, which changes
/// nothing of the run: a command that is like this one but for a flag is not to want its file, too.
fn flags(matches: &ArgMatches) -> Vec<CommandFlag> {
    let command = ClientArgs::augment_args(Command::new(""));
    let about_packets = PacketArgs::augment_args(Command::new(""));
    let is_about_packets =
        |id: &clap::Id| about_packets.get_arguments().any(|argument| argument.get_id() == id);
    let known = command
        .get_arguments()
        .filter(|argument| !is_about_packets(argument.get_id()))
        .filter_map(|argument| Some((argument.get_long()?, argument.get_action().takes_values())));
    [("workers", true)]
        .into_iter()
        .chain(known)
        .filter_map(|(name, takes_value)| {
            let id = name.replace('-', "_");
            // A program may lack one.
            let typed = matches.try_contains_id(&id).ok()?
                && matches.value_source(&id) == Some(ValueSource::CommandLine);
            let value = matches.get_raw(&id).and_then(|mut values| values.next_back());
            typed.then(|| CommandFlag {
                name: name.to_owned(),
                value: value
                    .filter(|_| takes_value)
                    .map(|value| value.to_string_lossy().into_owned()),
            })
        })
        .collect()
}

fn connection(text: &str) -> Result<ConnectionId, String> {
    let number = text.strip_prefix('#').unwrap_or(text).parse();
    number.ok().filter(|number| *number > 0).map(ConnectionId).ok_or_else(|| {
        "no connection's number; they count from 1 in the order in which they are dialled"
            .to_owned()
    })
}

fn max_conns(text: &str) -> Result<Limit<usize>, String> {
    match args::count_limit(text)? {
        Limit(Some(0)) => Err("with none every request waits for ever".to_owned()),
        limit => Ok(limit),
    }
}

fn timeout(text: &str) -> Result<Limit<Duration>, String> {
    match args::time_limit(text)? {
        Limit(Some(Duration::ZERO)) => Err("leaves no time for a request".to_owned()),
        limit => Ok(limit),
    }
}

/// [`Preset`] as a flag's value.
#[derive(Clone, Copy, Debug)]
pub struct PresetArg(pub Preset);

impl ValueEnum for PresetArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [PresetArg; 3] =
            [PresetArg(Preset::Go), PresetArg(Preset::Go127), PresetArg(Preset::HyperUtil)];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()).help(self.0.description()))
    }
}

/// [`BodyPolicy`] as a flag's value.
#[derive(Clone, Copy, Debug)]
pub struct BodyArg(pub BodyPolicy);

impl ValueEnum for BodyArg {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [BodyArg; 3] =
            [BodyArg(BodyPolicy::Drain), BodyArg(BodyPolicy::Drop), BodyArg(BodyPolicy::Hold)];
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let help = match self.0 {
            BodyPolicy::Drain => "read it to its end",
            BodyPolicy::Drop => "let go of it unread",
            BodyPolicy::Hold => "keep it unread until the run is over",
        };
        Some(PossibleValue::new(self.0.name()).help(help))
    }
}
