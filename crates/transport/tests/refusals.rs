//! TLS that one end refuses: in which words it is told, and as whose doing.

mod common;
#[path = "common/tls.rs"]
mod tls;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{told, until};
use evidence::{CloseReason, ClosedBy, FailureKind, Moment, Observed, Preset, TraceEvent};
use http_body_util::BodyExt;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use tls::{Authority, Server, client};
use transport::{Config, Error, Phase, Transport};

async fn fetch(client: &Transport, url: &str) -> Result<usize, Error> {
    let response = client.get(url).await?;
    Ok(response.into_body().collect().await?.to_bytes().len())
}

/// How the first connection ended, once it has.
async fn end(events: &Arc<Mutex<Vec<TraceEvent>>>) -> (ClosedBy, Observed<CloseReason>) {
    let end = || {
        let events = events.lock().unwrap();
        events.iter().find_map(|event| match &event.moment {
            Moment::ConnectionClosed { by, why, .. } => Some((*by, why.clone())),
            _ => None,
        })
    };
    until(|| end().is_some(), "the close").await;
    end().unwrap()
}

/// TLS that asks for a client's certificate, and goes no further without one.
fn wants_a_certificate(
    authority: &Authority,
    version: &'static rustls::SupportedProtocolVersion,
    alpn: &[&str],
) -> rustls::ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
    let (certificate, key) = authority.certifies(&["localhost"], 2097);
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_is_told_to_want_one() {
    for (alpn, version) in [("http/1.1", http1()), ("h2", http2())] {
        let authority = Authority::new();
        let config = wants_a_certificate(&authority, &rustls::version::TLS13, &[alpn]);
        let server = Server::start(config, Duration::ZERO).await;
        for preset in Preset::ALL {
            let config = Config { version, ..Config::of(preset) };
            let (client, events) = client(config, authority.trust());
            let error = fetch(&client, &server.url()).await.unwrap_err();
            assert_eq!(error.kind(), FailureKind::Tls, "{error:?}");
            assert_eq!(error.during(), Some(Phase::Handshake), "{error:?}");
            let address = server.address;
            assert_eq!(
                told(&error),
                format!(
                    "TLS with {address} on connection #1 ended during the TLS handshake: the server wants a client certificate, and this client has none"
                )
            );
            let why = "the server wants a client certificate, and this client has none".to_owned();
            let expected = (ClosedBy::Server, Observed::Known(CloseReason::Tls(why)));
            assert_eq!(end(&events).await, expected, "{} {alpn}", preset.name());
        }
    }
}

#[tokio::test]
async fn in_tls_1_2_it_may_be_something_else() {
    let authority = Authority::new();
    let config = wants_a_certificate(&authority, &rustls::version::TLS12, &[]);
    let server = Server::start(config, Duration::ZERO).await;
    let (client, events) = client(Config::of(Preset::Go), authority.trust());
    let error = fetch(&client, &server.url()).await.unwrap_err();
    let told = told(&error);
    assert!(told.contains("a client certificate"), "{told}");
    assert_eq!((error.kind(), error.during()), (FailureKind::Tls, Some(Phase::Handshake)));
    assert_eq!(end(&events).await.0, ClosedBy::Server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_refused_is_the_clients_reason_to_close() {
    let authority = Authority::new();
    let server = Server::start(authority.signs(&["localhost"], 2021, &[]), Duration::ZERO).await;
    for preset in Preset::ALL {
        for _ in 0..7 {
            let (client, events) = client(Config::of(preset), authority.trust());
            fetch(&client, &server.url()).await.unwrap_err();
            let why = "the server's certificate expired on 2021-01-31".to_owned();
            let expected = (ClosedBy::Client, Observed::Known(CloseReason::Tls(why)));
            assert_eq!(end(&events).await, expected);
        }
    }
}

#[tokio::test]
async fn an_alert_has_its_name_from_the_standard() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        for alert in [70, 80, 48, 199] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _hello = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(&[21, 3, 3, 0, 2, 2, alert]).await.unwrap();
            let _ = stream.read(&mut [0; 64]).await;
        }
    });
    for name in ["protocol_version", "internal_error", "unknown_ca", "of number 199"] {
        let (client, events) = client(Config::of(Preset::Go), Authority::new().trust());
        let told = told(&fetch(&client, &url).await.unwrap_err());
        assert!(told.ends_with(&format!(": the server refused with the alert {name}")), "{told}");
        assert_eq!(end(&events).await.0, ClosedBy::Server);
    }
}

/// A client that closes says goodbye first; a server that is quicker with its FIN only answers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_is_a_close_however_quick_the_answer() {
    let authority = Authority::new();
    let server = Server::start(authority.signs_localhost(&[]), Duration::ZERO).await;
    for _ in 0..53 {
        let (client, events) = client(Config::of(Preset::Go), authority.trust());
        fetch(&client, &server.url()).await.unwrap();
        client.close();
        let expected = (ClosedBy::Client, Observed::Known(CloseReason::TransportClosed));
        assert_eq!(end(&events).await, expected);
    }
}

fn http1() -> transport::HttpVersion {
    transport::HttpVersion::Http1
}

fn http2() -> transport::HttpVersion {
    transport::HttpVersion::Http2
}
