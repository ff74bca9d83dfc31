//! The moments as a list.

use std::io::{self, Write};

use evidence::{BodyPolicy, ByteCount, ExchangeId, Moment, TraceEvent};
use http::{Version, header};
use report::words::{self, FAINT, HEADING, STRIKING};

use super::asked::FetchPlan;
use super::{FetchSession, FetchedExchange};

/// Within so many columns.
pub(super) const WIDTH: usize = 80;
/// Where the facts of a moment begin.
const FACTS: usize = 37;
/// Longer facts are cut off; the formats for programs have them whole.
const LONGEST: usize = 300;

/// Writes what is asked for.
///
/// # Errors
/// Those of `out`.
pub(crate) fn heading(
    number: ExchangeId,
    asked: &FetchPlan,
    out: &mut impl Write,
) -> io::Result<()> {
    let FetchPlan { method, url, redirected_from, .. } = asked;
    let hop = redirected_from.map_or(String::new(), |from| format!(" (redirected by {from})"));
    let asked = words::printable(&format!("{number}  {method} {url}"));
    let mut lines = words::fold(&cut(asked), WIDTH).into_iter();
    let first = lines.next().unwrap_or_default();
    write!(out, "{HEADING}{first}{HEADING:#}")?;
    for line in lines {
        write!(out, "\n   {HEADING}{line}{HEADING:#}")?;
    }
    writeln!(out, "{FAINT}{hop}{FAINT:#}")
}

/// Writes how it ended.
///
/// # Errors
/// Those of `out`.
pub(crate) fn ending(traced: &FetchedExchange, out: &mut impl Write) -> io::Result<()> {
    if let Some(answered) = &traced.answered {
        let version = version_name(answered.version);
        let mut text = format!("{version} {} {}", answered.status.as_u16(), answered.reason);
        text.truncate(text.trim_end().len());
        if let Some(id) = traced.connection() {
            text.push_str(&format!(" on {id}"));
        }
        text.push_str(&match answered.body_policy {
            BodyPolicy::Drain => format!(", {} read", ByteCount(answered.body)),
            BodyPolicy::Drop => ", body dropped".to_owned(),
            BodyPolicy::Hold => ", body held".to_owned(),
        });
        if let Some(location) = answered.headers.get(header::LOCATION) {
            text.push_str(&format!(", to {}", String::from_utf8_lossy(location.as_bytes())));
        }
        for line in words::fold(&cut(words::printable(&text)), WIDTH - 3) {
            writeln!(out, "   {line}")?;
        }
    }
    if let Some(error) = &traced.error {
        let error = words::printable(error);
        for (n, line) in words::wrap(&error, WIDTH - 10).into_iter().enumerate() {
            let word = if n == 0 { "failed" } else { "" };
            writeln!(out, "   {STRIKING}{word:<6}{STRIKING:#} {line}")?;
        }
    }
    writeln!(out)
}

/// `HTTP/1.1`, `HTTP/2`.
#[must_use]
pub(crate) fn version_name(version: Version) -> String {
    match version {
        Version::HTTP_2 => "HTTP/2".to_owned(),
        other => format!("{other:?}"),
    }
}

/// Writes moments that belong to no request that is being carried out, under a title.
///
/// # Errors
/// Those of `out`.
pub(crate) fn aside(
    title: &str,
    why: &str,
    session: &FetchSession,
    events: &[TraceEvent],
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out, "{HEADING}{title}{HEADING:#}  {FAINT}{why}{FAINT:#}")?;
    moments(session, None, events, out)?;
    writeln!(out)
}

/// Writes a line a moment: when, on which connection, what; and for which request, if that is not
/// the one that is being carried out.
///
/// # Errors
/// Those of `out`.
pub(crate) fn moments(
    session: &FetchSession,
    number: Option<ExchangeId>,
    events: &[TraceEvent],
    out: &mut impl Write,
) -> io::Result<()> {
    for event in events {
        let at = event.at.saturating_duration_since(session.started).as_secs_f64() * 1e3;
        let connection = event.connection.map_or(String::new(), |id| id.to_string());
        let name = event.moment.name();
        let mut facts = cut(words::printable(&report::run::facts(&event.moment)));
        if session.insecure && matches!(event.moment, Moment::TlsHandshakeDone { result: Ok(_) }) {
            facts.push_str(", NOT CHECKED");
        }
        if let Some(other) = event.exchange.filter(|exchange| Some(*exchange) != number) {
            facts = format!("of request {other}: {facts}");
        }
        let head = format!("{at:>8.3} ms {FAINT}{connection:<3}{FAINT:#} {name:<20}");
        let mut lines = words::fold(&facts, WIDTH - FACTS).into_iter();
        writeln!(out, "{}", format!("{head} {}", lines.next().unwrap_or_default()).trim_end())?;
        for line in lines {
            writeln!(out, "{:FACTS$}{}", "", line.trim_end())?;
        }
    }
    Ok(())
}

/// No more than anybody would read.
fn cut(text: String) -> String {
    let length = text.chars().count();
    if length <= LONGEST {
        return text;
    }
    let kept: String = text.chars().take(LONGEST).collect();
    format!("{kept}… ({length} characters)")
}
