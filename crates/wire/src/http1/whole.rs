//! A whole head taken apart.

use super::head::{HeadLine, LineKind, field};
use super::line::text;

/// The most header fields that are looked at.
const MOST_FIELDS: usize = 128;

/// Takes a head apart at its line ends. Together the lines are the head, byte for byte.
pub fn head_lines(head: &[u8]) -> impl Iterator<Item = HeadLine<'_>> {
    let mut has_start = false;
    head.split_inclusive(|byte| *byte == b'\n').map(move |bytes| {
        let text = text(bytes);
        let kind = match (has_start, text.is_empty()) {
            (false, true) => LineKind::Blank,
            (true, true) => LineKind::End,
            (false, false) => LineKind::Start,
            (true, false) => match field(text) {
                Some((name, value)) => LineKind::Field { name, value },
                None => LineKind::Other,
            },
        };
        has_start |= !text.is_empty();
        HeadLine { bytes, kind }
    })
}

/// The first line of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestLine {
    /// The method, such as `GET`.
    pub method: String,
    /// The target, as it was written.
    pub target: String,
    /// The minor version of HTTP/1: 0 or 1.
    pub minor_version: u8,
}

impl RequestLine {
    /// Reads the first line of a whole request head; `None` if the head is none.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut request = httparse::Request::new(&mut fields);
        request.parse(head).ok()?.is_complete().then_some(())?;
        Some(Self {
            method: request.method?.to_owned(),
            target: request.path?.to_owned(),
            minor_version: request.version?,
        })
    }
}

/// The first line of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusLine {
    /// The minor version of HTTP/1: 0 or 1.
    pub minor_version: u8,
    /// The status code.
    pub status: u16,
    /// The reason phrase, which may be empty.
    pub reason: String,
}

impl StatusLine {
    /// Reads the first line of a whole response head; `None` if the head is none.
    #[must_use]
    pub fn of(head: &[u8]) -> Option<Self> {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut response = httparse::Response::new(&mut fields);
        response.parse(head).ok()?.is_complete().then_some(())?;
        Some(Self {
            minor_version: response.version?,
            status: response.code?,
            reason: response.reason?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn first_lines_are_those_of_whole_heads() {
        let request = b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n";
        let line = RequestLine::of(request).unwrap();
        assert_eq!(
            (line.method.as_str(), line.target.as_str(), line.minor_version),
            ("GET", "/a?b", 1)
        );
        assert_eq!(RequestLine::of(&request[..20]), None, "cut");
        assert_eq!(RequestLine::of(b"\x16\x03\x01\x02\x00"), None, "TLS");
        let line = StatusLine::of(b"HTTP/1.0 404 Not Found\r\n\r\n").unwrap();
        assert_eq!((line.minor_version, line.status, line.reason.as_str()), (0, 404, "Not Found"));
    }

    proptest! {
        #[test]
        fn the_lines_are_the_head_whatever_it_holds(
            head in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), any::<u8>()], 0..400),
        ) {
            let lines = head_lines(&head);
            let together: Vec<u8> = lines.flat_map(|line| line.bytes).copied().collect();
            prop_assert_eq!(together, head);
        }
    }
}
