//! One direction of a connection, record after record (RFC 8446 section 5.1).

use super::hello::{ClientHello, ServerHello};
use super::messages::{Hello, MessageReader};

/// The bytes of a record's header: kind, version, length.
const HEADER: usize = 5;

/// No record of any version holds more (RFC 5246 section 6.2.3).
const LONGEST: u16 = (1 << 14) + 2048;

/// The kind of a record, as its header says. In TLS 1.3 all that is encrypted says
/// [`RecordKind::ApplicationData`], whatever it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// The sender's records are encrypted from now on, up to TLS 1.2; in TLS 1.3 it means nothing.
    ChangeCipherSpec,
    /// An error, or a goodbye.
    Alert,
    /// Messages of the handshake.
    Handshake,
    /// What the connection is for.
    ApplicationData,
}

impl RecordKind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            20 => Self::ChangeCipherSpec,
            21 => Self::Alert,
            22 => Self::Handshake,
            23 => Self::ApplicationData,
            _ => return None,
        })
    }
}

/// A record, of which the header was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where its header begins in the stream, from 0.
    pub at: u64,
    /// Its kind.
    pub kind: RecordKind,
    /// The length of what follows the header.
    pub body: u16,
}

impl Record {
    /// Where its body begins.
    #[must_use]
    pub fn body_at(&self) -> u64 {
        self.at + HEADER as u64
    }

    /// Where the next record begins.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.body_at() + u64::from(self.body)
    }
}

/// What is told of a stream, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsPart {
    /// The header of a record is complete.
    Record(Record),
    /// A client's hello is complete, which began in the record at `at`.
    ClientHello {
        /// Where that record begins.
        at: u64,
        /// The hello.
        hello: ClientHello,
    },
    /// The same of a server.
    ServerHello {
        /// Where that record begins.
        at: u64,
        /// The hello.
        hello: ServerHello,
    },
}

/// Cuts the bytes of one direction into records.
#[derive(Clone, Debug, Default)]
pub struct RecordSplitter {
    /// Where the next byte stands.
    at: u64,
    header: [u8; HEADER],
    /// How many bytes of the header are there.
    known: usize,
    /// The record whose body is coming.
    record: Option<Record>,
    /// How many bytes of it are still to come.
    left: u16,
    messages: MessageReader,
    is_lost: bool,
}

impl RecordSplitter {
    /// Reads bytes, in whatever pieces they come, and tells what is complete.
    pub fn feed(&mut self, mut bytes: &[u8], mut tell: impl FnMut(TlsPart)) {
        while !self.is_lost && !bytes.is_empty() {
            let taken = match self.record {
                Some(record) => self.body(record, bytes, &mut tell),
                None => self.header(bytes, &mut tell),
            };
            self.at += taken as u64;
            bytes = bytes.get(taken..).unwrap_or_default();
        }
    }

    /// So many bytes came that nobody saw. If they are all of one record, it goes on behind them;
    /// otherwise nobody knows where the next begins.
    pub fn skip(&mut self, count: u64) {
        self.at += count;
        if count == 0 || self.is_lost {
            return;
        }
        match u16::try_from(count) {
            Ok(count) if self.record.is_some() && count <= self.left => {
                if self.record.is_some_and(|it| it.kind == RecordKind::Handshake) {
                    self.messages.misses();
                }
                self.passed(count);
            }
            _ => self.is_lost = true,
        }
    }

    /// Returns true if what came last was no record: nothing more is told then.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.is_lost
    }

    fn header(&mut self, bytes: &[u8], tell: &mut impl FnMut(TlsPart)) -> usize {
        let taken = (HEADER - self.known).min(bytes.len());
        let room = self.header.iter_mut().skip(self.known);
        room.zip(bytes).for_each(|(room, byte)| *room = *byte);
        self.known += taken;
        if self.known < HEADER {
            return taken;
        }
        self.known = 0;
        let [kind, major, minor, high, low] = self.header;
        let body = u16::from_be_bytes([high, low]);
        match RecordKind::of(kind) {
            Some(kind) if major == 3 && minor <= 4 && body <= LONGEST => {
                let at = self.at + taken as u64 - HEADER as u64;
                let record = Record { at, kind, body };
                tell(TlsPart::Record(record));
                match kind {
                    RecordKind::ChangeCipherSpec => self.messages.cipher_changes(),
                    RecordKind::Handshake => self.messages.record_begins(),
                    RecordKind::Alert | RecordKind::ApplicationData => {}
                }
                self.left = body;
                self.record = (body > 0).then_some(record);
            }
            _ => self.is_lost = true,
        }
        taken
    }

    fn body(&mut self, record: Record, bytes: &[u8], tell: &mut impl FnMut(TlsPart)) -> usize {
        let taken = usize::from(self.left).min(bytes.len());
        let left = usize::from(self.left) - taken;
        if record.kind == RecordKind::Handshake {
            let bytes = bytes.get(..taken).unwrap_or_default();
            self.messages.read(record.at, bytes, left, |at, hello| {
                tell(match hello {
                    Hello::Client(hello) => TlsPart::ClientHello { at, hello },
                    Hello::Server(hello) => TlsPart::ServerHello { at, hello },
                });
            });
        }
        self.passed(u16::try_from(taken).unwrap_or(u16::MAX));
        taken
    }

    fn passed(&mut self, count: u16) {
        self.left = self.left.saturating_sub(count);
        if self.left == 0 {
            self.record = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::hello::hello_example;
    use super::*;

    fn told(pieces: &[&[u8]]) -> Vec<TlsPart> {
        let mut splitter = RecordSplitter::default();
        let mut told = Vec::new();
        for piece in pieces {
            splitter.feed(piece, |part| told.push(part));
        }
        told
    }

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 3, 3], &(body.len() as u16).to_be_bytes()[..], body].concat()
    }

    fn hellos(parts: &[TlsPart]) -> Vec<u64> {
        let at = |part: &TlsPart| match part {
            TlsPart::ClientHello { at, .. } | TlsPart::ServerHello { at, .. } => Some(*at),
            TlsPart::Record(_) => None,
        };
        parts.iter().filter_map(at).collect()
    }

    #[test]
    fn a_hello_in_two_records_is_told_where_it_began() {
        let hello = hello_example("example.com", &["h2"]);
        let (first, second) = hello[5..].split_at(40);
        let stream = [record(22, first), record(22, second), record(23, b"sealed")].concat();
        let parts = told(&[&stream]);
        assert_eq!(hellos(&parts), [0]);
        let records = parts.iter().filter(|part| matches!(part, TlsPart::Record(_)));
        assert_eq!(records.count(), 3);
    }

    #[test]
    fn what_is_no_tls_is_lost() {
        for stream in [
            &b"GET / HTTP/1.1\r\n"[..],
            &[22, 2, 0, 0, 1],
            &[22, 3, 1, 0xff, 0xff],
            &[24, 3, 3, 0, 1],
        ] {
            let mut splitter = RecordSplitter::default();
            splitter.feed(stream, |part| panic!("{part:?}"));
            assert!(splitter.is_lost());
        }
    }

    #[test]
    fn behind_a_change_of_the_cipher_a_message_is_a_hello_only_if_it_fills_its_record() {
        let hello = hello_example("example.com", &["h2"]);
        let change = record(20, &[1]);
        let sealed = record(22, &[[2, 0, 0, 9].as_slice(), &[0; 36]].concat());
        let stream = [&hello[..], &change, &sealed, &hello].concat();
        let second = (stream.len() - hello.len()) as u64;
        assert_eq!(hellos(&told(&[&stream])), [0, second]);
    }

    #[test]
    fn bytes_that_nobody_saw_are_passed_over_if_they_are_of_one_record() {
        let sealed = record(23, &[7; 100]);
        let mut splitter = RecordSplitter::default();
        let mut records = 0;
        splitter.feed(&sealed[..20], |_| records += 1);
        splitter.skip(85);
        splitter.feed(&sealed, |_| records += 1);
        assert_eq!((records, splitter.is_lost()), (2, false));
        splitter.skip(1);
        assert!(splitter.is_lost(), "a header is missed");
    }

    fn any_stream() -> impl Strategy<Value = Vec<u8>> {
        let body = proptest::collection::vec(any::<u8>(), 0..300);
        let piece = prop_oneof![
            (20_u8..24, body).prop_map(|(kind, body)| record(kind, &body)),
            Just(hello_example("example.com", &["h2", "http/1.1"])),
            (1_usize..90).prop_map(|cut| {
                let hello = hello_example("a", &[]);
                let (first, second) = hello[5..].split_at(cut.min(hello.len() - 6));
                [record(22, first), record(22, second)].concat()
            }),
            proptest::collection::vec(any::<u8>(), 0..9),
        ];
        proptest::collection::vec(piece, 0..8).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_cut(
            stream in any_stream(),
            cuts in proptest::collection::vec(0_usize..1000, 0..20),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts.into_iter().chain([stream.len()]) {
                pieces.push(&stream[from..cut]);
                from = cut;
            }
            prop_assert_eq!(told(&pieces), told(&[&stream]));
        }

        #[test]
        fn bytes_that_nobody_saw_hide_records_and_make_none_up(
            stream in any_stream(),
            size in 1_usize..60,
            unseen in 0_usize..4,
        ) {
            let whole = told(&[&stream]);
            let (mut splitter, mut parts) = (RecordSplitter::default(), Vec::new());
            for (number, piece) in stream.chunks(size).enumerate() {
                match number % 4 == unseen {
                    true => splitter.skip(piece.len() as u64),
                    false => splitter.feed(piece, |part| parts.push(part)),
                }
            }
            prop_assert!(parts.iter().all(|part| whole.contains(part)));
        }

        #[test]
        fn records_follow_each_other_without_a_gap(stream in any_stream()) {
            let mut next = 0;
            for part in told(&[&stream]) {
                if let TlsPart::Record(record) = part {
                    prop_assert_eq!(record.at, next);
                    next = record.end();
                }
            }
        }
    }
}
