//! Versions and cipher suites under their names, and what they add to each record.

use std::fmt;

/// A version of TLS, as it is written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TlsVersion(pub u16);

impl TlsVersion {
    /// TLS 1.2 (RFC 5246).
    pub const TLS12: Self = Self(0x0303);
    /// TLS 1.3 (RFC 8446).
    pub const TLS13: Self = Self(0x0304);
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0x0300 => f.write_str("SSL 3.0"),
            version @ 0x0301..=0x0304 => write!(f, "TLS 1.{}", version - 0x0301),
            other => write!(f, "TLS of version 0x{other:04x}"),
        }
    }
}

/// A cipher suite, as it is written on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CipherSuite(pub u16);

/// What a suite puts around the plain bytes of each record, its header of five bytes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protection {
    /// Bytes in front of them: the explicit part of a nonce.
    pub front: u16,
    /// Bytes behind them: the kind that the record really has, in TLS 1.3, and the tag.
    ///
    /// TLS 1.3 allows padding in between (RFC 8446 section 5.4), of which nobody sees how long it is.
    pub back: u16,
}

/// The bytes of a tag, and of one that is cut short (RFC 6655).
const TAG: u16 = 16;
const SHORT_TAG: u16 = 8;

/// The suites that are met: number, name in IANA's registry, bytes of the tag, bytes of the hash. All
/// of them are AEADs: of others nobody can tell without keys how long the padding is.
const SUITES: [(u16, &str, u16, u16); 19] = [
    (0x1301, "TLS_AES_128_GCM_SHA256", TAG, 32),
    (0x1302, "TLS_AES_256_GCM_SHA384", TAG, 48),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256", TAG, 32),
    (0x1304, "TLS_AES_128_CCM_SHA256", TAG, 32),
    (0x1305, "TLS_AES_128_CCM_8_SHA256", SHORT_TAG, 32),
    (0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", TAG, 32),
    (0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", TAG, 48),
    (0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", TAG, 32),
    (0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", TAG, 48),
    (0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", TAG, 32),
    (0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", TAG, 48),
    (0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", TAG, 32),
    (0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", TAG, 48),
    (0xc0ac, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM", TAG, 32),
    (0xc0ad, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM", TAG, 32),
    (0xc0ae, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8", SHORT_TAG, 32),
    (0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", TAG, 32),
    (0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", TAG, 32),
    (0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", TAG, 32),
];

/// The suites that carry no part of their nonce in the record (RFC 7905).
const WHOLE_NONCE: [u16; 3] = [0xcca8, 0xcca9, 0xccaa];

impl CipherSuite {
    fn known(self) -> Option<&'static (u16, &'static str, u16, u16)> {
        SUITES.iter().find(|(number, ..)| *number == self.0)
    }

    /// Returns what it puts around the plain bytes of each record in `version`; `None` if that
    /// cannot be told without keys.
    #[must_use]
    pub fn protection(self, version: TlsVersion) -> Option<Protection> {
        let (number, _, tag, _) = self.known()?;
        match version {
            TlsVersion::TLS13 if number >> 8 == 0x13 => {
                Some(Protection { front: 0, back: tag + 1 })
            }
            TlsVersion::TLS12 if number >> 8 != 0x13 => {
                let front = if WHOLE_NONCE.contains(number) { 0 } else { 8 };
                Some(Protection { front, back: *tag })
            }
            _ => None,
        }
    }

    /// The length of the body of a record that holds a `Finished` of TLS 1.3 and nothing else (RFC
    /// 8446 section 4.4.4); `None` for a suite that is none of TLS 1.3, or not known.
    #[must_use]
    pub fn finished_len(self) -> Option<u16> {
        let Protection { front, back } = self.protection(TlsVersion::TLS13)?;
        let (.., hash) = self.known()?;
        Some(front + 4 + hash + back)
    }
}

impl fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known() {
            Some((_, name, ..)) => f.write_str(name),
            None => write!(f, "cipher suite 0x{:04x}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suite_adds_to_a_record_what_its_version_says() {
        let added =
            |suite, version| CipherSuite(suite).protection(version).map(|it| (it.front, it.back));
        assert_eq!(added(0x1301, TlsVersion::TLS13), Some((0, 17)));
        assert_eq!(added(0x1305, TlsVersion::TLS13), Some((0, 9)));
        assert_eq!(added(0xc02b, TlsVersion::TLS12), Some((8, 16)));
        assert_eq!(added(0xcca9, TlsVersion::TLS12), Some((0, 16)));
        for (suite, version) in [
            (0x1301, TlsVersion::TLS12),
            (0xc02b, TlsVersion::TLS13),
            (0xc013, TlsVersion::TLS12),
            (0xc02b, TlsVersion(0x0302)),
        ] {
            assert_eq!(added(suite, version), None, "{suite:x} {version}");
        }
    }

    #[test]
    fn a_finished_is_as_long_as_its_hash() {
        let length = |suite| CipherSuite(suite).finished_len();
        assert_eq!(length(0x1301), Some(53));
        assert_eq!(length(0x1302), Some(69));
        assert_eq!(length(0xc02b), None);
    }

    #[test]
    fn what_has_no_name_is_told_by_its_number() {
        assert_eq!(TlsVersion::TLS13.to_string(), "TLS 1.3");
        assert_eq!(TlsVersion(0x0301).to_string(), "TLS 1.0");
        assert_eq!(TlsVersion(0x7f1c).to_string(), "TLS of version 0x7f1c");
        assert_eq!(CipherSuite(0xc013).to_string(), "cipher suite 0xc013");
    }
}
