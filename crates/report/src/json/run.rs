//! A run for programs.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use evidence::{
    Moment, Observed, OfferTally, Outcome, Reading, RuleDifference, RunEvent, Side, SocketTable,
    TcpState, TimerKind, TlsFacts,
};
use serde::Serialize;

use super::SCHEMA;
use super::packets::PacketsRow;

/// A run. The keys keep their names as long as [`SCHEMA`] stays; more may be added.
#[derive(Clone, Debug, Serialize)]
struct RunRow<'a> {
    schema: u32,
    program: &'a str,
    /// `go`, `go1.27` or `hyper-util`.
    transport: &'a str,
    /// True if that is the real client, or its rules re-created.
    transport_is: &'a str,
    /// Where its rules are no longer Go's; empty if they are.
    rule_differences: &'a [RuleDifference],
    body: &'a str,
    workers: usize,
    requests_per_worker: usize,
    /// Exchanges that ended, of all workers.
    requests: usize,
    failed: usize,
    failures: Vec<FailureRow<'a>>,
    /// How many failed in which way.
    failures_by_kind: BTreeMap<&'static str, usize>,
    /// How many responses had which status.
    statuses: BTreeMap<u16, usize>,
    predicted: Option<PredictionRow<'a>>,
    opened: usize,
    /// `null` if the server is not ours to ask.
    accepted: Option<usize>,
    /// Why that is another number than `opened`, as far as that is explained.
    accept_gap: AcceptGapRow,
    used: usize,
    /// With `--packets`: what was heard on the wire.
    #[serde(skip_serializing_if = "Option::is_none")]
    packets: Option<PacketsRow<'a>>,
    sockets: TablesRow,
    connections: Vec<ConnectionRow>,
    /// The offers of the responses to keep the connection; `null` if none made one.
    keep_alive_offers: Option<OffersRow>,
    /// One sentence each; empty if the witnesses agree.
    disagreements: Vec<String>,
    interrupted: bool,
    elapsed_us: u64,
    /// With `--trace`: every moment of the client's trace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    events: Vec<EventRow>,
}

#[derive(Clone, Debug, Serialize)]
struct AcceptGapRow {
    /// Opened, not accepted: still in the accept queue when the run was over.
    in_queue: usize,
    /// Opened, not accepted: the accept queue overflowed.
    half_open: usize,
    /// Accepted, not opened: dials that the client had given up.
    given_up: usize,
}

#[derive(Clone, Debug, Serialize)]
struct FailureRow<'a> {
    exchange: u64,
    kind: &'a str,
    message: &'a str,
}

/// `Keep-Alive` fields of a run's responses, and what the server did with idle connections.
#[derive(Clone, Debug, Serialize)]
struct OffersRow {
    /// How many responses made an offer, out of how many.
    offers: usize,
    responses: usize,
    /// The first, as it stood in the head.
    first: String,
    /// `true` if all the others said the same.
    same: bool,
    /// `null` if no response named a time.
    timeout_least_us: Option<u64>,
    timeout_most_us: Option<u64>,
    /// Idle connections that the server closed, and how long each had been idle by the client's
    /// trace.
    idle_closes: usize,
    idle_least_us: Option<u64>,
    idle_most_us: Option<u64>,
    /// How many of those came sooner than offered.
    sooner: usize,
    /// Connections that the server closed, and of which the client does not tell if they were idle.
    idle_unknown: usize,
}

#[derive(Clone, Debug, Serialize)]
struct PredictionRow<'a> {
    least: usize,
    most: usize,
    formula: &'a str,
    /// `null` if the run was ended early.
    held: Option<bool>,
}

#[derive(Clone, Debug, Serialize)]
struct TablesRow {
    /// The most open connections that were seen; `null` if no look was taken.
    busiest: Option<EndsRow>,
    while_running: Option<EndsRow>,
    after_closing: Option<EndsRow>,
}

/// How many ends are in which state.
#[derive(Clone, Debug, Serialize)]
struct EndsRow {
    client: BTreeMap<&'static str, usize>,
    server: BTreeMap<&'static str, usize>,
    /// Bytes that nobody has read, over all client ends; `null` if that cannot be seen.
    client_unread_bytes: Option<u64>,
    /// The longest `TIME_WAIT` of a client end that is left; `null` if there is none.
    client_time_wait_left_ms: Option<u64>,
    /// `false` if the table still changed when the program stopped waiting.
    settled: bool,
}

#[derive(Clone, Debug, Serialize)]
struct ConnectionRow {
    id: u64,
    client: String,
    server: String,
    exchanges: u64,
    /// `client`, `server`, `reset`, or `null` while it is open.
    closed_by: Option<&'static str>,
    /// `null` while it is open, or if it cannot be observed.
    why: Option<String>,
    /// When the client's end was closed, since the start of the run.
    closed_at_us: Option<u64>,
    /// Bytes that lay unread in the client's kernel then.
    unread_bytes: Option<u64>,
    /// How long it had been idle then; `null` if it had not been, or nobody tells.
    idle_us: Option<u64>,
}

/// One moment of a trace. `event` is Go's name for it, or ours where Go has none.
#[derive(Clone, Debug, Serialize)]
pub struct EventRow {
    at_us: u64,
    exchange: Option<u64>,
    connection: Option<u64>,
    event: &'static str,
    #[serde(flatten)]
    facts: serde_json::Map<String, serde_json::Value>,
}

/// Writes the run as one JSON object and a line end.
///
/// # Errors
/// Those of `out`.
pub fn run(outcome: &Outcome, events: &[RunEvent], out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, &RunRow::of(outcome, events))?;
    writeln!(out)
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl<'a> RunRow<'a> {
    fn of(outcome: &'a Outcome, events: &[RunEvent]) -> Self {
        let setup = &outcome.setup;
        let tables = &outcome.tables;
        let failures = outcome.exchanges.iter().filter_map(|exchange| {
            let failure = exchange.body.as_ref().err()?;
            let kind = failure.kind.name();
            Some(FailureRow { exchange: exchange.number.0, kind, message: &failure.message })
        });
        let mut failures_by_kind = BTreeMap::new();
        for failure in outcome.exchanges.iter().filter_map(|e| e.body.as_ref().err()) {
            *failures_by_kind.entry(failure.kind.name()).or_default() += 1;
        }
        let predicted = outcome.prediction.as_ref().map(|prediction| PredictionRow {
            least: prediction.least,
            most: prediction.most,
            formula: &prediction.formula,
            held: (!outcome.interrupted).then(|| prediction.holds(outcome.opened())),
        });
        Self {
            schema: SCHEMA,
            program: setup.program.name(),
            transport: setup.preset.name(),
            transport_is: setup.preset.description(),
            rule_differences: &outcome.rule_differences,
            body: setup.body.name(),
            workers: setup.workers,
            requests_per_worker: setup.requests,
            requests: outcome.exchanges.len(),
            failed: outcome.failed(),
            failures: failures.collect(),
            failures_by_kind,
            statuses: outcome.statuses(),
            predicted,
            opened: outcome.opened(),
            accepted: outcome.accepted,
            accept_gap: AcceptGapRow {
                in_queue: outcome.accept_gap.in_queue,
                half_open: outcome.accept_gap.half_open,
                given_up: outcome.accept_gap.given_up,
            },
            used: outcome.used(),
            packets: outcome.wire.as_ref().map(PacketsRow::of),
            sockets: TablesRow {
                busiest: tables.busiest.as_ref().map(|table| EndsRow::of(table, true)),
                while_running: EndsRow::of_reading(&tables.while_running),
                after_closing: EndsRow::of_reading(&tables.after_closing),
            },
            connections: outcome.connections.iter().map(ConnectionRow::from).collect(),
            keep_alive_offers: outcome.keep_alive_offers().map(OffersRow::from),
            disagreements: outcome.disagreements.iter().map(ToString::to_string).collect(),
            interrupted: outcome.interrupted,
            elapsed_us: us(outcome.elapsed),
            events: events.iter().map(EventRow::of).collect(),
        }
    }
}

impl From<OfferTally> for OffersRow {
    fn from(tally: OfferTally) -> Self {
        let OfferTally { offers, responses, first, same, timeouts, idle_closes, sooner, unseen } =
            tally;
        Self {
            offers,
            responses,
            first,
            same,
            timeout_least_us: timeouts.map(|(least, _)| us(least)),
            timeout_most_us: timeouts.map(|(_, most)| us(most)),
            idle_closes: idle_closes.len(),
            idle_least_us: idle_closes.first().copied().map(us),
            idle_most_us: idle_closes.last().copied().map(us),
            sooner,
            idle_unknown: unseen,
        }
    }
}

impl EndsRow {
    fn of_reading(reading: &Reading) -> Option<Self> {
        reading.table.as_ref().ok().map(|table| Self::of(table, reading.settled))
    }

    fn of(table: &SocketTable, settled: bool) -> Self {
        let tally = |side| table.tally(side).into_iter().map(|(s, n)| (s.name(), n)).collect();
        let client = || table.sockets.iter().filter(|socket| socket.side == Some(Side::Client));
        let unread: Option<Vec<u32>> = client().map(|socket| socket.unread().known()).collect();
        Self {
            client: tally(Side::Client),
            server: tally(Side::Server),
            client_unread_bytes: unread.map(|unread| unread.into_iter().map(u64::from).sum()),
            client_time_wait_left_ms: client()
                .filter(|socket| socket.state == TcpState::TimeWait)
                .filter_map(|socket| socket.timer.known().flatten())
                .filter(|timer| timer.kind == TimerKind::TimeWait)
                .map(|timer| u64::try_from(timer.left.as_millis()).unwrap_or(u64::MAX))
                .max(),
            settled,
        }
    }
}

impl From<&evidence::Connection> for ConnectionRow {
    fn from(connection: &evidence::Connection) -> Self {
        let close = connection.close.as_ref();
        Self {
            id: connection.id.0,
            client: connection.ends.client.to_string(),
            server: connection.ends.server.to_string(),
            exchanges: connection.exchanges,
            closed_by: close.map(|close| close.by.name()),
            why: close.and_then(|close| close.why.as_ref().known()).map(ToString::to_string),
            closed_at_us: close.map(|close| us(close.at)),
            unread_bytes: close.map(|close| close.unread),
            idle_us: close.and_then(|close| close.idle.known().flatten()).map(us),
        }
    }
}

impl EventRow {
    /// `event` as an object of its own.
    #[must_use]
    pub fn of(event: &RunEvent) -> Self {
        Self {
            at_us: us(event.at),
            exchange: event.exchange.map(|exchange| exchange.0),
            connection: event.connection.map(|connection| connection.0),
            event: event.moment.name(),
            facts: facts(&event.moment),
        }
    }
}

fn facts(moment: &Moment) -> serde_json::Map<String, serde_json::Value> {
    use serde_json::{Value, json};
    fn known<T: Into<Value>>(fact: Observed<T>) -> Value {
        fact.known().map_or(Value::Null, Into::into)
    }
    let facts = match moment {
        Moment::GetConn { host_port } => json!({ "host_port": host_port }),
        Moment::DnsStart { host } => json!({ "host": host }),
        Moment::DnsDone { result, coalesced } => {
            let addresses = result.iter().flatten().map(ToString::to_string);
            json!({
                "addresses": addresses.collect::<Vec<_>>(),
                "error": result.as_ref().err(),
                "coalesced": coalesced,
            })
        }
        Moment::ConnectStart { server } => {
            json!({ "network": "tcp", "server": server.to_string() })
        }
        Moment::ConnectDone { server, result } => json!({
            "network": "tcp",
            "server": server.to_string(),
            "client": result.as_ref().ok().map(ToString::to_string),
            "error": result.as_ref().err(),
        }),
        Moment::GotConn { client, reused, was_idle, idle_time } => json!({
            "client": client.to_string(),
            "reused": reused,
            "was_idle": known(*was_idle),
            "idle_time_us": idle_time.known().flatten().map(us),
        }),
        Moment::TlsHandshakeStart
        | Moment::WroteHeaders
        | Moment::Wait100Continue
        | Moment::GotFirstResponseByte
        | Moment::Got100Continue => json!({}),
        Moment::TlsHandshakeDone { result } => tls(result),
        Moment::WaitedForSlot { waited } => json!({ "waited_us": us(*waited) }),
        Moment::WroteHeaderField { name, value } => json!({ "name": name, "value": value }),
        Moment::WroteRequest { result } => json!({ "error": result.as_ref().err() }),
        Moment::Got1xxResponse { code, headers } => {
            let headers = headers.iter().map(|(name, value)| json!([name, value]));
            json!({ "code": code, "headers": headers.collect::<Vec<_>>() })
        }
        Moment::PutIdleConn { refused } => {
            json!({ "refused": refused.map(|refused| refused.to_string()) })
        }
        Moment::ConnectionClosed { by, why, age, exchanges, unread } => json!({
            "by": by.name(),
            "why": why.as_ref().known().map(ToString::to_string),
            "age_us": us(*age),
            "exchanges": exchanges,
            "unread_bytes": unread,
        }),
    };
    match facts {
        Value::Object(facts) => facts,
        _ => serde_json::Map::new(),
    }
}

fn tls(result: &Result<TlsFacts, String>) -> serde_json::Value {
    let TlsFacts { version, alpn, cipher_suite, resumed, certificates } = match result {
        Ok(facts) => facts,
        Err(error) => return serde_json::json!({ "error": error }),
    };
    let certificates = certificates.iter().map(|certificate| {
        serde_json::json!({
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "not_after": certificate.not_after,
        })
    });
    serde_json::json!({
        "version": version,
        "alpn": alpn,
        "cipher_suite": cipher_suite,
        "resumed": resumed,
        "certificates": certificates.collect::<Vec<_>>(),
        "error": null,
    })
}
