//! The report for people.

use std::io;
use std::time::Duration;

use evidence::{Side, WireClose};
use observe::{
    CloseCause, ConnectionTally, DialOutcome, Observation, ObservedConnection, ObservedProgram,
    ProgramEnd, SpokenProtocol, close_cause, idle_times, verdict,
};
use report::columns::{Cell, Table};
use report::page::Page;
use report::words::{self, FAINT, HEADING, STRIKING, short};

use super::ObserveReport;

/// So many connections of a server are shown one by one.
const MOST_SHOWN: usize = 10;

/// Writes the report.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(report: &ObserveReport<'_>, out: &mut impl Page) -> io::Result<()> {
    let of = report.observation;
    program(&of.program, out)?;
    for (server, connections) in of.by_server() {
        writeln!(out)?;
        let hosts = hosts(&connections);
        let address = words::address(server.socket_addr());
        write!(out, "{HEADING}Connections to {address}{HEADING:#}")?;
        let names = tls_names(&connections);
        match hosts.as_slice() {
            [] if !names.is_empty() => {
                let shown = words::printable(&names.join(", "));
                writeln!(out, "  {FAINT}TLS: {shown}{FAINT:#}")?;
            }
            [] => writeln!(out)?,
            [host] if *host == address => writeln!(out)?,
            hosts => {
                let shown = words::printable(&hosts.join(", "));
                writeln!(out, "  {FAINT}Host: {shown}{FAINT:#}")?;
            }
        }
        rows(&connections, of, out)?;
        sums(&ConnectionTally::of(&connections), out)?;
    }
    findings(of, out)?;
    witnesses(report, out)?;
    expectations(report, out)
}

/// The hosts that requests named.
fn hosts(connections: &[&ObservedConnection]) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    let named = connections.iter().flat_map(|it| &it.exchanges);
    for host in named.filter_map(|it| it.request.host.as_ref()) {
        if !hosts.contains(host) && hosts.len() < 4 {
            hosts.push(host.clone());
        }
    }
    hosts
}

/// The servers that clients wanted of TLS, and the protocols that they offered.
fn tls_names(connections: &[&ObservedConnection]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for tls in connections.iter().filter_map(|it| it.tls.as_ref()) {
        let name = tls.server_name.as_deref().unwrap_or("no name");
        let name = match &tls.chosen {
            Some(chosen) => format!("{name}, {chosen}"),
            None if tls.offers.is_empty() => name.to_owned(),
            None => format!("{name}, offered {}", tls.offers.join(" ")),
        };
        if !names.contains(&name) && names.len() < 4 {
            names.push(name);
        }
    }
    names
}

pub(super) fn program(program: &ObservedProgram, out: &mut impl Page) -> io::Result<()> {
    let command = words::printable(&command(program));
    let room = out.width().saturating_sub("Observed  ".len());
    let shown: String = match command.chars().count() > room {
        true => command.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
        false => command,
    };
    writeln!(out, "{HEADING}Observed{HEADING:#}  {shown}")?;
    for line in ended(program) {
        said(&line, out)?;
    }
    Ok(())
}

/// The command as it would be typed.
pub(super) fn command(program: &ObservedProgram) -> String {
    let quoted = |word: &String| {
        // A script is shown in one line.
        let word = &word.replace(['\n', '\t'], " ");
        let is_plain = |c: char| c.is_alphanumeric() || "-_./:=@%+,{}[]".contains(c);
        match !word.is_empty() && word.chars().all(is_plain) {
            true => word.clone(),
            false => format!("'{}'", word.replace('\'', r"'\''")),
        }
    };
    program.command.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// How the program ended, in sentences.
pub(super) fn ended(program: &ObservedProgram) -> Vec<String> {
    let after = short(program.ended);
    let end = match program.end {
        ProgramEnd::Unseen => format!("did not end within {after}, not even when it was killed"),
        ProgramEnd::Exited(status) => format!("ended with status {status} after {after}"),
        ProgramEnd::Signal(number) => format!("ended by signal {number} after {after}"),
    };
    let mut lines = vec![match (program.time_was_over, program.was_killed) {
        (true, _) => format!("{end}, as its time was over (--for)"),
        (_, true) => format!("{end}, as it was told to end a second time"),
        _ => end,
    }];
    if !program.left.is_empty() {
        let left: Vec<String> = program
            .left
            .iter()
            .map(|it| {
                let killed = if it.was_killed { ", killed" } else { "" };
                format!("{} (process {}{killed})", it.name, it.pid)
            })
            .collect();
        let count = match left.len() {
            1 => "1 process that it had started was".to_owned(),
            many => format!("{many} processes that it had started were"),
        };
        lines.push(format!("{count} still there and ended by the lab: {}", left.join(", ")));
    }
    lines
}

/// A sentence, broken into lines, two spaces in.
pub(super) fn said(text: &str, out: &mut impl Page) -> io::Result<()> {
    for line in words::wrap(&words::printable(text), out.prose_width().saturating_sub(2)) {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

fn rows(
    connections: &[&ObservedConnection],
    of: &Observation,
    out: &mut impl Page,
) -> io::Result<()> {
    let titles = ["#", "dialled", "exchanges", "idle", "open for", "end"].map(|title| {
        let cell = Cell::new(title).styled(FAINT);
        if title == "end" { cell } else { cell.right() }
    });
    let shown = connections.iter().take(MOST_SHOWN);
    let rows = shown.map(|connection| row(connection, of)).collect();
    Table::new(2, titles, rows).narrowed(out.width(), 5).write_within(&[4, 3], out)?;
    let more = connections.len().saturating_sub(MOST_SHOWN);
    if more > 0 {
        writeln!(out, "  {FAINT}… and {more} more (all of them: --format json){FAINT:#}")?;
    }
    Ok(())
}

fn row(connection: &ObservedConnection, of: &Observation) -> [Cell; 6] {
    let idle = idle_times(connection).into_iter().max();
    let exchanges = match connection.protocol {
        SpokenProtocol::Http1 => connection.exchanges.len().to_string(),
        SpokenProtocol::Nothing => words::NONE.to_owned(),
        SpokenProtocol::Tls => "TLS".to_owned(),
        SpokenProtocol::Http2 => {
            let streams = connection.http2.as_ref().map_or(0, |seen| seen.streams.len());
            format!("{streams} (HTTP/2)")
        }
        SpokenProtocol::Other => "?".to_owned(),
    };
    let time = |time: Option<Duration>| Cell::new(time.map(short).unwrap_or_default()).right();
    let open_for = match connection.dial {
        DialOutcome::Opened(at) => connection.end.map(|end| end.at.saturating_sub(at)),
        _ => None,
    };
    [
        Cell::new(connection.id.to_string()).right(),
        Cell::new(words::seconds(connection.dialled)).right(),
        Cell::new(exchanges).right(),
        time(idle),
        time(open_for),
        Cell::new(end(connection, of)),
    ]
}

/// The end of a connection in words.
pub(super) fn end(connection: &ObservedConnection, of: &Observation) -> String {
    match connection.dial {
        DialOutcome::Refused(_) => return "refused".to_owned(),
        DialOutcome::Unanswered => return "no answer".to_owned(),
        DialOutcome::Opened(_) => {}
    }
    let Some(end) = connection.end else { return "open to the end".to_owned() };
    let by = match end.by {
        WireClose::First(Side::Client) => "client closed",
        WireClose::First(Side::Server) => "server closed",
        WireClose::Both => "both closed at once",
        WireClose::Reset(Side::Client) => "client reset it",
        WireClose::Reset(Side::Server) => "server reset it",
    };
    let why = match close_cause(connection, of) {
        None | Some(CloseCause::NotRead) => String::new(),
        Some(CloseCause::RequestAsked) => ", as the request asked".to_owned(),
        Some(CloseCause::ResponseSaid) => ", as the response said".to_owned(),
        Some(CloseCause::OldVersion) => " behind HTTP/1.0".to_owned(),
        Some(CloseCause::EndsBody) => ", which ends the body".to_owned(),
        Some(CloseCause::AmidResponse) => " amid a response".to_owned(),
        Some(CloseCause::WithoutAnswer) => " without an answer".to_owned(),
        Some(CloseCause::NothingCarried) => ", nothing carried".to_owned(),
        Some(CloseCause::ProgramEnded) => " as the program ended".to_owned(),
        Some(CloseCause::IdleTimeout { silence, .. }) => {
            format!(", idle timeout {}", short(silence))
        }
        Some(CloseCause::AfterSilence(silence)) => format!(" after {} idle", short(silence)),
        Some(CloseCause::GoAway(Side::Client)) => " behind the client's GOAWAY".to_owned(),
        Some(CloseCause::GoAway(Side::Server)) => " behind the server's GOAWAY".to_owned(),
        Some(CloseCause::BehindResponse) => " behind a response".to_owned(),
    };
    let reset = match end.reset {
        Some(Side::Client) => "; client RST",
        Some(Side::Server) => "; server RST",
        None => "",
    };
    format!("{by}{why}{reset}")
}

fn sums(tally: &ConnectionTally, out: &mut impl Page) -> io::Result<()> {
    let mut parts = vec![format!("opened {}", tally.opened), format!("used {}", tally.used)];
    if tally.exchanges > 0 {
        parts.push(format!("exchanges {}", tally.exchanges));
    }
    if let Some(percent) = tally.reuse_percent() {
        parts.push(format!(
            "reused {} of {} possible ({percent:.0} %)",
            tally.reused, tally.reusable
        ));
    }
    parts.push(format!("most open at once {}", tally.most_open));
    let optional = [
        ("refused", tally.refused),
        ("unanswered", tally.unanswered),
        ("resets", tally.resets),
        ("sent twice", tally.sent_twice),
        ("stale", tally.stale),
        ("left open", tally.left_open),
        ("TIME_WAIT at the client", tally.time_wait_client),
        ("TIME_WAIT at the server", tally.time_wait_server),
    ];
    parts.extend(optional.iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{what} {n}")));
    let mut line = String::new();
    for part in parts {
        if !line.is_empty() && line.chars().count() + 3 + part.chars().count() > out.width() - 2 {
            writeln!(out, "  {line}")?;
            line.clear();
        }
        if !line.is_empty() {
            line.push_str(" · ");
        }
        line.push_str(&part);
    }
    writeln!(out, "  {line}")
}

fn findings(of: &Observation, out: &mut impl Page) -> io::Result<()> {
    writeln!(out, "\n{HEADING}Verdict{HEADING:#}")?;
    for finding in verdict(of) {
        said(&finding.sentence, out)?;
        for evidence in &finding.evidence {
            hung("    ", &words::printable(evidence), out)?;
        }
        if let Some(next) = &finding.next {
            hung("    Try: ", next, out)?;
        }
    }
    Ok(())
}

/// A text behind a lead, and below it where it goes on.
fn hung(lead: &str, text: &str, out: &mut impl Page) -> io::Result<()> {
    let indent = " ".repeat(lead.len());
    let lines = words::wrap(text, out.prose_width().saturating_sub(lead.len()));
    for (line, lead) in
        lines.iter().zip(std::iter::once(lead).chain(std::iter::repeat(indent.as_str())))
    {
        writeln!(out, "{lead}{line}")?;
    }
    Ok(())
}

fn witnesses(report: &ObserveReport<'_>, out: &mut impl Page) -> io::Result<()> {
    let of = report.observation;
    writeln!(out, "\n{HEADING}Witnesses{HEADING:#}")?;
    if report.disagreements.is_empty() {
        let tally = ConnectionTally::of(&of.all());
        let packets = of.packets.segments + of.packets.others;
        let agree = match of.kernel.is_empty() {
            true => {
                format!("{packets} packets were heard; the kernel's counters cannot be read here")
            }
            false => format!(
                "packets ({packets} heard, 0 missed) and the kernel's counters agree: {} dialled, {} \
                 opened",
                tally.dialled, tally.opened
            ),
        };
        let server = of.server.map(|words| {
            format!(
                "; the lab's server accepted {} and read {}",
                words.accepted,
                match words.requests {
                    1 => "1 request".to_owned(),
                    many => format!("{many} requests"),
                }
            )
        });
        said(&format!("{agree}{}", server.unwrap_or_default()), out)?;
    }
    for disagreement in report.disagreements {
        writeln!(out, "  {STRIKING}they disagree{STRIKING:#}")?;
        hung("    ", disagreement, out)?;
    }
    for note in report.notes {
        said(note, out)?;
    }
    Ok(())
}

fn expectations(report: &ObserveReport<'_>, out: &mut impl Page) -> io::Result<()> {
    if report.expectations.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{HEADING}Expected{HEADING:#}")?;
    for judged in report.expectations {
        let values: Vec<String> = judged
            .values
            .iter()
            .map(|(name, value)| format!("{name} is {}", number(*value)))
            .collect();
        let seen = judged.trouble.clone().unwrap_or_else(|| values.join(", "));
        match judged.held {
            true => writeln!(out, "  held    {}", words::printable(&judged.text))?,
            false => {
                let text = words::printable(&judged.text);
                writeln!(out, "  {STRIKING}failed{STRIKING:#}  {text}: {seen}")?;
            }
        }
    }
    Ok(())
}

/// A number as people write it.
pub(super) fn number(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// What is said of the packets as a whole.
pub(super) fn story(report: &ObserveReport<'_>) -> String {
    let program = &report.observation.program;
    let mut lines = vec![format!("lab observe -- {}", command(program))];
    lines.extend(ended(program));
    lines.extend(verdict(report.observation).into_iter().map(|finding| finding.sentence));
    lines.extend(report.disagreements.iter().map(|it| format!("the witnesses disagree: {it}")));
    lines.join("\n")
}
