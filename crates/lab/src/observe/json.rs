//! The report for programs. Keys end in their unit.

use std::io::{self, Write};
use std::time::Duration;

use evidence::{Side, TcpState, WireClose};
use observe::{
    ConnectionTally, DialOutcome, Observation, ObservedConnection, ProgramEnd, SeenExchange,
    SpokenProtocol, close_cause, meets_stale, sent_again, verdict,
};
use serde_json::{Map, Value, json};

use super::ObserveReport;
use super::expect::numbers;

/// Writes one object.
///
/// # Errors
/// Those of `out`.
pub(super) fn write(report: &ObserveReport<'_>, out: &mut impl Write) -> io::Result<()> {
    let mut whole = whole(report);
    let of = report.observation;
    let connections: Vec<Value> = of.connections.iter().map(|it| connection(it, of)).collect();
    if let Value::Object(whole) = &mut whole {
        whole.insert("connections".to_owned(), connections.into());
    }
    serde_json::to_writer_pretty(&mut *out, &whole)?;
    writeln!(out)
}

/// Writes an object a connection, then one of the whole.
///
/// # Errors
/// Those of `out`.
pub(super) fn write_lines(report: &ObserveReport<'_>, out: &mut impl Write) -> io::Result<()> {
    for one in &report.observation.connections {
        let line = json!({ "connection": connection(one, report.observation) });
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", json!({ "observation": whole(report) }))
}

/// All but the connections.
fn whole(report: &ObserveReport<'_>) -> Value {
    let of = report.observation;
    let program = &of.program;
    let end = match program.end {
        ProgramEnd::Unseen => json!(null),
        ProgramEnd::Exited(status) => json!({ "status": status }),
        ProgramEnd::Signal(number) => json!({ "signal": number }),
    };
    let left = program
        .left
        .iter()
        .map(|it| json!({ "pid": it.pid, "name": it.name, "was_killed": it.was_killed }));
    let names: Map<String, Value> =
        numbers(of).iter().map(|(name, value)| (name.to_owned(), count(value))).collect();
    let servers: Vec<Value> = of
        .by_server()
        .iter()
        .map(|(server, connections)| {
            let tally = ConnectionTally::of(connections).named();
            let tally: Map<String, Value> =
                tally.into_iter().map(|(name, value)| (name.to_owned(), count(value))).collect();
            json!({ "server": server.to_string(), "numbers": tally })
        })
        .collect();
    let findings: Vec<Value> = verdict(of)
        .into_iter()
        .map(|it| {
            json!({
                "name": it.name,
                "server": it.server.map(|server| server.to_string()),
                "sentence": it.sentence,
                "evidence": it.evidence,
                "next": it.next,
            })
        })
        .collect();
    let expectations: Vec<Value> = report
        .expectations
        .iter()
        .map(|it| {
            let values: Map<String, Value> =
                it.values.iter().map(|(name, value)| (name.clone(), count(*value))).collect();
            json!({ "expectation": it.text, "held": it.held, "values": values, "trouble": it.trouble })
        })
        .collect();
    let again: Vec<Value> = sent_again(&of.all())
        .iter()
        .map(|it| {
            json!({
                "method": it.request.method,
                "target": it.request.target,
                "first_connection": it.first.id.0,
                "again_on_connection": it.again.id.0,
            })
        })
        .collect();
    json!({
        "program": {
            "command": program.command,
            "end": end,
            "ended_us": micros(program.ended),
            "time_was_over": program.time_was_over,
            "was_killed": program.was_killed,
            "left_processes": left.collect::<Vec<_>>(),
        },
        "exit_code": report.code,
        "numbers": names,
        "servers": servers,
        "verdict": findings,
        "sent_twice": again,
        "expectations": expectations,
        "disagreements": report.disagreements,
        "notes": report.notes,
        "packets": {
            "segments": of.packets.segments,
            "others": of.packets.others,
            "strays": of.packets.strays,
            "missed": of.missed,
        },
    })
}

/// A number that has no fraction is written without one.
fn count(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { json!(value as i64) } else { json!(value) }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Server => "server",
    }
}

fn connection(one: &ObservedConnection, of: &Observation) -> Value {
    let (dial, opened) = match one.dial {
        DialOutcome::Opened(at) => ("opened", Some(at)),
        DialOutcome::Refused(_) => ("refused", None),
        DialOutcome::Unanswered => ("unanswered", None),
    };
    let end = one.end.map(|end| {
        let (by, how) = match end.by {
            WireClose::First(by) => (side(by), "fin"),
            WireClose::Both => ("both", "fin"),
            WireClose::Reset(by) => (side(by), "rst"),
        };
        json!({
            "at_us": micros(end.at),
            "by": by,
            "how": how,
            "why": close_cause(one, of).map(observe::CloseCause::name),
            "silence_us": micros(end.silence),
            "reset_after_it_by": end.reset.map(side),
        })
    });
    let protocol = match one.protocol {
        SpokenProtocol::Nothing => "nothing",
        SpokenProtocol::Http1 => "http/1",
        SpokenProtocol::Http2 => "http/2",
        SpokenProtocol::Tls => "tls",
        SpokenProtocol::Other => "other",
    };
    json!({
        "id": one.id.0,
        "heard_on": one.place.name(),
        "client": one.ends.client.to_string(),
        "server": one.ends.server.to_string(),
        "dialled_us": micros(one.dialled),
        "dial": dial,
        "opened_us": opened.map(micros),
        "syns": one.syns,
        "protocol": protocol,
        "http2": one.http2.as_ref().map(|seen| json!({
            "streams": seen.streams.iter().map(|stream| json!({
                "id": stream.id,
                "began_us": micros(stream.began),
                "request_ended_us": stream.request_ended.map(micros),
                "answered_us": stream.answered.map(micros),
                "response_ended_us": stream.response_ended.map(micros),
                "reset": stream.reset.map(|(by, code)| json!({ "by": side(by), "code": code })),
            })).collect::<Vec<_>>(),
            "goaways": seen.goaways.iter().map(|goaway| json!({
                "by": side(goaway.by),
                "at_us": micros(goaway.at),
                "last_stream": goaway.last_stream,
                "code": goaway.code,
            })).collect::<Vec<_>>(),
        })),
        "tls": one.tls.as_ref().map(|tls| json!({
            "server_name": tls.server_name,
            "offers": tls.offers,
            "chosen": tls.chosen,
            "version": tls.version.map(|version| version.to_string()),
            "offers_session": tls.offers_session,
            "resumes": tls.resumes,
        })),
        "client_bytes": one.client_bytes,
        "server_bytes": one.server_bytes,
        "missing_bytes": one.missing_bytes,
        "is_unreadable": one.is_unreadable,
        "unasked_responses": one.unasked,
        "end": end,
        "states": {
            "client": one.states[0].map(TcpState::name),
            "server": one.states[1].map(TcpState::name),
        },
        "stale_request": meets_stale(one).map(|it| json!({
            "idle_us": micros(it.idle),
            "after_close_us": it.after_close.map(micros),
        })),
        "exchanges": one.exchanges.iter().map(exchange).collect::<Vec<_>>(),
    })
}

fn exchange(one: &SeenExchange) -> Value {
    let request = &one.request;
    json!({
        "method": request.method,
        "target": request.target,
        "host": request.host,
        "http_minor": request.minor_version,
        "began_us": micros(request.began),
        "ended_us": request.ended.map(micros),
        "body_bytes": request.body_bytes,
        "says_close": request.says_close,
        "response": one.response.as_ref().map(|response| json!({
            "status": response.status,
            "http_minor": response.minor_version,
            "began_us": micros(response.began),
            "ended_us": response.ended.map(micros),
            "body_bytes": response.body_bytes,
            "says_close": response.says_close,
            "keeps_connection": response.keeps_connection(),
        })),
    })
}
