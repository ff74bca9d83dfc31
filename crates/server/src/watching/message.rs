//! Where the messages of HTTP/1.1 begin and end in a stream of bytes (RFC 9112 sections 2 and 6).
//!
//! hyper keeps the lengths of heads and bodies to itself. This reads the same bytes a second time,
//! for whoever wants to know; it decides nothing, so what it cannot make out it gives up on.

use bytes::Bytes;

use crate::watching::observer::WireBody;

/// A head longer than this is not followed: hyper refuses such a request anyway.
const LONGEST_HEAD: usize = 1 << 20;

/// A part of a message that is over.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// All bytes up to the empty line, and it.
    Head(Vec<u8>),
    /// What followed; empty if nothing did.
    Body(WireBody),
}

/// Which way the messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Requests,
    Responses,
}

/// Cuts one direction of a connection into messages.
pub(crate) struct Splitter {
    direction: Direction,
    at: At,
    body: WireBody,
    kept: Option<Vec<u8>>,
}

/// What the next byte belongs to.
enum At {
    Head(Vec<u8>),
    Fixed { left: u64 },
    Chunked(Chunk),
    ToTheEnd,
    Lost,
}

/// What the next byte of a chunked body belongs to.
#[derive(Clone, Copy)]
enum Chunk {
    Size { size: u64, digits: bool },
    Data { left: u64 },
    LineEnd,
    Trailer { empty: bool },
}

impl Splitter {
    /// With `keep` the first bytes of each body are kept.
    pub(crate) fn new(direction: Direction, keep: bool) -> Self {
        Self {
            direction,
            at: At::Head(Vec::new()),
            body: WireBody::default(),
            kept: keep.then(Vec::new),
        }
    }

    /// Reads on, and calls `tell` for every part that is over. `answers_head` is asked, after each
    /// head of a response, whether it answers `HEAD`, so has no body whatever it says.
    pub(crate) fn feed(
        &mut self,
        mut bytes: &[u8],
        mut answers_head: impl FnMut() -> bool,
        mut tell: impl FnMut(Part),
    ) {
        while !bytes.is_empty() {
            let used = match &mut self.at {
                At::Head(head) => {
                    let used = read_head(head, bytes);
                    if head_is_whole(head) {
                        let head = std::mem::take(head);
                        self.at = self.body_after(&head, &mut answers_head);
                        let is_empty = matches!(self.at, At::Fixed { left: 0 });
                        let is_interim = self.is_interim(&head);
                        tell(Part::Head(head));
                        if is_interim {
                            self.at = At::Head(Vec::new());
                        } else if is_empty {
                            self.finish(&mut tell);
                        }
                    } else if head.len() > LONGEST_HEAD {
                        self.at = At::Lost;
                    }
                    used
                }
                At::Lost => return,
                _ => {
                    let (used, is_over) = self.read_body(bytes);
                    if is_over {
                        self.finish(&mut tell);
                    }
                    used
                }
            };
            bytes = bytes.get(used..).unwrap_or_default();
        }
    }

    /// The connection is over: so is a body whose end that is.
    pub(crate) fn end(&mut self, mut tell: impl FnMut(Part)) {
        if matches!(self.at, At::ToTheEnd) {
            self.finish(&mut tell);
        }
        self.at = At::Lost;
    }

    fn finish(&mut self, tell: &mut impl FnMut(Part)) {
        let mut body = std::mem::take(&mut self.body);
        body.raw = self.kept.as_mut().map(|kept| Bytes::from(std::mem::take(kept)));
        self.at = At::Head(Vec::new());
        tell(Part::Body(body));
    }

    /// How many of `bytes` belong to the body, and whether it is over then.
    fn read_body(&mut self, bytes: &[u8]) -> (usize, bool) {
        let len = bytes.len() as u64;
        let (used, content, is_over) = match &mut self.at {
            At::Fixed { left } => {
                let used = len.min(*left);
                *left -= used;
                (used, used, *left == 0)
            }
            At::ToTheEnd => (len, len, false),
            At::Chunked(chunk) => match chunk.read(bytes) {
                Some(read) => read,
                None => {
                    self.at = At::Lost;
                    (len, 0, false)
                }
            },
            At::Head(_) | At::Lost => (len, 0, false),
        };
        let used_len = usize::try_from(used).unwrap_or(bytes.len());
        self.body.bytes += used;
        self.body.content_bytes += content;
        if let Some(kept) = &mut self.kept {
            let room = WireBody::KEPT.saturating_sub(kept.len());
            kept.extend_from_slice(bytes.get(..used_len.min(room)).unwrap_or_default());
        }
        (used_len, is_over)
    }

    fn is_interim(&self, head: &[u8]) -> bool {
        self.direction == Direction::Responses && status(head).is_some_and(|s| s < 200)
    }

    /// How the body after `head` is framed (RFC 9112 section 6.3).
    fn body_after(&self, head: &[u8], answers_head: &mut impl FnMut() -> bool) -> At {
        const NONE: At = At::Fixed { left: 0 };
        let is_response = self.direction == Direction::Responses;
        if is_response && !self.is_interim(head) {
            let answers_head = answers_head();
            if answers_head || matches!(status(head), Some(204 | 304)) {
                return NONE;
            }
        }
        let coding = field(head, "transfer-encoding").map(str::to_ascii_lowercase);
        if coding.is_some_and(|coding| coding.ends_with("chunked")) {
            return At::Chunked(Chunk::Size { size: 0, digits: true });
        }
        match field(head, "content-length").map(str::parse) {
            Some(Ok(left)) => At::Fixed { left },
            Some(Err(_)) => At::Lost,
            None if is_response => At::ToTheEnd,
            None => NONE,
        }
    }
}

impl Chunk {
    /// How many of `bytes` this part takes, how many of those are content, and whether the body is
    /// over; `None` for what is no chunk.
    fn read(&mut self, bytes: &[u8]) -> Option<(u64, u64, bool)> {
        if let Self::Data { left } = self {
            let used = (bytes.len() as u64).min(*left);
            *left -= used;
            if *left == 0 {
                *self = Self::LineEnd;
            }
            return Some((used, used, false));
        }
        let byte = *bytes.first()?;
        let mut is_over = false;
        *self = match *self {
            Self::Size { size: 0, .. } if byte == b'\n' => Self::Trailer { empty: true },
            Self::Size { size, .. } if byte == b'\n' => Self::Data { left: size },
            Self::Size { size, digits } => match char::from(byte).to_digit(16) {
                Some(digit) if digits => {
                    let size = size.checked_mul(16)?.checked_add(u64::from(digit))?;
                    Self::Size { size, digits }
                }
                _ => Self::Size { size, digits: false }, // an extension, or the line's end
            },
            Self::LineEnd if byte == b'\n' => Self::Size { size: 0, digits: true },
            Self::LineEnd if byte == b'\r' => Self::LineEnd,
            Self::LineEnd => return None,
            Self::Trailer { empty } if byte == b'\n' => {
                is_over = empty;
                Self::Trailer { empty: true }
            }
            Self::Trailer { empty } => Self::Trailer { empty: empty && byte == b'\r' },
            Self::Data { .. } => return None,
        };
        Some((1, 0, is_over))
    }
}

/// Takes over bytes up to the end of the head, or all of them; returns how many.
fn read_head(head: &mut Vec<u8>, bytes: &[u8]) -> usize {
    for (place, byte) in bytes.iter().enumerate() {
        head.push(*byte);
        if *byte == b'\n' && head_is_whole(head) {
            return place + 1;
        }
    }
    bytes.len()
}

/// Whether an empty line ends it. Empty lines before the first one that is not do not count (RFC
/// 9112 section 2.2), and a line may end without its CR.
fn head_is_whole(head: &[u8]) -> bool {
    (head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n"))
        && head.iter().any(|byte| !matches!(byte, b'\r' | b'\n'))
}

pub(crate) fn status(head: &[u8]) -> Option<u16> {
    std::str::from_utf8(head.get(9..12)?).ok()?.parse().ok()
}

/// The last value of the field `name`.
fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    head.split(|byte| *byte == b'\n').rev().find_map(|line| {
        let (key, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What it makes of a stream that comes in pieces of `size` bytes.
    fn split(direction: Direction, stream: &[u8], size: usize, answers_head: bool) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut splitter = Splitter::new(direction, false);
        for piece in stream.chunks(size) {
            splitter.feed(piece, || answers_head, |part| parts.push(part));
        }
        splitter.end(|part| parts.push(part));
        parts
    }

    fn lengths(parts: &[Part]) -> Vec<(char, u64, u64)> {
        let length = |part: &Part| match part {
            Part::Head(head) => ('h', head.len() as u64, 0),
            Part::Body(body) => ('b', body.bytes, body.content_bytes),
        };
        parts.iter().map(length).collect()
    }

    const REQUESTS: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\
        POST / HTTP/1.1\r\ncontent-length: 7\r\n\r\nabcdefg\
        \r\nPOST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n\
        5;x=y\r\nabcde\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n\
        GET /last HTTP/1.1\n\n";

    #[test]
    fn messages_are_told_apart_however_their_bytes_come() {
        let expected = [
            ('h', 27, 0),
            ('b', 0, 0),
            ('h', 38, 0),
            ('b', 7, 7),
            ('h', 49, 0),
            ('b', 46, 15),
            ('h', 20, 0),
            ('b', 0, 0),
        ];
        for size in 1..=REQUESTS.len() {
            let parts = split(Direction::Requests, REQUESTS, size, false);
            assert_eq!(lengths(&parts), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_response_to_head_has_no_body_and_one_without_length_ends_with_the_connection() {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n";
        let parts = split(Direction::Responses, head, 5, true);
        assert_eq!(lengths(&parts), [('h', 39, 0), ('b', 0, 0)]);
        let endless = b"HTTP/1.0 200 OK\r\n\r\nHello world";
        let parts = split(Direction::Responses, endless, 5, false);
        assert_eq!(lengths(&parts), [('h', 19, 0), ('b', 11, 11)]);
    }

    #[test]
    fn an_interim_response_is_a_head_alone() {
        let stream = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        let parts = split(Direction::Responses, stream, 3, false);
        assert_eq!(lengths(&parts), [('h', 25, 0), ('h', 38, 0), ('b', 2, 2)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic_and_none_is_counted_twice(
            stream in proptest::collection::vec(any::<u8>(), 0..600),
            size in 1_usize..40,
        ) {
            for direction in [Direction::Requests, Direction::Responses] {
                let parts = split(direction, &stream, size, false);
                let sum: u64 = lengths(&parts).iter().map(|(_, bytes, _)| bytes).sum();
                prop_assert!(sum <= stream.len() as u64);
            }
        }

        #[test]
        fn the_size_of_the_pieces_does_not_matter(size in 1_usize..300) {
            prop_assert_eq!(
                split(Direction::Requests, REQUESTS, size, false),
                split(Direction::Requests, REQUESTS, 1, false)
            );
        }
    }
}
