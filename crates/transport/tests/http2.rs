//! Many exchanges on one connection: hyper-util's client in HTTP/2 without TLS. Go's rules, and
//! TLS, have their own tests.
//!
//! That this is compiled in does not hang on whoever runs the tests: the crate asks itself for its
//! feature, as a dev-dependency.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use common::{Bench, Closed, answer, until};
use evidence::{CloseReason, ClosedBy, ConnectionId, FailureKind, Moment, Observed, Preset};
use http_body_util::BodyExt;
use server::Answer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use transport::{Config, Error, HttpVersion, Phase, Transport};

fn http2() -> Config {
    Config { version: HttpVersion::Http2, ..Config::of(Preset::HyperUtil) }
}

fn slow() -> Answer {
    Answer { delay: Duration::from_millis(50), ..answer() }
}

/// Ten requests at once; returns the sizes of their bodies.
async fn ten_at_once(bench: &Bench) -> Vec<usize> {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let (client, url) = (bench.client.clone(), bench.url.clone());
        tasks.spawn(async move { fetch(&client, &url).await.unwrap() });
    }
    tasks.join_all().await
}

async fn fetch(client: &Transport, url: &str) -> Result<usize, Error> {
    let response = client.get(url).await?;
    Ok(response.into_body().collect().await?.to_bytes().len())
}

#[tokio::test]
async fn ten_requests_at_once_share_one_connection() {
    let bench = Bench::new(http2(), slow());
    assert_eq!(ten_at_once(&bench).await, [11; 10]);
    assert_eq!((bench.opened(), bench.accepted()), (1, 1));
}

/// On one thread the first request's dial is the only one. On two, hyper-util's client may start
/// another: between a request's look at the pool and its own dial the first one may have come
/// through. Once a connection is there, that cannot happen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_two_threads_they_share_the_connection_that_is_there() {
    let bench = Bench::new(http2(), slow());
    bench.drain().await.unwrap();
    assert_eq!(ten_at_once(&bench).await, [11; 10]);
    assert_eq!((bench.opened(), bench.accepted()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_use_of_a_connection_is_told_once_though_many_come_at_once() {
    for _ in 0..7 {
        let bench = Bench::new(http2(), answer());
        ten_at_once(&bench).await;
        let moments = bench.moments();
        let used = moments.iter().filter(|e| matches!(e.moment, Moment::GotConn { .. }));
        let used: BTreeSet<ConnectionId> = used.filter_map(|event| event.connection).collect();
        assert_eq!(first_uses(&bench), used.len());
    }
}

#[tokio::test]
async fn in_http_1_1_each_of_them_needs_its_own() {
    let bench = Bench::new(Config::of(Preset::HyperUtil), slow());
    assert_eq!(ten_at_once(&bench).await, [11; 10]);
    assert_eq!((bench.opened(), bench.accepted()), (10, 10));
}

/// How many exchanges were told to be the first of their connection.
fn first_uses(bench: &Bench) -> usize {
    common::count(&bench.moments(), |m| matches!(m, Moment::GotConn { reused: false, .. }))
}

#[tokio::test]
async fn the_moments_are_those_that_can_be_seen() {
    let bench = Bench::new(http2(), slow());
    ten_at_once(&bench).await;
    bench.drain().await.unwrap();
    bench.client.close();
    bench.closed_count(1).await;
    let count = |name| common::count(&bench.moments(), |moment| moment.name() == name);
    for (name, times) in [
        ("GetConn", 11),
        ("ConnectStart", 1),
        ("ConnectDone", 1),
        ("GotConn", 11),
        ("WroteHeaderField", 0),
        ("WroteHeaders", 0),
        ("WroteRequest", 0),
        ("GotFirstResponseByte", 0),
        ("PutIdleConn", 0),
        ("ConnectionClosed", 1),
    ] {
        assert_eq!(count(name), times, "{name}");
    }
    assert_eq!(first_uses(&bench), 1);
}

#[tokio::test]
async fn closing_the_client_closes_the_connection() {
    let bench = Bench::new(http2(), answer());
    for _ in 0..3 {
        bench.drain().await.unwrap();
    }
    bench.client.close();
    let closed = bench.closed_count(1).await;
    let why = Observed::Known(CloseReason::TransportClosed);
    let expected = Closed { id: ConnectionId(1), by: ClosedBy::Client, why, exchanges: 3 };
    assert_eq!(closed, [expected]);
}

#[tokio::test]
async fn bodies_of_any_size_come_whole_and_one_that_is_dropped_costs_no_connection() {
    let bench = Bench::new(http2(), Answer { bytes: 1 << 20, ..answer() });
    for _ in 0..3 {
        bench.drop_body().await;
        assert_eq!(bench.drain().await.unwrap(), 1 << 20);
    }
    assert_eq!((bench.opened(), bench.accepted()), (1, 1));
}

#[tokio::test]
async fn a_held_body_keeps_nobody_from_the_connection() {
    let bench = Bench::new(http2(), answer());
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(bench.client.get(&bench.url).await.unwrap());
    }
    assert_eq!((bench.opened(), bench.accepted()), (1, 1));
}

#[tokio::test]
async fn a_server_that_stops_closes_the_connection_between_two_exchanges() {
    let Bench { client, url, server, .. } = Bench::new(http2(), answer());
    assert_eq!(fetch(&client, &url).await.unwrap(), 11);
    assert_eq!(server.stop(Duration::from_secs(10)).await, 0);
    assert_eq!(fetch(&client, &url).await.unwrap_err().kind(), FailureKind::Refused);
}

#[tokio::test]
async fn a_server_that_closes_idle_connections_is_met_with_another_one() {
    let limit = Duration::from_millis(20);
    let server = server::Server::bind("127.0.0.1:0".parse().unwrap(), answer())
        .unwrap()
        .idle_timeout(Some(limit))
        .start();
    let events = Arc::default();
    let client = common::watched(http2(), &events);
    let url = format!("http://{}/", server.address());
    for turn in 0..31 {
        assert_eq!(fetch(&client, &url).await.unwrap(), 11, "after {turn}");
        // Around the very moment.
        tokio::time::sleep(limit - Duration::from_millis(3) + Duration::from_micros(200) * turn)
            .await;
    }
    let is_closed = |m: &Moment| matches!(m, Moment::ConnectionClosed { .. });
    until(|| common::count(&events.lock().unwrap(), is_closed) > 0, "a close").await;
}

#[tokio::test]
async fn a_refused_dial_is_told_to_every_request_that_waits_for_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Transport::new(http2(), None).unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10 {
        let client = client.clone();
        tasks.spawn(async move { fetch(&client, &format!("http://{address}/")).await });
    }
    for result in tasks.join_all().await {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Refused, "{error:?}");
        assert_eq!(error.to_string(), format!("cannot connect to {address}"));
    }
}

/// Reads whatever comes until a frame of HEADERS: the request.
async fn read_request(stream: &mut TcpStream) {
    const HEADERS: u8 = 1;
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS {
            return;
        }
    }
}

/// An empty SETTINGS frame.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// On stream 1: `:status: 200` and `content-length: 11`, then five bytes of the body.
const HEAD: &[u8] = &[0, 0, 6, 1, 4, 0, 0, 0, 1, 0x88, 0x0f, 0x0d, 2, b'1', b'1'];
const FIVE_BYTES: &[u8] = &[0, 0, 5, 0, 0, 0, 0, 0, 1, b'H', b'e', b'l', b'l', b'o'];
/// The server will not take another stream, nor has it taken any.
const GOAWAY: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// How a server of a few bytes ends the connection.
#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Reset,
}

/// The error that a server leads to which says `first` at once and `then` to the request.
async fn failure(first: &'static [u8], then: &'static [u8], end: End) -> Error {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                stream.write_all(first).await.unwrap();
                read_request(&mut stream).await;
                stream.write_all(then).await.unwrap();
                match end {
                    End::Close => {
                        // Without a reset for what the client says meanwhile.
                        stream.shutdown().await.unwrap();
                        let _ = stream.read_to_end(&mut Vec::new()).await;
                    }
                    End::Reset => {
                        // Let the client read it: a reset throws away what is on its way.
                        tokio::time::sleep(Duration::from_millis(30)).await;
                        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                    }
                }
            });
        }
    });
    let client = Transport::new(http2(), None).unwrap();
    let fetched = tokio::time::timeout(Duration::from_secs(10), fetch(&client, &url)).await;
    fetched.expect("an end in time").unwrap_err()
}

#[tokio::test]
async fn a_server_that_speaks_only_http_1_1_is_told_to_do_so() {
    const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
    for (first, then) in [(&b""[..], REFUSAL), (REFUSAL, b""), (b"", b"")] {
        for end in [End::Close, End::Reset] {
            let error = failure(first, then, end).await;
            assert_eq!(error.kind(), FailureKind::NotHttp, "{end:?}: {error:?}");
            let told = error.to_string();
            assert!(told.ends_with("does not answer in HTTP/2 on connection #1"), "{told}");
            let source = std::error::Error::source(&error).map(ToString::to_string);
            let words = "its first bytes are `HTTP/1.1 400 Bad Request`, as of HTTP/1";
            let has_answered = !first.is_empty() || !then.is_empty();
            assert_eq!(source.as_deref(), has_answered.then_some(words), "{end:?}");
        }
    }
}

#[tokio::test]
async fn hypers_own_server_of_http_1_1_is_told_to_be_one_too() {
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let io = hyper_util::rt::TokioIo::new(listener.accept().await.unwrap().0);
            let service =
                service_fn(|_| async { Ok::<_, Error>(http::Response::new(String::new())) });
            tokio::spawn(http1::Builder::new().serve_connection(io, service));
        }
    });
    let client = Transport::new(http2(), None).unwrap();
    let error = fetch(&client, &url).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::NotHttp, "{error:?}");
}

/// On stream 1: `INTERNAL_ERROR`, and a code that RFC 9113 does not have.
const RST_STREAM: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 2];
const RST_STREAM_99: &[u8] = &[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 0x99];
/// `PROTOCOL_ERROR`.
const GOAWAY_1: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// The error for every preset as one sentence, and what it is, for a server that says `then` to the
/// request and keeps the connection if it can.
async fn sentence(then: &[&'static [u8]], end: Option<End>) -> (String, FailureKind, Phase) {
    let then: &'static [u8] = then.concat().leak();
    let mut told = Vec::new();
    for preset in Preset::ALL {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let url = format!("http://{address}/");
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(SETTINGS).await.unwrap();
            read_request(&mut stream).await;
            stream.write_all(then).await.unwrap();
            if end.is_some() {
                stream.shutdown().await.unwrap();
            }
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
        let config = Config { version: HttpVersion::Http2, ..Config::of(preset) };
        let client = Transport::new(config, None).unwrap();
        let fetched = tokio::time::timeout(Duration::from_secs(10), fetch(&client, &url)).await;
        let error = fetched.expect("an end in time").unwrap_err();
        let words = common::told(&error).replace(&address, "SERVER");
        told.push((words, error.kind(), error.during().unwrap()));
        server.abort();
    }
    told.dedup();
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

#[tokio::test]
async fn a_stream_that_is_reset_is_told_with_the_name_of_its_error_and_when() {
    for end in [None, Some(End::Close)] {
        let body = "SERVER reset the stream (INTERNAL_ERROR) on connection #1 inside the body of its response";
        let expected = (body.to_owned(), FailureKind::StreamReset, Phase::Body);
        assert_eq!(sentence(&[HEAD, FIVE_BYTES, RST_STREAM], end).await, expected);
        let wait = "SERVER reset the stream (INTERNAL_ERROR) on connection #1 before it answered";
        let expected = (wait.to_owned(), FailureKind::StreamReset, Phase::Wait);
        assert_eq!(sentence(&[RST_STREAM], end).await, expected);
    }
    let (told, ..) = sentence(&[RST_STREAM_99], None).await;
    assert!(told.contains("(error code 0x99)"), "{told}");
}

#[tokio::test]
async fn a_goaway_with_an_error_is_told_with_its_name() {
    let words = "SERVER ended connection #1 with GOAWAY (PROTOCOL_ERROR) before it answered";
    let expected = (words.to_owned(), FailureKind::ClosedBeforeResponse, Phase::Wait);
    assert_eq!(sentence(&[GOAWAY_1], Some(End::Close)).await, expected);
}

#[tokio::test]
async fn a_server_that_breaks_the_rules_of_http_2_is_told_which() {
    // DATA on a stream that nobody has opened.
    let (told, kind, _) = sentence(&[&[0, 0, 1, 0, 0, 0, 0, 0, 3, b'H']], None).await;
    let words =
        "SERVER breaks the rules of HTTP/2 on connection #1 before it answered: PROTOCOL_ERROR";
    assert_eq!((told.as_str(), kind), (words, FailureKind::NotHttp));
}

#[tokio::test]
async fn other_ends_of_http_2_are_one_sentence_too() {
    let wait = "SERVER closed connection #1 without answering the request";
    let expected = (wait.to_owned(), FailureKind::ClosedBeforeResponse, Phase::Wait);
    assert_eq!(sentence(&[], Some(End::Close)).await, expected);
    assert_eq!(sentence(&[GOAWAY], Some(End::Close)).await.0, wait);
    let (told, ..) = sentence(&[HEAD, FIVE_BYTES], Some(End::Close)).await;
    assert_eq!(told, "the body from SERVER on connection #1 ended after 5 B of 11 B");
}

#[tokio::test]
async fn a_close_and_a_reset_before_the_answer_are_two_findings() {
    let error = failure(SETTINGS, b"", End::Close).await;
    assert_eq!(error.kind(), FailureKind::ClosedBeforeResponse, "{error:?}");
    let error = failure(SETTINGS, b"", End::Reset).await;
    assert_eq!(error.kind(), FailureKind::Reset, "{error:?}");
    assert!(error.to_string().ends_with("before it answered"), "{error}");
}

#[tokio::test]
async fn a_close_and_a_reset_inside_the_body_are_two_findings() {
    static SHORT: std::sync::LazyLock<Vec<u8>> =
        std::sync::LazyLock::new(|| [HEAD, FIVE_BYTES].concat());
    let error = failure(SETTINGS, &SHORT, End::Close).await;
    assert_eq!(error.kind(), FailureKind::CutShort, "{error:?}");
    assert!(error.to_string().ends_with("ended after 5 B of 11 B"), "{error}");
    let error = failure(SETTINGS, &SHORT, End::Reset).await;
    assert_eq!(error.kind(), FailureKind::Reset, "{error:?}");
}

#[tokio::test]
async fn a_server_that_says_goodbye_closes_between_messages() {
    let error = failure(SETTINGS, GOAWAY, End::Close).await;
    assert_eq!(error.kind(), FailureKind::ClosedBeforeResponse, "{error:?}");
}
