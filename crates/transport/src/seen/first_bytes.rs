//! The first bytes of an answer, and what they show of it where they are no HTTP as it was asked
//! for. Pure.

/// So many are kept: enough for every greeting.
const KEPT: usize = 40;

/// The first bytes of an answer.
#[derive(Default)]
pub(crate) struct FirstBytes(Vec<u8>);

impl FirstBytes {
    /// Takes further bytes, of which the first may belong to them.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        let room = KEPT - self.0.len();
        self.0.extend(bytes.iter().take(room));
    }

    /// Returns true if it is an answer of HTTP/1, whatever is wrong with it.
    pub(crate) fn are_http1(&self) -> bool {
        self.0.starts_with(b"HTTP/")
    }

    /// Returns true if a server of HTTP/2 begins like that: with a frame of SETTINGS, sent without
    /// waiting for any request (RFC 9113 section 3.4).
    pub(crate) fn are_settings(&self) -> bool {
        const PLACE_OF_TYPE: usize = 3;
        const SETTINGS: u8 = 4;
        self.0.get(PLACE_OF_TYPE) == Some(&SETTINGS)
    }

    /// Returns what they are, and which protocol begins like that; `None` if there are none.
    pub(crate) fn words(&self) -> Option<String> {
        let protocol = match self.0.as_slice() {
            [] => return None,
            [0x15, 3, ..] => {
                return Some("its first bytes are an alert of TLS, as of an https port".to_owned());
            }
            [0x16, 3, ..] => return Some("its first bytes are a handshake of TLS".to_owned()),
            [0, 0, _, 4, ..] => return Some("its first bytes are SETTINGS of HTTP/2".to_owned()),
            [b'S', b'S', b'H', b'-', ..] => ", as of SSH",
            [b'2', b'2', b'0', b' ' | b'-', ..] => ", as of SMTP or FTP",
            [b'-', b'E', b'R', b'R', ..] | [b'+', b'O', b'K', ..] => ", as of Redis or POP3",
            [b'*', b' ', b'O', b'K', ..] => ", as of IMAP",
            [b'A', b'M', b'Q', b'P', ..] => ", as of AMQP",
            [b'R', b'F', b'B', b' ', ..] => ", as of VNC",
            [b'H', b'T', b'T', b'P', b'/', b'1', ..] => ", as of HTTP/1",
            _ => "",
        };
        let line = self.0.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let is_text = !line.is_empty() && line.iter().all(|byte| matches!(byte, b' '..=b'~'));
        let shown = match is_text {
            true => format!("`{}`", String::from_utf8_lossy(line)),
            false => {
                let bytes: Vec<String> =
                    self.0.iter().take(8).map(|b| format!("{b:02x}")).collect();
                bytes.join(" ")
            }
        };
        Some(format!("its first bytes are {shown}{protocol}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_http_2_begins_with_settings_however_its_bytes_are_cut() {
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 200];
        for (bytes, expected) in
            [(&settings[..], true), (b"HTTP/1.1 400 \r\n", false), (b"\x04", false)]
        {
            for cut in 0..bytes.len() {
                let (first, second) = bytes.split_at(cut);
                let mut beginning = FirstBytes::default();
                beginning.read(first);
                beginning.read(second);
                beginning.read(b"\x04\x00");
                assert_eq!(beginning.are_settings(), expected, "cut at {cut}");
            }
        }
    }

    fn told(bytes: &[u8]) -> Option<String> {
        // However they are cut.
        let mut first = FirstBytes::default();
        for byte in bytes {
            first.read(&[*byte]);
        }
        let mut at_once = FirstBytes::default();
        at_once.read(bytes);
        assert_eq!(first.words(), at_once.words());
        first.words()
    }

    #[test]
    fn the_first_bytes_of_another_protocol_are_told_under_its_name() {
        for (bytes, words) in [
            (&b"SSH-2.0-OpenSSH_9.2p1\r\n"[..], "`SSH-2.0-OpenSSH_9.2p1`, as of SSH"),
            (b"220 mail.example ESMTP\r\n", "`220 mail.example ESMTP`, as of SMTP or FTP"),
            (
                b"-ERR wrong number of arguments\r\n",
                "`-ERR wrong number of arguments`, as of Redis or POP3",
            ),
            (b"* OK ready\r\n", "`* OK ready`, as of IMAP"),
            (b"\x15\x03\x03\x00\x02\x02\x46", "an alert of TLS, as of an https port"),
            (b"\x00\x00\x06\x04\x00\x00\x00\x00\x00", "SETTINGS of HTTP/2"),
            (b"HTTP/1.1 400 Bad Request\r\n", "`HTTP/1.1 400 Bad Request`, as of HTTP/1"),
            (b"no http", "`no http`"),
            (b"\x1b[31m\x00", "1b 5b 33 31 6d 00"),
            (b"\r\n", "0d 0a"),
        ] {
            assert_eq!(told(bytes).unwrap(), format!("its first bytes are {words}"));
        }
        assert_eq!(told(b""), None);
        assert_eq!(
            told(&[b'a'; 99]).unwrap(),
            format!("its first bytes are `{}`", "a".repeat(KEPT))
        );
    }
}
