//! TLS on a connection: what is trusted, and the handshake.

mod stream;
pub(crate) mod words;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use evidence::{CertificateFacts, CloseReason, TlsFacts};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ClientConnection, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, HandshakeKind};
use rustls::{RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wire::Wire;
use x509_parser::prelude::{FromDer, X509Certificate};

use self::stream::{EndTap, TlsWire};
use crate::config::HttpVersion;
use crate::dial::given_up::IfGivenUp;
use crate::dial::keys::TlsKeys;
use crate::failure::error::Cause;
use crate::seen::record::Record;
use crate::seen::wire::Io;

/// How long a handshake may take (Go's `DefaultTransport`).
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The TLS that connections are made with: rustls, with its provider *ring*.
///
/// Sessions are resumed where the server lets them be: each transport remembers its own. Go's
/// `DefaultTransport` does not, unless its `tls.Config` is given a `ClientSessionCache`.
#[derive(Clone, Debug)]
pub struct Tls {
    trust: Arc<Trust>,
    /// Once it is known whose certificates are trusted.
    config: Arc<OnceLock<ClientConfig>>,
    /// Who is told the keys of connections, if anybody is.
    keys: Option<TlsKeys>,
}

/// Whose certificates are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those that this system trusts.
    System,
    /// Those that these roots have signed, and no others. In PEM.
    Pem(Vec<u8>),
    /// Everybody's: certificates are not checked, so nobody knows who is at the other end.
    Anybody,
}

/// The roots of trust cannot be put together.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system's trust store has no certificate that can be read.
    #[error("cannot read a trusted certificate from this system's store: {because}")]
    NoSystemRoots {
        /// The system's words, if it has any.
        because: String,
    },
    /// A text that should be PEM is not.
    #[error("cannot read the trusted certificates: they are not PEM")]
    NotPem {
        /// Where it goes wrong.
        source: pem::Error,
    },
    /// There is not a single certificate in the PEM.
    #[error("cannot read the trusted certificates: there is none in the PEM")]
    NoCertificate,
    /// A certificate is damaged.
    #[error("cannot trust certificate {number} of the PEM")]
    BadCertificate {
        /// Which one, from 1.
        number: usize,
        /// rustls's words.
        source: rustls::Error,
    },
    /// rustls refuses to work like this.
    #[error("cannot set up TLS")]
    Setup {
        /// rustls's words.
        source: rustls::Error,
    },
}

impl Tls {
    /// Puts together what is trusted. The system's store is read only when it is needed, at the
    /// first https URL or by [`Tls::read_trust`].
    ///
    /// # Errors
    /// [`TlsError`] says what could not be read.
    pub fn new(trust: Trust) -> Result<Self, TlsError> {
        let is_at_hand = trust != Trust::System;
        let tls = Self { trust: Arc::new(trust), config: Arc::default(), keys: None };
        if is_at_hand {
            tls.read_trust()?;
        }
        Ok(tls)
    }

    /// The same, and `keys` is told the keys of every connection: for whoever is to read its packets.
    #[must_use]
    pub fn telling(self, keys: &TlsKeys) -> Self {
        Self { keys: Some(keys.clone()), ..self }
    }

    /// Reads whose certificates are trusted, unless that is known.
    ///
    /// # Errors
    /// [`TlsError`] says what could not be read.
    pub fn read_trust(&self) -> Result<(), TlsError> {
        self.config().map(drop)
    }

    fn config(&self) -> Result<&ClientConfig, TlsError> {
        match self.config.get() {
            Some(config) => Ok(config),
            None => {
                let config = config_of(&self.trust)?;
                Ok(self.config.get_or_init(|| config))
            }
        }
    }
}

fn config_of(trust: &Trust) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Setup { source })?;
    let builder = match trust {
        Trust::System => builder.with_root_certificates(system_roots()?),
        Trust::Pem(pem) => builder.with_root_certificates(roots_of(pem)?),
        Trust::Anybody => {
            let verifier = Arc::new(Anybody(provider));
            builder.dangerous().with_custom_certificate_verifier(verifier)
        }
    };
    Ok(builder.with_no_client_auth())
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (read, damaged) = roots.add_parsable_certificates(found.certs);
    if read > 0 {
        return Ok(roots);
    }
    let because = match found.errors.first() {
        Some(error) => error.to_string(),
        None if damaged > 0 => format!("all {damaged} are damaged"),
        None => "it is empty".to_owned(),
    };
    Err(TlsError::NoSystemRoots { because })
}

fn roots_of(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (index, certificate) in CertificateDer::pem_slice_iter(pem).enumerate() {
        let certificate = certificate.map_err(|source| TlsError::NotPem { source })?;
        let bad = |source| TlsError::BadCertificate { number: index + 1, source };
        roots.add(certificate).map_err(bad)?;
    }
    if roots.is_empty() { Err(TlsError::NoCertificate) } else { Ok(roots) }
}

impl rustls::KeyLog for TlsKeys {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        self.note(label, client_random, secret);
    }
}

/// One transport's own part of TLS: what it offers, and the sessions it remembers.
pub(crate) struct TlsClient {
    tls: Tls,
    version: HttpVersion,
    connector: OnceLock<TlsConnector>,
}

/// A handshake that failed.
pub(crate) struct TlsFailure {
    /// Why, in plain words.
    pub(crate) because: String,
    /// The library's words.
    pub(crate) cause: Cause,
    /// The rest of the connection: dropping it closes it.
    pub(crate) wire: Option<Box<dyn Io>>,
}

impl TlsFailure {
    /// The handshake was done, but its result is not what was asked for.
    pub(crate) fn not_http2(wire: Box<dyn Io>) -> Self {
        let because = "the server did not agree to speak HTTP/2".to_owned();
        Self { because, cause: "ALPN did not choose h2".into(), wire: Some(wire) }
    }
}

impl TlsClient {
    pub(crate) fn new(tls: &Tls, version: HttpVersion) -> Self {
        Self { tls: tls.clone(), version, connector: OnceLock::new() }
    }

    /// Makes sure that a handshake can be made.
    pub(crate) fn prepare(&self) -> Result<(), Cause> {
        self.connector().map(drop).map_err(Into::into)
    }

    fn connector(&self) -> Result<&TlsConnector, TlsError> {
        if let Some(connector) = self.connector.get() {
            return Ok(connector);
        }
        let mut config = self.tls.config()?.clone();
        config.alpn_protocols = offered(self.version).iter().map(|name| name.to_vec()).collect();
        // Not shared with other transports, or their first connections would resume its sessions.
        config.resumption = Resumption::in_memory_sessions(256);
        if let Some(keys) = &self.tls.keys {
            config.key_log = Arc::new(keys.clone());
        }
        Ok(self.connector.get_or_init(|| TlsConnector::from(Arc::new(config))))
    }

    /// Shakes hands with `host` on an established connection; `given_up` is called before that is
    /// closed because nobody waits any more.
    pub(crate) async fn handshake(
        &self,
        host: &str,
        stream: TcpStream,
        record: &Arc<Record>,
        given_up: impl FnOnce(),
    ) -> Result<(TlsFacts, Box<dyn Io>), TlsFailure> {
        let wire = Wire::new(stream, EndTap::new(record));
        let name = match ServerName::try_from(host.to_owned()) {
            Ok(name) => name,
            Err(error) => {
                let because = "the host is no name that TLS can ask for".to_owned();
                return Err(TlsFailure {
                    because,
                    cause: error.into(),
                    wire: Some(Box::new(wire)),
                });
            }
        };
        let connector = match self.connector() {
            Ok(connector) => connector,
            Err(error) => {
                let (because, wire) = (error.to_string(), Some(Box::new(wire) as Box<dyn Io>));
                return Err(TlsFailure { because, cause: error.into(), wire });
            }
        };
        let mut handshake = std::pin::pin!(connector.connect(name, wire).into_fallible());
        // Dropped before the connection, which is a part of the handshake.
        let given_up = IfGivenUp::then(|| {
            record.close_because(CloseReason::RequestGivenUp);
            given_up();
        });
        let result = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake.as_mut()).await;
        given_up.over();
        match result {
            Ok(Ok(stream)) => {
                let facts = facts(stream.get_ref().1);
                Ok((facts, Box::new(TlsWire::new(stream, record))))
            }
            Ok(Err((error, mut wire))) => {
                if let Some(first) = words::who_gives_up(&error) {
                    // Its alert is on the way, and whatever FIN comes now is the answer to that.
                    wire.close_was_announced_by(first);
                }
                let because = words::of_handshake(&error);
                Err(TlsFailure { because, cause: error.into(), wire: Some(Box::new(wire)) })
            }
            Err(elapsed) => {
                let because = format!("no answer within {HANDSHAKE_TIMEOUT:?}");
                // The connection ends with the handshake, so before the caller can give a reason.
                record.close_because(CloseReason::Tls(because.clone()));
                Err(TlsFailure { because, cause: elapsed.into(), wire: None })
            }
        }
    }
}

/// The protocols that ALPN offers (RFC 7301), the one that is preferred first.
fn offered(version: HttpVersion) -> &'static [&'static [u8]] {
    match version {
        HttpVersion::Http1 => &[b"http/1.1"],
        HttpVersion::Http2 => &[b"h2"],
        HttpVersion::Negotiated => &[b"h2", b"http/1.1"],
    }
}

/// Returns what a handshake has agreed on.
fn facts(session: &ClientConnection) -> TlsFacts {
    let version = session.protocol_version().and_then(|version| version.as_str());
    let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    let certificates = session.peer_certificates().unwrap_or_default();
    TlsFacts {
        // rustls writes `TLSv1_3` and `TLS13_AES_…` where everybody else writes
        version: version.unwrap_or("unknown").replace('_', "."),
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        cipher_suite: suite.unwrap_or("unknown").replacen("TLS13_", "TLS_", 1),
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
        certificates: certificates.iter().map(certificate_facts).collect(),
    }
}

fn certificate_facts(certificate: &CertificateDer<'_>) -> CertificateFacts {
    match X509Certificate::from_der(certificate) {
        Ok((_, certificate)) => CertificateFacts {
            subject: certificate.subject().to_string(),
            issuer: certificate.issuer().to_string(),
            not_after: words::day(certificate.validity().not_after),
        },
        Err(_) => {
            let unreadable = || "unreadable".to_owned();
            CertificateFacts {
                subject: unreadable(),
                issuer: unreadable(),
                not_after: unreadable(),
            }
        }
    }
}

/// Accepts every certificate. That whoever shows it holds its key is still checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
