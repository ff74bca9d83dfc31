//! A whole head taken apart.

use super::head::{HeadLine, LineKind};
use super::line::text;

/// The most header fields that are looked at.
const MOST_FIELDS: usize = 128;

/// Takes a head apart at its line ends. Together the lines are the head, byte for byte.
pub fn head_lines(head: &[u8]) -> impl Iterator<Item = HeadLine<'_>> {
    let mut has_start = false;
    head.split_inclusive(|byte| *byte == b'\n').map(move |bytes| {
        let kind = LineKind::of(text(bytes), has_start);
        has_start |= kind == LineKind::Start;
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_line_is_that_of_a_whole_head() {
        let request = b"GET /a?b HTTP/1.1\r\nHost: h\r\n\r\n";
        let line = RequestLine::of(request).unwrap();
        assert_eq!(
            (line.method.as_str(), line.target.as_str(), line.minor_version),
            ("GET", "/a?b", 1)
        );
        assert_eq!(RequestLine::of(&request[..20]), None, "cut");
        assert_eq!(RequestLine::of(b"\x16\x03\x01\x02\x00"), None, "TLS");
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
