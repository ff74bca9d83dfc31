//! What happened in a run, with the witnesses of every number kept apart.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::micros;
use crate::{
    ClientAddr, CloseReason, ClosedBy, ConnectionFields, ConnectionId, Ends, ExchangeId, NotPooled,
    Observed, OfferTally, Prediction, RuleDifference, ServerCloseReason, Setup, SocketTable,
    WireRecord,
};

/// One request and what became of it, put together from the client's trace.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// Its number, from 1 in the order in which exchanges were started.
    pub number: ExchangeId,
    /// When it started, since the start of the run.
    #[serde(rename = "started_us", with = "micros")]
    pub started: Duration,
    /// How long it took, until the reader had done with its body or it had failed.
    #[serde(rename = "took_us", with = "micros")]
    pub took: Duration,
    /// The connection that carried it, if it got one.
    pub connection: Option<ConnectionId>,
    /// The client's end of that connection.
    pub client: Option<ClientAddr>,
    /// True if the connection had carried an exchange before.
    pub reused: bool,
    /// How long the connection had been idle; `Known(None)` if it had not been.
    #[serde(rename = "idle_before_us", with = "micros")]
    pub idle_before: Observed<Option<Duration>>,
    /// From the start of the exchange to the first byte of the response.
    #[serde(rename = "first_byte_us", with = "micros")]
    pub first_byte: Option<Duration>,
    /// The status code of the response, if its head came.
    pub status: Option<u16>,
    /// The words of that head that concern the connection.
    #[serde(default, skip_serializing_if = "ConnectionFields::is_empty")]
    pub connection_fields: ConnectionFields,
    /// The reader's view of the body, or how the exchange failed.
    pub body: Result<BodySeen, Failure>,
    /// The fate of the connection.
    pub afterwards: Afterwards,
}

impl Exchange {
    /// Returns the status of the response if that is none of success.
    #[must_use]
    pub fn other_status(&self) -> Option<u16> {
        self.status.filter(|status| !is_success(*status))
    }
}

/// Returns true for a status of success: 2xx (RFC 9110 section 15.3).
#[must_use]
pub fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// The reader's view of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BodySeen {
    /// It was read to its end.
    Drained {
        /// Its size in bytes.
        bytes: u64,
    },
    /// It was let go of unread.
    Dropped {
        /// Its size in bytes, if the server announced it.
        #[serde(rename = "left_bytes")]
        left: Option<u64>,
    },
    /// It is kept unread.
    Held {
        /// Its size in bytes, if the server announced it.
        #[serde(rename = "left_bytes")]
        left: Option<u64>,
    },
}

/// The fate of a connection after an exchange, as far as the trace can tell at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Afterwards {
    /// It went back to the pool, or straight to a request that waited for it.
    Pooled,
    /// It was not pooled, for this reason, and is being closed.
    NotPooled(NotPooled),
    /// It still belongs to the exchange: the reader keeps the body.
    Held,
    /// Its fate is not decided yet: what is left of the body is being drained.
    Draining,
    /// The client does not tell.
    NotObservable,
    /// The exchange failed.
    Failed,
}

/// The kinds of failure that mean different things to a learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The name of the host has no address.
    NameNotFound,
    /// Nobody listens at the address.
    Refused,
    /// No way leads to the address.
    Unreachable,
    /// No ephemeral port is left for this destination (`EADDRNOTAVAIL`).
    NoPortLeft,
    /// No file descriptor is left for another socket (`EMFILE`, `ulimit -n`).
    NoDescriptorLeft,
    /// Nothing answered in time.
    TimedOut,
    /// The TLS handshake failed, or TLS ended with an error.
    Tls,
    /// The peer sent something that is no response in the version of HTTP that it was asked in.
    NotHttp,
    /// The peer went on with interim responses (1xx) until the client gave up on a final one.
    InterimOnly,
    /// The peer closed cleanly before it sent any of the response: a close between messages.
    ClosedBeforeResponse,
    /// The peer closed inside the response: it is shorter than announced.
    CutShort,
    /// The peer reset the connection.
    Reset,
    /// The peer reset the stream of HTTP/2 that the exchange was on; the connection stays.
    StreamReset,
    /// Anything else; the message says what.
    Other,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [Self; 14] = [
        Self::NameNotFound,
        Self::Refused,
        Self::Unreachable,
        Self::NoPortLeft,
        Self::NoDescriptorLeft,
        Self::TimedOut,
        Self::Tls,
        Self::NotHttp,
        Self::InterimOnly,
        Self::ClosedBeforeResponse,
        Self::CutShort,
        Self::Reset,
        Self::StreamReset,
        Self::Other,
    ];

    /// Returns true if it means that there is no server at the other end of the URL.
    #[must_use]
    pub fn means_no_server(self) -> bool {
        matches!(self, Self::NameNotFound | Self::Refused | Self::Unreachable | Self::TimedOut)
    }

    /// A stable name for machines, such as `no-port-left`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NameNotFound => "name-not-found",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::NoPortLeft => "no-port-left",
            Self::NoDescriptorLeft => "no-descriptor-left",
            Self::TimedOut => "timed-out",
            Self::Tls => "tls",
            Self::NotHttp => "not-http",
            Self::InterimOnly => "interim-only",
            Self::ClosedBeforeResponse => "closed-before-response",
            Self::CutShort => "cut-short",
            Self::Reset => "reset",
            Self::StreamReset => "stream-reset",
            Self::Other => "other",
        }
    }
}

/// How an exchange failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// The attempt, its object, and the cause.
    pub message: String,
}

/// One connection of the client under study, with what all witnesses say about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Its number, in the order of dialling.
    pub id: ConnectionId,
    /// Its two addresses.
    pub ends: Ends,
    /// How many exchanges it carried. A connection dialled in vain carried none.
    pub exchanges: u64,
    /// How it ended; `None` while it is open.
    pub close: Option<Close>,
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Close {
    /// The end that closed first, agreed on by all witnesses that could see it.
    pub by: ClosedBy,
    /// The reason for which the client closed it.
    pub why: Observed<CloseReason>,
    /// When the client's end was closed, since the start of the run.
    #[serde(rename = "at_us", with = "micros")]
    pub at: Duration,
    /// Bytes that lay unread at the client's end then.
    #[serde(rename = "unread_bytes")]
    pub unread: u64,
    /// How long it had been idle then, in the client's pool; `Known(None)` if it had not been.
    #[serde(rename = "idle_us", with = "micros")]
    pub idle: Observed<Option<Duration>>,
}

/// One reading of the kernel's table, reduced to this run's sockets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// This run's sockets, or why the system refused its table.
    pub table: Result<SocketTable, Unreadable>,
    /// True if two readings in a row agreed and no end was on its way through a passing state.
    pub settled: bool,
}

/// Why the kernel's table could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable(pub String);

impl Default for Reading {
    fn default() -> Self {
        Self { table: Ok(SocketTable::default()), settled: true }
    }
}

/// The kernel's table at the moments that matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tables {
    /// The reading with the most open connections, taken while exchanges were under way; `None`
    /// if no reading was taken then.
    pub busiest: Option<SocketTable>,
    /// After the last exchange, the client still alive, once decided closes have settled.
    pub while_running: Reading,
    /// After the client has let go of held bodies and closed its idle connections.
    pub after_closing: Reading,
}

/// A number on which two witnesses do not agree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disagreement {
    /// The number and what each witness says of it, in one sentence.
    pub sentence: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

/// The difference between the connections that the client opened and those that the server accepted,
/// as far as a witness explains it. Both sides of it come from one thing: to the client a connection
/// is open once its kernel has the server's SYN-ACK, to the server once its program has accepted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptGap {
    /// Opened, and not accepted: the server's kernel has the connection, and kept it in the accept
    /// queue when the run was over.
    pub in_queue: usize,
    /// Opened, and not accepted: the server's kernel does not have it. The accept queue was full at
    /// least that often, and then the last ACK of the handshake is dropped (`TcpExtListenOverflows`).
    pub half_open: usize,
    /// Accepted, and not opened: the client had given up dials, no fewer than these, before it was
    /// told that they had succeeded; and no request came on any of these.
    pub given_up: usize,
}

impl AcceptGap {
    /// Returns true if there is none.
    #[must_use]
    pub fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// How many requests the server was answering at a time: from the head of a request until the
/// response was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct InFlight {
    /// How many requests it has read the head of, in all.
    #[serde(default)]
    pub requests: usize,
    /// The most at one moment.
    pub most: usize,
    /// The mean over the time from the first request to the last response.
    pub mean: f64,
}

/// The outcome of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The request that was made.
    pub setup: Setup,
    /// The prediction, where the model covers the setup.
    pub prediction: Option<Prediction>,
    /// Where the client's rules are no longer Go's, if it was to follow those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rule_differences: Vec<RuleDifference>,
    /// Every exchange that was started, in the order of their numbers.
    pub exchanges: Vec<Exchange>,
    /// Every connection that was established, in the order of dialling.
    pub connections: Vec<Connection>,
    /// How many connections the server accepted; `None` if it is not ours to ask.
    pub accepted: Option<usize>,
    /// Why that is another number than the client's, as far as that is explained.
    pub accept_gap: AcceptGap,
    /// The packets; `None` if nobody was to hear them.
    pub wire: Option<Result<WireRecord, Unreadable>>,
    /// How many requests it was answering at a time; `None` if it is not ours to ask.
    pub in_flight: Option<InFlight>,
    /// The reasons for which the servers let go of connections before they were stopped, and how
    /// often; connections that are not the client's are among them.
    pub server_reasons: BTreeMap<ServerCloseReason, usize>,
    /// The time from the first connection that the servers accepted to the last; `None` if nobody
    /// could be asked.
    #[serde(rename = "accepting_us", with = "micros")]
    pub accepting: Option<Duration>,
    /// The kernel's tables.
    pub tables: Tables,
    /// Where the witnesses disagree.
    pub disagreements: Vec<Disagreement>,
    /// `TIME_WAIT`s at the client's end that are gone before their time, where this network has sent
    /// at least as many resets: a reset ends a `TIME_WAIT` (RFC 1337).
    pub time_waits_cut_short: usize,
    /// From the first request to the end of the last exchange.
    #[serde(rename = "elapsed_us", with = "micros")]
    pub elapsed: Duration,
    /// When the run let go of what was left: held bodies, then idle connections. What was closed
    /// before that was closed by the rules under study.
    #[serde(rename = "let_go_us", with = "micros")]
    pub let_go: Duration,
    /// True if the learner ended the run early (Ctrl-C).
    pub interrupted: bool,
}

impl Outcome {
    /// Connections established, as the client's trace counts them.
    #[must_use]
    pub fn opened(&self) -> usize {
        self.connections.len()
    }

    /// Connections that carried at least one exchange.
    #[must_use]
    pub fn used(&self) -> usize {
        self.connections.iter().filter(|connection| connection.exchanges > 0).count()
    }

    /// Exchanges that failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.exchanges.iter().filter(|exchange| exchange.body.is_err()).count()
    }

    /// The statuses of the responses whose head came, and how many had each.
    #[must_use]
    pub fn statuses(&self) -> BTreeMap<u16, usize> {
        let mut statuses = BTreeMap::new();
        for status in self.exchanges.iter().filter_map(|exchange| exchange.status) {
            *statuses.entry(status).or_default() += 1;
        }
        statuses
    }

    /// Returns what the responses offered in `Keep-Alive` fields; `None` if none made an offer.
    #[must_use]
    pub fn keep_alive_offers(&self) -> Option<OfferTally> {
        OfferTally::of(&self.exchanges, &self.connections)
    }

    /// Connections whose first close was `by`.
    #[must_use]
    pub fn closed_by(&self, by: ClosedBy) -> usize {
        self.connections.iter().filter(|c| c.close.as_ref().is_some_and(|c| c.by == by)).count()
    }
}
