//! What was seen of a client in one probe, and the same as numbers with names. Pure.

use std::collections::BTreeMap;

use peers::{PeerLeft, PeerStory};
use serde::{Deserialize, Serialize};

use super::probe::{ERROR, Probe, SAID};

/// All that was seen of a client in one probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProbeRecord {
    /// The server's connections, in the order in which it accepted them.
    pub(crate) connections: Vec<PeerStory>,
    /// The packets' connections.
    pub(crate) packets: ProbePackets,
    /// How the client ended.
    pub(crate) end: ClientEnd,
    /// What it wrote to its standard output, as far as that is text and not too long.
    pub(crate) output: String,
    /// And to its standard error.
    #[serde(default)]
    pub(crate) errors: String,
}

/// What packets say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProbePackets {
    /// Connections that were opened.
    pub(crate) opened: usize,
    /// Requests that left for a connection which the server had closed already, or was closing.
    pub(crate) stale: usize,
    /// Packets that are known to have been missed.
    pub(crate) missed: u64,
}

/// The end of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ClientEnd {
    /// It ended with this status.
    Status(u8),
    /// A signal ended it, which it did not get from the lab.
    Signal(u8),
    /// It went on for too long, and was ended.
    #[default]
    TookTooLong,
}

impl ProbeRecord {
    /// The numbers by which a reading is known.
    pub(crate) fn numbers(&self, probe: &Probe) -> BTreeMap<String, f64> {
        let heads = || self.connections.iter().flat_map(|connection| &connection.heads);
        let of_target = |target: &str| {
            heads().filter(|head| head.target.as_deref() == Some(target)).count() as f64
        };
        let head_bytes: u64 = heads().map(|head| head.bytes).sum();
        let read_bytes: u64 = self.connections.iter().map(|connection| connection.read_bytes).sum();
        let is_idempotent = |method: &str| {
            // RFC 9110 section 9.2.2.
            ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"].contains(&method)
        };
        let idempotent = heads().all(|head| head.method.as_deref().is_some_and(is_idempotent));
        let on_first = self.connections.first().map_or(0, |first| first.heads.len());
        let mut numbers: BTreeMap<String, f64> = [
            ("connections", self.connections.len() as f64),
            ("requests", heads().count() as f64),
            ("on_first", on_first as f64),
            ("first", of_target("/1")),
            ("second", of_target("/2")),
            ("there", of_target("/there")),
            ("idempotent", f64::from(u8::from(idempotent))),
            ("expects", heads().filter(|head| head.expects_continue).count() as f64),
            ("body", read_bytes.saturating_sub(head_bytes) as f64),
            ("stale", self.packets.stale as f64),
        ]
        .into_iter()
        .map(|(name, number)| (name.to_owned(), number))
        .collect();
        if let Some(status) = self.end.status() {
            numbers.insert("exit".to_owned(), f64::from(status));
        }
        // What a client was given goes to its output. An error may quote what it has thrown away.
        for (prefix, text) in [(SAID, &self.output), (ERROR, &self.errors)] {
            let words = probe.words(prefix).map(|word| (word, times(word, text) as f64));
            numbers.extend(words.map(|(word, times)| (format!("{prefix}{word}"), times)));
        }
        numbers
    }

    /// Why nothing can be read from it, in a sentence: where the client did not ask, no number tells
    /// anything about an answer.
    pub(crate) fn unread(&self) -> Option<String> {
        let heads = || self.connections.iter().flat_map(|connection| &connection.heads);
        if heads().any(|head| head.target.as_deref() == Some("/1")) {
            return None;
        }
        let why = match self.connections.is_empty() {
            true => "the client did not connect",
            false if heads().any(|head| head.method.is_none()) => "the client spoke no HTTP/1",
            false => "the client did not ask for the first URL",
        };
        let late = if self.end == ClientEnd::TookTooLong { ", and its time was over" } else { "" };
        Some(format!("{why}{late}"))
    }

    /// Where the witnesses disagree, in a sentence that says so.
    pub(crate) fn disagreement(&self) -> Option<String> {
        let (accepted, ProbePackets { opened, missed, .. }) =
            (self.connections.len(), self.packets);
        if missed > 0 {
            return Some(format!("the witnesses disagree: {missed} packets were missed"));
        }
        (accepted != opened).then(|| {
            format!(
                "the witnesses disagree: the server accepted {accepted} connections, \
                 and packets opened {opened}"
            )
        })
    }
}

/// How often `word` stands in `text`; a number only where it is no part of a longer one.
fn times(word: &str, text: &str) -> usize {
    let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
    let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_digit);
    let alone = |&(place, _): &(usize, &str)| {
        let before = place.checked_sub(1).and_then(|before| text.as_bytes().get(before));
        !digit(before) && !digit(text.as_bytes().get(place + word.len()))
    };
    text.match_indices(word).filter(|found| !is_number || alone(found)).count()
}

impl ClientEnd {
    /// The exit status as a shell tells it; `None` if the lab has ended it.
    fn status(self) -> Option<u8> {
        match self {
            Self::Status(status) => Some(status),
            Self::Signal(signal) => Some(signal.saturating_add(128)),
            Self::TookTooLong => None,
        }
    }

    /// In words.
    pub(crate) fn words(self) -> String {
        match self {
            Self::Status(status) => format!("exit status {status}"),
            Self::Signal(signal) => format!("ended by signal {signal}"),
            Self::TookTooLong => "went on for too long, and was ended".to_owned(),
        }
    }
}

/// A connection in a line: what was asked on it, and how it ended.
pub(crate) fn line(number: usize, story: &PeerStory) -> String {
    let asked: Vec<String> = story
        .heads
        .iter()
        .map(|head| match (&head.method, &head.target) {
            (Some(method), Some(target)) => format!("{method} {target}"),
            _ => "what is no HTTP/1".to_owned(),
        })
        .collect();
    let asked = match asked.is_empty() {
        true => "nothing was asked".to_owned(),
        false => asked.join(", "),
    };
    let end = match (story.end, story.client_left) {
        (peers::PeerEnd::Closed, _) => "the server closed it",
        (peers::PeerEnd::Reset, _) => "the server reset it",
        (_, Some(PeerLeft::Closed)) => "the client closed it",
        (_, Some(PeerLeft::Reset)) => "the client reset it",
        (_, None) => "it was open to the end",
    };
    format!("#{number}  {asked}; {end}")
}

#[cfg(test)]
mod tests {
    use super::times;

    #[test]
    fn a_number_is_found_alone_and_a_word_anywhere() {
        assert_eq!(times("413", "status 413, from port 41300 and 5413: 413"), 2);
        assert_eq!(times("hello", "xhello hello2"), 2);
    }
}
