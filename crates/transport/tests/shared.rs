//! HTTP/2 after Go's rules, and what ALPN agrees on, for every preset.

mod common;
#[path = "common/tls.rs"]
mod tls;

use std::sync::Mutex;
use std::time::Duration;

use common::{Bench, Closed, answer, count, until};
use evidence::{CloseReason, ClosedBy, ConnectionId, Moment, NotPooled, Observed};
use evidence::{FailureKind, Preset, TraceEvent};
use http_body_util::BodyExt;
use server::Answer;
use tls::{Authority, Server, client};
use transport::{Config, Error, HttpVersion, Limits, Transport};

const GO: [Preset; 2] = [Preset::Go, Preset::Go127];
const SLOW: Duration = Duration::from_millis(50);

fn speaking(version: HttpVersion, preset: Preset) -> Config {
    Config { version, ..Config::of(preset) }
}

fn http2(preset: Preset) -> Config {
    speaking(HttpVersion::Http2, preset)
}

fn slow() -> Answer {
    Answer { delay: SLOW, ..answer() }
}

async fn fetch(client: &Transport, url: &str) -> Result<usize, Error> {
    let response = client.get(url).await?;
    Ok(response.into_body().collect().await?.to_bytes().len())
}

async fn at_once(number: usize, client: &Transport, url: &str) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..number {
        let (client, url) = (client.clone(), url.to_owned());
        tasks.spawn(async move { fetch(&client, &url).await.unwrap() });
    }
    assert_eq!(tasks.join_all().await, vec![11; number]);
}

fn opened(events: &Mutex<Vec<TraceEvent>>) -> usize {
    let is = |m: &Moment| matches!(m, Moment::ConnectDone { result: Ok(_), .. });
    count(&events.lock().unwrap(), is)
}

fn closes(events: &Mutex<Vec<TraceEvent>>) -> Vec<(ClosedBy, Observed<CloseReason>, u64)> {
    let events = events.lock().unwrap();
    let closes = events.iter().filter_map(|event| match &event.moment {
        Moment::ConnectionClosed { by, why, exchanges, .. } => Some((*by, why.clone(), *exchanges)),
        _ => None,
    });
    closes.collect()
}

/// Of each exchange, whether its connection is reused, was idle, and had a time of that.
fn got(events: &[TraceEvent]) -> Vec<(bool, bool, bool)> {
    let got = events.iter().filter_map(|event| match &event.moment {
        Moment::GotConn { reused, was_idle, idle_time, .. } => {
            let Observed::Known(was_idle) = was_idle else { panic!("not known") };
            Some((*reused, *was_idle, matches!(idle_time, Observed::Known(Some(_)))))
        }
        _ => None,
    });
    got.collect()
}

#[tokio::test]
async fn requests_one_after_the_other_use_one_connection_which_is_idle_between() {
    for preset in GO {
        let bench = Bench::new(http2(preset), answer());
        for _ in 0..3 {
            assert_eq!(bench.drain().await.unwrap(), 11);
        }
        assert_eq!((bench.opened(), bench.accepted()), (1, 1));
        let idle = (true, true, true);
        assert_eq!(got(&bench.moments()), [(false, false, false), idle, idle]);
        let names: Vec<_> = bench.moments().iter().map(|event| event.moment.name()).collect();
        assert_eq!(
            names,
            [
                "GetConn",
                "ConnectStart",
                "ConnectDone",
                "GotConn",
                "GetConn",
                "GotConn",
                "GetConn",
                "GotConn"
            ]
        );
    }
}

#[tokio::test]
async fn requests_at_once_share_a_connection_that_is_there_and_it_is_not_idle() {
    for preset in GO {
        let bench = Bench::new(http2(preset), slow());
        bench.drain().await.unwrap();
        at_once(10, &bench.client, &bench.url).await;
        assert_eq!((bench.opened(), bench.accepted()), (1, 1));
        let got = got(&bench.moments());
        assert_eq!(got.iter().filter(|got| **got == (true, true, true)).count(), 1);
        assert_eq!(got.iter().filter(|got| **got == (true, false, false)).count(), 9);
    }
}

#[tokio::test]
async fn the_dials_of_cold_requests_that_come_too_late_are_not_kept() {
    for preset in GO {
        let bench = Bench::new(http2(preset), slow());
        at_once(10, &bench.client, &bench.url).await;
        let in_vain = bench.opened() - 1;
        let closed = bench.closed_count(in_vain).await;
        let why = Observed::Known(CloseReason::NotNeeded);
        let is_in_vain = |closed: &Closed| closed.why == why && closed.exchanges == 0;
        assert!(closed.iter().all(is_in_vain), "{closed:?}");
        let got = got(&bench.moments());
        assert_eq!(got.iter().filter(|(reused, ..)| !reused).count(), 1, "{got:?}");
        at_once(10, &bench.client, &bench.url).await;
        assert_eq!(bench.opened(), in_vain + 1);
    }
}

#[tokio::test]
async fn one_connection_per_host_is_enough_for_all() {
    let limits = Limits { max_conns_per_host: Some(1), ..Limits::GO };
    for preset in GO {
        let bench = Bench::new(Config { limits, ..http2(preset) }, slow());
        at_once(23, &bench.client, &bench.url).await;
        assert_eq!((bench.opened(), bench.accepted()), (1, 1));
    }
}

#[tokio::test]
async fn without_keep_alives_each_request_has_its_own() {
    let limits = Limits { keep_alives: false, ..Limits::GO };
    let bench = Bench::new(Config { limits, ..http2(Preset::Go) }, answer());
    for _ in 0..3 {
        assert_eq!(bench.drain().await.unwrap(), 11);
    }
    assert_eq!(bench.opened(), 3);
    let why = Observed::Known(CloseReason::NotPooled(NotPooled::KeepAlivesDisabled));
    let closed = bench.closed_count(3).await;
    assert!(closed.iter().all(|closed| closed.why == why && closed.exchanges == 1), "{closed:?}");
}

#[tokio::test]
async fn its_idle_time_runs_only_while_no_stream_is_open() {
    let limit = Duration::from_millis(100);
    let limits = Limits { idle_timeout: Some(limit), ..Limits::GO };
    let bench = Bench::new(Config { limits, ..http2(Preset::Go) }, answer());
    let held = bench.client.get(&bench.url).await.unwrap();
    bench.drain().await.unwrap();
    tokio::time::sleep(limit * 3).await;
    assert_eq!(bench.closed(), []);
    drop(held);
    let why = Observed::Known(CloseReason::IdleTimeout(limit));
    let expected = Closed { id: ConnectionId(1), by: ClosedBy::Client, why, exchanges: 2 };
    assert_eq!(bench.closed_count(1).await, [expected]);
    assert_eq!(bench.drain().await.unwrap(), 11);
    assert_eq!(bench.opened(), 2);
}

#[tokio::test]
async fn closing_the_transport_closes_it_after_its_last_stream() {
    let bench = Bench::new(http2(Preset::Go), Answer { bytes: 1 << 20, ..answer() });
    let held = bench.client.get(&bench.url).await.unwrap();
    bench.client.close();
    assert_eq!(held.into_body().collect().await.unwrap().to_bytes().len(), 1 << 20);
    let why = Observed::Known(CloseReason::TransportClosed);
    let expected = Closed { id: ConnectionId(1), by: ClosedBy::Client, why, exchanges: 1 };
    assert_eq!(bench.closed_count(1).await, [expected]);
}

#[tokio::test]
async fn a_body_that_is_dropped_or_held_costs_no_connection() {
    for preset in GO {
        let bench = Bench::new(http2(preset), Answer { bytes: 1 << 20, ..answer() });
        let mut held = Vec::new();
        for _ in 0..3 {
            bench.drop_body().await;
            assert_eq!(bench.drain().await.unwrap(), 1 << 20);
            held.push(bench.client.get(&bench.url).await.unwrap());
        }
        assert_eq!((bench.opened(), bench.accepted()), (1, 1));
    }
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_is_met_with_another_one() {
    let limit = Duration::from_millis(20);
    let server = server::Server::bind("127.0.0.1:0".parse().unwrap(), answer())
        .unwrap()
        .idle_timeout(Some(limit))
        .start();
    let events = std::sync::Arc::default();
    let client = common::watched(http2(Preset::Go), &events);
    let url = format!("http://{}/", server.address());
    for turn in 0..31 {
        assert_eq!(fetch(&client, &url).await.unwrap(), 11, "after {turn}");
        // Around the very moment.
        tokio::time::sleep(limit - Duration::from_millis(3) + Duration::from_micros(200) * turn)
            .await;
    }
    until(|| !closes(&events).is_empty(), "a close").await;
}

#[tokio::test]
async fn a_server_that_speaks_only_http_1_1_is_told_to_do_so() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _preface = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        }
    });
    let client = Transport::new(http2(Preset::Go), None).unwrap();
    let error = fetch(&client, &url).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::NotHttp, "{error:?}");
}

/// A server with TLS, which speaks `alpn`.
async fn server(authority: &Authority, alpn: &[&str]) -> Server {
    Server::start(authority.signs_localhost(alpn), SLOW).await
}

#[tokio::test]
async fn what_alpn_agrees_on_is_spoken() {
    use HttpVersion::{Http1, Http2, Negotiated};
    let authority = Authority::new();
    for (wanted, offers, agreed) in [
        (Negotiated, &["h2", "http/1.1"][..], http::Version::HTTP_2),
        (Negotiated, &["http/1.1"], http::Version::HTTP_11),
        (Negotiated, &[], http::Version::HTTP_11),
        (Http1, &["h2", "http/1.1"], http::Version::HTTP_11),
        (Http2, &["h2", "http/1.1"], http::Version::HTTP_2),
    ] {
        let server = server(&authority, offers).await;
        for preset in Preset::ALL {
            let (client, _) = client(speaking(wanted, preset), authority.trust());
            let response = client.get(&server.url()).await.unwrap();
            assert_eq!(response.version(), agreed, "{wanted} {offers:?} {}", preset.name());
            let host = format!("localhost:{}", server.address.port());
            assert_eq!(response.headers()["x-host"], host);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "Hello world");
        }
    }
}

#[tokio::test]
async fn nothing_in_common_is_told() {
    let authority = Authority::new();
    for (offers, ends) in [
        (&["http/1.1"][..], ": the server speaks none of the versions of HTTP that were offered"),
        (&[], ": the server did not agree to speak HTTP/2"),
    ] {
        let server = server(&authority, offers).await;
        for preset in Preset::ALL {
            let (client, events) = client(http2(preset), authority.trust());
            let error = fetch(&client, &server.url()).await.unwrap_err();
            assert_eq!(error.kind(), FailureKind::Tls, "{error:?}");
            assert!(error.to_string().ends_with(ends), "{error}");
            until(|| !closes(&events).is_empty(), "the close").await;
        }
    }
}

#[tokio::test]
async fn without_tls_negotiated_is_http_1_1() {
    for preset in Preset::ALL {
        let bench = Bench::new(speaking(HttpVersion::Negotiated, preset), answer());
        let response = bench.client.get(&bench.url).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_11);
    }
}

#[tokio::test]
async fn over_tls_ten_requests_after_a_first_one_share_its_connection() {
    let authority = Authority::new();
    let server = server(&authority, &["h2", "http/1.1"]).await;
    for preset in Preset::ALL {
        let (client, events) = client(speaking(HttpVersion::Negotiated, preset), authority.trust());
        fetch(&client, &server.url()).await.unwrap();
        at_once(10, &client, &server.url()).await;
        assert_eq!(opened(&events), 1, "{}", preset.name());
        client.close();
        until(|| !closes(&events).is_empty(), "the close").await;
        let why = Observed::Known(CloseReason::TransportClosed);
        assert_eq!(closes(&events), [(ClosedBy::Client, why, 11)]);
    }
    assert_eq!(server.accepted(), 3);
}

/// Nobody knows beforehand that HTTP/2 will be agreed on, so everybody dials.
#[tokio::test]
async fn over_tls_ten_cold_requests_dial_ten_times_and_one_connection_serves_them() {
    let authority = Authority::new();
    let server = server(&authority, &["h2", "http/1.1"]).await;
    for preset in Preset::ALL {
        let (client, events) = client(speaking(HttpVersion::Negotiated, preset), authority.trust());
        at_once(10, &client, &server.url()).await;
        until(|| closes(&events).len() == opened(&events) - 1, "the unneeded to close").await;
        assert_eq!(opened(&events), 10, "{}", preset.name());
        assert!(closes(&events).iter().all(|(_, _, exchanges)| *exchanges == 0));
    }
}

#[tokio::test]
async fn a_server_that_takes_few_streams_has_gos_transport_dial_again() {
    let authority = Authority::new();
    let config = authority.signs_localhost(&["h2"]);
    let server = Server::start_with(config, SLOW, |builder| {
        builder.max_concurrent_streams(2);
    })
    .await;
    let (client, events) = client(speaking(HttpVersion::Negotiated, Preset::Go), authority.trust());
    fetch(&client, &server.url()).await.unwrap();
    fetch(&client, &server.url()).await.unwrap();
    at_once(6, &client, &server.url()).await;
    assert!(opened(&events) > 1, "{}", opened(&events));
}
