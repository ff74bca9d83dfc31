//! A session for programs: one object, or one object a moment.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use evidence::TraceEvent;
use http::{HeaderMap, HeaderName, HeaderValue};
use report::json::EventRow;
use serde::Serialize;

use super::phases::{FetchPhase, FetchPhases};
use super::reuse::{self, reuse};
use super::text::version_name;
use super::{FetchSession, FetchedExchange};

/// The keys keep their names as long as this number stays; more may be added.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct WholeTrace<'a> {
    schema: u32,
    program: &'static str,
    transport: &'a str,
    /// True if certificates were not checked.
    insecure: bool,
    exchanges: Vec<ExchangeRow<'a>>,
    /// The moments that belong to no exchange, but to a connection alone.
    connection_events: Vec<EventRow>,
    /// The time that reuse saved a later request; `null` if there is nothing to compare.
    reuse: Option<ReuseRow>,
}

/// Two exchanges to one place.
#[derive(Serialize)]
struct ReuseRow {
    first: u64,
    second: u64,
    /// The time that the second one was spared; `null` if it needed a connection of its own, too.
    saved_us: Option<u64>,
    /// The same as a share of the first one's time.
    saved_share: Option<f64>,
    dns_us: Option<u64>,
    connect_us: Option<u64>,
    tls_us: Option<u64>,
    /// All of it in words.
    text: String,
}

impl ReuseRow {
    fn of(reuse: &reuse::Reuse<'_>) -> Self {
        let of = |phase| reuse.saved().and(reuse.first.phases.get(phase)).map(us);
        Self {
            first: reuse.first.number.0,
            second: reuse.second.number.0,
            saved_us: reuse.saved().map(us),
            saved_share: reuse.share().map(|share| (share * 1e4).round() / 1e4),
            dns_us: of(FetchPhase::Dns),
            connect_us: of(FetchPhase::Connect),
            tls_us: of(FetchPhase::Tls),
            text: reuse.sentence(),
        }
    }
}

#[derive(Serialize)]
struct ExchangeRow<'a> {
    exchange: u64,
    method: &'a str,
    url: &'a str,
    redirected_from: Option<u64>,
    /// `null` if it failed before there was one.
    connection: Option<u64>,
    reused: bool,
    server: Option<String>,
    /// `null` if no head of a response came; so are the next four.
    status: Option<u16>,
    reason: Option<&'a str>,
    version: Option<String>,
    headers: Option<Vec<Field>>,
    body_bytes: Option<u64>,
    /// Why it did not end as it should; it may have been answered in part.
    error: Option<&'a str>,
    started_us: u64,
    total_us: u64,
    phases: PhaseTimes,
    events: Vec<EventRow>,
}

/// A header field of a response.
#[derive(Serialize)]
struct Field {
    name: String,
    value: String,
}

/// `null` is a phase that did not happen, or that cannot be seen.
#[derive(Serialize)]
struct PhaseTimes {
    retry_us: Option<u64>,
    slot_us: Option<u64>,
    dns_us: Option<u64>,
    connect_us: Option<u64>,
    tls_us: Option<u64>,
    request_us: Option<u64>,
    expect_us: Option<u64>,
    wait_us: Option<u64>,
    body_us: Option<u64>,
    other_us: Option<u64>,
}

impl PhaseTimes {
    fn of(phases: &FetchPhases) -> Self {
        let of = |phase| phases.get(phase).map(us);
        Self {
            retry_us: of(FetchPhase::Retry),
            slot_us: of(FetchPhase::Slot),
            dns_us: of(FetchPhase::Dns),
            connect_us: of(FetchPhase::Connect),
            tls_us: of(FetchPhase::Tls),
            request_us: of(FetchPhase::Send),
            expect_us: of(FetchPhase::Expect),
            wait_us: of(FetchPhase::Wait),
            body_us: of(FetchPhase::Receive),
            other_us: of(FetchPhase::Other),
        }
    }
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Writes the session as one object and a line end.
///
/// # Errors
/// Those of `out`.
pub(crate) fn whole(session: &FetchSession, out: &mut impl Write) -> io::Result<()> {
    let started = session.started;
    let whole = WholeTrace {
        schema: SCHEMA,
        program: "lab trace",
        transport: session.transport,
        insecure: session.insecure,
        exchanges: session.exchanges.iter().map(|traced| exchange(session, traced)).collect(),
        connection_events: events(session.events_of(None), started),
        reuse: reuse(session).as_ref().map(ReuseRow::of),
    };
    serde_json::to_writer_pretty(&mut *out, &whole)?;
    writeln!(out)
}

fn exchange<'a>(session: &FetchSession, traced: &'a FetchedExchange) -> ExchangeRow<'a> {
    let (started, asked) = (session.started, &traced.asked);
    let answered = traced.answered.as_ref();
    ExchangeRow {
        exchange: traced.number.0,
        method: asked.method.as_str(),
        url: asked.url.as_str(),
        redirected_from: asked.redirected_from.map(|from| from.0),
        connection: traced.connection().map(|id| id.0),
        reused: traced.phases.reused,
        server: traced.phases.server.map(|server| server.to_string()),
        status: answered.map(|answered| answered.status.as_u16()),
        reason: answered.map(|answered| answered.reason.as_str()),
        version: answered.map(|answered| version_name(answered.version)),
        headers: answered.map(|answered| fields(&answered.headers)),
        body_bytes: answered.map(|answered| answered.body),
        error: traced.error.as_deref(),
        started_us: us(traced.asked_at.saturating_duration_since(started)),
        total_us: us(traced.took()),
        phases: PhaseTimes::of(&traced.phases),
        events: events(session.events_of(Some(traced.number)), started),
    }
}

fn fields(headers: &HeaderMap) -> Vec<Field> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let field =
        |(name, value): (&HeaderName, _)| Field { name: name.to_string(), value: text(value) };
    headers.iter().map(field).collect()
}

fn events<'a>(events: impl Iterator<Item = &'a TraceEvent>, started: Instant) -> Vec<EventRow> {
    events.map(|event| EventRow::of(&event.clone().on_clock(started))).collect()
}

/// Writes moments as lines, one object each.
///
/// # Errors
/// Those of `out`.
pub(crate) fn lines(
    events: &[TraceEvent],
    started: Instant,
    out: &mut impl Write,
) -> io::Result<()> {
    for event in events {
        serde_json::to_writer(&mut *out, &EventRow::of(&event.clone().on_clock(started)))?;
        writeln!(out)?;
    }
    Ok(())
}
