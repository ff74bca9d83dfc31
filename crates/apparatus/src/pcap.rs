//! A run's packets for Wireshark: each with what the other witnesses say of it.

use std::collections::HashMap;
use std::io::{self, Write};

use evidence::{
    ClosedBy, Connection, Conversation, Ends, ExchangeId, Observed, Outcome, Passage, PassageFate,
    SegmentFlags, Side, WireRecord,
};
use packets::{PcapWriter, Recording, SectionNotes};
use transport::TlsKeys;

/// What is said of the section of a run, with this story.
#[must_use]
pub fn section(story: &str) -> SectionNotes {
    SectionNotes {
        comment: Some(story.to_owned()),
        hardware: Some(std::env::consts::ARCH.to_owned()),
        os: Some(std::env::consts::OS.to_owned()),
        application: Some(format!("Keep-Alive Lab {}", env!("CARGO_PKG_VERSION"))),
    }
}

/// The story of a run: its command, what was predicted of it, and what came of it.
#[must_use]
pub fn story(outcome: &Outcome) -> String {
    // A URL may hold a password.
    let shown = |word: String| match word.split_once('=') {
        Some((flag, url)) if flag.starts_with("--") && url.contains("://") => {
            format!("{flag}={}", transport::shown_url(url))
        }
        _ if word.contains("://") => transport::shown_url(&word),
        _ => word,
    };
    let words: Vec<String> = std::env::args().skip(1).map(shown).collect();
    let mut lines = vec![program::call(outcome.setup.program.name(), &words.join(" "))];
    let opened = outcome.opened();
    if let Some(prediction) = &outcome.prediction {
        lines.push(format!("predicted: {prediction} opened, as {}", prediction.because));
        let held = if prediction.holds(opened) { "as predicted" } else { "not as predicted" };
        lines.push(format!("observed: {opened} opened, {held}"));
    } else {
        lines.push(format!("observed: {opened} opened"));
    }
    lines.extend(verdict(outcome));
    lines.join("\n")
}

/// How a run ended, in sentences.
#[must_use]
pub fn verdict(outcome: &Outcome) -> Vec<String> {
    let mut lines = Vec::new();
    if outcome.interrupted {
        lines.push(format!("ended by Ctrl-C after {} exchanges", outcome.exchanges.len()));
    }
    match &outcome.disagreements[..] {
        [] => lines.push("the witnesses agree".to_owned()),
        all => lines.extend(all.iter().map(|it| format!("the witnesses disagree: {it}"))),
    }
    lines
}

/// Returns those of `keys` that are of connections in `recording`, and no others.
#[must_use]
pub fn keys_of(recording: &Recording, keys: &TlsKeys) -> String {
    let randoms = recording.client_randoms();
    keys.of(|random| random.first_chunk().is_some_and(|random| randoms.contains(random)))
}

/// Writes all that was heard, with comments on what begins or ends something; before it the keys of
/// TLS, if there are any, so that a reader decrypts it.
///
/// # Errors
/// Those of the writer.
pub fn write<W: Write>(
    writer: &mut PcapWriter<W>,
    recording: &Recording,
    keys: &str,
    outcome: &Outcome,
) -> io::Result<()> {
    if !keys.is_empty() {
        writer.secrets(keys)?;
    }
    let mut comments = match &outcome.wire {
        Some(Ok(record)) => comments(record, outcome),
        _ => HashMap::new(),
    };
    let mut numbers = 1..;
    writer.recording(recording, |_| {
        numbers.next().and_then(|number| comments.remove(&number)).unwrap_or_default()
    })
}

/// What is said of packets, by their numbers.
fn comments(record: &WireRecord, outcome: &Outcome) -> HashMap<u64, Vec<String>> {
    let mut comments: HashMap<u64, Vec<String>> = HashMap::new();
    let mut say = |passage: &Passage, what: String| {
        comments.entry(passage.number).or_default().push(what);
    };
    for (conversation, connection) in known(record, outcome) {
        if let Some(first) = conversation.passages.first() {
            say(first, format!("{} begins", connection.id));
        }
        for (passage, exchange) in requests(&conversation, connection, outcome) {
            say(passage, format!("exchange {exchange} begins on {}", connection.id));
        }
        let ends_it =
            |it: &&&Passage| it.segment.has(SegmentFlags::FIN) || it.segment.has(SegmentFlags::RST);
        if let Some(last) = conversation.passages.iter().find(ends_it) {
            say(last, ending(connection, last));
        }
    }
    for passage in &record.passages {
        if let Some(what) = fate(&passage.fate) {
            say(passage, what);
        }
    }
    comments
}

/// The connections that packets and the client's trace both tell of. Where ends were used again, only
/// if both tell of as many.
fn known<'a>(
    record: &'a WireRecord,
    outcome: &'a Outcome,
) -> Vec<(Conversation<'a>, &'a Connection)> {
    let mut told: HashMap<Ends, Vec<&Connection>> = HashMap::new();
    for connection in &outcome.connections {
        told.entry(connection.ends).or_default().push(connection);
    }
    let mut heard: HashMap<Ends, Vec<Conversation<'_>>> = HashMap::new();
    for conversation in record.conversations().into_iter().filter(Conversation::is_opened) {
        heard.entry(conversation.ends).or_default().push(conversation);
    }
    let mut all = Vec::new();
    for (ends, conversations) in heard {
        let connections = told.get(&ends).map(Vec::as_slice).unwrap_or_default();
        if connections.len() == conversations.len() {
            all.extend(conversations.into_iter().zip(connections.iter().copied()));
        }
    }
    all
}

/// The packets with which requests begin, and their exchanges; none if the client tells of another
/// number of them.
fn requests<'a>(
    conversation: &Conversation<'a>,
    connection: &Connection,
    outcome: &Outcome,
) -> Vec<(&'a Passage, ExchangeId)> {
    let mut seen = Vec::new();
    let mut begins: Vec<&Passage> = Vec::new();
    for &passage in conversation.passages.iter().filter(|it| it.from == Side::Client) {
        // What is sent again begins nothing.
        if passage.begins.is_some() && !seen.contains(&passage.segment.seq) {
            seen.push(passage.segment.seq);
            begins.push(passage);
        }
    }
    let here = |connected: Option<_>| connected == Some(connection.id);
    let exchanges = outcome.exchanges.iter().filter(|exchange| here(exchange.connection));
    let exchanges: Vec<ExchangeId> = exchanges.map(|exchange| exchange.number).collect();
    if exchanges.len() != begins.len() {
        return Vec::new();
    }
    begins.into_iter().zip(exchanges).collect()
}

/// `#2 is closed by the client: idle cap reached`, at the packet that says so first.
fn ending(connection: &Connection, packet: &Passage) -> String {
    let id = connection.id;
    let how = if packet.segment.has(SegmentFlags::RST) { "reset" } else { "closed" };
    let mut said = format!("{id} is {how} by the {}", packet.from.name());
    let Some(close) = &connection.close else { return said };
    let agrees = match close.by {
        ClosedBy::Client => packet.from == Side::Client,
        ClosedBy::Server => packet.from == Side::Server,
        ClosedBy::Reset => true,
    };
    if let Observed::Known(why) = &close.why
        && agrees
    {
        said.push_str(&format!(": {why}"));
    }
    said
}

/// What a cable did to a packet; `None` if nothing.
fn fate(fate: &PassageFate) -> Option<String> {
    Some(match fate {
        PassageFate::Passed => return None,
        PassageFate::Lost => "the cable loses it, by a rule".to_owned(),
        PassageFate::LostByChance => "the cable loses it, by chance".to_owned(),
        PassageFate::Cut => "lost: the cable is cut".to_owned(),
        PassageFate::Held { time } => format!("the cable holds it for {time:?}"),
        PassageFate::Doubled { time } => format!("the cable sends a copy after {time:?}"),
        PassageFate::Reset => "the cable throws it away, and resets both ends".to_owned(),
    })
}
