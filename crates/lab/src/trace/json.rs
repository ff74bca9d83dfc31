//! A session for programs: one object, or one object a moment.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use evidence::TraceEvent;
use report::json::Event;
use serde::Serialize;

use super::phases::{Phase, Phases};
use super::text::{savings, version_name};
use super::{Session, Traced};

/// The keys keep their names as long as this number stays; more may be added.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Whole<'a> {
    schema: u32,
    program: &'static str,
    transport: &'a str,
    /// Whether certificates were not checked.
    insecure: bool,
    exchanges: Vec<Exchange<'a>>,
    /// What happened to connections after the last request.
    afterwards: Vec<Event>,
    /// What reuse saved the second request; `null` if there is nothing to compare.
    saved: Option<String>,
}

#[derive(Serialize)]
struct Exchange<'a> {
    exchange: u64,
    method: &'a str,
    url: &'a str,
    redirected_from: Option<u64>,
    /// `null` if it failed before there was one.
    connection: Option<u64>,
    reused: bool,
    server: Option<String>,
    /// `null` if it failed.
    status: Option<u16>,
    version: Option<String>,
    body_bytes: Option<u64>,
    error: Option<&'a str>,
    started_us: u64,
    total_us: u64,
    phases: PhaseTimes,
    events: Vec<Event>,
}

/// `null` is a phase that did not happen, or that cannot be seen.
#[derive(Serialize)]
struct PhaseTimes {
    slot_us: Option<u64>,
    dns_us: Option<u64>,
    connect_us: Option<u64>,
    tls_us: Option<u64>,
    request_us: Option<u64>,
    wait_us: Option<u64>,
    body_us: Option<u64>,
}

impl PhaseTimes {
    fn of(phases: &Phases) -> Self {
        let of = |phase| phases.get(phase).map(us);
        Self {
            slot_us: of(Phase::Slot),
            dns_us: of(Phase::Dns),
            connect_us: of(Phase::Connect),
            tls_us: of(Phase::Tls),
            request_us: of(Phase::Send),
            wait_us: of(Phase::Wait),
            body_us: of(Phase::Receive),
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
pub fn whole(session: &Session, out: &mut impl Write) -> io::Result<()> {
    let started = session.started;
    let whole = Whole {
        schema: SCHEMA,
        program: "lab trace",
        transport: session.transport,
        insecure: session.insecure,
        exchanges: session.exchanges.iter().map(|traced| exchange(traced, started)).collect(),
        afterwards: events(&session.afterwards, started),
        saved: savings(&session.exchanges),
    };
    serde_json::to_writer_pretty(&mut *out, &whole)?;
    writeln!(out)
}

fn exchange(traced: &Traced, started: Instant) -> Exchange<'_> {
    let answered = traced.result.as_ref().ok();
    Exchange {
        exchange: traced.number.0,
        method: traced.method.as_str(),
        url: &traced.url,
        redirected_from: traced.redirected_from.map(|from| from.0),
        connection: traced.connection().map(|id| id.0),
        reused: traced.phases.reused,
        server: traced.phases.server.map(|server| server.to_string()),
        status: answered.map(|answered| answered.status.as_u16()),
        version: answered.map(|answered| version_name(answered.version)),
        body_bytes: answered.map(|answered| answered.body),
        error: traced.result.as_ref().err().map(String::as_str),
        started_us: us(traced.asked_at.saturating_duration_since(started)),
        total_us: us(traced.took()),
        phases: PhaseTimes::of(&traced.phases),
        events: events(&traced.events, started),
    }
}

fn events(events: &[TraceEvent], started: Instant) -> Vec<Event> {
    events.iter().map(|event| Event::of(event, started)).collect()
}

/// Writes moments as lines, one object each.
///
/// # Errors
/// Those of `out`.
pub fn lines(events: &[TraceEvent], started: Instant, out: &mut impl Write) -> io::Result<()> {
    for event in events {
        serde_json::to_writer(&mut *out, &Event::of(event, started))?;
        writeln!(out)?;
    }
    Ok(())
}
