//! One direction of a connection, put together from its segments.
//!
//! Segments may come twice, out of order, cut, or not at all. What comes out is in order: bytes, and
//! gaps whose length is known.

use std::collections::BTreeMap;
use std::time::Duration;

/// Sequence numbers that lie less than half the circle ahead are ahead.
const HALF: u32 = 1 << 31;
/// Segments that wait behind a gap. Where more do, the gap is taken for lost.
const MOST_WAITING: usize = 4096;

/// A piece of the stream, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamPiece<'a> {
    /// Bytes that were heard.
    Bytes(&'a [u8]),
    /// So many bytes that were sent, and that nobody heard whole.
    Missing(u64),
}

/// The bytes that one end sends.
#[derive(Clone, Debug)]
pub(crate) struct ByteStream {
    /// The sequence number of the first byte.
    first: u32,
    /// How many bytes are told.
    told: u64,
    /// What came behind a gap, by its place in the stream.
    waiting: BTreeMap<u64, WaitingPiece>,
}

#[derive(Clone, Debug)]
struct WaitingPiece {
    at: Duration,
    bytes: Box<[u8]>,
    length: u64,
}

impl ByteStream {
    /// A stream whose SYN has this number.
    pub(crate) fn behind_syn(seq: u32) -> Self {
        Self { first: seq.wrapping_add(1), told: 0, waiting: BTreeMap::new() }
    }

    /// Takes the data of a segment: `length` bytes from `seq` on, of which `bytes` were kept. Tells
    /// what follows what has been told, with the times at which it was heard.
    pub(crate) fn take(
        &mut self,
        seq: u32,
        bytes: &[u8],
        length: u32,
        at: Duration,
        mut tell: impl FnMut(StreamPiece<'_>, Duration),
    ) {
        let Some(place) = self.place(seq) else { return };
        let length = u64::from(length);
        if length == 0 || place + length <= self.told {
            return;
        }
        if place > self.told {
            let longer = self.waiting.get(&place).is_none_or(|piece| piece.length < length);
            if longer {
                self.waiting.insert(place, WaitingPiece { at, bytes: bytes.into(), length });
            }
            if self.waiting.len() > MOST_WAITING {
                self.skip_gap(&mut tell);
            }
            return;
        }
        self.tell(place, bytes, length, at, &mut tell);
        self.tell_waiting(&mut tell);
    }

    /// The other end has all bytes before the one with this number: those that were not heard never
    /// will be.
    pub(crate) fn acknowledged(
        &mut self,
        ack: u32,
        mut tell: impl FnMut(StreamPiece<'_>, Duration),
    ) {
        while let (Some(place), Some((&next, _))) = (self.place(ack), self.waiting.iter().next())
            && next <= place
        {
            self.skip_gap(&mut tell);
        }
    }

    /// Nothing more comes: what waits is told with its gaps.
    pub(crate) fn end(&mut self, mut tell: impl FnMut(StreamPiece<'_>, Duration)) {
        while !self.waiting.is_empty() {
            self.skip_gap(&mut tell);
        }
    }

    /// The place of a sequence number in the stream; `None` before its beginning.
    fn place(&self, seq: u32) -> Option<u64> {
        let told = self.told as u32; // the number goes round as the place does
        let next = self.first.wrapping_add(told);
        let ahead = seq.wrapping_sub(next);
        if ahead < HALF {
            return Some(self.told + u64::from(ahead));
        }
        self.told.checked_sub(u64::from(next.wrapping_sub(seq)))
    }

    /// Tells the first gap as missing, and what stands behind it.
    fn skip_gap(&mut self, tell: &mut impl FnMut(StreamPiece<'_>, Duration)) {
        let Some((&place, piece)) = self.waiting.iter().next() else { return };
        if place > self.told {
            tell(StreamPiece::Missing(place - self.told), piece.at);
            self.told = place;
        }
        self.tell_waiting(tell);
    }

    fn tell_waiting(&mut self, tell: &mut impl FnMut(StreamPiece<'_>, Duration)) {
        while let Some(entry) = self.waiting.first_entry()
            && *entry.key() <= self.told
        {
            let (place, WaitingPiece { at, bytes, length }) = entry.remove_entry();
            self.tell(place, &bytes, length, at, tell);
        }
    }

    /// Tells what is new of a piece that begins at `place` or before what is told.
    fn tell(
        &mut self,
        place: u64,
        bytes: &[u8],
        length: u64,
        at: Duration,
        tell: &mut impl FnMut(StreamPiece<'_>, Duration),
    ) {
        let (known, end) = (self.told.saturating_sub(place), place + length);
        if end <= self.told {
            return;
        }
        let bytes = bytes.get(..usize::try_from(length).unwrap_or(bytes.len())).unwrap_or(bytes);
        let fresh = usize::try_from(known).ok().and_then(|known| bytes.get(known..));
        let fresh = fresh.unwrap_or_default();
        if !fresh.is_empty() {
            tell(StreamPiece::Bytes(fresh), at);
        }
        let missing = (end - self.told).saturating_sub(fresh.len() as u64);
        if missing > 0 {
            tell(StreamPiece::Missing(missing), at);
        }
        self.told = end;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Heard {
        bytes: Vec<u8>,
        missing: u64,
    }

    impl Heard {
        fn hear(&mut self) -> impl FnMut(StreamPiece<'_>, Duration) {
            |piece, _| match piece {
                StreamPiece::Bytes(bytes) => self.bytes.extend(bytes),
                StreamPiece::Missing(length) => {
                    self.missing += length;
                    self.bytes.resize(self.bytes.len() + length as usize, b'?');
                }
            }
        }
    }

    const SYN: u32 = u32::MAX - 3;

    fn heard(segments: &[(u32, &[u8])]) -> Heard {
        let mut stream = ByteStream::behind_syn(SYN);
        let mut heard = Heard::default();
        for (place, bytes) in segments {
            let seq = SYN.wrapping_add(1).wrapping_add(*place);
            stream.take(seq, bytes, bytes.len() as u32, Duration::ZERO, heard.hear());
        }
        stream.end(heard.hear());
        heard
    }

    #[test]
    fn what_comes_twice_or_out_of_order_is_told_once_and_in_order() {
        let heard = heard(&[(0, b"GET "), (0, b"GET "), (6, b"HTTP"), (2, b"T / "), (10, b"!")]);
        assert_eq!(heard.bytes, b"GET / HTTP!");
        assert_eq!(heard.missing, 0);
    }

    #[test]
    fn what_nobody_heard_is_told_as_missing_once_it_is_acknowledged() {
        let mut stream = ByteStream::behind_syn(SYN);
        let mut heard = Heard::default();
        stream.take(SYN.wrapping_add(1 + 4), b"HTTP", 4, Duration::ZERO, heard.hear());
        stream.acknowledged(SYN.wrapping_add(1), heard.hear());
        assert_eq!(heard.bytes, b"", "it may still come");
        stream.acknowledged(SYN.wrapping_add(1 + 8), heard.hear());
        assert_eq!(heard.bytes, b"????HTTP");
    }

    #[test]
    fn of_a_segment_that_was_kept_in_part_the_rest_is_missing() {
        let mut stream = ByteStream::behind_syn(SYN);
        let mut heard = Heard::default();
        stream.take(SYN.wrapping_add(1), b"GET", 10, Duration::ZERO, heard.hear());
        assert_eq!((heard.bytes.as_slice(), heard.missing), (&b"GET???????"[..], 7));
    }

    proptest! {
        #[test]
        fn any_order_of_any_pieces_gives_the_bytes_that_were_sent(
            sent in proptest::collection::vec(any::<u8>(), 1..200),
            cuts in proptest::collection::vec((0..200_usize, 1..40_usize), 1..60),
        ) {
            let mut segments: Vec<(u32, &[u8])> = Vec::new();
            for (from, length) in cuts {
                let from = from % sent.len();
                let to = (from + length).min(sent.len());
                segments.push((from as u32, &sent[from..to]));
            }
            let known: std::collections::BTreeSet<usize> = segments
                .iter()
                .flat_map(|(from, bytes)| *from as usize..*from as usize + bytes.len())
                .collect();
            let heard = heard(&segments);
            for (place, byte) in heard.bytes.iter().enumerate() {
                let expected = if known.contains(&place) { sent[place] } else { b'?' };
                prop_assert_eq!(*byte, expected);
            }
            prop_assert_eq!(heard.bytes.len(), known.iter().max().unwrap() + 1);
        }
    }
}
