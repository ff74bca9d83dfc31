//! What a client offers, and what a server has chosen (RFC 8446 section 4.1).

use super::suite::{CipherSuite, TlsVersion};

/// The kinds of messages that are read, and the extensions.
pub(super) const CLIENT_HELLO: u8 = 1;
pub(super) const SERVER_HELLO: u8 = 2;
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
const PRE_SHARED_KEY: u16 = 41;
const EARLY_DATA: u16 = 42;
const SUPPORTED_VERSIONS: u16 = 43;

/// The random number of a `ServerHello` that asks for another `ClientHello` (RFC 8446 section 4.1.3).
const RETRY: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// The message with which a client begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// Its random number, by which key logs name a connection.
    pub random: [u8; 32],
    /// The name of the host that is meant (SNI, RFC 6066 section 3). Absent for an IP address, and
    /// for clients that do not say.
    pub server_name: Option<String>,
    /// The protocols that it speaks, the best first (ALPN, RFC 7301). Bytes that are no text are
    /// replaced.
    pub protocols: Vec<String>,
    /// The newest version that it offers.
    pub version: TlsVersion,
    /// True if it goes on with a session of TLS 1.3, if the server lets it.
    pub offers_session: bool,
    /// True if data follows before the server has said anything (0-RTT).
    pub early_data: bool,
}

/// The answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// The version that is spoken from now on.
    pub version: TlsVersion,
    /// The cipher suite that was chosen.
    pub suite: CipherSuite,
    /// The protocol that was chosen, as far as it is said in the clear: up to TLS 1.2 (ALPN).
    pub protocol: Option<String>,
    /// True if it asks the client to begin again (`HelloRetryRequest`).
    pub is_retry: bool,
    /// True if a session of TLS 1.3 goes on. That of TLS 1.2 shows in what does not follow.
    pub resumes: bool,
}

impl ClientHello {
    /// Reads the body of a `ClientHello`; `None` if it is none.
    #[must_use]
    pub fn of(body: &[u8]) -> Option<Self> {
        let mut rest = Bytes(body);
        let mut version = TlsVersion(rest.short()?);
        let random = *rest.take(32)?.first_chunk()?;
        rest.with_length_of_a_byte()?; // the session
        let suites = rest.with_length_of_two()?;
        let compressions = rest.with_length_of_a_byte()?;
        if suites.is_empty() || compressions.is_empty() {
            return None;
        }
        let (mut server_name, mut protocols) = (None, Vec::new());
        let (mut offers_session, mut early_data) = (false, false);
        for (kind, value) in rest.extensions()? {
            match kind {
                SERVER_NAME => server_name = host_name(value),
                ALPN => protocols = names(value)?,
                PRE_SHARED_KEY => offers_session = true,
                EARLY_DATA => early_data = true,
                SUPPORTED_VERSIONS => {
                    let offered = Bytes(value).with_length_of_a_byte()?.chunks_exact(2);
                    let offered = offered.filter_map(|it| it.first_chunk()).copied();
                    // Numbers that mean nothing are among them on purpose (RFC 8701).
                    let newest = offered.map(u16::from_be_bytes).filter(|it| *it <= 0x0304).max();
                    version = newest.map_or(version, TlsVersion);
                }
                _ => {}
            }
        }
        Some(Self { random, server_name, protocols, version, offers_session, early_data })
    }
}

impl ServerHello {
    /// Reads the body of a `ServerHello`; `None` if it is none.
    #[must_use]
    pub fn of(body: &[u8]) -> Option<Self> {
        let mut rest = Bytes(body);
        let mut version = TlsVersion(rest.short()?);
        let is_retry = rest.take(32)? == RETRY;
        rest.with_length_of_a_byte()?; // the session
        let suite = CipherSuite(rest.short()?);
        rest.byte()?; // the compression
        let (mut protocol, mut resumes) = (None, false);
        for (kind, value) in rest.extensions()? {
            match kind {
                ALPN => protocol = names(value)?.into_iter().next(),
                PRE_SHARED_KEY => resumes = true,
                SUPPORTED_VERSIONS => version = TlsVersion(Bytes(value).short()?),
                _ => {}
            }
        }
        Some(Self { version, suite, protocol, is_retry, resumes })
    }
}

/// Returns the random number of the `ClientHello` with which `data`, the first of a connection,
/// begins; `None` if it begins otherwise. The rest of the message may be missing.
#[must_use]
pub fn client_random(data: &[u8]) -> Option<[u8; 32]> {
    let mut rest = Bytes(data);
    let is_handshake = rest.byte()? == 22 && rest.byte()? == 3;
    rest.take(3)?;
    let is_hello = rest.byte()? == CLIENT_HELLO;
    rest.take(3 + 2)?;
    (is_handshake && is_hello).then_some(*rest.take(32)?.first_chunk()?)
}

/// The record of a `ClientHello` to `name` that offers `protocols` and one suite: an example, and the
/// ground of tests.
#[must_use]
pub fn hello_example(name: &str, protocols: &[&str]) -> Vec<u8> {
    let mut names = Vec::new();
    protocols.iter().for_each(|it| names.extend(counted(1, it.as_bytes())));
    let name = counted(2, &[&[0][..], &counted(2, name.as_bytes())].concat());
    let extension =
        |kind: u16, value: &[u8]| [&kind.to_be_bytes()[..], &counted(2, value)].concat();
    let extensions = [
        extension(SERVER_NAME, &name),
        extension(ALPN, &counted(2, &names)),
        extension(SUPPORTED_VERSIONS, &[4, 3, 4, 3, 3]),
    ];
    let extensions = counted(2, &extensions.concat());
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 0x01, 1, 0], &extensions].concat();
    let message = [&[CLIENT_HELLO][..], &counted(3, &body)].concat();
    [&[22, 3, 1][..], &counted(2, &message)].concat()
}

/// `bytes` behind their length in so many bytes.
fn counted(width: usize, bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len().to_be_bytes();
    [length.get(length.len() - width..).unwrap_or_default(), bytes].concat()
}

/// The first name of an extension `server_name` that is one of a host.
fn host_name(value: &[u8]) -> Option<String> {
    let mut list = Bytes(Bytes(value).with_length_of_two()?);
    while let Some(kind) = list.byte() {
        let name = list.with_length_of_two()?;
        if kind == 0 {
            return Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    None
}

/// The names in an extension of ALPN.
fn names(value: &[u8]) -> Option<Vec<String>> {
    let mut list = Bytes(Bytes(value).with_length_of_two()?);
    let mut names = Vec::new();
    while !list.0.is_empty() {
        names.push(String::from_utf8_lossy(list.with_length_of_a_byte()?).into_owned());
    }
    Some(names)
}

/// Bytes that are read from the front; `None` where there are too few.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn short(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().copied().map(u16::from_be_bytes)
    }

    fn with_length_of_a_byte(&mut self) -> Option<&'a [u8]> {
        let length = self.byte()?;
        self.take(length.into())
    }

    fn with_length_of_two(&mut self) -> Option<&'a [u8]> {
        let length = self.short()?;
        self.take(length.into())
    }

    /// The extensions, which are the rest of a message; a hello of long ago has none.
    fn extensions(mut self) -> Option<Vec<(u16, &'a [u8])>> {
        if self.0.is_empty() {
            return Some(Vec::new());
        }
        let mut list = Bytes(self.with_length_of_two()?);
        let mut all = Vec::new();
        while !list.0.is_empty() {
            all.push((list.short()?, list.with_length_of_two()?));
        }
        self.0.is_empty().then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn body(record: &[u8]) -> &[u8] {
        record.get(9..).unwrap()
    }

    #[test]
    fn a_client_says_whom_it_means_and_what_it_speaks() {
        let record = hello_example("example.com", &["h2", "http/1.1"]);
        let hello = ClientHello::of(body(&record)).unwrap();
        assert_eq!(hello.server_name.as_deref(), Some("example.com"));
        assert_eq!(hello.protocols, ["h2", "http/1.1"]);
        assert_eq!((hello.version, hello.offers_session), (TlsVersion::TLS13, false));
        assert_eq!((hello.random, client_random(&record)), ([7; 32], Some([7; 32])));
        assert_eq!(client_random(b"GET / HTTP/1.1\r\nHost: a-name-that-is-long\r\n\r\n"), None);
    }

    #[test]
    fn a_server_says_which_version_and_suite_it_has_chosen() {
        let session = [0; 33]; // a length of 0, and what stands behind
        let old = [&[3, 3][..], &[9; 32], &session[..1], &[0xc0, 0x2b, 0]].concat();
        let hello = ServerHello::of(&old).unwrap();
        assert_eq!((hello.version, hello.suite), (TlsVersion::TLS12, CipherSuite(0xc02b)));
        assert_eq!((hello.protocol, hello.is_retry), (None, false));
        let chosen = [0, 16, 0, 5, 0, 3, 2, b'h', b'2'];
        let with_alpn = [&old[..], &counted(2, &chosen)].concat();
        assert_eq!(ServerHello::of(&with_alpn).unwrap().protocol.as_deref(), Some("h2"));
        let extensions = counted(2, &[0, 43, 0, 2, 3, 4, 0, 41, 0, 2, 0, 0]);
        let new = [&[3, 3][..], &RETRY, &[0, 0x13, 0x02, 0], &extensions].concat();
        let hello = ServerHello::of(&new).unwrap();
        assert_eq!((hello.version, hello.suite), (TlsVersion::TLS13, CipherSuite(0x1302)));
        assert!(hello.is_retry && hello.resumes);
    }

    proptest! {
        #[test]
        fn half_a_hello_and_any_other_bytes_are_none_and_harm_nobody(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            cut in 1_usize..100,
        ) {
            let _ = (ClientHello::of(&bytes), ServerHello::of(&bytes), client_random(&bytes));
            let record = hello_example("example.com", &["h2"]);
            let whole = body(&record);
            let half = whole.get(..whole.len().saturating_sub(cut)).unwrap_or_default();
            // Without its extensions it is a hello of long ago.
            prop_assert!(ClientHello::of(half).is_none_or(|it| it.server_name.is_none()));
        }
    }
}
