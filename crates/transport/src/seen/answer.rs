//! An answer in HTTP/1.1 as far as its bytes show what hyper does not tell: how long it is, how it
//! begins, and what there is too much of in its head.

use evidence::ByteCount;
use wire::http1::{HeadReader, LengthField, LineKind};

use crate::seen::first_bytes::FirstBytes;

/// hyper reads no head with more fields, unless it is told to.
const MOST_FIELDS: usize = 100;
/// The largest length that hyper can count (`DecodedLength::MAX_LEN`).
const MOST_LENGTH: u64 = u64::MAX - 2;
/// Heads beyond this are long; hyper's limit lies between, and depends on how the bytes come.
const LONG_HEAD: u64 = 64 << 10;

/// The answer to one request, interim responses included, as far as it has come.
pub(crate) struct AnswerBytes {
    /// Its bytes in all.
    pub(crate) bytes: u64,
    pub(crate) first: FirstBytes,
    /// Reads one head after the other; `None` once the final one has ended.
    head: Option<HeadReader>,
    /// The fields of the latest head, and where in the answer it began.
    fields: usize,
    head_begins_at: u64,
    length: LengthField,
}

impl Default for AnswerBytes {
    fn default() -> Self {
        Self {
            bytes: 0,
            first: FirstBytes::default(),
            head: Some(HeadReader::default()),
            fields: 0,
            head_begins_at: 0,
            length: LengthField::Absent,
        }
    }
}

impl AnswerBytes {
    /// Takes further bytes.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        self.first.read(bytes);
        self.bytes += bytes.len() as u64;
        while let Some(head) = &mut self.head {
            let fields = &mut self.fields;
            let whole = head.read(bytes, |line| {
                *fields += usize::from(matches!(line.kind, LineKind::Field { .. }));
            });
            let Some((facts, behind)) = whole else { return };
            if matches!(facts.status, Some(100 | 102..=199)) {
                self.fields = 0;
                self.head_begins_at = self.bytes - behind.len() as u64;
            } else {
                self.head = None;
                self.length = facts.length;
            }
            bytes = behind;
        }
    }

    /// Returns what its head has too much of, as far as that can be told.
    pub(crate) fn too_much(&self) -> Option<String> {
        let long = self.bytes - self.head_begins_at;
        match self.length {
            _ if self.fields > MOST_FIELDS => {
                Some(format!("it has more than {MOST_FIELDS} fields, and hyper reads no more"))
            }
            LengthField::Bytes(length) if length > MOST_LENGTH => {
                Some("its Content-Length is more than hyper can count".to_owned())
            }
            _ if self.head.is_some() && long > LONG_HEAD => {
                Some(format!("hyper gave up after {}", ByteCount(long)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn too_much(head: &str) -> Option<String> {
        let mut answer = AnswerBytes::default();
        answer.read(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n");
        for piece in head.as_bytes().chunks(1000) {
            answer.read(piece);
        }
        answer.too_much()
    }

    #[test]
    fn what_a_head_has_too_much_of_is_named() {
        let fields = |count| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert_eq!(too_much(&fields(100)), None);
        assert!(too_much(&fields(101)).unwrap().contains("more than 100 fields"));
        let length = |n: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {n}\r\n\r\n");
        assert_eq!(too_much(&length("18446744073709551613")), None);
        assert!(too_much(&length("18446744073709551615")).unwrap().contains("Content-Length"));
        let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(70_000));
        assert_eq!(too_much(&long).unwrap(), "hyper gave up after 68.4 KiB");
    }
}
