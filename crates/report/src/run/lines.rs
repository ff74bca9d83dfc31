//! The lines that appear while a run goes on.

use std::fmt::Write as _;
use std::io;

use anstyle::Style;
use evidence::{
    Afterwards, BodySeen, ByteCount, CloseReason, ClosedBy, Exchange, Moment, NotPooled, Observed,
    Prediction, RuleDifference, RunEvent, Setup, TlsFacts,
};

use crate::page::Page;
use crate::words::{self, BAD, FAINT, GOOD, HEADING, NONE, STRIKING, UNSEEN};

/// Writes what is about to be run.
pub(super) fn setup(
    setup: &Setup,
    differences: &[RuleDifference],
    out: &mut impl Page,
) -> io::Result<()> {
    let Setup { program, preset, workers, requests, server, .. } = setup;
    let interval = words::span(setup.interval);
    let mut load = words::count(*requests, "request");
    if *workers > 1 {
        load = format!("{workers} workers x {load}");
    }
    if *requests > 1 {
        load = format!("{load}, {interval} apart");
    }
    let body = match setup.body {
        evidence::BodyPolicy::Drain => "bodies are read to their end",
        evidence::BodyPolicy::Drop => "bodies are let go of unread",
        evidence::BodyPolicy::Hold => "bodies are kept unread",
    };
    let name = program.name();
    let mut indent = name.chars().count() + 2;
    let mut name = format!("{HEADING}{name}{HEADING:#}  ");
    for line in words::wrap(&format!("{load}; {body}"), out.width().saturating_sub(indent)) {
        writeln!(out, "{name}{line}")?;
        (name, indent) = (" ".repeat(indent), indent);
    }
    fact("client", &format!("{}: {}", preset.name(), preset.description()), out)?;
    fact("", &pool(setup), out)?;
    rule_differences(differences, out)?;
    let place = if server.in_process { "hello, in this process, at " } else { "" };
    fact("server", &format!("{place}{}", server.url), out)?;
    if let Some(bytes) = server.bytes {
        let mut answer = format!("{} a body", ByteCount(bytes));
        for (time, when) in
            [(server.delay, "before the head"), (server.pause_before_body, "between head and body")]
        {
            if !time.is_zero() {
                let _ = write!(answer, ", {} {when}", words::span(time));
            }
        }
        fact("", &answer, out)?;
    }
    Ok(())
}

/// Writes where the client's rules are not Go's: as a warning, for its name says that they are.
fn rule_differences(all: &[RuleDifference], out: &mut impl Page) -> io::Result<()> {
    let mut name = "NOT GO'S";
    let room = out.width().saturating_sub(FACT);
    for line in all.iter().flat_map(|one| words::wrap(&one.to_string(), room)) {
        writeln!(out, "  {BAD}{name:<9}{BAD:#} {line}")?;
        name = "";
    }
    Ok(())
}

/// The place where facts begin.
pub(super) const FACT: usize = 12;

/// A fact under its name, in the second column.
pub(super) fn fact(name: &str, text: &str, out: &mut impl Page) -> io::Result<()> {
    let room = out.width().saturating_sub(FACT);
    if words::shown_width(text) <= room {
        return as_it_is(name, text, out);
    }
    let mut name = name;
    for line in words::wrap(text, room) {
        as_it_is(name, &line, out)?;
        name = "";
    }
    Ok(())
}

/// A fact that stays in one line: a command, which somebody copies.
pub(super) fn as_it_is(name: &str, text: &str, out: &mut impl Page) -> io::Result<()> {
    writeln!(out, "  {FAINT}{name:<9}{FAINT:#} {text}")
}

/// The client's limits in words.
fn pool(setup: &Setup) -> String {
    if !setup.keep_alives {
        return "keep-alives disabled: every connection is used once".into();
    }
    let mut text = format!("keeps {} idle per host", setup.per_host);
    match setup.max_idle {
        Some(max_idle) => {
            let _ = write!(text, ", {max_idle} in all");
        }
        None => text.push_str(", any number in all"),
    }
    match setup.idle_timeout {
        Some(limit) => {
            let _ = write!(text, ", each for {}", words::span(limit));
        }
        None => text.push_str(", each for ever"),
    }
    if let Some(max) = setup.max_conns_per_host {
        let _ = write!(text, "; opens {max} at most");
    }
    text
}

/// Writes what is predicted, before it is run.
pub(super) fn predicted(predicted: Option<&Prediction>, out: &mut impl Page) -> io::Result<()> {
    let Some(predicted) = predicted else {
        return fact("predicted", "no number: these settings are beyond the model", out);
    };
    fact("predicted", &prediction(predicted), out)?;
    for line in words::wrap(&predicted.because, out.prose_width() - FACT - 2) {
        fact("", &line, out)?;
    }
    Ok(())
}

/// `82 connections = 10 + 9 x (10 - 2)`
pub(super) fn prediction(predicted: &Prediction) -> String {
    let noun = if predicted.most == 1 { "connection" } else { "connections" };
    match predicted.formula.as_str() {
        "" => format!("{predicted} {noun}"),
        formula if predicted.least < predicted.most => {
            format!("{predicted} {noun}; at most {formula}")
        }
        formula => format!("{predicted} {noun} = {formula}"),
    }
}

/// The columns of an exchange that a narrow page does without.
#[derive(Clone, Copy, Debug)]
struct ExchangeColumns {
    port: bool,
    first_byte: bool,
    idle: bool,
}

impl ExchangeColumns {
    fn of(width: usize) -> Self {
        // Twenty are for what became of the connection.
        Self { port: width >= 80, first_byte: width >= 74, idle: width >= 65 }
    }

    /// Puts cells that are wide enough beside each other, and leaves out what there is no room for.
    fn line(self, cells: &ExchangeCells) -> String {
        let ExchangeCells { number, at, connection, port, idle, first_byte, body } = cells;
        let mut line = format!("{number:>4}  {at:>7}  {connection}");
        for (shown, text) in [
            (self.port, format!(" {port:>5}")),
            (self.idle, format!("  {idle:>7}")),
            (self.first_byte, format!("  {first_byte:>7}")),
        ] {
            if shown {
                line.push_str(&text);
            }
        }
        line + &format!("  {body:<7}  ")
    }

    /// The titles of what is left out.
    fn left_out(self) -> Vec<&'static str> {
        let columns = [(self.port, "PORT"), (self.first_byte, "TTFB"), (self.idle, "IDLE")];
        columns.into_iter().filter(|(shown, _)| !shown).map(|(_, title)| title).collect()
    }
}

/// What stands in the line of an exchange, but for what became of it.
#[derive(Debug)]
struct ExchangeCells {
    number: String,
    at: String,
    /// Of ten characters, and its style.
    connection: String,
    port: String,
    idle: String,
    first_byte: String,
    body: String,
}

pub(super) fn exchange_header(out: &mut impl Page) -> io::Result<()> {
    let titles = ExchangeCells {
        number: "NO".into(),
        at: "AT".into(),
        connection: format!("{:<10}", "CONNECTION"),
        port: "PORT".into(),
        idle: "IDLE".into(),
        first_byte: "TTFB".into(),
        body: "BODY".into(),
    };
    let line = ExchangeColumns::of(out.width()).line(&titles);
    writeln!(out, "{FAINT}{line}AFTERWARDS{FAINT:#}")
}

/// One exchange: when, on which connection, how quick, and what became of the connection.
pub(super) fn exchange(exchange: &Exchange, out: &mut impl Page) -> io::Result<()> {
    let connection = match exchange.connection {
        Some(id) => format!("{id} {}", if exchange.reused { "reused" } else { "new" }),
        None => NONE.into(),
    };
    let style = if exchange.reused { GOOD } else { Style::new() };
    let port = exchange.client.map_or(NONE.into(), |client| client.port().to_string());
    let idle = match exchange.idle_before {
        Observed::Known(Some(idle)) => words::short(idle),
        Observed::Known(None) => NONE.into(),
        Observed::NotObservable if exchange.reused => UNSEEN.into(),
        Observed::NotObservable => NONE.into(),
    };
    let first_byte = exchange.first_byte.map_or(NONE.into(), words::short);
    let body = match &exchange.body {
        Ok(BodySeen::Drained { bytes }) => ByteCount(*bytes).to_string(),
        Ok(BodySeen::Dropped { .. }) => "dropped".into(),
        Ok(BodySeen::Held { .. }) => "held".into(),
        Err(_) => NONE.into(),
    };
    let columns = ExchangeColumns::of(out.width());
    let line = columns.line(&ExchangeCells {
        number: exchange.number.0.to_string(),
        at: words::seconds(exchange.started),
        connection: format!("{style}{connection:<10}{style:#}"),
        port,
        idle,
        first_byte,
        body,
    });
    // A long run has numbers that are wider than their column.
    let room = out.width().saturating_sub(words::shown_width(&line));
    let (afterwards, after_style, below) = fitted(exchange, room);
    writeln!(out, "{line}{after_style}{afterwards}{after_style:#}")?;
    for (line, style) in below {
        writeln!(out, "      {style}{line}{style:#}")?;
    }
    if let Err(failure) = &exchange.body {
        for line in words::wrap(&failure.message, out.prose_width() - 8) {
            writeln!(out, "      {line}")?;
        }
    }
    Ok(())
}

/// What stands in the last column of a row, which has `room` columns for it, and what is too long
/// for that and has lines of its own.
fn fitted(exchange: &Exchange, room: usize) -> (String, Style, Vec<(String, Style)>) {
    let (mut text, mut style) = afterwards(exchange, room);
    let mut below = Vec::new();
    let short = text.split_once(':').filter(|_| text.chars().count() > room);
    if let Some(short) = short.map(|(short, _)| short.to_owned()) {
        below.push((std::mem::replace(&mut text, short), style));
    }
    match exchange.other_status() {
        Some(status) if text.chars().count() + 5 <= room => {
            text = format!("{status}, {text}");
            style = if exchange.body.is_ok() { STRIKING } else { style };
        }
        Some(status) => below.insert(0, (format!("status {status}"), STRIKING)),
        None => {}
    }
    (text, style, below)
}

/// What became of the connection, in words for which there is `room`.
fn afterwards(exchange: &Exchange, room: usize) -> (String, Style) {
    let unread = |what: &str, left: Option<u64>| {
        let left = left.map_or("rest".into(), |left| ByteCount(left).to_string());
        let whole = format!("{what}: {left} unread");
        if whole.chars().count() <= room { whole } else { format!("unread: {left}") }
    };
    let plain = Style::new();
    match exchange.afterwards {
        Afterwards::Pooled => ("pooled".into(), GOOD),
        Afterwards::NotPooled(NotPooled::BodyUnread { left: rest }) => {
            (unread("closed", rest), STRIKING)
        }
        Afterwards::NotPooled(NotPooled::IdleCapReached { per_host }) => {
            (format!("closed: idle cap {per_host}"), STRIKING)
        }
        Afterwards::NotPooled(NotPooled::TotalCapReached { max_idle }) => {
            (format!("closed: total cap {max_idle}"), STRIKING)
        }
        // Shorter than their own words: the verdict has those.
        Afterwards::NotPooled(NotPooled::Http10) => ("closed: HTTP/1.0".into(), plain),
        Afterwards::NotPooled(NotPooled::BodyEndsWithConnection) => {
            ("closed: no length".into(), plain)
        }
        Afterwards::NotPooled(NotPooled::KeepAlivesDisabled) => ("closed: used once".into(), plain),
        Afterwards::NotPooled(reason) => (reason.to_string(), plain),
        Afterwards::Held => match exchange.body {
            Ok(BodySeen::Held { left: rest }) => (unread("held", rest), STRIKING),
            _ => ("held".into(), STRIKING),
        },
        Afterwards::Draining => ("being drained".into(), plain),
        Afterwards::NotObservable => (UNSEEN.into(), plain),
        Afterwards::Failed => {
            let kind = exchange.body.as_ref().err().map_or("failed", |failure| failure.kind.name());
            (format!("failed: {kind}"), BAD)
        }
    }
}

/// Writes what the signs in the lines mean, as far as they occur.
pub(super) fn exchange_legend(exchanges: &[Exchange], out: &mut impl Page) -> io::Result<()> {
    let columns = ExchangeColumns::of(out.width());
    if columns.first_byte {
        writeln!(out, "{FAINT}  TTFB: the time to the first byte of the response{FAINT:#}")?;
    }
    let left_out = columns.left_out();
    if !left_out.is_empty() {
        writeln!(out, "{FAINT}  left out for want of room: {}{FAINT:#}", left_out.join(", "))?;
    }
    let unseen = exchanges.iter().any(|e| e.afterwards == Afterwards::NotObservable);
    if unseen {
        let meaning = "not observable: hyper-util's client does not tell it";
        for (n, line) in words::wrap(meaning, out.width() - 7).iter().enumerate() {
            let sign = if n == 0 { UNSEEN } else { " " };
            writeln!(out, "{FAINT}    {sign}  {line}{FAINT:#}")?;
        }
    }
    Ok(())
}

/// One moment of the trace, under Go's name for it.
pub(super) fn moment(event: &RunEvent, out: &mut impl Page) -> io::Result<()> {
    let at = event.at.as_secs_f64() * 1e3;
    let exchange = event.exchange.map_or(String::new(), |exchange| exchange.to_string());
    let connection = event.connection.map_or(String::new(), |id| id.to_string());
    let name = event.moment.name();
    let facts = words::printable(&facts(&event.moment));
    let line =
        format!("{FAINT}{exchange:>4}  {at:>11.3} ms  {connection:<5} {name}{FAINT:#} {facts}");
    writeln!(out, "{}", line.trim_end())
}

/// Returns what there is to say about a moment, beside its name.
#[must_use]
pub fn facts(moment: &Moment) -> String {
    match moment {
        Moment::GetConn { host_port } => host_port.clone(),
        Moment::DnsStart { host } => host.clone(),
        Moment::DnsDone { result: Ok(addresses), .. } => {
            let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            addresses.join(", ")
        }
        Moment::DnsDone { result: Err(error), .. } => format!("failed: {error}"),
        Moment::ConnectStart { server } => server.to_string(),
        Moment::ConnectDone { server, result: Ok(client) } => format!("{server} from {client}"),
        Moment::ConnectDone { server, result: Err(error) } => format!("{server} failed: {error}"),
        Moment::GotConn { reused, was_idle, idle_time, .. } => {
            let was_idle = match was_idle {
                Observed::Known(was_idle) => was_idle.to_string(),
                Observed::NotObservable => UNSEEN.into(),
            };
            let idle_time = match idle_time {
                Observed::Known(None) => String::new(),
                Observed::Known(Some(time)) => format!(" idle_time={}", words::short(*time)),
                Observed::NotObservable => format!(" idle_time={UNSEEN}"),
            };
            format!("reused={reused} was_idle={was_idle}{idle_time}")
        }
        Moment::TlsHandshakeStart
        | Moment::WroteHeaders
        | Moment::Wait100Continue
        | Moment::WroteRequest { result: Ok(()) }
        | Moment::GotFirstResponseByte
        | Moment::Got100Continue => String::new(),
        Moment::TlsHandshakeDone { result: Ok(tls) } => tls_facts(tls),
        Moment::TlsHandshakeDone { result: Err(error) }
        | Moment::WroteRequest { result: Err(error) } => format!("failed: {error}"),
        Moment::WaitedForSlot { waited } => words::short(*waited),
        Moment::WroteHeaderField { name, value } => format!("{name}: {value}"),
        Moment::Got1xxResponse { code, headers } => {
            let fields: Vec<String> =
                headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
            format!("{code} {}", fields.join(", "))
        }
        Moment::PutIdleConn { refused: None } => "ok".into(),
        Moment::PutIdleConn { refused: Some(refused) } => format!("refused: {refused}"),
        Moment::ConnectionClosed { by, why, age, exchanges, unread } => {
            let by = match by {
                ClosedBy::Reset => "server (reset)",
                by => by.name(),
            };
            let why = match why {
                // That is what `by` says.
                Observed::Known(CloseReason::ServerClosed | CloseReason::ServerReset) => {
                    String::new()
                }
                Observed::Known(why) => format!(": {why}"),
                Observed::NotObservable => ": why is not observable".into(),
            };
            let exchanges =
                words::count(usize::try_from(*exchanges).unwrap_or(usize::MAX), "exchange");
            let mut text = format!("by {by}{why}; age {}, {exchanges}", words::short(*age));
            if *unread > 0 {
                let _ = write!(text, ", {} unread", ByteCount(*unread));
            }
            text
        }
    }
}

/// `TLSv1.3 h2 TLS13_AES_256_GCM_SHA384, resumed` or `…, certificate of localhost`.
fn tls_facts(tls: &TlsFacts) -> String {
    let TlsFacts { version, alpn, cipher_suite, resumed, certificates } = tls;
    let mut text = format!("{version} {} {cipher_suite}", alpn.as_deref().unwrap_or("no ALPN"));
    if *resumed {
        text.push_str(", resumed");
    }
    if let Some(own) = certificates.first() {
        let _ = write!(text, ", certificate of {} until {}", own.subject, own.not_after);
    }
    text
}
