//! Bytes of strangers, made fit for a terminal and for a line of a log.

use std::fmt::Write;

/// Printable ASCII as it is, everything else escaped: what a client sends cannot move the cursor,
/// paint the screen or forge a line. A backslash is doubled, so that nothing is ambiguous.
pub(crate) fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            b' '..=b'~' => text.push(char::from(*byte)),
            // Writing into a string does not fail.
            _ => drop(write!(text, "\\x{byte:02x}")),
        }
    }
    text
}

/// [`escaped`], and quotes too, as Apache writes what stands between quotes.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    escaped(bytes).replace('"', "\\\"")
}

/// One character a byte: what is not printable ASCII is a dot, as in every hex dump.
pub(crate) fn dotted(bytes: &[u8]) -> String {
    bytes.iter().map(|b| if matches!(b, b' '..=b'~') { char::from(*b) } else { '.' }).collect()
}

/// `text` in at most `most` characters, with an ellipsis where something is missing.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_a_client_sends_reaches_the_terminal_as_a_command() {
        let attack = b"\x1b]0;owned\x07\x1b[2J\r\nfake line\x9b31m\"";
        assert_eq!(escaped(attack), "\\x1b]0;owned\\x07\\x1b[2J\\r\\nfake line\\x9b31m\"");
        assert!(quoted(attack).ends_with("31m\\\""));
        assert_eq!(dotted(b"a\x1b\x00z"), "a..z");
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_printable(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            for text in [escaped(&bytes), quoted(&bytes), dotted(&bytes)] {
                prop_assert!(text.bytes().all(|b| matches!(b, b' '..=b'~')));
            }
        }
    }
}
