//! The TLS of a run's connections: read along packet by packet, told when all is heard.

use std::collections::HashMap;
use std::net::SocketAddr;

use evidence::{Passage, Segment, SegmentFlags, SegmentTls, Side, TlsStart};
use wire::tls::{
    CipherSuite, Record, RecordKind, RecordSplitter, ServerHello, TlsPart, TlsVersion,
};

/// The TLS of all connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsLog {
    talks: Vec<TlsTalk>,
    current: HashMap<(SocketAddr, SocketAddr), usize>,
    places: Vec<SegmentPlace>,
}

/// Where a segment's data stands.
#[derive(Clone, Debug)]
struct SegmentPlace {
    /// Which of the passages, from 0.
    passage: usize,
    talk: usize,
    from: Side,
    at: u64,
    length: u64,
}

/// A connection, both ways.
#[derive(Clone, Debug, Default)]
struct TlsTalk {
    client: TlsStream,
    server: TlsStream,
    /// The version and the suite that the server has chosen.
    chosen: Option<(TlsVersion, CipherSuite)>,
    /// True if the client sends data before it has heard of the server.
    early_data: bool,
}

/// One way of a connection.
#[derive(Clone, Debug, Default)]
struct TlsStream {
    /// The sequence number behind what was read.
    next: Option<u32>,
    /// How many bytes that are.
    read: u64,
    splitter: RecordSplitter,
    records: Vec<HeardRecord>,
}

/// A record, and the packet in which it begins.
#[derive(Clone, Debug)]
struct HeardRecord {
    record: Record,
    passage: usize,
    hello: Option<TlsStart>,
}

/// The part of a record that some bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordShare {
    Handshake,
    Records,
    Data,
    Unknown,
}

impl TlsLog {
    /// Reads a segment along, which is the passage of this number, from 0. `payload` is its data as
    /// far as it was kept.
    pub(crate) fn heard(&mut self, passage: usize, from: Side, segment: &Segment, payload: &[u8]) {
        let ends = match from {
            Side::Client => (segment.source, segment.destination),
            Side::Server => (segment.destination, segment.source),
        };
        let is_dial = segment.has(SegmentFlags::SYN) && !segment.has(SegmentFlags::ACK);
        let known = self.current.get(&ends).copied();
        // A SYN that is sent again begins nothing.
        let begins = is_dial
            && known.and_then(|talk| self.talks.get(talk)).is_none_or(|talk| {
                talk.client.read > 0 || talk.client.next != Some(segment.seq.wrapping_add(1))
            });
        let place = match known {
            Some(place) if !begins => place,
            _ => {
                self.talks.push(TlsTalk::default());
                self.current.insert(ends, self.talks.len() - 1);
                self.talks.len() - 1
            }
        };
        let Some(talk) = self.talks.get_mut(place) else { return };
        let Some((at, length)) = talk.hear(passage, from, segment, payload) else { return };
        self.places.push(SegmentPlace { passage, talk: place, from, at, length });
    }

    /// Tells every passage what TLS is in it.
    pub(crate) fn tell(self, passages: &mut [Passage]) {
        for place in &self.places {
            let Some(talk) = self.talks.get(place.talk).filter(|talk| talk.is_tls()) else {
                continue;
            };
            if let Some(passage) = passages.get_mut(place.passage) {
                passage.tls = Some(talk.of(place.from, place.at, place.length));
            }
        }
    }
}

impl TlsTalk {
    /// Reads a segment along; returns where its data stands in the stream, if it has any.
    fn hear(
        &mut self,
        passage: usize,
        from: Side,
        segment: &Segment,
        payload: &[u8],
    ) -> Option<(u64, u64)> {
        let stream = match from {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        if segment.has(SegmentFlags::SYN) {
            stream.next.get_or_insert(segment.seq.wrapping_add(1));
        }
        let (length, next) =
            (segment.payload_bytes, segment.seq.wrapping_add(segment.payload_bytes));
        if length == 0 || (stream.splitter.is_lost() && stream.records.is_empty()) {
            return None;
        }
        // Numbers wrap: what is less than half the circle ahead is ahead.
        let ahead = segment.seq.wrapping_sub(*stream.next.get_or_insert(segment.seq)).cast_signed();
        let at = stream.read.checked_add_signed(ahead.into())?;
        let (length, kept) = (u64::from(length), payload.get(..length as usize).unwrap_or(payload));
        let end = at + length;
        if end > stream.read {
            stream.splitter.skip(at.saturating_sub(stream.read));
            let known = usize::try_from(stream.read.saturating_sub(at)).unwrap_or(usize::MAX);
            let fresh = kept.get(known..).unwrap_or_default();
            let mut parts = Vec::new();
            stream.splitter.feed(fresh, |part| parts.push(part));
            stream.splitter.skip(length - (kept.len().max(known) as u64).min(length));
            (stream.read, stream.next) = (end, Some(next));
            for part in parts {
                self.note(passage, from, part);
            }
        }
        Some((at, length))
    }

    fn note(&mut self, passage: usize, from: Side, part: TlsPart) {
        let (hello_at, start) = match part {
            TlsPart::Record(record) => {
                let heard = HeardRecord { record, passage, hello: None };
                self.stream_mut(from).records.push(heard);
                return;
            }
            TlsPart::ClientHello { at, hello } => {
                self.early_data |= hello.early_data;
                let (server_name, protocols) = (hello.server_name, hello.protocols);
                (at, TlsStart::ClientHello { server_name, protocols })
            }
            TlsPart::ServerHello { at, hello } if hello.is_retry => {
                // Data that was sent early is thrown away.
                (at, TlsStart::HelloRetry)
            }
            TlsPart::ServerHello { at, hello: ServerHello { version, suite, .. } } => {
                self.chosen = Some((version, suite));
                let (version, suite) = (version.to_string(), suite.to_string());
                (at, TlsStart::ServerHello { version, suite })
            }
        };
        let records = &mut self.stream_mut(from).records;
        if let Some(heard) = records.iter_mut().rev().find(|it| it.record.at == hello_at) {
            heard.hello = Some(start);
        }
    }

    fn stream(&self, from: Side) -> &TlsStream {
        match from {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    fn stream_mut(&mut self, from: Side) -> &mut TlsStream {
        match from {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Returns true if the client has said hello: records alone may be anything.
    fn is_tls(&self) -> bool {
        self.client.records.iter().any(|it| it.hello.is_some())
    }

    /// What is in `length` bytes of a stream from `at` on.
    fn of(&self, from: Side, at: u64, length: u64) -> SegmentTls {
        let (records, end) = (&self.stream(from).records, at + length);
        let first = records.partition_point(|it| it.record.end() <= at);
        let here = records.get(first..).unwrap_or_default().iter();
        let mut told = SegmentTls::default();
        let mut known = 0;
        for heard in here.take_while(|it| it.record.at < end) {
            let record = &heard.record;
            let start = self.start(from, heard);
            for (share, from, to) in self.shares(record, &start) {
                let bytes = to.min(end).saturating_sub(from.max(at));
                known += bytes;
                *match share {
                    RecordShare::Handshake => &mut told.bytes.handshake,
                    RecordShare::Records => &mut told.bytes.records,
                    RecordShare::Data => &mut told.bytes.data,
                    RecordShare::Unknown => &mut told.bytes.unknown,
                } += bytes;
            }
            if record.at >= at && told.begins.last() != Some(&start) {
                told.begins.push(start);
            }
        }
        told.bytes.unknown += length.saturating_sub(known);
        told
    }

    /// What begins with a record.
    fn start(&self, from: Side, heard: &HeardRecord) -> TlsStart {
        if let Some(hello) = &heard.hello {
            return hello.clone();
        }
        match (heard.record.kind, self.chosen) {
            (RecordKind::Handshake | RecordKind::ChangeCipherSpec, _) => TlsStart::Handshake,
            (RecordKind::Alert, _) => TlsStart::Alert,
            (RecordKind::ApplicationData, Some((version, _))) if version < TlsVersion::TLS13 => {
                TlsStart::ApplicationData
            }
            (RecordKind::ApplicationData, Some((_, suite))) => self.sealed(from, heard, suite),
            (RecordKind::ApplicationData, None) => TlsStart::Sealed,
        }
    }

    /// What an encrypted record of TLS 1.3 is, by its place. The client's first is its `Finished`, if
    /// it is as long as one is: with a certificate of its own, or data that is sent early, it is not,
    /// and then nobody knows.
    fn sealed(&self, from: Side, heard: &HeardRecord, suite: CipherSuite) -> TlsStart {
        let is_sealed = |it: &&HeardRecord| it.record.kind == RecordKind::ApplicationData;
        let finished = match self.client.records.iter().find(is_sealed) {
            // The server's half, to which nobody has answered.
            None => return TlsStart::Handshake,
            Some(first) => first,
        };
        if self.early_data || suite.finished_len() != Some(finished.record.body) {
            return TlsStart::Sealed;
        }
        let is_handshake = match from {
            Side::Client => heard.record.at == finished.record.at,
            Side::Server => heard.passage < finished.passage,
        };
        if is_handshake { TlsStart::Handshake } else { TlsStart::ApplicationData }
    }

    /// The parts of a record, each from a place in the stream to another.
    fn shares(&self, record: &Record, start: &TlsStart) -> Vec<(RecordShare, u64, u64)> {
        let (at, body, end) = (record.at, record.body_at(), record.end());
        match start {
            TlsStart::ClientHello { .. }
            | TlsStart::ServerHello { .. }
            | TlsStart::HelloRetry
            | TlsStart::Handshake => vec![(RecordShare::Handshake, at, end)],
            TlsStart::Alert => vec![(RecordShare::Records, at, end)],
            TlsStart::Sealed => {
                vec![(RecordShare::Records, at, body), (RecordShare::Unknown, body, end)]
            }
            TlsStart::ApplicationData => {
                let protection = self.chosen.and_then(|(version, suite)| suite.protection(version));
                let added = protection.map(|it| (u64::from(it.front), u64::from(it.back)));
                match added {
                    Some((front, back)) if front + back <= end - body => vec![
                        (RecordShare::Records, at, body + front),
                        (RecordShare::Data, body + front, end - back),
                        (RecordShare::Records, end - back, end),
                    ],
                    _ => vec![(RecordShare::Records, at, body), (RecordShare::Unknown, body, end)],
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "tls_log_tests.rs"]
mod tests;
