//! One head, line by line, and what it says about the body behind it.

use super::grammar::is_target;
use super::line::{LONGEST, LinePiece, LineReader, number, text, trimmed};
use super::message::AnsweredMethod;

/// A line of a head, as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLine<'a> {
    /// All of it, its end included.
    pub bytes: &'a [u8],
    /// The part that it has in the head.
    pub kind: LineKind<'a>,
}

/// The kind of a line of a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineKind<'a> {
    /// An empty line before the head, which means nothing (RFC 9112 section 2.2).
    Blank,
    /// The request line or the status line.
    Start,
    /// A header field.
    Field {
        /// Its name, as it was written.
        name: &'a [u8],
        /// Its value, without the white space around it.
        value: &'a [u8],
    },
    /// A line in the place of a field that is none: it has no colon, or goes on with the line
    /// before it, because it begins with white space (RFC 9112 section 5.2).
    Other,
    /// The empty line that ends the head.
    End,
}

impl<'a> LineKind<'a> {
    /// Tells the kind of a line without its end, in a head that has its start line already or not.
    pub(crate) fn of(text: &'a [u8], has_start: bool) -> Self {
        match (has_start, text) {
            (false, []) => Self::Blank,
            (true, []) => Self::End,
            (false, _) => Self::Start,
            (true, [b' ' | b'\t', ..]) => Self::Other,
            (true, _) => match field(text) {
                Some((name, value)) => Self::Field { name, value },
                None => Self::Other,
            },
        }
    }
}

/// The `Content-Length` of a head, over all fields of that name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LengthField {
    /// There is none.
    #[default]
    Absent,
    /// So many bytes.
    Bytes(u64),
    /// Not a number, or several that differ (RFC 9112 section 6.3).
    Unreadable,
}

impl LengthField {
    fn and(self, value: &[u8]) -> Self {
        match (self, number(value, 10)) {
            (Self::Absent, Some(length)) => Self::Bytes(length),
            (Self::Bytes(before), Some(length)) if before == length => Self::Bytes(length),
            _ => Self::Unreadable,
        }
    }
}

/// The words of a whole head about its message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadFacts {
    /// Its length on the wire, empty lines before it and the one that ends it included.
    pub bytes: u64,
    /// Its status code, if it is a response's and has one.
    pub status: Option<u16>,
    /// Its `Content-Length`.
    pub length: LengthField,
    /// `Some` if it has a `Transfer-Encoding`: true if the last coding is `chunked`.
    pub chunked: Option<bool>,
    /// It tells the body's end in a way that readers take differently: `Content-Length` or
    /// `Transfer-Encoding` is folded, or has white space before its colon, or the second stands in
    /// a message of HTTP/1.0 (RFC 9112 sections 5.1, 5.2 and 6.1).
    pub is_ambiguous: bool,
    /// It is a request's, and its target is none (RFC 9112 section 3.2).
    pub has_bad_target: bool,
    /// It asks for `100 Continue` before the body.
    pub expects_continue: bool,
    /// Its method, as far as the response's body depends on it.
    pub method: AnsweredMethod,
}

/// Reads one head, however it is cut into pieces.
#[derive(Debug, Default)]
pub struct HeadReader {
    line: LineReader,
    has_start: bool,
    is_http_1_0: bool,
    /// The line before told how long the body is.
    is_after_framing: bool,
    facts: HeadFacts,
    /// Bytes read so far, those of a cut line included.
    read: u64,
}

/// The state of a head after some bytes.
pub(crate) enum HeadPiece<'a> {
    /// It has ended, and these bytes come behind it.
    Whole { facts: HeadFacts, rest: &'a [u8] },
    /// It goes on.
    Partial,
    /// It is longer than anybody's head.
    TooLong,
}

impl HeadReader {
    /// Takes further bytes, and tells each line that they complete. Once the head has ended,
    /// returns what it said and the bytes behind it; the reader is then ready for the next head.
    pub fn read<'a>(
        &mut self,
        bytes: &'a [u8],
        tell: impl FnMut(HeadLine<'_>),
    ) -> Option<(HeadFacts, &'a [u8])> {
        match self.advance(bytes, tell) {
            HeadPiece::Whole { facts, rest } => Some((facts, rest)),
            HeadPiece::Partial | HeadPiece::TooLong => None,
        }
    }

    pub(crate) fn advance<'a>(
        &mut self,
        mut bytes: &'a [u8],
        mut tell: impl FnMut(HeadLine<'_>),
    ) -> HeadPiece<'a> {
        while !self.is_too_long() {
            let before = bytes.len();
            match self.line.read(bytes) {
                LinePiece::Whole { line, rest } => {
                    self.read += (before - rest.len()) as u64;
                    if self.is_too_long() {
                        break;
                    }
                    let kind = self.note(&line);
                    tell(HeadLine { bytes: &line, kind });
                    bytes = rest;
                    if kind == LineKind::End {
                        let facts = HeadFacts { bytes: self.read, ..self.facts };
                        *self = Self::default();
                        return HeadPiece::Whole { facts, rest };
                    }
                }
                LinePiece::Cut => {
                    self.read += before as u64;
                    if !self.is_too_long() {
                        return HeadPiece::Partial;
                    }
                }
                LinePiece::TooLong { .. } => self.read += before as u64,
            }
        }
        HeadPiece::TooLong
    }

    /// Once it is, it stays so.
    fn is_too_long(&self) -> bool {
        self.read > LONGEST as u64
    }

    /// Returns true if a head has begun: more than empty lines has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_start || self.line.has_begun()
    }

    /// Returns how many bytes of the head have come, and the beginning of the line that is not whole.
    pub(crate) fn so_far(&self) -> (u64, &[u8]) {
        (self.read, self.line.cut())
    }

    /// Returns true if not a byte has come, not even of an empty line.
    pub(crate) fn is_fresh(&self) -> bool {
        self.read == 0
    }

    fn note<'a>(&mut self, line: &'a [u8]) -> LineKind<'a> {
        let text = text(line);
        let kind = LineKind::of(text, self.has_start);
        match kind {
            LineKind::Start => self.note_start(text),
            LineKind::Field { name, value } => self.note_field(name, value),
            LineKind::Other => {
                let frames = field(text).is_some_and(|(name, _)| is_framing(trimmed(name)));
                self.facts.is_ambiguous |= frames || self.is_after_framing;
            }
            LineKind::Blank | LineKind::End => {}
        }
        kind
    }

    fn note_start(&mut self, text: &[u8]) {
        self.has_start = true;
        self.is_http_1_0 = text.starts_with(b"HTTP/1.0 ") || text.ends_with(b" HTTP/1.0");
        self.facts.status = status(text);
        self.facts.has_bad_target = has_bad_target(text);
        self.facts.method = match text {
            [b'H', b'E', b'A', b'D', b' ', ..] => AnsweredMethod::Head,
            [b'C', b'O', b'N', b'N', b'E', b'C', b'T', b' ', ..] => AnsweredMethod::Connect,
            _ => AnsweredMethod::Other,
        };
    }

    fn note_field(&mut self, name: &[u8], value: &[u8]) {
        let facts = &mut self.facts;
        let bare_name = trimmed(name);
        self.is_after_framing = is_framing(bare_name);
        facts.is_ambiguous |= self.is_after_framing && bare_name != name;
        if name.eq_ignore_ascii_case(LENGTH) {
            facts.length = facts.length.and(value);
        } else if name.eq_ignore_ascii_case(CODING) {
            let last = value.rsplit(|byte| *byte == b',').next().unwrap_or_default();
            facts.chunked = Some(trimmed(last).eq_ignore_ascii_case(b"chunked"));
            facts.is_ambiguous |= self.is_http_1_0;
        } else if name.eq_ignore_ascii_case(b"expect") {
            facts.expects_continue |= is_100_continue(value);
        }
    }
}

/// Returns true for a request line whose target is none. What is no request line has no target.
pub(crate) fn has_bad_target(line: &[u8]) -> bool {
    let mut words = line.split(|byte| *byte == b' ');
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(method), Some(target), Some(version), None) => {
            version.starts_with(b"HTTP/") && !is_target(method, target)
        }
        _ => false,
    }
}

const LENGTH: &[u8] = b"content-length";
const CODING: &[u8] = b"transfer-encoding";

/// Returns true for the names of the fields that tell where a body ends.
fn is_framing(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(LENGTH) || name.eq_ignore_ascii_case(CODING)
}

/// Splits a line at its colon.
fn field(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (name, value) = text.split_at(colon);
    Some((name, trimmed(value.get(1..).unwrap_or_default())))
}

/// The code of a status line: `HTTP/1.1 200 OK`, of which the reason may be missing.
fn status(text: &[u8]) -> Option<u16> {
    let [b'0'..=b'9', b' ', rest @ ..] = text.strip_prefix(b"HTTP/1.")? else { return None };
    let code = rest.split(|byte| *byte == b' ').next().filter(|code| code.len() == 3)?;
    u16::try_from(number(code, 10)?).ok()
}

/// Returns true if the value of an `Expect` field asks for `100 Continue`.
#[must_use]
pub fn is_100_continue(value: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|word| trimmed(word).eq_ignore_ascii_case(b"100-continue"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] =
        b"PUT /a:b HTTP/1.1\r\nhost: [::1]:8\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\nbody";

    #[test]
    fn a_head_is_read_wherever_it_is_cut() {
        for cut in 0..=REQUEST.len() {
            let (first, second) = REQUEST.split_at(cut);
            let mut head = HeadReader::default();
            let mut fields = Vec::new();
            let mut tell = |line: HeadLine<'_>| {
                if let LineKind::Field { name, value } = line.kind {
                    fields.push(String::from_utf8([name, b"=", value].concat()).unwrap());
                }
            };
            let (facts, rest) = match head.read(first, &mut tell) {
                Some((facts, rest)) => (facts, [rest, second].concat()),
                None => {
                    let (facts, rest) = head.read(second, &mut tell).unwrap();
                    (facts, rest.to_vec())
                }
            };
            assert_eq!(rest, b"body", "cut at {cut}");
            assert_eq!(fields, ["host=[::1]:8", "content-length=4", "expect=100-continue"]);
            assert_eq!(facts.bytes, REQUEST.len() as u64 - 4);
            assert_eq!((facts.length, facts.expects_continue), (LengthField::Bytes(4), true));
        }
    }

    #[test]
    fn lengths_that_differ_are_no_length_and_equal_ones_are_one() {
        let length = |values: &[&str]| {
            values.iter().fold(LengthField::Absent, |length, value| length.and(value.as_bytes()))
        };
        assert_eq!(length(&["11", "11"]), LengthField::Bytes(11));
        for values in [&["11", "12"][..], &["+11"], &["-1"], &["0x11"], &[""], &["11, 11"]] {
            assert_eq!(length(values), LengthField::Unreadable, "{values:?}");
        }
        assert_eq!(length(&["99999999999999999999"]), LengthField::Unreadable);
    }

    #[test]
    fn only_the_last_coding_tells_whether_a_body_is_chunked() {
        for (value, chunked) in
            [("chunked", true), ("gzip, Chunked", true), ("chunked, gzip", false), ("x", false)]
        {
            let head = format!("GET / HTTP/1.1\r\nTransfer-Encoding: {value}\r\n\r\n");
            let (facts, _) = HeadReader::default().read(head.as_bytes(), |_| {}).unwrap();
            assert_eq!(facts.chunked, Some(chunked), "{value}");
        }
    }

    #[test]
    fn an_expectation_is_found_in_any_case_and_in_a_list() {
        assert!(is_100_continue(b"100-Continue") && is_100_continue(b"x, 100-continue"));
        assert!(!is_100_continue(b"100-continued") && !is_100_continue(b""));
    }
}
