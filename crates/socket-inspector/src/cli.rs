//! The command line: what may be typed.

use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use evidence::{Side, TcpState};
use report::inspected::Column;
use socket_inspector::{Filter, Narrow, Peer};

/// List this machine's TCP sockets, the two ends of a connection as one pair
#[derive(Debug, Parser)]
#[command(version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) list: List,
}

const EXAMPLES: &str = "\
Examples:
  socket-inspector                                every TCP socket of this machine
  socket-inspector --port 8080                    a server and its clients
  socket-inspector --port 8080 --state time-wait  what is left of closed connections
  socket-inspector list --process nginx --wide    round trips, bytes, silence, a row a socket
  socket-inspector list --sort recv-q --side client
  socket-inspector --format json | jq .tally      the counts, for a program
  socket-inspector watch --port 8080              connections as they come, change and go
  socket-inspector trace --port 8080              every change of state, as it happens
  socket-inspector ports --watch 10               ports in use, by whom, and for how long yet
  socket-inspector pool --pid 4711                what a client's connections are at

Exit codes: 0 listed or traced (even if there is nothing to tell), 2 could not.";

/// What to do; without it, list.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List sockets: what is done if no command is given
    List(List),
    /// Show connections as they come, change and go, in this terminal or as json
    Watch(Watch),
    /// Show how many ports are left for connections to each destination, and for how long
    Ports(Ports),
    /// Look at a process's connections from outside: busy, idle, unread, closed by the peer
    Pool(Pool),
    /// Tell every change of a TCP socket's state as it happens, with the time it took
    Trace(crate::trace::cli::Trace),
    /// Remove the tracer's private instance when the tracer is gone
    #[command(hide = true)]
    TraceWatchdog {
        /// The name of the instance
        instance: String,
    },
}

/// Whose connections to look at, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Pool {
    /// Look at the client connections of this process
    #[arg(long, value_name = "PID", required_unless_present = "port")]
    pub(crate) pid: Option<u32>,

    /// Look at all client connections to this server port
    #[arg(short, long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) port: Option<u16>,

    /// Look for so long
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "2s")]
    pub(crate) watch: Duration,

    /// Call bytes abandoned that nobody has read for so long
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s")]
    pub(crate) patience: Duration,

    /// Take it that the server closes what has been silent for so long
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) idle_timeout: Option<Duration>,

    /// Write text for people or one json object for programs
    #[arg(short, long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub(crate) format: Report,
}

impl Pool {
    /// Completes "No client connection …".
    pub(crate) fn whose(&self) -> String {
        let of = self.pid.map(|pid| format!("of process {pid}"));
        let to = self.port.map(|port| format!("to port {port}"));
        [of, to].into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

/// Of which destinations to count ports, and for how long.
#[derive(Debug, Args)]
pub(crate) struct Ports {
    /// Count only ports used towards this destination, such as 10.0.0.7:443; may be repeated
    #[arg(long = "peer", value_name = "ADDR[:PORT]")]
    pub(crate) peers: Vec<Peer>,

    /// Look again after this time and tell how fast ports are used
    #[arg(long, value_name = "TIME", value_parser = time)]
    interval: Option<Duration>,

    /// Go on for this long, with a report after each interval (1 if none is given)
    #[arg(long, value_name = "TIME", value_parser = time)]
    watch: Option<Duration>,

    /// Write text for people or json, one object a report, for programs
    #[arg(short, long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub(crate) format: Report,
}

/// Who will read a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Report {
    /// Aligned columns
    Text,
    /// JSON, one object a line
    Json,
}

impl Ports {
    /// The time between two looks, and how often to look again: never, for a single look.
    pub(crate) fn looks(&self) -> (Duration, usize) {
        let interval = self.interval.or(self.watch.map(|watch| watch.min(Duration::from_secs(1))));
        let Some(interval) = interval else { return (Duration::ZERO, 0) };
        let watch = self.watch.unwrap_or(interval);
        let looks = (watch.as_secs_f64() / interval.as_secs_f64()).round();
        (interval, (looks as usize).max(1))
    }
}

/// Reads a time: a number of seconds, such as 2 or 0.5, or one with its unit, such as 100ms.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let seconds = text.parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    let time = seconds.or_else(|| humantime::parse_duration(text).ok());
    time.filter(|time| (Duration::from_millis(1)..=Duration::from_secs(86_400)).contains(time))
        .ok_or_else(|| "a time from 1ms to 1day is meant, such as 2, 0.5, 100ms or 1min".to_owned())
}

/// Which sockets.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// List only sockets with this port at either end; may be repeated
    #[arg(short, long = "port", value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    ports: Vec<u16>,

    /// List only what this process holds, with the other end of each connection; may be repeated
    #[arg(long = "pid", value_name = "PID")]
    pids: Vec<u32>,

    /// List only what processes of this name hold, with the other ends; may be repeated
    #[arg(long = "process", value_name = "NAME")]
    processes: Vec<String>,

    /// List only sockets whose other end is this, such as 10.0.0.7:443; may be repeated
    #[arg(long = "peer", value_name = "ADDR[:PORT]")]
    peers: Vec<Peer>,

    /// List only this end of connections, client or server; with --pid, its own end alone
    #[arg(long, value_name = "SIDE", hide_possible_values = true)]
    side: Option<End>,
}

impl Which {
    /// What the kernel is asked for.
    pub(crate) fn filter(&self) -> Filter {
        Filter { ports: self.ports.clone(), ..Filter::default() }
    }

    /// What of it is kept.
    pub(crate) fn narrow(&self) -> Narrow {
        Narrow {
            pids: self.pids.clone(),
            processes: self.processes.clone(),
            peers: self.peers.clone(),
            side: self.side.map(|end| match end {
                End::Client => Side::Client,
                End::Server => Side::Server,
            }),
        }
    }
}

/// What to watch, how, and for how long.
#[derive(Debug, Args)]
#[command(after_help = WATCH_EXAMPLES)]
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux can watch"))]
pub(crate) struct Watch {
    #[command(flatten)]
    pub(crate) which: Which,

    /// Look every so often [default: 100ms, or more rarely where looks would take a tenth of a
    /// processor]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) interval: Option<Duration>,

    /// End after this time, such as 10s, rather than when q is pressed
    #[arg(long = "for", value_name = "TIME", value_parser = time)]
    pub(crate) time: Option<Duration>,

    /// Draw on the screen, or write the changes as jsonl for programs
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        default_value = "screen",
        hide_possible_values = true
    )]
    pub(crate) format: Stream,
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
pub(crate) enum Stream {
    /// The terminal's screen
    Screen,
    /// One JSON object a line
    Jsonl,
}

/// What to list, and how.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    which: Which,

    /// List only sockets in this state, such as time-wait; may be repeated
    #[arg(short, long = "state", value_name = "STATE")]
    states: Vec<TcpState>,

    /// Order a row a socket by this column; numbers from the largest down
    #[arg(long, value_name = "COLUMN", value_parser = column)]
    sort: Option<Column>,

    /// Show a row a socket with all that the kernel tells
    #[arg(short, long)]
    wide: bool,

    /// Show a row a socket with these columns, such as local,state,rtt
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', value_parser = column)]
    columns: Vec<Column>,

    /// Write text for people, json for programs or csv for spreadsheets
    #[arg(short, long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub(crate) format: Format,
}

/// Who will read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns
    Text,
    /// One JSON object
    Json,
    /// Comma-separated values
    Csv,
}

/// An end of a connection, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum End {
    Client,
    Server,
}

/// Reads the name of a column.
fn column(name: &str) -> Result<Column, String> {
    let wanted = name.trim().to_ascii_lowercase().replace('_', "-");
    Column::ALL.into_iter().find(|column| column.name() == wanted).ok_or_else(|| {
        let names: Vec<&str> = Column::ALL.iter().map(|column| column.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

/// The columns of a listing that is ordered, but not wide.
const USUAL: [Column; 7] = [
    Column::Local,
    Column::Peer,
    Column::State,
    Column::RecvQueue,
    Column::SendQueue,
    Column::Timer,
    Column::Owner,
];

impl List {
    /// Which sockets are asked for.
    pub(crate) fn filter(&self) -> Filter {
        Filter { states: self.states.iter().copied().collect(), ..self.which.filter() }
    }

    /// Which of them are kept.
    pub(crate) fn narrow(&self) -> Narrow {
        self.which.narrow()
    }

    /// By which column rows are ordered.
    pub(crate) fn order(&self) -> Column {
        self.sort.unwrap_or(Column::Local)
    }

    /// The columns of a row a socket; `None` if connections are listed as pairs.
    pub(crate) fn columns(&self) -> Option<Vec<Column>> {
        if !self.columns.is_empty() {
            return Some(self.columns.clone());
        }
        if self.wide {
            return Some(Column::ALL.to_vec());
        }
        let key = self.sort?;
        let mut columns = USUAL.to_vec();
        if !columns.contains(&key) {
            columns.insert(columns.len() - 1, key);
        }
        Some(columns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(arguments: &[&str]) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(std::iter::once(&"socket-inspector").chain(arguments))
    }

    fn refusal(arguments: &[&str]) -> String {
        typed(arguments).unwrap_err().to_string()
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }

    #[test]
    fn a_state_may_be_spelt_as_netstat_or_as_ss_does() {
        let filter = typed(&["-p", "80", "--state", "time-wait", "--state", "CLOSE_WAIT"]);
        let expected =
            Filter::default().port(80).state(TcpState::TimeWait).state(TcpState::CloseWait);
        assert_eq!(filter.unwrap().list.filter(), expected);
    }

    #[test]
    fn list_is_what_is_done_without_a_command() {
        let bare = typed(&["--port", "80"]).unwrap();
        assert!(bare.command.is_none());
        let Some(Command::List(list)) = typed(&["list", "--port", "80"]).unwrap().command else {
            panic!("no list");
        };
        assert_eq!(list.filter(), bare.list.filter());
    }

    #[test]
    fn an_unknown_state_is_refused_with_the_states_there_are() {
        let refusal = refusal(&["--state", "waiting"]);
        assert!(refusal.contains("time-wait") && refusal.contains("listen"), "{refusal}");
    }

    #[test]
    fn an_unknown_column_is_refused_with_the_columns_there_are() {
        let refusal = refusal(&["--sort", "color"]);
        assert!(refusal.contains("recv-q") && refusal.contains("last-received"), "{refusal}");
    }

    #[test]
    fn the_column_that_orders_the_rows_is_shown() {
        let columns = |arguments: &[&str]| typed(arguments).unwrap().list.columns();
        assert_eq!(columns(&[]), None);
        assert!(columns(&["--sort", "rtt"]).unwrap().contains(&Column::Rtt));
        let asked = columns(&["--sort", "rtt", "--columns", "local,last_sent"]).unwrap();
        assert_eq!(asked, [Column::Local, Column::LastSent]);
    }

    #[test]
    fn ports_are_looked_at_once_unless_a_time_is_given() {
        let looks = |arguments: &[&str]| {
            let typed = typed(&[&["ports"], arguments].concat()).unwrap();
            let Some(Command::Ports(ports)) = typed.command else { panic!("no ports") };
            ports.looks()
        };
        let s = Duration::from_secs;
        assert_eq!(looks(&[]).1, 0);
        assert_eq!(looks(&["--interval", "500ms", "--watch", "1min"]), (s(1) / 2, 120));
        assert_eq!(looks(&["--interval", "2"]), (s(2), 1));
        assert_eq!(looks(&["--watch", "10"]), (s(1), 10));
        assert_eq!(looks(&["--watch", "10", "--interval", "5"]), (s(5), 2));
        assert!(refusal(&["ports", "--watch", "0"]).contains("a time from 1ms"));
    }

    #[test]
    fn a_pool_is_that_of_a_process_or_of_a_server_s_clients() {
        assert!(refusal(&["pool", "--watch", "1"]).contains("--pid <PID>"));
        assert!(typed(&["pool", "--pid", "7"]).is_ok());
        assert!(typed(&["pool", "--port", "80"]).is_ok());
        assert!(typed(&["pool", "--pid", "7", "--port", "80"]).is_ok());
    }

    #[test]
    fn port_0_is_refused_as_no_socket_has_it() {
        assert!(refusal(&["--port", "0"]).contains("1..=65535"));
    }
}
