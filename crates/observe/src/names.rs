//! A name server that knows every name: each has an address of its own (RFC 1035).

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

/// The addresses of names: 10.64.0.1 and those behind it.
const FIRST: u32 = u32::from_be_bytes([10, 64, 0, 1]);
/// Names that are longer are none (RFC 1035 section 2.3.4).
const LONGEST: usize = 255;
/// So many names have addresses; more are not answered.
const MOST: usize = 65_536;
/// How long an answer may be kept, in seconds.
const KEPT: u32 = 60;
const HEADER: usize = 12;
/// `A` and `IN`.
const ADDRESS: [u8; 4] = [0, 1, 0, 1];

/// Answers to questions for names, the same whoever asks for them.
#[derive(Clone, Debug, Default)]
pub struct NameAnswers(Arc<Mutex<NameBook>>);

impl NameAnswers {
    /// Returns the answer to a question: an address for whatever name is asked for one, and for other
    /// questions that there is nothing of the kind. `None` if it is no question.
    #[must_use]
    pub fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).answer(question)
    }
}

/// The names that were asked for, and their addresses.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameBook {
    addresses: HashMap<String, Ipv4Addr>,
}

impl NameBook {
    /// Returns the answer to a query: an address for whatever name is asked for one, and for other
    /// questions that there is nothing of the kind. `None` if it is no query.
    pub(crate) fn answer(&mut self, query: &[u8]) -> Option<Vec<u8>> {
        let header = query.get(..HEADER)?;
        let is_query = header.get(2)? & 0xf8 == 0; // QR and OPCODE
        let has_one_question = header.get(4..6)? == [0, 1];
        if !is_query || !has_one_question {
            return None;
        }
        let (name, end) = name(query)?;
        let question = query.get(HEADER..end + 4)?;
        let address = match question.ends_with(&ADDRESS) {
            true => Some(self.address(name)?),
            false => None,
        };
        let mut answer = header.get(..2)?.to_vec();
        // An answer, with the wish for recursion as it came, and recursion had.
        answer.extend([0x80 | (header.get(2)? & 1), 0x80]);
        answer.extend([0, 1, 0, u8::from(address.is_some()), 0, 0, 0, 0]);
        answer.extend(question);
        if let Some(address) = address {
            answer.extend([0xc0, HEADER as u8]); // the name of the question
            answer.extend(ADDRESS);
            answer.extend(KEPT.to_be_bytes());
            answer.extend([0, 4]);
            answer.extend(address.octets());
        }
        Some(answer)
    }

    fn address(&mut self, name: String) -> Option<Ipv4Addr> {
        let next = u32::try_from(self.addresses.len()).ok()?;
        if let Some(known) = self.addresses.get(&name) {
            return Some(*known);
        }
        if self.addresses.len() >= MOST {
            return None;
        }
        let address = Ipv4Addr::from(FIRST + next);
        self.addresses.insert(name, address);
        Some(address)
    }
}

/// The name in the question, in small letters, and where it ends.
fn name(query: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut place = HEADER;
    loop {
        let length = usize::from(*query.get(place)?);
        place += 1;
        match length {
            0 => return Some((name, place)),
            1..=63 => {}
            _ => return None, // a pointer has no place in a question
        }
        let label = query.get(place..place + length)?;
        place += length;
        if !name.is_empty() {
            name.push('.');
        }
        name.extend(label.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
        if name.len() > LONGEST {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(name: &str, kind: u8) -> Vec<u8> {
        let mut query = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(label.len() as u8);
            query.extend(label.as_bytes());
        }
        query.extend([0, 0, kind, 0, 1]);
        query
    }

    #[test]
    fn every_name_has_an_address_of_its_own_whatever_its_letters() {
        let mut book = NameBook::default();
        let address = |book: &mut NameBook, name: &str| {
            let answer = book.answer(&query(name, 1)).unwrap();
            assert_eq!(answer[..4], [0xab, 0xcd, 0x81, 0x80]);
            assert_eq!(answer[6..8], [0, 1], "one answer");
            answer[answer.len() - 4..].to_vec()
        };
        let one = address(&mut book, "api.example.com");
        assert_eq!(one, [10, 64, 0, 1]);
        assert_eq!(address(&mut book, "API.Example.com"), one);
        assert_eq!(address(&mut book, "example.com"), [10, 64, 0, 2]);
    }

    #[test]
    fn of_other_kinds_there_is_nothing() {
        let answer = NameBook::default().answer(&query("example.com", 28)).unwrap();
        assert_eq!(answer[6..8], [0, 0]);
        assert_eq!(answer[3] & 0xf, 0, "the name exists");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, cut in 0..40_usize) {
            let mut book = NameBook::default();
            let _ = book.answer(&bytes);
            let whole = query("api.example.com", 1);
            let _ = book.answer(&whole[..cut.min(whole.len())]);
        }
    }
}
