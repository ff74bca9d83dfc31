//! Packets held against the other witnesses. Pure.

use std::collections::HashMap;

use evidence::{
    ClosedBy, Connection, Conversation, Ends, SegmentFlags, Side, WireClose, WireRecord,
};

/// The opened connections between the same ends, in their order.
type Opened<'a> = HashMap<Ends, Vec<&'a Conversation<'a>>>;

/// Where the packets and the other witnesses say different things, each in a sentence.
///
/// `connections` are the client's, by the client's trace and the kernel's table; `accepted` those
/// that the servers accepted, if they could be asked. Packets that were not all heard contradict
/// nobody.
pub(crate) fn disagreements(
    wire: &WireRecord,
    connections: &[Connection],
    accepted: Option<&[Ends]>,
) -> Vec<String> {
    if !wire.is_whole() {
        return Vec::new();
    }
    let conversations = wire.conversations();
    let mut heard = Opened::new();
    for conversation in conversations.iter().filter(|it| it.is_opened()) {
        heard.entry(conversation.ends).or_default().push(conversation);
    }
    let opened: Vec<Ends> = connections.iter().map(|connection| connection.ends).collect();
    let told =
        [("the client's trace opened", Some(&opened[..])), ("the server accepted", accepted)];
    let mut sentences: Vec<String> =
        told.into_iter().filter_map(|(who, ends)| handshakes(who, ends?, &heard)).collect();
    sentences.extend(closes(connections, &heard));
    sentences
}

/// Connections that somebody tells of and whose handshake no packets show.
fn handshakes(who: &str, told: &[Ends], heard: &Opened<'_>) -> Option<String> {
    let mut counts: HashMap<Ends, usize> = HashMap::new();
    for ends in told {
        *counts.entry(*ends).or_default() += 1;
    }
    let of = |ends| heard.get(ends).map_or(0, Vec::len);
    let unheard: usize = counts.iter().map(|(ends, count)| count.saturating_sub(of(ends))).sum();
    (unheard > 0).then(|| {
        let told = told.len();
        format!(
            "connections: {who} {told}, but the packets show the handshake of {} alone",
            told - unheard
        )
    })
}

/// The closes that packets contradict, counted.
fn closes(connections: &[Connection], heard: &Opened<'_>) -> Vec<String> {
    let mut before: HashMap<Ends, usize> = HashMap::new();
    let mut wrong: Vec<(ClosedBy, &'static str, usize)> = Vec::new();
    for connection in connections {
        let place = before.entry(connection.ends).or_default();
        let conversation = heard.get(&connection.ends).and_then(|all| all.get(*place));
        *place += 1;
        let (Some(close), Some(conversation)) = (&connection.close, conversation) else { continue };
        let Some(packets) = contradiction(close.by, conversation) else { continue };
        match wrong.iter_mut().find(|(by, what, _)| (*by, *what) == (close.by, packets)) {
            Some((.., count)) => *count += 1,
            None => wrong.push((close.by, packets, 1)),
        }
    }
    let sentence = |(by, packets, count): (ClosedBy, &str, usize)| {
        let many = if count == 1 { "" } else { "s" };
        let by = match by {
            ClosedBy::Client => "closed first by the client",
            ClosedBy::Server => "closed first by the server",
            ClosedBy::Reset => "reset",
        };
        format!(
            "closes: to the other witnesses {count} connection{many} ended {by}, but the packets \
             show {packets}"
        )
    };
    wrong.into_iter().map(sentence).collect()
}

/// The sight of the packets, if they cannot be those of a connection that was closed by `by`. An end
/// that was read to its FIN and never closed contradicts nobody: it may close later.
fn contradiction(by: ClosedBy, conversation: &Conversation<'_>) -> Option<&'static str> {
    match (by, conversation.close()?) {
        (ClosedBy::Client, WireClose::First(Side::Server))
            if conversation.has_fin(Side::Client) =>
        {
            Some("the server's FIN first, and the client's after that had come")
        }
        (ClosedBy::Server, WireClose::First(Side::Client))
            if conversation.has_fin(Side::Server) =>
        {
            Some("the client's FIN first, and the server's after that had come")
        }
        (ClosedBy::Reset, _) if !conversation.has(SegmentFlags::RST) => Some("no RST"),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
