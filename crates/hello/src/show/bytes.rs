//! A ruler beside the bytes of a message: which part is how long.

use std::io::{self, Write};

use server::WireBody;
use wire::http1::{HeadLine, LineKind, head_lines};

use crate::escape::{dotted, escaped, shortened};

/// Bytes in a row: the widest that fits into 80 columns with everything beside it.
const ROW: usize = 12;
/// Rows of one part.
const MOST_ROWS: usize = 8;

/// The name of a line of a head: `request line`, `status line`, the name of a field, `empty line`.
pub(crate) fn name(line: HeadLine<'_>) -> String {
    match line.kind {
        LineKind::Start if line.bytes.starts_with(b"HTTP/") => "status line".to_owned(),
        LineKind::Start => "request line".to_owned(),
        LineKind::Field { name, .. } => escaped(name),
        LineKind::Other => "line".to_owned(),
        LineKind::Blank | LineKind::End => "empty line".to_owned(),
    }
}

/// `83 bytes = 21 + 22 + 25 + 13 + 2`.
pub(crate) fn sum(head: &[u8]) -> String {
    let lengths: Vec<String> = head_lines(head).map(|it| it.bytes.len().to_string()).collect();
    format!("{} bytes = {}", head.len(), lengths.join(" + "))
}

/// Writes a head, a part after the other.
pub(crate) fn head(head: &[u8], out: &mut impl Write) -> io::Result<()> {
    let mut offset = 0;
    for line in head_lines(head) {
        rows(offset, line.bytes.len() as u64, &name(line), line.bytes, out)?;
        offset += line.bytes.len();
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

/// Writes the beginning of bytes that are no message, or half a head.
pub(crate) fn first(first: &[u8], all: u64, out: &mut impl Write) -> io::Result<()> {
    rows(0, all, "bytes", first, out)
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
}
