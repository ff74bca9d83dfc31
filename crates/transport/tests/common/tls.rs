//! A server with TLS, and whoever signs its certificates.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evidence::TraceEvent;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, SupportedProtocolVersion};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use transport::{Config, Dialling, Tls, Transport, Trust};

/// Signs certificates.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub fn new() -> Self {
        Self::named("Test Authority")
    }

    pub fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// What its friends trust.
    pub fn trust(&self) -> Trust {
        Trust::Pem(self.0.pem().into_bytes())
    }

    /// Its own certificate.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A certificate for `names`, the last day of which is in that year, and its key.
    pub fn certifies(
        &self,
        names: &[&str],
        last_year: i32,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "Test Server");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(last_year, 1, 31);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.der().clone(), PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    /// TLS with such a certificate.
    pub fn signs(&self, names: &[&str], last_year: i32, alpn: &[&str]) -> ServerConfig {
        self.signs_again_and_again(1, names, last_year, alpn)
    }

    /// The same, and the server shows its certificate so many times.
    pub fn signs_again_and_again(
        &self,
        times: usize,
        names: &[&str],
        last_year: i32,
        alpn: &[&str],
    ) -> ServerConfig {
        let versions = rustls::DEFAULT_VERSIONS;
        self.signs_in(versions, times, names, last_year, alpn)
    }

    fn signs_in(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        times: usize,
        names: &[&str],
        last_year: i32,
        alpn: &[&str],
    ) -> ServerConfig {
        let (certificate, key) = self.certifies(names, last_year);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate; times], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// A certificate for `names` and its key, as files hold them (PEM).
    pub fn signs_pem(&self, names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// What is right for a server on this machine.
    pub fn signs_localhost(&self, alpn: &[&str]) -> ServerConfig {
        self.signs(&["localhost", "127.0.0.1"], 2097, alpn)
    }

    /// The same, and the server speaks this version of TLS alone.
    pub fn signs_localhost_in(
        &self,
        version: &'static SupportedProtocolVersion,
        alpn: &[&str],
    ) -> ServerConfig {
        self.signs_in(&[version], 1, &["localhost", "127.0.0.1"], 2097, alpn)
    }
}

/// A server that says `Hello world` after a while, in the version of HTTP that is agreed on.
pub struct Server {
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub async fn start(config: ServerConfig, delay: Duration) -> Self {
        Self::start_with(config, delay, |_| {}).await
    }

    /// The same with a limit or the like for HTTP/2.
    pub async fn start_with(
        config: ServerConfig,
        delay: Duration,
        set: fn(&mut hyper::server::conn::http2::Builder<TokioExecutor>),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let counter = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
                let acceptor = acceptor.clone();
                connections.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| answer(request, delay));
                    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    let io = TokioIo::new(stream);
                    let _ = if is_http2 {
                        let mut builder =
                            hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                        set(&mut builder);
                        builder.serve_connection(io, service).await
                    } else {
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(io, service)
                            .await
                    };
                });
            }
        });
        Self { address, accepted, task }
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    pub fn url(&self) -> String {
        format!("https://localhost:{}/", self.address.port())
    }
}

async fn answer(
    request: http::Request<Incoming>,
    delay: Duration,
) -> Result<http::Response<Full<bytes::Bytes>>, Infallible> {
    tokio::time::sleep(delay).await;
    let mut response = http::Response::new(Full::from("Hello world"));
    if request.uri().path() == "/close" {
        response.headers_mut().insert("connection", "close".parse().unwrap());
    }
    // In HTTP/1.1 it is in the head, in HTTP/2 in the URI.
    let host = request.headers().get("host").cloned();
    let authority = request.uri().authority().map(|a| a.as_str().parse().unwrap());
    response.headers_mut().insert("x-host", host.or(authority).unwrap());
    Ok(response)
}

/// A client that trusts `trust`, and everything it tells.
pub fn client(config: Config, trust: Trust) -> (Transport, Arc<Mutex<Vec<TraceEvent>>>) {
    client_dialling(config, trust, &[])
}

pub fn client_dialling(
    config: Config,
    trust: Trust,
    connect_to: &[&str],
) -> (Transport, Arc<Mutex<Vec<TraceEvent>>>) {
    let events: Arc<Mutex<Vec<TraceEvent>>> = Arc::default();
    let heard = Arc::clone(&events);
    let listener = move |event| heard.lock().unwrap().push(event);
    let dialling = Dialling {
        tls: Some(Tls::new(trust).unwrap()),
        connect_to: connect_to.iter().map(|rule| rule.parse().unwrap()).collect(),
    };
    let client = Transport::with(config, dialling, Some(Arc::new(listener))).unwrap();
    (client, events)
}
