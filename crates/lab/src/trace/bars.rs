//! The phases as numbers and bars.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use evidence::{ConnectionId, Moment};
use http::Version;
use report::columns::{Cell, Table};
use report::words::{self, FAINT, HEADING, NONE};

use super::phases::FetchPhase;
use super::reuse::{ms, reuse};
use super::{FetchSession, FetchedExchange};

/// Fields that hyper does not send in HTTP/2.
const NOT_IN_HTTP_2: [&str; 4] = ["connection", "keep-alive", "proxy-connection", "upgrade"];
/// How long the longest bar is.
const BAR: usize = 60;

/// Writes the phases of every request, and what reuse has saved. `expects` says that a body was to
/// wait for the server's word.
///
/// # Errors
/// Those of `out`.
pub(crate) fn summary(
    session: &FetchSession,
    expects: bool,
    out: &mut impl Write,
) -> io::Result<()> {
    if session.exchanges.is_empty() {
        return Ok(());
    }
    phases(session, out)?;
    bars(session, out)?;
    let is_http2 = |traced: &FetchedExchange| {
        traced.answered.as_ref().is_some_and(|a| a.version == Version::HTTP_2)
    };
    if session.exchanges.iter().any(is_http2) {
        note(
            "With HTTP/2 hyper does not tell when the fields or the body of one request are \
             written, nor when its first byte comes: WroteHeaderField, WroteHeaders, WroteRequest \
             and GotFirstResponseByte are missing (Go has them), and waiting begins with GotConn. \
             Nothing is put back into a pool there.",
            out,
        )?;
        let about_connection = |traced: &FetchedExchange| {
            traced.asked.headers.keys().any(|name| NOT_IN_HTTP_2.contains(&name.as_str()))
        };
        if session.exchanges.iter().any(about_connection) {
            note(
                "HTTP/2 has no fields about the connection, such as Connection (RFC 9113 section \
                 8.2.2): hyper has left them out.",
                out,
            )?;
        }
        if expects {
            note("--expect-continue has no effect there: the body was sent at once.", out)?;
        }
    }
    let is_tls = |moment: &Moment| matches!(moment, Moment::TlsHandshakeDone { .. });
    if session.insecure && session.events.iter().any(|event| is_tls(&event.moment)) {
        note("--insecure: nobody has checked who the server is.", out)?;
    }
    if session.has_hidden {
        note("Credentials and cookies are left out: --show-secrets shows them.", out)?;
    }
    if let Some(reuse) = reuse(session) {
        note(&reuse.sentence(), out)?;
    }
    Ok(())
}

/// A paragraph of its own.
fn note(text: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out)?;
    words::wrap(text, 78).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// The requests of each connection; those without one come last.
fn by_connection(session: &FetchSession) -> Vec<(Option<ConnectionId>, Vec<&FetchedExchange>)> {
    let mut groups: BTreeMap<(bool, Option<ConnectionId>), Vec<&FetchedExchange>> = BTreeMap::new();
    for traced in &session.exchanges {
        let connection = traced.connection();
        groups.entry((connection.is_none(), connection)).or_default().push(traced);
    }
    groups.into_iter().map(|((_, connection), traced)| (connection, traced)).collect()
}

/// The numbers: a row a request, a column a phase, in milliseconds.
fn phases(session: &FetchSession, out: &mut impl Write) -> io::Result<()> {
    const COLUMNS: usize = 2 + FetchPhase::ALL.len() + 1;
    writeln!(out, "{HEADING}Phases{HEADING:#}  {FAINT}in milliseconds{FAINT:#}")?;
    let title = |title: &str| Cell::new(title.to_uppercase()).styled(FAINT).right();
    let mut header = [(); COLUMNS].map(|()| Cell::empty());
    (header[0], header[1]) = (Cell::new("CONN").styled(FAINT), title("NO"));
    for (cell, phase) in header[2..].iter_mut().zip(FetchPhase::ALL) {
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
            for (cell, phase) in row[2..].iter_mut().zip(FetchPhase::ALL) {
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

/// The picture: a letter for each bit of time, the same scale for all.
fn bars(session: &FetchSession, out: &mut impl Write) -> io::Result<()> {
    let longest = session.exchanges.iter().map(FetchedExchange::took).max().unwrap_or_default();
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
    let happened = |phase: &FetchPhase| {
        session.exchanges.iter().any(|traced| traced.phases.get(*phase).is_some())
    };
    let mut legend = String::new();
    for phase in FetchPhase::ALL.into_iter().filter(happened) {
        let style = style(phase);
        let _ =
            write!(legend, "{style}{}{style:#} {FAINT}{}{FAINT:#}  ", letter(phase), phase.name());
    }
    writeln!(out, "            {}", legend.trim_end())
}

/// How many letters each phase gets: by its share of the longest request, but one at least.
fn lengths(traced: &FetchedExchange, longest: Duration) -> Vec<(FetchPhase, usize)> {
    let length = |time: Duration| {
        let share = time.as_secs_f64() / longest.as_secs_f64() * BAR as f64;
        (share.round() as usize).clamp(1, BAR)
    };
    let happened =
        FetchPhase::ALL.into_iter().filter_map(|phase| Some((phase, traced.phases.get(phase)?)));
    happened.map(|(phase, time)| (phase, length(time))).collect()
}

fn letter(phase: FetchPhase) -> char {
    match phase {
        FetchPhase::Retry => 'R',
        FetchPhase::Slot => 's',
        FetchPhase::Dns => 'd',
        FetchPhase::Connect => 'c',
        FetchPhase::Tls => 't',
        FetchPhase::Send => 'r',
        FetchPhase::Expect => 'e',
        FetchPhase::Wait => 'w',
        FetchPhase::Receive => 'b',
        FetchPhase::Other => '.',
    }
}

fn style(phase: FetchPhase) -> Style {
    let colour = match phase {
        FetchPhase::Retry | FetchPhase::Slot => AnsiColor::Red,
        FetchPhase::Dns => AnsiColor::Cyan,
        FetchPhase::Connect => AnsiColor::Yellow,
        FetchPhase::Tls => AnsiColor::Magenta,
        FetchPhase::Send => AnsiColor::Blue,
        FetchPhase::Expect | FetchPhase::Wait => AnsiColor::White,
        FetchPhase::Receive => AnsiColor::Green,
        FetchPhase::Other => return FAINT,
    };
    colour.on_default()
}
