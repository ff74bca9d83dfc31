//! https: what the handshake tells, who is trusted, and who closes first with TLS on the wire.

mod common;
#[path = "common/tls.rs"]
mod tls;

use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{count, until};
use evidence::{ClosedBy, FailureKind, Moment, Preset, TlsFacts, TraceEvent};
use http_body_util::BodyExt;
use tls::{Authority, Server, client, client_dialling};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use transport::{Config, Dialling, Error, Limits, Phase, Tls, TlsError, Transport, Trust};

const AT_ONCE: Duration = Duration::ZERO;

async fn fetch(client: &Transport, url: &str) -> Result<usize, Error> {
    let response = client.get(url).await?;
    Ok(response.into_body().collect().await?.to_bytes().len())
}

fn facts(events: &Mutex<Vec<TraceEvent>>) -> Vec<Result<TlsFacts, String>> {
    let events = events.lock().unwrap();
    let handshakes = events.iter().filter_map(|event| match &event.moment {
        Moment::TlsHandshakeDone { result } => Some(result.clone()),
        _ => None,
    });
    handshakes.collect()
}

fn closes(events: &Mutex<Vec<TraceEvent>>) -> Vec<(ClosedBy, u64)> {
    let events = events.lock().unwrap();
    let closes = events.iter().filter_map(|event| match event.moment {
        Moment::ConnectionClosed { by, exchanges, .. } => Some((by, exchanges)),
        _ => None,
    });
    closes.collect()
}

#[tokio::test]
async fn the_handshake_comes_between_the_dial_and_the_exchange() {
    for preset in [Preset::Go, Preset::Go127] {
        let authority = Authority::new();
        let server = Server::start(authority.signs_localhost(&["http/1.1"]), AT_ONCE).await;
        let (client, events) = client(Config::of(preset), authority.trust());
        let url = format!("https://{}/", server.address);
        for _ in 0..2 {
            assert_eq!(fetch(&client, &url).await.unwrap(), 11);
        }
        let names: Vec<_> = events
            .lock()
            .unwrap()
            .iter()
            .map(|event| {
                let id = event.connection.map_or(String::new(), |id| id.to_string());
                format!("{id} {}", event.moment.name())
            })
            .collect();
        assert_eq!(
            names,
            [
                " GetConn",
                "#1 ConnectStart",
                "#1 ConnectDone",
                "#1 TLSHandshakeStart",
                "#1 TLSHandshakeDone",
                "#1 GotConn",
                "#1 WroteHeaderField",
                "#1 WroteHeaders",
                "#1 WroteRequest",
                "#1 GotFirstResponseByte",
                "#1 PutIdleConn",
                " GetConn",
                "#1 GotConn",
                "#1 WroteHeaderField",
                "#1 WroteHeaders",
                "#1 WroteRequest",
                "#1 GotFirstResponseByte",
                "#1 PutIdleConn",
            ]
        );
        assert_eq!(server.accepted(), 1);
    }
}

#[tokio::test]
async fn hyper_utils_client_fetches_https_too() {
    let authority = Authority::new();
    let server = Server::start(authority.signs_localhost(&["http/1.1"]), AT_ONCE).await;
    let (client, events) = client(Config::of(Preset::HyperUtil), authority.trust());
    for _ in 0..3 {
        assert_eq!(fetch(&client, &server.url()).await.unwrap(), 11);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!((server.accepted(), facts(&events).len()), (1, 1));
    let wrote = |m: &Moment| matches!(m, Moment::WroteHeaders);
    assert_eq!(count(&events.lock().unwrap(), wrote), 3);
}

#[tokio::test]
async fn the_handshake_tells_what_was_agreed_on_and_a_second_one_resumes() {
    for preset in Preset::ALL {
        let authority = Authority::new();
        let server = Server::start(authority.signs_localhost(&["http/1.1"]), AT_ONCE).await;
        let (client, events) = client(Config::of(preset), authority.trust());
        for _ in 0..2 {
            assert_eq!(fetch(&client, &format!("{}close", server.url())).await.unwrap(), 11);
        }
        let facts = facts(&events);
        let [Ok(first), Ok(second)] = &facts[..] else { panic!("{facts:?}") };
        assert_eq!(first.version, "TLSv1.3");
        assert_eq!(first.alpn.as_deref(), Some("http/1.1"));
        assert!(first.cipher_suite.starts_with("TLS_AES_"), "{}", first.cipher_suite);
        let certificate = &first.certificates[0];
        assert_eq!(first.certificates.len(), 1);
        assert_eq!(certificate.subject, "CN=Test Server");
        assert!(certificate.issuer.contains("CN=Test Authority"), "{}", certificate.issuer);
        assert_eq!(certificate.not_after, "2097-01-31");
        assert_eq!((first.resumed, second.resumed), (false, true), "{}", preset.name());
        assert_eq!(first.certificates, second.certificates);
    }
}

#[tokio::test]
async fn another_transport_does_not_resume_its_sessions() {
    let authority = Authority::new();
    let server = Server::start(authority.signs_localhost(&[]), AT_ONCE).await;
    let tls = Some(Tls::new(authority.trust()).unwrap());
    for _ in 0..2 {
        let dialling = Dialling { tls: tls.clone(), ..Dialling::default() };
        let events: Arc<Mutex<Vec<TraceEvent>>> = Arc::default();
        let heard = Arc::clone(&events);
        let listener = move |event| heard.lock().unwrap().push(event);
        let config = Config::of(Preset::Go);
        let client = Transport::with(config, dialling, Some(Arc::new(listener))).unwrap();
        assert_eq!(fetch(&client, &server.url()).await.unwrap(), 11);
        let facts = facts(&events);
        let facts = facts[0].as_ref().unwrap();
        assert_eq!((facts.resumed, facts.alpn.as_deref()), (false, None));
    }
}

/// The error for every preset, which is the same.
async fn refusal(server: &Server, trust: Trust, url: &str) -> String {
    let mut told = Vec::new();
    for preset in Preset::ALL {
        let (client, events) = client(Config::of(preset), trust.clone());
        let error = fetch(&client, url).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Tls, "{error:?}");
        assert!(error.source().is_none(), "the words say all");
        assert_eq!(error.during(), Some(Phase::Handshake));
        let error = error.to_string();
        let begins = format!("at {} on connection #1: ", server.address);
        let (_, because) = error.split_once(&begins).unwrap_or_else(|| panic!("{error}"));
        assert_eq!(facts(&events), [Err(because.to_owned())]);
        until(|| !closes(&events).is_empty(), "the close").await;
        assert_eq!(closes(&events)[0].1, 0);
        told.push(error);
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let config = authority.signs(&["a.example", "b.example"], 2097, &[]);
    let server = Server::start(config, AT_ONCE).await;
    let told = refusal(&server, authority.trust(), &server.url()).await;
    assert!(told.starts_with("cannot speak TLS with `localhost` at 127.0.0.1:"), "{told}");
    let ends = ": the server's certificate is not for this name, but for a.example, b.example";
    assert!(told.ends_with(ends), "{told}");
}

#[tokio::test]
async fn a_certificate_that_nobody_trusted_has_signed_is_refused() {
    let server = Server::start(Authority::new().signs_localhost(&[]), AT_ONCE).await;
    let told = refusal(&server, Authority::named("Another").trust(), &server.url()).await;
    let ends = ": nobody who is trusted here has signed the server's certificate";
    assert!(told.ends_with(ends), "{told}");
    let told = refusal(&server, Authority::new().trust(), &server.url()).await;
    let ends = ": the server's certificate is not signed by whom it says, but by somebody of the same name";
    assert!(told.ends_with(ends), "{told}");
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused() {
    let authority = Authority::new();
    let server = Server::start(authority.signs(&["localhost"], 2021, &[]), AT_ONCE).await;
    let told = refusal(&server, authority.trust(), &server.url()).await;
    assert!(told.ends_with(": the server's certificate expired on 2021-01-31"), "{told}");
}

#[tokio::test]
async fn anybody_is_trusted_if_that_is_asked_for() {
    let server = Server::start(Authority::new().signs(&["a.example"], 2021, &[]), AT_ONCE).await;
    for preset in Preset::ALL {
        let (client, _) = client(Config::of(preset), Trust::Anybody);
        assert_eq!(fetch(&client, &server.url()).await.unwrap(), 11);
    }
}

#[tokio::test]
async fn a_server_without_tls_is_told_to_be_one() {
    let server = server::Server::bind("127.0.0.1:0".parse().unwrap(), common::answer()).unwrap();
    let server = server.start();
    for preset in Preset::ALL {
        let (client, events) = client(Config::of(preset), Trust::Anybody);
        let url = format!("https://{}/", server.address());
        let error = fetch(&client, &url).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Tls, "{error:?}");
        assert!(error.to_string().ends_with(": the server does not speak TLS"), "{error}");
        assert_eq!(facts(&events), [Err("the server does not speak TLS".to_owned())]);
    }
}

#[tokio::test]
async fn a_server_that_goes_away_during_the_handshake_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        for reset in [false, true] {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _hello = stream.read(&mut [0; 4096]).await.unwrap();
            if reset {
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        }
    });
    for word in ["closed", "reset"] {
        let (client, _) = client(Config::of(Preset::Go), Trust::Anybody);
        let told = fetch(&client, &url).await.unwrap_err().to_string();
        let ends = format!(": the server {word} the connection during the handshake");
        assert!(told.ends_with(&ends), "{told}");
    }
}

#[tokio::test]
async fn without_tls_an_https_url_is_refused_as_ever() {
    for preset in Preset::ALL {
        let client = Transport::new(Config::of(preset), None).unwrap();
        let error = client.get("https://127.0.0.1/").await.err().unwrap();
        assert!(error.to_string().ends_with("TLS is not spoken here, only http"), "{error}");
    }
}

#[tokio::test]
async fn certificates_that_are_too_large_are_said_to_be_that() {
    let authority = Authority::new();
    let config = authority.signs_again_and_again(300, &["localhost"], 2097, &["http/1.1"]);
    let server = Server::start(config, AT_ONCE).await;
    for preset in Preset::ALL {
        let (client, _) = client_dialling(Config::of(preset), authority.trust(), &[]);
        let error = client.get(&server.url()).await.err().unwrap();
        assert_eq!(error.kind(), FailureKind::Tls);
        assert!(error.to_string().contains("larger than the 64 KiB"), "{error}");
    }
}

#[test]
fn what_is_trusted_must_be_certificates() {
    let trust = |pem: &str| Tls::new(Trust::Pem(pem.into()));
    assert!(matches!(trust(""), Err(TlsError::NoCertificate)));
    assert!(matches!(trust("no PEM"), Err(TlsError::NoCertificate)));
    let damaged = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(trust(damaged), Err(TlsError::BadCertificate { number: 1, .. })));
    let cut = "-----BEGIN CERTIFICATE-----\nAAAA\n";
    assert!(matches!(trust(cut), Err(TlsError::NotPem { .. })));
}

#[test]
fn the_systems_trust_is_read_or_refused_with_the_reason() {
    match Tls::new(Trust::System).unwrap().read_trust() {
        Ok(_) => {}
        Err(error) => {
            eprintln!("SKIPPED: {error}");
            assert!(matches!(error, TlsError::NoSystemRoots { .. }));
        }
    }
}

#[tokio::test]
async fn connect_to_changes_where_is_dialled_and_nothing_else() {
    let authority = Authority::new();
    let config = authority.signs(&["a.example", "b.example"], 2097, &["http/1.1"]);
    let server = Server::start(config, AT_ONCE).await;
    let rule = format!("::127.0.0.1:{}", server.address.port());
    for preset in Preset::ALL {
        let (client, events) =
            client_dialling(Config::of(preset), authority.trust(), &[rule.as_str()]);
        for (name, connection) in [("a.example", 1), ("b.example", 2), ("a.example", 1)] {
            let response = client.get(&format!("https://{name}/")).await.unwrap();
            assert_eq!(response.headers()["x-host"], name);
            assert_eq!(response.body().connection().id.0, connection, "{}", preset.name());
            response.into_body().collect().await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let events = events.lock().unwrap();
        assert_eq!(count(&events, |m| matches!(m, Moment::DnsStart { .. })), 0);
        let asked = Moment::GetConn { host_port: "a.example:443".to_owned() };
        assert_eq!(count(&events, |m| *m == asked), 2);
    }
}

#[tokio::test]
async fn a_client_that_closes_first_is_told_to_be_first() {
    let limits = Limits { idle_timeout: Some(Duration::from_millis(30)), ..Limits::GO };
    let authority = Authority::new();
    let server = Server::start(authority.signs_localhost(&[]), AT_ONCE).await;
    for turn in 0..11 {
        let config = Config { limits, ..Config::of(Preset::Go) };
        let (client, events) = client(config, authority.trust());
        assert_eq!(fetch(&client, &server.url()).await.unwrap(), 11);
        if turn % 2 == 0 {
            client.close();
        }
        until(|| !closes(&events).is_empty(), "the close").await;
        assert_eq!(closes(&events), [(ClosedBy::Client, 1)]);
    }
}

/// That close is one with FINs: no goodbye of TLS comes to a socket that is gone.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn and_it_holds_time_wait() {
    let authority = Authority::new();
    let server = Server::start(authority.signs_localhost(&[]), AT_ONCE).await;
    let mut told = Vec::new();
    for preset in Preset::ALL {
        for _ in 0..7 {
            let (client, events) = client(Config::of(preset), authority.trust());
            assert_eq!(fetch(&client, &server.url()).await.unwrap(), 11);
            client.close();
            told.extend(events.lock().unwrap().clone());
        }
    }
    let clients = || common::states(server.address.port(), &told)[0].clone();
    let expected = [evidence::TcpState::TimeWait; 21];
    until(|| clients() == expected, "21 client's ends in TIME_WAIT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_says_close_and_a_client_that_hears_it_do_not_reset() {
    let authority = Authority::new();
    let server = Server::start(authority.signs_localhost(&[]), AT_ONCE).await;
    for preset in Preset::ALL {
        let (client, events) = client(Config::of(preset), authority.trust());
        for turn in 1..=23 {
            fetch(&client, &format!("{}close", server.url())).await.unwrap();
            until(|| closes(&events).len() == turn, "the close").await;
        }
        let closes = closes(&events);
        assert!(closes.iter().all(|(by, _)| *by != ClosedBy::Reset), "{closes:?}");
    }
}

#[tokio::test]
async fn a_server_that_just_closes_an_idle_connection_is_met_with_another_one() {
    let authority = Authority::new();
    let config = authority.signs_localhost(&[]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("https://127.0.0.1:{port}/");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    tokio::spawn(async move {
        for says_goodbye in [true, false, true, false] {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            let _request = stream.read(&mut [0; 4096]).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nHello world";
            stream.write_all(answer).await.unwrap();
            stream.flush().await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            if says_goodbye {
                stream.get_mut().1.send_close_notify();
                stream.flush().await.unwrap();
                // Time enough for a hasty client to close between goodbye and FIN.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let (client, events) = client(Config::of(Preset::Go), authority.trust());
    for turn in 1..=4 {
        assert_eq!(fetch(&client, &url).await.unwrap(), 11);
        until(|| closes(&events).len() == turn, "the close").await;
    }
    assert_eq!(closes(&events), [(ClosedBy::Server, 1); 4]);
    #[cfg(target_os = "linux")]
    {
        let servers = || common::states(port, &events.lock().unwrap())[1].clone();
        let expected = [evidence::TcpState::TimeWait; 4];
        until(|| servers() == expected, "4 server's ends in TIME_WAIT").await;
    }
}

#[tokio::test]
async fn a_body_that_ends_without_a_goodbye_is_cut_short() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(authority.signs_localhost(&[])));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            let _request = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nHello").await.unwrap();
            stream.flush().await.unwrap();
        }
    });
    for preset in Preset::ALL {
        let (client, _) = client(Config::of(preset), authority.trust());
        let error = fetch(&client, &url).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::CutShort, "{error:?}");
    }
}
