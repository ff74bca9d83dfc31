//! A TCP segment as it was heard on a network, and what its header says (RFC 9293 section 3.1).

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::micros;

/// A TCP segment as it was heard: the header whole, of the payload only its length.
///
/// Its addresses have no roles: a segment does not say which end is the client. The bytes of the
/// packet stay with whoever heard it, as far as they were kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The time since the run began, by the kernel's time stamp.
    #[serde(rename = "at_us", with = "micros")]
    pub at: Duration,
    /// The end that sent it.
    pub source: SocketAddr,
    /// The end that it was sent to.
    pub destination: SocketAddr,
    /// The number of its first byte; with SYN, of the SYN itself.
    pub seq: u32,
    /// The number of the byte that is expected next. Without [`SegmentFlags::ACK`] it says nothing.
    pub ack: u32,
    /// The control bits.
    pub flags: SegmentFlags,
    /// The window as it is written in the header: not yet scaled.
    pub window: u16,
    /// The urgent pointer. Without [`SegmentFlags::URG`] it says nothing.
    pub urgent: u16,
    /// The options, in the order of the header, padding included.
    pub options: Vec<TcpOption>,
    /// The length of its data, by the lengths in the headers, also where less was kept.
    pub payload_bytes: u32,
    /// The length of the TCP header with its options.
    pub tcp_header_bytes: u16,
    /// The length of the IP header with its options or extension headers.
    pub ip_header_bytes: u16,
}

impl Segment {
    /// The length of the whole IP packet: both headers and the payload.
    #[must_use]
    pub fn ip_bytes(&self) -> u32 {
        let headers = u32::from(self.tcp_header_bytes) + u32::from(self.ip_header_bytes);
        self.payload_bytes.saturating_add(headers)
    }

    /// How far this segment moves the sequence numbers on: a byte of data counts one, and so do SYN
    /// and FIN.
    #[must_use]
    pub fn sequence_len(&self) -> u32 {
        let control = [SegmentFlags::SYN, SegmentFlags::FIN];
        let control = control.into_iter().filter(|flag| self.flags.contains(*flag)).count();
        self.payload_bytes.wrapping_add(u32::try_from(control).unwrap_or(0))
    }

    /// Returns true if every flag of `flags` is set.
    #[must_use]
    pub fn has(&self, flags: SegmentFlags) -> bool {
        self.flags.contains(flags)
    }
}

/// The control bits of a TCP header, printed in tcpdump's letters: `S.` is a SYN with an ACK.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct SegmentFlags(u16);

/// The letters in tcpdump's order.
const LETTERS: [(SegmentFlags, char); 9] = [
    (SegmentFlags::FIN, 'F'),
    (SegmentFlags::SYN, 'S'),
    (SegmentFlags::RST, 'R'),
    (SegmentFlags::PSH, 'P'),
    (SegmentFlags::ACK, '.'),
    (SegmentFlags::URG, 'U'),
    (SegmentFlags::ECE, 'E'),
    (SegmentFlags::CWR, 'W'),
    (SegmentFlags::AE, 'e'),
];
/// The word for no flag at all.
const NONE: &str = "none";

impl SegmentFlags {
    /// The sender has no more data.
    pub const FIN: Self = Self(0x001);
    /// The sender's first sequence number.
    pub const SYN: Self = Self(0x002);
    /// The connection is reset.
    pub const RST: Self = Self(0x004);
    /// The data is to be handed to the application.
    pub const PSH: Self = Self(0x008);
    /// The acknowledgement number counts.
    pub const ACK: Self = Self(0x010);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x020);
    /// Congestion was met (RFC 3168).
    pub const ECE: Self = Self(0x040);
    /// The congestion window is reduced (RFC 3168).
    pub const CWR: Self = Self(0x080);
    /// Accurate ECN; formerly the nonce sum.
    pub const AE: Self = Self(0x100);

    /// The flags in the thirteenth and fourteenth byte of a TCP header. Bits that have no name yet
    /// are left out.
    #[must_use]
    pub fn from_bits(bits: u16) -> Self {
        Self(bits & 0x1ff)
    }

    /// The flags as the bits of the header.
    #[must_use]
    pub fn bits(self) -> u16 {
        self.0
    }

    /// Returns true if every flag of `others` is among these.
    #[must_use]
    pub fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// These flags and `others`.
    #[must_use]
    pub fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

impl fmt::Display for SegmentFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters: String =
            LETTERS.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, c)| c).collect();
        f.pad(if letters.is_empty() { NONE } else { &letters })
    }
}

impl fmt::Debug for SegmentFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{self}]")
    }
}

impl From<SegmentFlags> for String {
    fn from(flags: SegmentFlags) -> Self {
        flags.to_string()
    }
}

impl TryFrom<String> for SegmentFlags {
    type Error = UnknownFlags;

    /// Reads tcpdump's letters.
    fn try_from(text: String) -> Result<Self, UnknownFlags> {
        if text == NONE {
            return Ok(Self::default());
        }
        let mut flags = Self::default();
        for letter in text.chars() {
            let known = LETTERS.iter().find(|(_, known)| *known == letter);
            let Some((flag, _)) = known else { return Err(UnknownFlags(text)) };
            flags = flags.with(*flag);
        }
        Ok(flags)
    }
}

/// A text that is no flags in tcpdump's letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFlags(String);

impl fmt::Display for UnknownFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no TCP flags, as in `S`, `S.`, `P.`, `F.` or `R`", self.0)
    }
}

impl std::error::Error for UnknownFlags {}

/// An option of a TCP header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TcpOption {
    /// Kind 0: the list ends here.
    End,
    /// Kind 1: one byte of padding.
    Nop,
    /// Kind 2: the largest payload that the sender takes in one segment, in bytes.
    Mss(u16),
    /// Kind 3: the sender's windows, those of SYNs apart, count by two to this power (RFC 7323).
    WindowScale(u8),
    /// Kind 4: the sender understands selective acknowledgements (RFC 2018).
    SackPermitted,
    /// Kind 5: what has come behind a gap, newest first.
    Sack(Vec<SackBlock>),
    /// Kind 8: the sender's clock, and what it last saw of the other's (RFC 7323).
    Timestamps {
        /// The sender's clock, in ticks of its own.
        value: u32,
        /// The clock of the other end as the sender saw it last.
        echo: u32,
    },
    /// Any other kind, or one of the above in a length that it does not have.
    Other {
        /// Its number in IANA's registry.
        kind: u8,
        /// What stands behind kind and length.
        bytes: Vec<u8>,
    },
    /// What is no option: a length that leads out of the header, or is too short for itself. These
    /// are the bytes from there on.
    Malformed(Vec<u8>),
}

/// Bytes that have come behind a gap: from `from` on, up to but without `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SackBlock {
    /// The number of the first byte.
    pub from: u32,
    /// The number behind the last byte.
    pub to: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syn() -> Segment {
        Segment {
            at: Duration::from_micros(23),
            source: "127.0.0.1:40000".parse().unwrap(),
            destination: "127.0.0.1:8080".parse().unwrap(),
            seq: 7,
            ack: 0,
            flags: SegmentFlags::SYN,
            window: 65_495,
            urgent: 0,
            options: vec![
                TcpOption::Mss(65_495),
                TcpOption::SackPermitted,
                TcpOption::Timestamps { value: 1, echo: 0 },
                TcpOption::Nop,
                TcpOption::WindowScale(7),
            ],
            payload_bytes: 0,
            tcp_header_bytes: 40,
            ip_header_bytes: 20,
        }
    }

    #[test]
    fn flags_print_in_tcpdump_s_letters_and_are_read_back() {
        let flags = |flags: &[SegmentFlags]| {
            flags.iter().fold(SegmentFlags::default(), |all, flag| all.with(*flag))
        };
        use SegmentFlags as F;
        for (flags, letters) in [
            (flags(&[F::SYN]), "S"),
            (flags(&[F::ACK, F::SYN]), "S."),
            (flags(&[F::ACK, F::PSH, F::FIN]), "FP."),
            (flags(&[F::RST]), "R"),
            (flags(&[F::SYN, F::ECE, F::CWR]), "SEW"),
            (flags(&[]), "none"),
        ] {
            assert_eq!(flags.to_string(), letters);
            assert_eq!(SegmentFlags::try_from(letters.to_owned()), Ok(flags));
        }
        assert!(SegmentFlags::try_from("SX".to_owned()).is_err());
        for bits in 0..0x200 {
            let flags = SegmentFlags::from_bits(bits);
            assert_eq!(SegmentFlags::try_from(flags.to_string()), Ok(flags));
        }
    }

    #[test]
    fn a_segment_travels_as_json_unchanged_and_without_its_payload() {
        let json = serde_json::to_string(&syn()).unwrap();
        assert!(json.starts_with(r#"{"at_us":23,"source":"127.0.0.1:40000""#), "{json}");
        assert!(json.contains(r#""flags":"S""#), "{json}");
        assert_eq!(serde_json::from_str::<Segment>(&json).unwrap(), syn());
    }

    #[test]
    fn a_syn_and_a_fin_count_one_each_and_headers_nothing() {
        assert_eq!(syn().sequence_len(), 1);
        assert_eq!(syn().ip_bytes(), 60);
        let fin = SegmentFlags::ACK.with(SegmentFlags::FIN);
        let last = Segment { flags: fin, payload_bytes: 11, ..syn() };
        assert_eq!(last.sequence_len(), 12);
        assert_eq!(Segment { flags: SegmentFlags::ACK, ..last }.sequence_len(), 11);
    }
}
