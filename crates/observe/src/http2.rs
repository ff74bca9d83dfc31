//! HTTP/2 without TLS, read by its frames (RFC 9113 section 4): which streams there are, and who ends
//! what. Heads are compressed, and are not read.

use std::time::Duration;

use evidence::Side;

use crate::stream::StreamPiece;

/// The client's first bytes.
const PREFACE: u64 = 24;
const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
/// So much of a frame's payload is looked at: the numbers of a GOAWAY.
const LOOKED_AT: usize = 8;

/// An exchange of HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenStream {
    /// The number of its stream.
    pub id: u32,
    /// When its head was heard.
    pub began: Duration,
    /// When the last frame of the request was heard.
    pub request_ended: Option<Duration>,
    /// When the first frame of the response was heard.
    pub answered: Option<Duration>,
    /// When its last was.
    pub response_ended: Option<Duration>,
    /// Who gave it up, and with which error code (RFC 9113 section 7).
    pub reset: Option<(Side, u32)>,
}

/// A farewell of HTTP/2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenGoAway {
    /// Who said it.
    pub by: Side,
    /// When.
    pub at: Duration,
    /// The last stream that this end has taken on.
    pub last_stream: u32,
    /// The error code; 0 is none.
    pub code: u32,
}

/// The frames of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeenHttp2 {
    /// Its streams, in the order in which they began.
    pub streams: Vec<SeenStream>,
    /// Its farewells.
    pub goaways: Vec<SeenGoAway>,
}

impl SeenStream {
    /// When both messages were over; `None` while something is to come.
    #[must_use]
    pub fn ended(&self) -> Option<Duration> {
        Some(self.request_ended?.max(self.response_ended?))
    }
}

/// Reads both directions.
#[derive(Debug)]
pub(crate) struct Http2Reader {
    pub(crate) seen: SeenHttp2,
    directions: [FrameReader; 2],
}

/// Reads the frames of one direction.
#[derive(Debug, Default)]
struct FrameReader {
    /// Bytes that are no frame, or of a payload that is not looked at.
    skip: u64,
    header: Vec<u8>,
    frame: Option<Frame>,
    payload: Vec<u8>,
    is_lost: bool,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    length: u64,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Http2Reader {
    pub(crate) fn new() -> Self {
        let of_client = FrameReader { skip: PREFACE, ..FrameReader::default() };
        Self { seen: SeenHttp2::default(), directions: [of_client, FrameReader::default()] }
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.directions.iter().any(|direction| direction.is_lost)
    }

    pub(crate) fn take(&mut self, from: Side, piece: StreamPiece<'_>, at: Duration) {
        let Self { seen, directions: [of_client, of_server] } = self;
        let reader = if from == Side::Client { of_client } else { of_server };
        match piece {
            StreamPiece::Bytes(bytes) => {
                reader.feed(bytes, |frame, payload| seen.note(from, frame, payload, at));
            }
            StreamPiece::Missing(length) => reader.miss(length),
        }
    }
}

impl FrameReader {
    fn feed(&mut self, mut bytes: &[u8], mut tell: impl FnMut(Frame, &[u8])) {
        while !self.is_lost {
            if self.skip > 0 {
                let taken = (bytes.len() as u64).min(self.skip);
                self.skip -= taken;
                bytes =
                    bytes.get(usize::try_from(taken).unwrap_or(bytes.len())..).unwrap_or_default();
                if self.skip > 0 {
                    return;
                }
            }
            let Some(frame) = self.frame else {
                let wanted = HEADER - self.header.len();
                let (head, rest) = bytes.split_at(wanted.min(bytes.len()));
                self.header.extend(head);
                bytes = rest;
                if self.header.len() < HEADER {
                    return;
                }
                self.frame = frame(&self.header);
                self.header.clear();
                self.payload.clear();
                continue;
            };
            let looked_at = frame.length.min(LOOKED_AT as u64);
            let looked_at = usize::try_from(looked_at).unwrap_or(LOOKED_AT);
            let wanted = looked_at - self.payload.len();
            let (part, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.payload.extend(part);
            bytes = rest;
            if self.payload.len() < looked_at {
                return;
            }
            self.frame = None;
            self.skip = frame.length - looked_at as u64;
            tell(frame, &self.payload);
        }
    }

    /// Bytes that nobody heard: within a payload their number is enough.
    fn miss(&mut self, length: u64) {
        if length <= self.skip {
            self.skip -= length;
        } else {
            self.is_lost = true;
        }
    }
}

fn frame(header: &[u8]) -> Option<Frame> {
    let [l1, l2, l3, kind, flags, s1, s2, s3, s4] = *header.first_chunk::<HEADER>()?;
    Some(Frame {
        length: u32::from_be_bytes([0, l1, l2, l3]).into(),
        kind,
        flags,
        stream: u32::from_be_bytes([s1 & 0x7f, s2, s3, s4]),
    })
}

impl SeenHttp2 {
    fn note(&mut self, from: Side, frame: Frame, payload: &[u8], at: Duration) {
        let number = |place: usize| {
            let bytes = payload.get(place..place + 4).and_then(<[u8]>::first_chunk);
            bytes.map(|bytes| u32::from_be_bytes(*bytes))
        };
        if frame.kind == GOAWAY {
            let (Some(last), Some(code)) = (number(0), number(4)) else { return };
            let last_stream = last & 0x7fff_ffff;
            self.goaways.push(SeenGoAway { by: from, at, last_stream, code });
            return;
        }
        let is_of_stream = matches!(frame.kind, DATA | HEADERS | RST_STREAM);
        if !is_of_stream || frame.stream == 0 {
            return;
        }
        let place = self.streams.iter().rposition(|stream| stream.id == frame.stream);
        let opens = place.is_none() && frame.kind == HEADERS && from == Side::Client;
        if opens {
            self.streams.push(SeenStream {
                id: frame.stream,
                began: at,
                request_ended: None,
                answered: None,
                response_ended: None,
                reset: None,
            });
        }
        let place = if opens { self.streams.len().checked_sub(1) } else { place };
        let Some(stream) = place.and_then(|place| self.streams.get_mut(place)) else { return };
        if frame.kind == RST_STREAM {
            stream.reset.get_or_insert((from, number(0).unwrap_or_default()));
            return;
        }
        let ends = frame.flags & END_STREAM != 0;
        match from {
            Side::Client if ends => stream.request_ended = Some(at),
            Side::Client => {}
            Side::Server => {
                stream.answered.get_or_insert(at);
                if ends {
                    stream.response_ended = Some(at);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream];
        frame.extend(payload);
        frame
    }

    fn conversation() -> (Vec<u8>, Vec<u8>) {
        let mut client = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        client.extend(frame(4, 0, 0, &[0; 12]));
        client.extend(frame(HEADERS, 5, 1, &[7; 30]));
        client.extend(frame(HEADERS, 4, 3, &[7; 30]));
        client.extend(frame(DATA, 1, 3, b"body"));
        let mut server = frame(4, 0, 0, &[]);
        server.extend(frame(HEADERS, 4, 1, &[7; 10]));
        server.extend(frame(DATA, 1, 1, &[0; 100]));
        server.extend(frame(RST_STREAM, 0, 3, &[0, 0, 0, 7]));
        server.extend(frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]));
        (client, server)
    }

    fn read(client: &[u8], server: &[u8], piece: usize) -> SeenHttp2 {
        let mut reader = Http2Reader::new();
        for (from, bytes) in [(Side::Client, client), (Side::Server, server)] {
            for piece in bytes.chunks(piece.max(1)) {
                reader.take(from, StreamPiece::Bytes(piece), Duration::ZERO);
            }
        }
        reader.seen
    }

    #[test]
    fn streams_resets_and_farewells_are_told_wherever_frames_are_cut() {
        let (client, server) = conversation();
        let whole = read(&client, &server, 10_000);
        assert_eq!(whole.streams.len(), 2);
        assert!(whole.streams[0].ended().is_some() && whole.streams[1].ended().is_none());
        assert_eq!(whole.streams[1].reset, Some((Side::Server, 7)));
        let [goaway] = whole.goaways.as_slice() else { panic!("{whole:?}") };
        assert_eq!((goaway.by, goaway.last_stream, goaway.code), (Side::Server, 1, 0));
        for piece in 1..40 {
            assert_eq!(read(&client, &server, piece), whole, "in pieces of {piece}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(client: Vec<u8>, server: Vec<u8>, missing: u64, piece in 1..20_usize) {
            read(&client, &server, piece);
            let mut reader = Http2Reader::new();
            reader.take(Side::Server, StreamPiece::Bytes(&server), Duration::ZERO);
            reader.take(Side::Server, StreamPiece::Missing(missing), Duration::ZERO);
            reader.take(Side::Server, StreamPiece::Bytes(&client), Duration::ZERO);
        }
    }
}
