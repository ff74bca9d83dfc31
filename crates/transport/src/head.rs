//! The head of a request, read back from the bytes that were written to the socket.

use crate::rules;

/// Reads a head line by line, however it is cut into writes. Only a line that is cut is kept.
#[derive(Default)]
pub(crate) struct RequestHead {
    cut: Vec<u8>,
    past_request_line: bool,
    body_bytes: u64,
    expects_continue: bool,
}

impl RequestHead {
    /// Takes further bytes, and gives `field` the name and value of each header field that they
    /// complete. Once the head has ended, returns the bytes behind it.
    pub(crate) fn read<'bytes>(
        &mut self,
        mut bytes: &'bytes [u8],
        mut field: impl FnMut(&[u8], &[u8]),
    ) -> Option<&'bytes [u8]> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            let is_empty = if self.cut.is_empty() {
                self.line(line, &mut field)
            } else {
                let mut whole = std::mem::take(&mut self.cut);
                whole.extend_from_slice(line);
                self.line(&whole, &mut field)
            };
            if is_empty {
                return Some(bytes);
            }
        }
        self.cut.extend_from_slice(bytes);
        None
    }

    /// Takes a line; returns whether it is the empty one that ends the head.
    fn line(&mut self, line: &[u8], field: &mut impl FnMut(&[u8], &[u8])) -> bool {
        let line = line.trim_ascii();
        if !std::mem::replace(&mut self.past_request_line, true) {
            return false;
        }
        if let Some(colon) = line.iter().position(|byte| *byte == b':') {
            let (name, value) = line.split_at(colon);
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            self.note(name, value);
            field(name, value);
        }
        line.is_empty()
    }

    fn note(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"content-length") {
            let digits = std::str::from_utf8(value).ok();
            self.body_bytes = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
        } else if name.eq_ignore_ascii_case(b"expect") {
            self.expects_continue |= rules::is_100_continue(value);
        }
    }

    /// How long the body is: this crate sends none without a `Content-Length`.
    pub(crate) fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Whether the body waits for `100 Continue`.
    pub(crate) fn body_waits(&self) -> bool {
        self.expects_continue && self.body_bytes > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &[u8] =
        b"PUT /a:b HTTP/1.1\r\nhost: [::1]:8\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\nbody";

    #[test]
    fn a_head_is_read_wherever_its_writes_are_cut() {
        for cut in 0..=REQUEST.len() {
            let (first, second) = REQUEST.split_at(cut);
            let mut head = RequestHead::default();
            let mut fields = Vec::new();
            let mut field = |name: &[u8], value: &[u8]| {
                let text = [name, b"=", value].concat();
                fields.push(String::from_utf8(text).unwrap());
            };
            let rest = match head.read(first, &mut field) {
                Some(rest) => [rest, second].concat(),
                None => head.read(second, &mut field).unwrap().to_vec(),
            };
            assert_eq!(rest, b"body", "cut at {cut}");
            assert_eq!(fields, ["host=[::1]:8", "content-length=4", "expect=100-continue"]);
            assert_eq!((head.body_bytes(), head.body_waits()), (4, true));
        }
    }

    #[test]
    fn a_head_that_is_not_cut_is_not_copied() {
        let mut head = RequestHead::default();
        assert!(head.read(REQUEST, |_, _| {}).is_some());
        assert_eq!(head.cut.capacity(), 0);
    }

    #[test]
    fn a_body_of_nothing_does_not_wait() {
        let mut head = RequestHead::default();
        let rest = head.read(b"GET / HTTP/1.1\r\nexpect: 100-continue\r\n\r\n", |_, _| {});
        assert_eq!((rest, head.body_bytes(), head.body_waits()), (Some(&b""[..]), 0, false));
    }
}
