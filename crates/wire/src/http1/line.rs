//! A line that may come in pieces.

use std::borrow::Cow;

/// The longest line that is read, its end included. hyper and nginx take less.
pub(crate) const LONGEST: usize = 1024 * 1024;

/// Puts lines together. Only a line that is cut is kept.
#[derive(Debug, Default)]
pub(crate) struct LineReader {
    cut: Vec<u8>,
}

/// The gain of a piece of bytes.
pub(crate) enum LinePiece<'a> {
    /// A whole line with its end, and the bytes behind it.
    Whole { line: Cow<'a, [u8]>, rest: &'a [u8] },
    /// A part of a line that goes on.
    Cut,
    /// More than anybody calls a line, and what lies beyond the longest that is read.
    TooLong { rest: &'a [u8] },
}

impl LineReader {
    /// Takes bytes up to the end of a line, or all of them.
    pub(crate) fn read<'a>(&mut self, bytes: &'a [u8]) -> LinePiece<'a> {
        let length = bytes.iter().position(|byte| *byte == b'\n').map(|end| end + 1);
        let room = LONGEST.saturating_sub(self.cut.len());
        if length.unwrap_or(bytes.len()) > room {
            return LinePiece::TooLong { rest: bytes.get(room..).unwrap_or_default() };
        }
        let Some(length) = length else {
            self.cut.extend_from_slice(bytes);
            return LinePiece::Cut;
        };
        let (line, rest) = bytes.split_at(length);
        if self.cut.is_empty() {
            return LinePiece::Whole { line: Cow::Borrowed(line), rest };
        }
        let mut whole = std::mem::take(&mut self.cut);
        whole.extend_from_slice(line);
        LinePiece::Whole { line: Cow::Owned(whole), rest }
    }

    /// Returns the beginning of a line that is not whole.
    pub(crate) fn cut(&self) -> &[u8] {
        &self.cut
    }

    /// Returns true if a line has begun that is more than the start of an empty one.
    pub(crate) fn has_begun(&self) -> bool {
        !self.cut.is_empty() && self.cut != b"\r"
    }
}

/// Returns `line` without its end, which may be a line feed alone.
pub(crate) fn text(line: &[u8]) -> &[u8] {
    let text = line.strip_suffix(b"\n").unwrap_or(line);
    text.strip_suffix(b"\r").unwrap_or(text)
}

/// Reads a number that is digits alone: Rust would take a sign.
pub(crate) fn number(digits: &[u8], base: u32) -> Option<u64> {
    let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_alphanumeric);
    is_plain.then(|| u64::from_str_radix(std::str::from_utf8(digits).ok()?, base).ok())?
}

/// Returns `text` without the white space around it that means nothing: spaces and tabs alone (RFC
/// 9110 section 5.6.3), because what else some reader may skip another may not.
pub(crate) fn trimmed(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}
