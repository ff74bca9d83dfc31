//! The keys of TLS that a program can be asked for, so that its packets can be decrypted.

use std::ffi::OsString;
use std::io::Read;

use packets::Recording;
use tempfile::NamedTempFile;

/// The variable by which curl, Python, browsers and others are asked.
const KEY_LOG: &str = "SSLKEYLOGFILE";
/// The variable by which Node is.
const NODE_OPTIONS: &str = "NODE_OPTIONS";
/// More keys are not read, in bytes.
const MOST: u64 = 64 << 20;

/// A file to which a program may write its keys.
#[derive(Debug)]
pub(super) struct KeyFile(NamedTempFile);

impl KeyFile {
    /// Makes it; nobody but this user reads it, and it goes with this value.
    pub(super) fn make() -> std::io::Result<Self> {
        NamedTempFile::new().map(Self)
    }

    /// The variables that ask for keys. A variable that the user has set himself stays as it is.
    pub(super) fn variables(&self) -> Vec<(OsString, OsString)> {
        let path = self.0.path().as_os_str();
        let mut variables = Vec::new();
        if std::env::var_os(KEY_LOG).is_none() {
            variables.push((KEY_LOG.into(), path.to_owned()));
        }
        let mut options = std::env::var_os(NODE_OPTIONS).unwrap_or_default();
        if !options.to_string_lossy().contains("--tls-keylog") {
            if !options.is_empty() {
                options.push(" ");
            }
            options.push("--tls-keylog=");
            options.push(path);
            variables.push((NODE_OPTIONS.into(), options));
        }
        variables
    }

    /// The keys that are of connections in `recording`.
    pub(super) fn keys_of(&self, recording: &Recording) -> String {
        let mut text = String::new();
        // What cannot be read is no key; the packets are there without.
        if let Ok(file) = self.0.reopen() {
            let _ = file.take(MOST).read_to_string(&mut text);
        }
        let randoms = recording.client_randoms();
        let known = |line: &&str| {
            let random = line.split(' ').nth(1).and_then(random);
            random.is_some_and(|random| randoms.contains(&random))
        };
        text.lines().filter(known).flat_map(|line| [line, "\n"]).collect()
    }
}

/// The 32 bytes that a line of keys names its connection by.
fn random(hex: &str) -> Option<[u8; 32]> {
    let mut random = [0; 32];
    if hex.len() != 64 {
        return None;
    }
    for (place, byte) in random.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * place..2 * place + 2)?, 16).ok()?;
    }
    Some(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_named_by_32_bytes() {
        assert_eq!(random(&"0f".repeat(32)), Some([15; 32]));
        assert_eq!(random("0f"), None);
        assert_eq!(random(&"xx".repeat(32)), None);
    }
}
