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

/// An object as one line of ASCII: what is not printable ASCII is written as JSON's own escape, so
/// that a terminal sees nothing of what strangers have sent.
pub(crate) fn json_line(value: &serde_json::Value) -> String {
    let mut line = String::new();
    for c in value.to_string().chars() {
        if c.is_ascii() && c != '\x7f' {
            line.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing into a string does not fail.
                let _ = write!(line, "\\u{unit:04x}");
            }
        }
    }
    line
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

    #[test]
    fn an_object_is_a_line_of_ascii_that_means_the_same() {
        let value = serde_json::json!({ "path": "/\u{9b}31m\u{202e}ö\u{1f980}\n\x7f" });
        let line = json_line(&value);
        assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), value);
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
