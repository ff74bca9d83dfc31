//! A page of the kernel's ring buffer, as `trace_pipe_raw` hands it out, and the records in it.
//!
//! The text of `trace_pipe` would be simpler, but tells either the address of a socket (with the
//! option `fields`) or the IPv6 addresses of its ends, never both. The layout is the kernel's own
//! (`include/linux/ring_buffer.h`, and `events/header_page` of tracefs).

use std::time::Duration;

/// The bytes before the first record: the time of the page, and how much of it is used.
const HEADER_LEN: usize = 16;
/// The part of the second word that is a length; the bits above say what is missing.
const LENGTH: u64 = 0xf_ffff;
/// Records were overwritten before this page could be read.
const MISSED: u64 = 1 << 31;

const PADDING: u32 = 29;
const TIME_EXTEND: u32 = 30;
const TIME_STAMP: u32 = 31;
/// The bits of a time that a record with an absolute time does not carry.
const HIGH_BITS: u64 = 0xf8 << 56;

/// One page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RingPage<'a> {
    /// True if records before this page are lost.
    pub(crate) missed: bool,
    /// The records with their times, which are those of `trace_clock`.
    pub(crate) records: Vec<(Duration, &'a [u8])>,
}

/// Reads a page. Ends at the first record that has not the kernel's layout: `None` in its place.
pub(crate) fn page(bytes: &[u8]) -> Option<RingPage<'_>> {
    let mut time = word(bytes, 0)?;
    let commit = word(bytes, 8)?;
    let used = usize::try_from(commit & LENGTH).ok()?;
    let mut rest = bytes.get(HEADER_LEN..)?.get(..used)?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let header = half(rest, 0)?;
        let (kind, delta) = split(header);
        let length = match kind {
            PADDING if delta == 0 => break, // the rest of the page is empty
            PADDING => usize::try_from(half(rest, 4)?).ok()?.checked_add(4)?,
            TIME_EXTEND => {
                time = time.wrapping_add((u64::from(half(rest, 4)?) << 27) + u64::from(delta));
                8
            }
            TIME_STAMP => {
                let low = (u64::from(half(rest, 4)?) << 27) + u64::from(delta);
                time = (time & HIGH_BITS) | low;
                8
            }
            0 => {
                time = time.wrapping_add(delta.into());
                let length = usize::try_from(half(rest, 4)?).ok()?.checked_add(4)?;
                records.push((Duration::from_nanos(time), rest.get(8..length)?));
                length
            }
            words => {
                time = time.wrapping_add(delta.into());
                let length = usize::try_from(words).ok()?.checked_mul(4)?.checked_add(4)?;
                records.push((Duration::from_nanos(time), rest.get(4..length)?));
                length
            }
        };
        rest = rest.get(length.next_multiple_of(4)..)?;
    }
    Some(RingPage { missed: commit & MISSED != 0, records })
}

/// The two bit fields of a record's first word: its kind or length, and the time since the last.
fn split(header: u32) -> (u32, u32) {
    if cfg!(target_endian = "little") {
        (header & 0x1f, header >> 5)
    } else {
        (header >> 27, header & 0x07ff_ffff)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A page of a little-endian machine.
    fn page_of(time: u64, flags: u64, records: &[u8]) -> Vec<u8> {
        let commit = u64::try_from(records.len()).unwrap() | flags;
        let mut bytes = Vec::from(time.to_ne_bytes());
        bytes.extend(commit.to_ne_bytes());
        bytes.extend(records);
        bytes.resize(4096, 0);
        bytes
    }

    fn header(kind: u32, delta: u32) -> [u8; 4] {
        let little = kind | delta << 5;
        let big = kind << 27 | delta;
        (if cfg!(target_endian = "little") { little } else { big }).to_ne_bytes()
    }

    #[test]
    fn times_add_up_over_records_extensions_and_padding() {
        let mut records = Vec::new();
        records.extend(header(1, 5));
        records.extend([1, 2, 3, 4]);
        records.extend(header(TIME_EXTEND, 1));
        records.extend(2_u32.to_ne_bytes());
        records.extend(header(0, 3));
        records.extend(8_u32.to_ne_bytes());
        records.extend([5, 6, 7, 8]);
        records.extend(header(PADDING, 0));
        let bytes = page_of(100, MISSED, &records);
        let page = page(&bytes).unwrap();
        assert!(page.missed);
        let late = Duration::from_nanos(105 + 1 + (2 << 27) + 3);
        let expected: [(Duration, &[u8]); 2] =
            [(Duration::from_nanos(105), &[1, 2, 3, 4]), (late, &[5, 6, 7, 8])];
        assert_eq!(page.records, expected);
    }

    #[test]
    fn an_empty_page_has_no_records() {
        assert_eq!(
            page(&page_of(1, 0, &[])),
            Some(RingPage { missed: false, records: Vec::new() })
        );
    }

    proptest! {
        #[test]
        fn no_bytes_at_all_upset_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            page(&bytes);
            let mut records = bytes.clone();
            records.truncate(512);
            page(&page_of(7, 0, &records));
        }
    }
}
