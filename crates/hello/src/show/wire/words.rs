//! What the packets of a connection say of its end, beside what the server saw. Pure.

use std::time::Duration;

use evidence::{ClosedBy, Side, WireClose};
use report::words::count;
use serde_json::{Value, json};

use super::WireEnd;

/// The packets held against the server's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agreement {
    /// They show the same.
    Same,
    /// One of the two is wrong.
    Differs,
    /// They do not speak of the same thing.
    SaysNothing,
}

/// Returns the lines: the first for the step, the others below it.
pub(crate) fn lines(end: &WireEnd) -> Vec<String> {
    let talk = &end.talk;
    if !talk.is_heard() {
        return vec!["none of its packets was heard".to_owned(), missing(end)]
            .into_iter()
            .filter(|line| !line.is_empty())
            .collect();
    }
    let agreement = agreement(end);
    let as_seen = if agreement == Agreement::Same { ", as the server saw it" } else { "" };
    let mut lines = vec![format!("{}{as_seen}", talk.first_words())];
    lines.extend(talk.then_words());
    if agreement == Agreement::Differs {
        let server = match end.by {
            ClosedBy::Client => "the client first",
            ClosedBy::Server => "the server first",
            ClosedBy::Reset => "reset by the client",
        };
        lines.push(format!("DIFFERS from what the server saw: {server}"));
    }
    let (client, server) = (talk.end(Side::Client), talk.end(Side::Server));
    let passed = format!("{} packets in, {} out", client.packets, server.packets);
    match talk.again_words() {
        Some(again) => lines.extend([passed, again]),
        None => lines.push(format!("{passed}; nothing sent again")),
    }
    if client.late > 0 {
        let late = client.late;
        lines.push(format!("{late} in came late: sent again, or overtaken"));
    }
    if !talk.has_its_beginning() {
        lines.push("its beginning was not heard".to_owned());
    }
    lines.extend(Some(missing(end)).filter(|line| !line.is_empty()));
    lines
}

/// The same for programs.
pub(crate) fn object(end: &WireEnd, at: Duration) -> Value {
    let (close, by) = match end.talk.close() {
        None => (Value::Null, Value::Null),
        Some(WireClose::First(side)) => (json!("fin"), json!(side.name())),
        Some(WireClose::Both) => (json!("fins_crossed"), Value::Null),
        Some(WireClose::Reset(side)) => (json!("rst"), json!(side.name())),
    };
    let agrees = match agreement(end) {
        Agreement::Same => json!(true),
        Agreement::Differs => json!(false),
        Agreement::SaysNothing => Value::Null,
    };
    let mut object = json!({
        "event": "packets",
        "at_us": crate::show::us(at),
        "connection": end.connection.0,
        "client": end.client.to_string(),
        "first": close,
        "first_by": by,
        "agrees_with_server": agrees,
        "beginning_heard": end.talk.has_its_beginning(),
        "dropped_packets": end.dropped,
        "read_to_the_close": end.is_read,
    });
    for side in [Side::Client, Side::Server] {
        let (name, sent) = (side.name(), end.talk.end(side));
        object[format!("{name}_packets")] = json!(sent.packets);
        object[format!("{name}_again")] = json!(sent.again);
        object[format!("{name}_late")] = json!(sent.late);
        object[format!("{name}_fin")] = json!(sent.has_fin());
        object[format!("{name}_rst")] = json!(sent.reset);
    }
    object
}

/// Why not all was heard; nothing if all was.
fn missing(end: &WireEnd) -> String {
    match (end.dropped, end.is_read) {
        (0, true) => String::new(),
        (0, false) => "not all was read: this stopped before".to_owned(),
        (dropped, _) => {
            let dropped = usize::try_from(dropped).unwrap_or(usize::MAX);
            format!("{} not heard, of any connection", count(dropped, "packet"))
        }
    }
}

/// Packets that were not all heard contradict nobody.
fn agreement(end: &WireEnd) -> Agreement {
    let (talk, by) = (&end.talk, end.by);
    let Some(close) = talk.close() else {
        // The server may close while its FIN still waits behind data.
        let is_contradiction = end.by != ClosedBy::Server && is_whole(end);
        return if is_contradiction { Agreement::Differs } else { Agreement::SaysNothing };
    };
    let is_same = match (by, close) {
        (ClosedBy::Client, WireClose::First(side)) => side == Side::Client,
        (ClosedBy::Server, WireClose::First(side) | WireClose::Reset(side)) => side == Side::Server,
        (ClosedBy::Reset, _) => talk.end(Side::Client).reset,
        _ => false,
    };
    if is_same {
        return Agreement::Same;
    }
    let differs = match (by, close) {
        // An end that was read to its FIN and never closed contradicts nobody.
        (ClosedBy::Client, WireClose::First(Side::Server)) => talk.end(Side::Client).has_fin(),
        (ClosedBy::Server, WireClose::First(Side::Client)) => talk.end(Side::Server).has_fin(),
        (ClosedBy::Reset, _) => true,
        _ => false,
    };
    if differs && is_whole(end) { Agreement::Differs } else { Agreement::SaysNothing }
}

fn is_whole(end: &WireEnd) -> bool {
    end.talk.is_heard() && end.dropped == 0 && end.is_read
}

#[cfg(test)]
mod tests;
