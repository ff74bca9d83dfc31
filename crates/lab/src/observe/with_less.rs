//! What is told where no private network can be had: the sockets of the program that looks at the
//! kernel's table have seen, and why there is not more.

use std::io::{self, Write};

use observe::{ObservedProgram, SAMPLING, SampledConnection, SampledSockets};
use report::page::Page;
use report::words::{self, HEADING, short};
use serde_json::json;

use super::text;

/// All that there is to tell.
pub(super) struct SampledReport<'a> {
    pub(super) program: &'a ObservedProgram,
    pub(super) sockets: &'a SampledSockets,
    /// Why no packets were heard.
    pub(super) why: &'a str,
}

/// Writes it for people.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(report: &SampledReport<'_>, out: &mut impl Page) -> io::Result<()> {
    let SampledReport { program, sockets, why } = report;
    text::program(program, out)?;
    writeln!(out, "\n{HEADING}Seen with less{HEADING:#}")?;
    text::said(&format!("No packets were heard: {why}"), out)?;
    let looks = format!(
        "The kernel's table was looked at {} times instead, {} apart. What lived for less is \
         missing, and so is what was said: counts are lower bounds.",
        sockets.looks,
        words::span(SAMPLING)
    );
    text::said(&looks, out)?;
    if sockets.failed > 0 {
        text::said(&format!("{} looks failed.", sockets.failed), out)?;
    }
    for (server, connections) in by_server(sockets) {
        let longest = connections.iter().map(|it| it.last.saturating_sub(it.first)).max();
        let states: Vec<&str> =
            connections.iter().flat_map(|it| it.states.iter().copied()).collect();
        let mut known: Vec<&str> = states.clone();
        known.sort_unstable();
        known.dedup();
        let seen = format!(
            "to {server}: at least {} seen, one for {}; states {}",
            match connections.len() {
                1 => "1 connection".to_owned(),
                many => format!("{many} connections"),
            },
            short(longest.unwrap_or_default()),
            known.join(", ")
        );
        text::said(&seen, out)?;
    }
    match sockets.connections.is_empty() {
        true => text::said("No look saw a connection that the program had dialled.", out),
        false => text::said(&format!("Most open at once: at least {}.", sockets.most_open), out),
    }
}

/// Writes it for programs.
///
/// # Errors
/// Those of `out`.
pub(super) fn write_json(
    report: &SampledReport<'_>,
    code: u8,
    out: &mut impl Write,
) -> io::Result<()> {
    let SampledReport { program, sockets, why } = report;
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let connections: Vec<_> = sockets
        .connections
        .iter()
        .map(|it| {
            json!({
                "client": it.ends.client.to_string(),
                "server": it.ends.server.to_string(),
                "first_seen_us": micros(it.first),
                "last_seen_us": micros(it.last),
                "states": it.states,
            })
        })
        .collect();
    let value = json!({
        "sampled": true,
        "no_packets_because": why,
        "program": { "command": program.command, "ended": text::ended(program) },
        "exit_code": code,
        "looks": sockets.looks,
        "failed_looks": sockets.failed,
        "at_least": { "opened": connections.len(), "most_open": sockets.most_open },
        "connections": connections,
    });
    writeln!(out, "{value}")
}

fn by_server(sockets: &SampledSockets) -> Vec<(String, Vec<&SampledConnection>)> {
    let mut all: Vec<(String, Vec<&SampledConnection>)> = Vec::new();
    for connection in &sockets.connections {
        let server = connection.ends.server.to_string();
        match all.iter_mut().find(|(known, _)| *known == server) {
            Some((_, connections)) => connections.push(connection),
            None => all.push((server, vec![connection])),
        }
    }
    all
}
