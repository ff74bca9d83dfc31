//! The keys of TLS connections, for whoever is to read their packets.

use std::fmt;
use std::fmt::Write;
use std::sync::{Arc, Mutex};

use crate::lock;

/// The keys of the connections that are made with a `Tls` that [tells](crate::Tls::telling) them. Kept
/// in memory alone; all clones are one. Nothing is in it before somebody asks for it, and it is not shown
/// by `Debug`.
#[derive(Clone, Default)]
pub struct TlsKeys(Arc<Mutex<Vec<KeyLine>>>);

/// A secret of a connection.
struct KeyLine {
    client_random: Vec<u8>,
    /// As it stands in a file.
    line: String,
}

impl TlsKeys {
    /// Notes a secret under its label in the format of key logs.
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there are none without TLS"))]
    pub(crate) fn note(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        lock(&self.0).push(KeyLine { client_random: client_random.to_owned(), line });
    }

    /// Returns the keys of the connections whose clients began with the random numbers for which
    /// `is_wanted` returns true, in the format that `SSLKEYLOGFILE` has (draft-ietf-tls-keylogfile).
    /// Whoever has them and the packets reads all that these connections carried.
    #[must_use]
    pub fn of(&self, mut is_wanted: impl FnMut(&[u8]) -> bool) -> String {
        let keys = lock(&self.0);
        let wanted = keys.iter().filter(|key| is_wanted(&key.client_random));
        wanted.map(|key| key.line.as_str()).collect()
    }
}

impl fmt::Debug for TlsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsKeys").finish_non_exhaustive()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_keys_that_are_wanted_are_told_and_none_by_debug() {
        let keys = TlsKeys::default();
        keys.note("CLIENT_RANDOM", &[0xab; 32], &[1, 2]);
        keys.note("CLIENT_RANDOM", &[0xcd; 32], &[3, 4]);
        let line = format!("CLIENT_RANDOM {} 0102\n", "ab".repeat(32));
        assert_eq!(keys.of(|random| random == [0xab; 32]), line);
        assert_eq!(format!("{keys:?}"), "TlsKeys { .. }");
    }
}
