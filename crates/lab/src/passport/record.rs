//! What was seen of a client in one probe, and the same as numbers with names. Pure.

use std::collections::BTreeMap;

use peers::{PeerLeft, PeerStory};
use serde::{Deserialize, Serialize};

use super::probe::{Probe, SAID};

/// All that was seen of a client in one probe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProbeRecord {
    /// The server's connections, in the order in which it accepted them.
    pub(crate) connections: Vec<PeerStory>,
    /// The packets' connections.
    pub(crate) packets: ProbePackets,
    /// How the client ended.
    pub(crate) end: ClientEnd,
    /// What it wrote to its standard output and error, as far as that is text and not too long.
    pub(crate) output: String,
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
        for word in probe.said() {
            let times = self.output.matches(word).count() as f64;
            numbers.insert(format!("{SAID}{word}"), times);
        }
        numbers
    }

    /// Where the witnesses disagree, in a sentence.
    pub(crate) fn disagreement(&self) -> Option<String> {
        let (accepted, ProbePackets { opened, missed, .. }) =
            (self.connections.len(), self.packets);
        if missed > 0 {
            return Some(format!("{missed} packets were missed"));
        }
        (accepted != opened).then(|| {
            format!("the server accepted {accepted} connections, and packets opened {opened}")
        })
    }
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
