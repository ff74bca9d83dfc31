//! Where in the client's bytes a head ends and a body begins.
//!
//! hyper parses requests, but does not say how far it has come, and of a request with both
//! `Transfer-Encoding` and `Content-Length` it hides the second. So the bytes are read along: only
//! the lengths of things, a few dozen bytes of memory, nothing copied but the start of a line.

/// Enough of a line for `Content-Length` and the longest number.
const ENOUGH: usize = 48;

/// Reads along what a client of HTTP/1.1 sends.
#[derive(Default)]
pub(crate) struct Heads {
    place: Place,
    line: Line,
    /// How many heads have come whole.
    whole: u64,
    /// Of the head that is coming.
    has_begun: bool,
    chunked: bool,
    /// Every `Content-Length` that it has, or that one of them is no number.
    length: Length,
    /// The number of the head with two lengths for its body. There is no request after that one.
    two_lengths: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Head,
    /// So many bytes are to come.
    Body(u64),
    ChunkSize,
    /// So many bytes are to come, the line's end included.
    Chunk(u64),
    Trailers,
    /// What came makes no sense; hyper will say so, and nothing after it is a request.
    Lost,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Length {
    #[default]
    None,
    Bytes(u64),
    Unreadable,
}

/// The start of a line that may come in pieces, without more than one space in a row.
struct Line {
    start: [u8; ENOUGH],
    len: usize,
    last: u8,
}

impl Default for Line {
    fn default() -> Self {
        Self { start: [0; ENOUGH], len: 0, last: 0 }
    }
}

impl Line {
    /// Takes bytes up to a line's end. Returns what is left of them, and whether it was reached.
    fn take<'a>(&mut self, bytes: &'a [u8]) -> (&'a [u8], bool) {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let (piece, rest) = match end {
            Some(end) => (bytes.get(..end), bytes.get(end + 1..)),
            None => (Some(bytes), None),
        };
        for byte in piece.unwrap_or_default() {
            let Some(room) = self.start.get_mut(self.len) else { break };
            let byte = if *byte == b'\t' { b' ' } else { *byte };
            if byte != b' ' || self.last != b' ' {
                *room = byte;
                self.len += 1;
            }
            self.last = byte;
        }
        (rest.unwrap_or_default(), end.is_some())
    }

    /// Begins the next line.
    fn clear(&mut self) {
        self.len = 0;
        self.last = 0;
    }

    /// The start of the line, without its end.
    fn text(&self) -> &[u8] {
        let text = self.start.get(..self.len).unwrap_or_default();
        text.strip_suffix(b"\r").unwrap_or(text)
    }

    /// The value, if it is the line of the header with this name.
    fn value(&self, name: &[u8]) -> Option<&[u8]> {
        let (start, rest) = self.text().split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        start.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    }
}

impl Heads {
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        if self.place == Place::Head
            && !self.has_begun
            && self.line.len == 0
            && is_one_head_without_body(bytes)
        {
            self.whole += 1;
            return;
        }
        while !bytes.is_empty() {
            bytes = match self.place {
                Place::Lost => return,
                Place::Body(left) => self.skip(bytes, left, Place::Body, Place::Head),
                Place::Chunk(left) => self.skip(bytes, left, Place::Chunk, Place::ChunkSize),
                Place::Head | Place::ChunkSize | Place::Trailers => {
                    let (rest, is_whole) = self.line.take(bytes);
                    if is_whole {
                        self.end_of_line();
                        self.line.clear();
                    }
                    rest
                }
            };
        }
    }

    fn skip<'a>(
        &mut self,
        bytes: &'a [u8],
        left: u64,
        more: fn(u64) -> Place,
        then: Place,
    ) -> &'a [u8] {
        let here = bytes.len() as u64;
        if left > here {
            self.place = more(left - here);
            return &[];
        }
        self.place = then;
        usize::try_from(left).ok().and_then(|left| bytes.get(left..)).unwrap_or_default()
    }

    fn end_of_line(&mut self) {
        let is_empty = self.line.text().is_empty();
        match self.place {
            Place::Head if is_empty => {
                // Empty lines before a head mean nothing (RFC 9112 section 2.2).
                if self.has_begun {
                    self.end_of_head();
                }
            }
            Place::Head => {
                self.has_begun = true;
                if let Some(value) = self.line.value(b"content-length") {
                    self.length = match (number(value, 10), self.length) {
                        (Some(length), Length::None | Length::Bytes(_)) => Length::Bytes(length),
                        (None, _) | (_, Length::Unreadable) => Length::Unreadable,
                    };
                }
                self.chunked |= self.line.value(b"transfer-encoding").is_some();
            }
            Place::ChunkSize => {
                let text = self.line.text().split(|byte| *byte == b';').next().unwrap_or_default();
                self.place = match number(text.trim_ascii(), 16) {
                    Some(0) => Place::Trailers,
                    Some(size) => Place::Chunk(size.saturating_add(2)),
                    None => Place::Lost,
                };
            }
            Place::Trailers if is_empty => self.place = Place::Head,
            Place::Trailers | Place::Body(_) | Place::Chunk(_) | Place::Lost => {}
        }
    }

    fn end_of_head(&mut self) {
        self.whole += 1;
        self.has_begun = false;
        let chunked = std::mem::take(&mut self.chunked);
        self.place = match (chunked, std::mem::take(&mut self.length)) {
            (true, Length::Bytes(_) | Length::Unreadable) => {
                self.two_lengths.get_or_insert(self.whole);
                Place::Lost
            }
            (true, Length::None) => Place::ChunkSize,
            (false, Length::Bytes(length)) if length > 0 => Place::Body(length),
            (false, Length::Bytes(_) | Length::None) => Place::Head,
            (false, Length::Unreadable) => Place::Lost,
        };
    }

    /// Whether the last byte was one of a head that is not whole.
    pub(crate) fn within_a_head(&self) -> bool {
        self.place == Place::Head && (self.has_begun || !self.line.text().is_empty())
    }

    /// How many heads have come, whole or in part.
    pub(crate) fn begun(&self) -> u64 {
        self.whole + u64::from(self.has_begun || self.within_a_head())
    }

    /// Whether more bytes of a body are to come.
    pub(crate) fn within_a_body(&self) -> bool {
        matches!(self.place, Place::Body(_) | Place::ChunkSize | Place::Chunk(_) | Place::Trailers)
            || self.two_lengths.is_some()
    }

    /// The number of the head that gave two lengths for its body, from 1.
    pub(crate) fn two_lengths(&self) -> Option<u64> {
        self.two_lengths
    }
}

/// Whether these bytes are exactly one head, and no line of it could be a length. That is what most
/// clients send all the time, so it is found out in one quick look.
fn is_one_head_without_body(bytes: &[u8]) -> bool {
    let Some(lines) = bytes.strip_suffix(b"\n\r\n") else { return false };
    let starts_well = bytes.first().is_some_and(u8::is_ascii_uppercase);
    let mut after_end = false;
    let could_be_more = lines.iter().any(|byte| {
        let start = std::mem::replace(&mut after_end, *byte == b'\n');
        start && matches!(byte, b'C' | b'c' | b'T' | b't' | b'\r' | b'\n')
    });
    starts_well && !could_be_more
}

fn number(text: &[u8], base: u32) -> Option<u64> {
    // Rust would take a sign.
    let digits = text.iter().all(u8::is_ascii_alphanumeric);
    digits.then(|| u64::from_str_radix(std::str::from_utf8(text).ok()?, base).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Heads {
        let mut heads = Heads::default();
        heads.read(text.as_bytes());
        heads
    }

    #[test]
    fn what_looks_like_a_head_in_a_body_is_none() {
        let inner = "GET / HTTP/1.1\r\n\r\n";
        let post = format!("POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\n{inner}");
        assert_eq!(inner.len(), 18);
        assert_eq!(read(&format!("{post}{post}")).whole, 2);
        let chunked = format!(
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n12;x=y\r\n{inner}\r\n0\r\nT: 1\r\n\r\n"
        );
        let heads = read(&format!("{chunked}\r\n{inner}"));
        assert_eq!((heads.whole, heads.place), (2, Place::Head));
        assert!(!heads.within_a_head() && !heads.within_a_body());
    }

    #[test]
    fn one_head_alone_is_told_from_whatever_else_may_end_like_it() {
        for (text, is_one) in [
            ("GET / HTTP/1.1\r\nHost: c\r\n\r\n", true),
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", false),
            ("GET / HTTP/1.1\n\nGET / HTTP/1.1\r\n\r\n", false),
            ("GET / HTTP/1.1\r\ncontent-length: 5\r\n\r\n", false),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
            ("\r\n\r\n", false),
        ] {
            assert_eq!(is_one_head_without_body(text.as_bytes()), is_one, "{text:?}");
        }
    }

    #[test]
    fn two_lengths_for_one_body_are_seen_in_either_order() {
        for headers in [
            "Content-Length: 5\r\ntransfer-encoding: chunked",
            "TRANSFER-ENCODING:chunked\r\nX: y\r\ncontent-length:   5",
        ] {
            let heads =
                read(&format!("GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\n{headers}\r\n\r\n"));
            assert_eq!(heads.two_lengths(), Some(2));
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_bytes_are_cut(cuts in proptest::collection::vec(1_usize..20, 0..20)) {
            let text = "\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\n\n\
                POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
                POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n";
            let mut heads = Heads::default();
            let mut rest = text.as_bytes();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                heads.read(piece);
                rest = after;
            }
            heads.read(rest);
            prop_assert_eq!((heads.whole, heads.two_lengths()), (4, Some(4)));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            Heads::default().read(&bytes);
        }
    }
}
