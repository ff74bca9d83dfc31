//! The options of a TCP header, one by one; those that nobody here knows by their kind.

use evidence::{SackBlock, TcpOption};

const END: u8 = 0;
const NOP: u8 = 1;
/// Kind and length.
const PREFIX: usize = 2;

/// Reads the options between the fixed part of a TCP header and its end.
///
/// What follows the end of the list is padding and is not told.
pub(crate) fn split(mut bytes: &[u8]) -> Vec<TcpOption> {
    let mut options = Vec::new();
    while let [kind, rest @ ..] = bytes {
        match *kind {
            END => {
                options.push(TcpOption::End);
                break;
            }
            NOP => {
                options.push(TcpOption::Nop);
                bytes = rest;
            }
            kind => {
                let length = rest.first().map_or(0, |length| usize::from(*length));
                let Some(value) = bytes.get(PREFIX..length) else {
                    options.push(TcpOption::Malformed(bytes.to_vec()));
                    break;
                };
                options.push(option(kind, value));
                bytes = bytes.get(length..).unwrap_or_default();
            }
        }
    }
    options
}

fn option(kind: u8, value: &[u8]) -> TcpOption {
    match (kind, value) {
        (2, [a, b]) => TcpOption::Mss(u16::from_be_bytes([*a, *b])),
        (3, [shift]) => TcpOption::WindowScale(*shift),
        (4, []) => TcpOption::SackPermitted,
        (5, blocks) if !blocks.is_empty() && blocks.len().is_multiple_of(8) => {
            let blocks = blocks.chunks_exact(8).filter_map(pair);
            TcpOption::Sack(blocks.map(|(from, to)| SackBlock { from, to }).collect())
        }
        (8, value) if value.len() == 8 => match pair(value) {
            Some((value, echo)) => TcpOption::Timestamps { value, echo },
            None => other(kind, value),
        },
        _ => other(kind, value),
    }
}

fn other(kind: u8, value: &[u8]) -> TcpOption {
    TcpOption::Other { kind, bytes: value.to_vec() }
}

/// Two numbers of four bytes each.
fn pair(bytes: &[u8]) -> Option<(u32, u32)> {
    let (first, rest) = bytes.split_first_chunk()?;
    Some((u32::from_be_bytes(*first), u32::from_be_bytes(*rest.first_chunk()?)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_options_of_a_linux_syn_are_told_in_their_order() {
        let bytes = [2, 4, 0xff, 0xd7, 4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 0, 1, 3, 3, 7];
        let expected = [
            TcpOption::Mss(65_495),
            TcpOption::SackPermitted,
            TcpOption::Timestamps { value: 7, echo: 0 },
            TcpOption::Nop,
            TcpOption::WindowScale(7),
        ];
        assert_eq!(split(&bytes), expected);
    }

    #[test]
    fn an_option_in_a_length_that_it_does_not_have_is_told_by_its_kind() {
        let other = |kind, bytes: &[u8]| TcpOption::Other { kind, bytes: bytes.to_vec() };
        assert_eq!(split(&[2, 3, 9, 254, 4, 1, 2]), [other(2, &[9]), other(254, &[1, 2])]);
        assert_eq!(split(&[5, 2]), [other(5, &[])]);
    }

    #[test]
    fn a_length_that_leads_nowhere_ends_the_list_and_is_told() {
        for bytes in [&[8, 10, 0][..], &[2], &[30, 0, 1], &[30, 1]] {
            assert_eq!(split(bytes), [TcpOption::Malformed(bytes.to_vec())], "{bytes:?}");
        }
        assert_eq!(split(&[1, 0, 8, 10]), [TcpOption::Nop, TcpOption::End]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_and_no_option_is_made_up(bytes: Vec<u8>) {
            prop_assert!(split(&bytes).len() <= bytes.len());
        }
    }
}
