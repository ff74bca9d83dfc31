//! The TLS of the lab's own servers: certificates that are made in memory, and whoever trusts them.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::Context as _;
use apparatus::Plan;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::NoServerSessionStorage;
use rustls::version::{TLS12, TLS13};
use server::{ByteStream, Handshake, SecureStream, ServerTls};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use transport::{Tls, TlsKeys, Trust};

use crate::settings::{self, TlsSetting};

/// The protocols of a server, the best first (ALPN).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Both halves of the TLS between the lab's client and its servers.
pub(crate) struct OwnTls {
    /// The servers' half.
    pub(crate) server: Arc<dyn ServerTls>,
    /// The client's half, which trusts these servers and nobody else.
    pub(crate) client: Tls,
    /// Whom that client trusts, in PEM.
    pub(crate) trusted: String,
}

impl OwnTls {
    /// Makes a certificate for `names`, which are hosts or addresses, and the TLS of `version` with
    /// it. With `sessions` a client may go on with a session that it had.
    ///
    /// # Errors
    /// If the system has no randomness to make a key of.
    pub(crate) fn new(names: &[&str], version: TlsSetting, sessions: bool) -> anyhow::Result<Self> {
        let cannot = "cannot make a certificate for the lab's server";
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Keep-Alive Lab");
        let key = KeyPair::generate().context(cannot)?;
        let authority = CertifiedIssuer::self_signed(params, key).context(cannot)?;
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).context(cannot)?;
        params.distinguished_name.push(DnType::CommonName, "Keep-Alive Lab's server");
        let key = KeyPair::generate().context(cannot)?;
        let certificate = params.signed_by(&key, &authority).context(cannot)?;
        let key = PrivateKeyDer::try_from(key.serialize_der())
            .map_err(|why| anyhow::anyhow!(why).context(cannot))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = match version {
            TlsSetting::Tls12 => [&TLS12],
            TlsSetting::Tls13 => [&TLS13],
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        if !sessions {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        let server = Arc::new(OwnServerTls(TlsAcceptor::from(Arc::new(config))));
        let trusted = authority.pem();
        let client = Tls::new(Trust::Pem(trusted.clone().into_bytes()))?;
        Ok(Self { server, client, trusted })
    }
}

/// Lets the servers of a run speak TLS, if they are to, and its client trust them. The client tells
/// `keys` those of its connections. Returns whom it trusts, in PEM.
///
/// # Errors
/// Those of [`OwnTls::new`].
pub(crate) fn secure(
    plan: &mut Plan,
    settings: &settings::Server,
    keys: Option<&TlsKeys>,
) -> anyhow::Result<Option<String>> {
    let Some(version) = settings.tls else { return Ok(None) };
    // All of them live on one host.
    let host = plan.servers.first().map(|server| server.address.ip().to_string());
    let name = host.as_deref().unwrap_or("localhost");
    let sessions = settings.tls_sessions.unwrap_or(false);
    let OwnTls { server, client, trusted } = OwnTls::new(&[name], version, sessions)?;
    for place in &mut plan.servers {
        place.tls = Some(Arc::clone(&server));
    }
    plan.dialling.tls = Some(match keys {
        Some(keys) => client.telling(keys),
        None => client,
    });
    Ok(Some(trusted))
}

/// rustls behind the server's door.
struct OwnServerTls(TlsAcceptor);

impl fmt::Debug for OwnServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnServerTls").finish_non_exhaustive()
    }
}

impl ServerTls for OwnServerTls {
    fn shake_hands(&self, stream: Box<dyn ByteStream>) -> Handshake {
        let handshake = self.0.accept(stream).into_fallible();
        Box::pin(async move {
            match handshake.await {
                Ok(stream) => Ok(Box::new(OwnSecureStream(stream)) as Box<dyn SecureStream>),
                Err((_, stream)) => Err(stream),
            }
        })
    }
}

/// A connection whose handshake is done.
struct OwnSecureStream(TlsStream<Box<dyn ByteStream>>);

impl SecureStream for OwnSecureStream {
    fn below(&mut self) -> &mut dyn ByteStream {
        self.0.get_mut().0
    }

    fn is_http2(&self) -> bool {
        self.0.get_ref().1.alpn_protocol() == PROTOCOLS.first().copied()
    }
}

impl AsyncRead for OwnSecureStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for OwnSecureStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
