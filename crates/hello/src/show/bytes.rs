//! A ruler beside the bytes of a message: which part is how long.

use std::io::{self, Write};

use server::WireBody;

use crate::escape::{dotted, escaped, shortened};

/// Bytes in a row: the widest that fits into 80 columns with everything beside it.
const ROW: usize = 12;
/// Rows of one part.
const MOST_ROWS: usize = 8;

/// A part of a head.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HeadPart<'a> {
    /// `request line`, `status line`, the name of a field, `empty line`.
    pub(crate) name: String,
    /// All of it, line end included.
    pub(crate) bytes: &'a [u8],
}

/// Takes a head apart at its line ends. Together the parts are the head, byte for byte.
pub(crate) fn parts(head: &[u8]) -> Vec<HeadPart<'_>> {
    let mut has_first_line = false;
    let name = |line: &[u8]| {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.is_empty() {
            return "empty line".to_owned();
        }
        if !has_first_line {
            has_first_line = true;
            let is_status = text.starts_with(b"HTTP/");
            return if is_status { "status line" } else { "request line" }.to_owned();
        }
        match text.iter().position(|byte| *byte == b':') {
            Some(colon) => escaped(text.get(..colon).unwrap_or_default()),
            None => "line".to_owned(),
        }
    };
    let lines = head.split_inclusive(|byte| *byte == b'\n');
    let mut name = name;
    lines.map(|line| HeadPart { name: name(line), bytes: line }).collect()
}

/// `83 bytes = 21 + 22 + 25 + 13 + 2`.
pub(crate) fn sum(head: &[u8]) -> String {
    let lengths: Vec<String> =
        parts(head).iter().map(|part| part.bytes.len().to_string()).collect();
    format!("{} bytes = {}", head.len(), lengths.join(" + "))
}

/// Writes a head, a part after the other.
pub(crate) fn head(head: &[u8], out: &mut impl Write) -> io::Result<()> {
    let mut offset = 0;
    for part in parts(head) {
        rows(offset, part.bytes.len() as u64, &part.name, part.bytes, out)?;
        offset += part.bytes.len();
    }
    Ok(())
}

/// Writes the beginning of a body.
pub(crate) fn body(body: &WireBody, out: &mut impl Write) -> io::Result<()> {
    match &body.raw {
        Some(raw) if body.bytes > 0 => rows(0, body.bytes, "body", raw, out),
        _ => Ok(()),
    }
}

/// Writes one part, of which `known` is the beginning.
fn rows(offset: usize, len: u64, name: &str, known: &[u8], out: &mut impl Write) -> io::Result<()> {
    let name = shortened(name, 15);
    let shown = known.get(..known.len().min(ROW * MOST_ROWS)).unwrap_or(known);
    for (place, row) in shown.chunks(ROW).enumerate() {
        let hex: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let (hex, text) = (hex.join(" "), dotted(row));
        let text = text.trim_end(); // a space is seen in the hex
        if place == 0 {
            writeln!(out, "{offset:>5} {len:>5}  {name:<15}  {hex:<35}  {text}")?;
        } else {
            writeln!(out, "{:30}{hex:<35}  {text}", "")?;
        }
    }
    match len.saturating_sub(shown.len() as u64) {
        0 => Ok(()),
        more => writeln!(out, "{:30}and {more} bytes more, not shown", ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REQUEST: &[u8] = b"GET /hello HTTP/1.1\r\nHost: localhost:8080\r\n\
        User-Agent: curl/7.68.0\r\nAccept: */*\r\n\r\n";

    #[test]
    fn the_request_of_the_tutorial_has_83_bytes() {
        assert_eq!(sum(REQUEST), "83 bytes = 21 + 22 + 25 + 13 + 2");
    }

    #[test]
    fn a_ruler_is_no_wider_than_a_terminal() {
        let mut out = Vec::new();
        head(REQUEST, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().all(|line| line.len() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
            0    21  request line     47 45 54 20 2f 68 65 6c 6c 6f 20 48  GET /hello H
                                      54 54 50 2f 31 2e 31 0d 0a           TTP/1.1..
           21    22  Host             48 6f 73 74 3a 20 6c 6f 63 61 6c 68  Host: localh
                                      6f 73 74 3a 38 30 38 30 0d 0a        ost:8080..
           43    25  User-Agent       55 73 65 72 2d 41 67 65 6e 74 3a 20  User-Agent:
                                      63 75 72 6c 2f 37 2e 36 38 2e 30 0d  curl/7.68.0.
                                      0a                                   .
           68    13  Accept           41 63 63 65 70 74 3a 20 2a 2f 2a 0d  Accept: */*.
                                      0a                                   .
           81     2  empty line       0d 0a                                ..
        ");
    }

    #[test]
    fn a_long_part_says_how_much_of_it_is_missing() {
        let mut out = Vec::new();
        let raw = Some(vec![b'x'; WireBody::KEPT].into());
        body(&WireBody { bytes: 1_000_000, content_bytes: 1_000_000, raw }, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("and 999904 bytes more, not shown\n"), "{text}");
        assert_eq!(text.lines().count(), 9);
    }

    proptest! {
        #[test]
        fn the_parts_are_the_head_whatever_it_holds(
            head in proptest::collection::vec(
                prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), any::<u8>()], 0..400),
        ) {
            let parts = parts(&head);
            let together: Vec<u8> = parts.iter().flat_map(|part| part.bytes).copied().collect();
            prop_assert_eq!(together, head);
        }
    }
}
