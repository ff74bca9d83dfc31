//! What may be typed after `list`, or after nothing.

use clap::{Args, ValueEnum};
use evidence::{Side, TcpState};
use socket_table::{PeerPattern, SocketFilter, SocketSieve};

use crate::list::rows::SocketColumn;

/// The sockets that are meant.
#[derive(Debug, Args)]
pub(crate) struct SocketArgs {
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
    peers: Vec<PeerPattern>,

    /// List only this end of connections, client or server; with --pid, its own end alone
    #[arg(long, value_name = "SIDE", hide_possible_values = true)]
    side: Option<EndArg>,
}

impl SocketArgs {
    /// Returns what the kernel is asked for.
    pub(crate) fn filter(&self) -> SocketFilter {
        SocketFilter { ports: self.ports.clone(), ..SocketFilter::default() }
    }

    /// Returns what of it is kept.
    pub(crate) fn sieve(&self) -> SocketSieve {
        SocketSieve {
            pids: self.pids.clone(),
            processes: self.processes.clone(),
            peers: self.peers.clone(),
            side: self.side.map(|end| match end {
                EndArg::Client => Side::Client,
                EndArg::Server => Side::Server,
            }),
        }
    }
}

/// What to list, and how.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    which: SocketArgs,

    /// List only sockets in this state, such as time-wait; may be repeated
    #[arg(short, long = "state", value_name = "STATE")]
    states: Vec<TcpState>,

    /// Order a row a socket by this column; numbers from the largest down
    #[arg(long, value_name = "COLUMN", value_parser = column)]
    sort: Option<SocketColumn>,

    /// Show a row a socket with all that the kernel tells
    #[arg(short, long)]
    wide: bool,

    /// Show a row a socket with these columns, such as local,state,rtt
    #[arg(long, value_name = "COLUMN,…", value_delimiter = ',', value_parser = column)]
    columns: Vec<SocketColumn>,

    /// Write text for people, json for programs or csv for spreadsheets
    #[arg(short, long, value_name = "FORMAT", default_value = "text", hide_possible_values = true)]
    pub(crate) format: ListFormat,
}

/// Who will read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// Aligned columns
    Text,
    /// One JSON object
    Json,
    /// Comma-separated values
    Csv,
}

/// An end of a connection, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EndArg {
    Client,
    Server,
}

/// Reads the name of a column.
fn column(name: &str) -> Result<SocketColumn, String> {
    let wanted = name.trim().to_ascii_lowercase().replace('_', "-");
    SocketColumn::ALL.into_iter().find(|column| column.name() == wanted).ok_or_else(|| {
        let names: Vec<&str> = SocketColumn::ALL.iter().map(|column| column.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

/// The columns of a listing that is ordered, but not wide.
const USUAL: [SocketColumn; 7] = [
    SocketColumn::Local,
    SocketColumn::Peer,
    SocketColumn::State,
    SocketColumn::RecvQueue,
    SocketColumn::SendQueue,
    SocketColumn::Timer,
    SocketColumn::Owner,
];

impl ListArgs {
    /// The sockets that are asked for.
    pub(crate) fn filter(&self) -> SocketFilter {
        SocketFilter { states: self.states.iter().copied().collect(), ..self.which.filter() }
    }

    /// Those of them that are kept.
    pub(crate) fn sieve(&self) -> SocketSieve {
        self.which.sieve()
    }

    /// By which column rows are ordered.
    pub(crate) fn order(&self) -> SocketColumn {
        self.sort.unwrap_or(SocketColumn::Local)
    }

    /// The columns of a row a socket; `None` if connections are listed as pairs.
    pub(crate) fn columns(&self) -> Option<Vec<SocketColumn>> {
        if !self.columns.is_empty() {
            return Some(self.columns.clone());
        }
        if self.wide {
            return Some(SocketColumn::ALL.to_vec());
        }
        let key = self.sort?;
        let mut columns = USUAL.to_vec();
        if !columns.contains(&key) {
            columns.insert(columns.len() - 1, key);
        }
        Some(columns)
    }
}
