//! The TLS in a segment's data, as far as it can be read without keys.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The TLS in a segment's data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentTls {
    /// What begins in it, record by record; alike ones that follow each other once.
    pub begins: Vec<TlsStart>,
    /// Its bytes, by what they are for.
    pub bytes: TlsBytes,
}

/// What begins with a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsStart {
    /// The handshake, by the client.
    ClientHello {
        /// The name of the host that is meant (SNI), if it is said.
        server_name: Option<String>,
        /// The protocols that the client speaks, the best first (ALPN).
        protocols: Vec<String>,
    },
    /// The server's answer.
    ServerHello {
        /// The version that it has chosen, such as `TLS 1.3`.
        version: String,
        /// The cipher suite that it has chosen, under its name in IANA's registry.
        suite: String,
    },
    /// The server's wish for another hello.
    HelloRetry,
    /// More of the handshake. In TLS 1.3 that is encrypted: it is known by its place, before the end
    /// of the client's `Finished`.
    Handshake,
    /// An alert, as far as it is one for everybody: in TLS 1.3 it mostly looks like data.
    Alert,
    /// What comes behind the handshake: HTTP. In TLS 1.3 also what TLS itself says then, such as
    /// session tickets and its goodbye, which nobody can tell apart without keys.
    ApplicationData,
    /// Something encrypted of which nobody knows whether it belongs to the handshake.
    Sealed,
}

/// As a capture's reader would call it: `ClientHello example.com h2,http/1.1`.
impl fmt::Display for TlsStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientHello { server_name, protocols } => {
                f.write_str("ClientHello")?;
                if let Some(name) = server_name {
                    write!(f, " {name}")?;
                }
                if !protocols.is_empty() {
                    write!(f, " {}", protocols.join(","))?;
                }
                Ok(())
            }
            Self::ServerHello { version, .. } => write!(f, "ServerHello {version}"),
            Self::HelloRetry => f.write_str("HelloRetryRequest"),
            Self::Handshake => f.write_str("handshake"),
            Self::Alert => f.write_str("alert"),
            Self::ApplicationData => f.write_str("application data"),
            Self::Sealed => f.write_str("encrypted"),
        }
    }
}

/// The bytes of a segment's data, by what they are for; together they are all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsBytes {
    /// Records of the handshake, headers and all.
    pub handshake: u64,
    /// What records add to what they carry behind the handshake: the header, the explicit part of a
    /// nonce, the kind that a record of TLS 1.3 really has, the tag. Alerts, too, as far as they are
    /// seen to be some.
    pub records: u64,
    /// What they carry: HTTP, and in TLS 1.3 also what [`TlsStart::ApplicationData`] names. Padding,
    /// which TLS 1.3 allows, is among it.
    pub data: u64,
    /// Bytes of which nobody knows which of these they are: of a suite that does not tell the length
    /// of its padding, or behind bytes that nobody saw.
    pub unknown: u64,
}

impl TlsBytes {
    /// These and `others`.
    #[must_use]
    pub fn with(self, others: Self) -> Self {
        Self {
            handshake: self.handshake + others.handshake,
            records: self.records + others.records,
            data: self.data + others.data,
            unknown: self.unknown + others.unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_is_told_in_the_words_of_a_captures_reader() {
        let protocols = vec!["h2".to_owned(), "http/1.1".to_owned()];
        let server_name = Some("example.com".to_owned());
        for (start, words) in [
            (
                TlsStart::ClientHello { server_name, protocols },
                "ClientHello example.com h2,http/1.1",
            ),
            (TlsStart::ClientHello { server_name: None, protocols: vec![] }, "ClientHello"),
            (TlsStart::ApplicationData, "application data"),
        ] {
            assert_eq!(start.to_string(), words);
        }
    }
}
