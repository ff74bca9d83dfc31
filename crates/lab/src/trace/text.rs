//! The moments as a list, and the phases as bars.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use evidence::{ByteCount, ConnectionId, Moment, TraceEvent};
use http::Version;
use report::columns::{Cell, Table};
use report::words::{self, FAINT, HEADING, NONE, STRIKING};

use super::phases::Phase;
use super::{Session, Traced};

/// How long the longest bar is.
const BAR: usize = 60;

/// Writes what has happened so far: one request with its moments.
///
/// # Errors
/// Those of `out`.
pub fn exchange(traced: &Traced, started: Instant, out: &mut impl Write) -> io::Result<()> {
    let Traced { number, method, url, redirected_from, .. } = traced;
    let hop = redirected_from.map_or(String::new(), |from| format!(" (redirected by {from})"));
    writeln!(out, "{HEADING}{number}  {method} {url}{HEADING:#}{FAINT}{hop}{FAINT:#}")?;
    moments(&traced.events, started, out)?;
    match &traced.result {
        Ok(answered) => {
            let status = answered.status;
            let reason = status.canonical_reason().unwrap_or_default();
            let connection = traced.connection().map_or(String::new(), |id| format!(" on {id}"));
            let body = match answered.body_policy {
                "drain" => format!("{} read", ByteCount(answered.body)),
                "drop" => "body dropped".to_owned(),
                _ => "body held".to_owned(),
            };
            let version = version_name(answered.version);
            write!(out, "   {version} {} {reason}{connection}, {body}", status.as_u16())?;
            if let Some(location) = answered.headers.get(http::header::LOCATION) {
                write!(out, ", to {}", String::from_utf8_lossy(location.as_bytes()))?;
            }
            writeln!(out)?;
        }
        Err(error) => {
            for (n, line) in words::wrap(error, 70).into_iter().enumerate() {
                let word = if n == 0 { "failed" } else { "" };
                writeln!(out, "   {STRIKING}{word:<6}{STRIKING:#} {line}")?;
            }
        }
    }
    writeln!(out)
}

/// `HTTP/1.1`, `HTTP/2`.
#[must_use]
pub fn version_name(version: Version) -> String {
    match version {
        Version::HTTP_2 => "HTTP/2".to_owned(),
        other => format!("{other:?}"),
    }
}

/// A line a moment: when, on which connection, what.
fn moments(events: &[TraceEvent], started: Instant, out: &mut impl Write) -> io::Result<()> {
    for event in events {
        let at = event.at.saturating_duration_since(started).as_secs_f64() * 1e3;
        let connection = event.connection.map_or(String::new(), |id| id.to_string());
        let facts = report::run::facts(&event.moment);
        let name = event.moment.name();
        let head = format!("{at:>11.3} ms  {FAINT}{connection:<4}{FAINT:#} {name:<20}");
        let mut lines = words::wrap(&facts, 58).into_iter();
        writeln!(out, "{}", format!("{head} {}", lines.next().unwrap_or_default()).trim_end())?;
        for line in lines {
            writeln!(out, "{:41}{line}", "")?;
        }
    }
    Ok(())
}

/// Writes the phases of every request, and what reuse has saved.
///
/// # Errors
/// Those of `out`.
pub fn summary(session: &Session, out: &mut impl Write) -> io::Result<()> {
    if !session.afterwards.is_empty() {
        writeln!(out, "{HEADING}Afterwards{HEADING:#}  {FAINT}the client closes{FAINT:#}")?;
        moments(&session.afterwards, session.started, out)?;
        writeln!(out)?;
    }
    if session.exchanges.is_empty() {
        return Ok(());
    }
    phases(session, out)?;
    bars(session, out)?;
    let is_http2 =
        |traced: &Traced| traced.result.as_ref().is_ok_and(|a| a.version == Version::HTTP_2);
    if session.exchanges.iter().any(is_http2) {
        note(
            "HTTP/2 sends the bytes of many requests side by side and compresses their fields: \
             WroteHeaderField, WroteHeaders, WroteRequest and GotFirstResponseByte of one request \
             cannot be seen there, and nothing is put back into a pool.",
            out,
        )?;
    }
    if session.insecure {
        note("--insecure: nobody has checked who the server is.", out)?;
    }
    if let Some(sentence) = savings(&session.exchanges) {
        note(&sentence, out)?;
    }
    Ok(())
}

/// A paragraph of its own.
fn note(text: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out)?;
    words::wrap(text, 78).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// The requests of each connection; those without one come last.
fn by_connection(session: &Session) -> Vec<(Option<ConnectionId>, Vec<&Traced>)> {
    let mut groups: BTreeMap<(bool, Option<ConnectionId>), Vec<&Traced>> = BTreeMap::new();
    for traced in &session.exchanges {
        let connection = traced.connection();
        groups.entry((connection.is_none(), connection)).or_default().push(traced);
    }
    groups.into_iter().map(|((_, connection), traced)| (connection, traced)).collect()
}

/// The numbers: a row a request, a column a phase, in milliseconds.
fn phases(session: &Session, out: &mut impl Write) -> io::Result<()> {
    const COLUMNS: usize = 2 + Phase::ALL.len() + 1;
    writeln!(out, "{HEADING}Phases{HEADING:#}  {FAINT}in milliseconds{FAINT:#}")?;
    let title = |title: &str| Cell::new(title.to_uppercase()).styled(FAINT).right();
    let mut header = [(); COLUMNS].map(|()| Cell::empty());
    (header[0], header[1]) = (Cell::new("CONN").styled(FAINT), title("NO"));
    for (cell, phase) in header[2..].iter_mut().zip(Phase::ALL) {
        *cell = title(phase.name());
    }
    header[COLUMNS - 1] = title("total");
    let mut rows = Vec::new();
    for (connection, group) in by_connection(session) {
        for (n, traced) in group.into_iter().enumerate() {
            let mut row = [(); COLUMNS].map(|()| Cell::empty());
            if n == 0 {
                row[0] = Cell::new(connection.map_or(NONE.into(), |id| id.to_string()));
            }
            row[1] = Cell::number(traced.number.0);
            for (cell, phase) in row[2..].iter_mut().zip(Phase::ALL) {
                if let Some(time) = traced.phases.get(phase) {
                    *cell = Cell::new(ms(time)).right();
                }
            }
            row[COLUMNS - 1] = Cell::new(ms(traced.took())).right();
            rows.push(row);
        }
    }
    Table::new(2, header, rows).write(out)?;
    writeln!(out)
}

fn ms(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}

/// The picture: a letter for each bit of time, the same scale for all.
fn bars(session: &Session, out: &mut impl Write) -> io::Result<()> {
    let longest = session.exchanges.iter().map(Traced::took).max().unwrap_or_default();
    if longest.is_zero() {
        return Ok(());
    }
    for (connection, group) in by_connection(session) {
        for (n, traced) in group.into_iter().enumerate() {
            let connection = connection.filter(|_| n == 0);
            let connection = connection.map_or(String::new(), |id| id.to_string());
            write!(out, "  {connection:<4} {:>3}  ", traced.number.0)?;
            for (phase, length) in lengths(traced, longest) {
                let style = style(phase);
                write!(out, "{style}{}{style:#}", letter(phase).to_string().repeat(length))?;
            }
            writeln!(out)?;
        }
    }
    let happened =
        |phase: &Phase| session.exchanges.iter().any(|traced| traced.phases.get(*phase).is_some());
    let mut legend = String::new();
    for phase in Phase::ALL.into_iter().filter(happened) {
        let style = style(phase);
        let _ =
            write!(legend, "{style}{}{style:#} {FAINT}{}{FAINT:#}  ", letter(phase), phase.name());
    }
    writeln!(out, "            {}", legend.trim_end())
}

/// How many letters each phase gets: by its share of the longest request, but one at least.
fn lengths(traced: &Traced, longest: Duration) -> Vec<(Phase, usize)> {
    let length = |time: Duration| {
        let share = time.as_secs_f64() / longest.as_secs_f64() * BAR as f64;
        (share.round() as usize).clamp(1, BAR)
    };
    let happened =
        Phase::ALL.into_iter().filter_map(|phase| Some((phase, traced.phases.get(phase)?)));
    happened.map(|(phase, time)| (phase, length(time))).collect()
}

fn letter(phase: Phase) -> char {
    match phase {
        Phase::Slot => 's',
        Phase::Dns => 'd',
        Phase::Connect => 'c',
        Phase::Tls => 't',
        Phase::Send => 'r',
        Phase::Wait => 'w',
        Phase::Receive => 'b',
    }
}

fn style(phase: Phase) -> Style {
    let colour = match phase {
        Phase::Slot => AnsiColor::Red,
        Phase::Dns => AnsiColor::Cyan,
        Phase::Connect => AnsiColor::Yellow,
        Phase::Tls => AnsiColor::Magenta,
        Phase::Send => AnsiColor::Blue,
        Phase::Wait => AnsiColor::White,
        Phase::Receive => AnsiColor::Green,
    };
    colour.on_default()
}

/// What the second of two requests to the same place was spared, in one sentence.
#[must_use]
pub fn savings(exchanges: &[Traced]) -> Option<String> {
    let [first, second, ..] = exchanges else { return None };
    if first.result.is_err() || second.result.is_err() || first.phases.reused {
        return None;
    }
    if !second.phases.reused {
        let id = second.connection()?;
        let refused = first.events.iter().find_map(|event| match event.moment {
            Moment::PutIdleConn { refused } => refused,
            _ => None,
        });
        let why = refused.map_or(String::new(), |refused| format!(" ({refused})"));
        return Some(format!(
            "The second request could not use the first one's connection{why}: it paid for one of \
             its own, {id}, and reuse saved nothing."
        ));
    }
    if second.connection() != first.connection() {
        return None;
    }
    let saved = first.phases.set_up();
    let total = first.took();
    let share = saved.as_secs_f64() / total.as_secs_f64().max(f64::MIN_POSITIVE) * 100.0;
    let parts = [Phase::Dns, Phase::Connect, Phase::Tls]
        .into_iter()
        .filter_map(|phase| Some(format!("{} {} ms", phase.name(), ms(first.phases.get(phase)?))));
    let parts: Vec<String> = parts.collect();
    let split = if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
    Some(format!(
        "Reuse saved the second request what the first one paid for its connection, {} ms of its \
         {} ms ({share:.0} %){split}.",
        ms(saved),
        ms(total),
    ))
}
