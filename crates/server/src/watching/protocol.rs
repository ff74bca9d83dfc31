//! Protocols that are not the one a server speaks, told by their first bytes.

/// A protocol that a client began in, though the server was to be asked in HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ForeignProtocol {
    /// TLS: a handshake record (RFC 8446 section 5.1).
    Tls,
    /// The text form of the PROXY protocol.
    Proxy1,
    /// The binary form of the PROXY protocol.
    Proxy2,
    /// HTTP/2, by its preface (RFC 9113 section 3.4), where it is too late for it.
    Http2,
    /// SMTP, by its greeting (RFC 5321 section 4.1.1.1).
    Smtp,
    /// SSH, by its identification (RFC 4253 section 4.2).
    Ssh,
    /// The protocol of Redis: an array of strings.
    Redis,
}

impl ForeignProtocol {
    /// Returns the protocol that begins with these bytes, if it is one of these.
    #[must_use]
    pub fn of(first: &[u8]) -> Option<Self> {
        const PROXY2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
        if first.starts_with(PROXY2) {
            return Some(Self::Proxy2);
        }
        let lines = first.iter().position(|byte| !matches!(byte, b'\r' | b'\n'));
        let first = first.get(lines?..)?;
        let is = |greeting: &[u8]| {
            first.get(..greeting.len()).is_some_and(|it| it.eq_ignore_ascii_case(greeting))
        };
        match first {
            [0x16, 3, 0..=4, ..] => Some(Self::Tls),
            [b'*', b'1'..=b'9', rest @ ..] => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                rest.get(digits..)?.starts_with(b"\r\n$").then_some(Self::Redis)
            }
            _ if first.starts_with(b"PROXY ") => Some(Self::Proxy1),
            _ if first.starts_with(b"PRI * HTTP/2.0\r\n") => Some(Self::Http2),
            _ if first.starts_with(b"SSH-") => Some(Self::Ssh),
            _ if is(b"EHLO ") || is(b"HELO ") => Some(Self::Smtp),
            _ => None,
        }
    }

    /// Returns its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::Proxy1 => "PROXY protocol 1",
            Self::Proxy2 => "PROXY protocol 2",
            Self::Http2 => "HTTP/2",
            Self::Smtp => "SMTP",
            Self::Ssh => "SSH",
            Self::Redis => "Redis",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protocol_is_told_by_its_first_bytes_and_http_is_none_of_them() {
        for (first, name) in [
            (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], "TLS"),
            (b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n", "PROXY protocol 1"),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "PROXY protocol 2"),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"),
            (b"EHLO client.example\r\n", "SMTP"),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
            (b"*1\r\n$4\r\nPING\r\n", "Redis"),
        ] {
            assert_eq!(ForeignProtocol::of(first).map(ForeignProtocol::name), Some(name));
        }
        for first in
            [&b""[..], b"\r\n", b"GET / HTTP/1.1\r\n", b"* GET", b"\x16\x02", b"PROXY", b"*1"]
        {
            assert_eq!(ForeignProtocol::of(first), None, "{first:?}");
        }
    }
}
