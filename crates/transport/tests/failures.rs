//! A close between messages, a close inside a message, a reset and the rest: told apart.

mod common;

use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use evidence::{CloseReason, ClosedBy, FailureKind, Moment, Observed, Preset, TraceEvent};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use transport::{Config, Error, Phase, Transport};

/// What a server of a few bytes does with the nth request that it reads, on any connection.
#[derive(Clone, Copy)]
enum Step {
    /// Sends this and keeps the connection.
    Send(&'static str),
    /// Sends this and closes.
    SendAndClose(&'static str),
    /// Sends this and resets.
    SendAndReset(&'static str),
}

const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nHello world";

/// Serves `steps` in turn, the last one for ever.
async fn server(steps: &'static [Step]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let turn = Arc::new(Mutex::new(0));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(stream, steps, Arc::clone(&turn)));
        }
    });
    url
}

async fn serve(mut stream: TcpStream, steps: &'static [Step], turn: Arc<Mutex<usize>>) {
    let mut request = [0; 4096];
    while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
        let step = {
            let mut turn = turn.lock().unwrap();
            *turn += 1;
            steps[(*turn - 1).min(steps.len() - 1)]
        };
        match step {
            Step::Send(text) => stream.write_all(text.as_bytes()).await.unwrap(),
            Step::SendAndClose(text) => {
                stream.write_all(text.as_bytes()).await.unwrap();
                return;
            }
            Step::SendAndReset(text) => {
                stream.write_all(text.as_bytes()).await.unwrap();
                // Let the client read it: a reset throws away what is on its way.
                tokio::time::sleep(Duration::from_millis(30)).await;
                socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
                return;
            }
        }
    }
}

async fn fetch(client: &Transport, url: &str) -> Result<usize, Error> {
    let response = client.get(url).await?;
    Ok(response.into_body().collect().await?.to_bytes().len())
}

/// The error that `step` leads to, the same kind for every preset.
async fn failure(step: &'static [Step], kind: FailureKind) -> Vec<String> {
    let mut told = Vec::new();
    for preset in Preset::ALL {
        let url = server(step).await;
        let client = Transport::new(Config::of(preset), None).unwrap();
        let error = fetch(&client, &url).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{}: {error:?}", preset.name());
        told.push(error.to_string());
    }
    told
}

/// The same with its causes, for a server that is gone at `server`; the port is left out.
async fn sentence(step: &'static [Step], preset: Preset) -> (String, Option<Phase>) {
    let url = server(step).await;
    let client = Transport::new(Config::of(preset), None).unwrap();
    let error = fetch(&client, &url).await.unwrap_err();
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    (common::told(&error).replace(address, "SERVER"), error.during())
}

#[tokio::test]
async fn an_error_with_its_causes_is_one_sentence_and_knows_its_phase() {
    const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n";
    let steps: [(&'static [Step], &str, Phase); 8] = [
        (
            &[Step::SendAndClose("")],
            "SERVER closed connection #1 without answering the request",
            Phase::Wait,
        ),
        (
            &[Step::SendAndClose("HTTP/1.1 200 OK\r\n")],
            "the head of the response from SERVER on connection #1 ended early",
            Phase::Head,
        ),
        (
            &[Step::SendAndClose(HEAD)],
            "the body from SERVER on connection #1 ended after 0 B of 11 B",
            Phase::Body,
        ),
        (&[Step::SendAndReset("")], "SERVER reset connection #1 before it answered", Phase::Wait),
        (
            &[Step::SendAndReset(HEAD)],
            "SERVER reset connection #1 inside the body of its response",
            Phase::Body,
        ),
        (
            &[Step::Send("SSH-2.0-OpenSSH_9.2p1\r\n")],
            "SERVER does not answer in HTTP/1.1 on connection #1: its first bytes are `SSH-2.0-OpenSSH_9.2p1`, as of SSH",
            Phase::Head,
        ),
        (
            &[Step::Send("HTTP/1.1 200 OK\r\ncontent-length: 1x\r\n\r\n")],
            "SERVER breaks the rules of HTTP/1.1 on connection #1 inside the head of its response: invalid content-length parsed",
            Phase::Head,
        ),
        (
            &[Step::Send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n")],
            "SERVER breaks the rules of HTTP/1.1 on connection #1 inside the body of its response: invalid chunk size line: missing size digit",
            Phase::Body,
        ),
    ];
    for preset in Preset::ALL {
        for (step, words, phase) in &steps {
            let (told, during) = sentence(step, preset).await;
            assert!(told.starts_with(words), "{}: {told}", preset.name());
            assert!(told.len() < words.len() + 30, "{}: {told}", preset.name());
            assert_eq!(during, Some(*phase), "{}: {told}", preset.name());
        }
    }
}

#[tokio::test]
async fn a_head_that_hyper_does_not_take_is_http_all_the_same() {
    let many = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "a: b\r\n".repeat(100));
    let many: &'static [Step] = vec![Step::Send(many.leak())].leak();
    const HUGE: &[Step] =
        &[Step::Send("HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\n")];
    for (step, words) in [
        (many, "it has more than 100 fields, and hyper reads no more"),
        (HUGE, "its Content-Length is more than hyper can count"),
    ] {
        let exchange = "the exchange with SERVER on connection #1 failed inside the head of its";
        let words = format!("{exchange} response: {words}");
        for preset in Preset::ALL {
            let (told, during) = sentence(step, preset).await;
            assert_eq!((told.as_str(), during), (words.as_str(), Some(Phase::Head)));
        }
        failure(step, FailureKind::Other).await;
    }
}

#[tokio::test]
async fn a_chunk_without_a_size_is_the_clients_reason_to_close() {
    const CHUNKS: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n";
    for _ in 0..23 {
        let url = server(&[Step::Send(CHUNKS)]).await;
        let events: Arc<Mutex<Vec<TraceEvent>>> = Arc::default();
        let client = common::watched(Config::of(Preset::Go), &events);
        let error = fetch(&client, &url).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::NotHttp);
        let end = || {
            let events = events.lock().unwrap();
            events.iter().find_map(|event| match &event.moment {
                Moment::ConnectionClosed { by, why, .. } => Some((*by, why.clone())),
                _ => None,
            })
        };
        common::until(|| end().is_some(), "the close").await;
        let (by, why) = end().unwrap();
        let Observed::Known(CloseReason::Malformed(why)) = why else { panic!("{why:?}") };
        assert!(why.starts_with("the server breaks the rules of HTTP/1.1: invalid chunk"), "{why}");
        assert_eq!(by, ClosedBy::Client);
    }
}

#[tokio::test]
async fn bytes_behind_a_response_are_the_clients_reason_to_close() {
    const EXTRA: &str = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nHello worldEXTRA";
    let url = server(&[Step::Send(EXTRA)]).await;
    let events: Arc<Mutex<Vec<TraceEvent>>> = Arc::default();
    let client = common::watched(Config::of(Preset::Go), &events);
    assert_eq!(fetch(&client, &url).await.unwrap(), 11);
    let words = CloseReason::Malformed("bytes came that belong to no response".to_owned());
    let expected = Observed::Known(words);
    let told = |m: &Moment| matches!(m, Moment::ConnectionClosed { why, .. } if *why == expected);
    common::until(|| common::count(&events.lock().unwrap(), told) == 1, "the close").await;
}

#[tokio::test]
async fn a_close_instead_of_a_response_is_a_close_between_messages() {
    let told = failure(&[Step::SendAndClose("")], FailureKind::ClosedBeforeResponse).await;
    assert!(told[0].ends_with("closed connection #1 without answering the request"), "{told:?}");
}

#[tokio::test]
async fn a_close_inside_the_head_is_a_response_cut_short() {
    let told = failure(&[Step::SendAndClose("HTTP/1.1 200 OK\r\n")], FailureKind::CutShort).await;
    assert!(told[0].starts_with("the head of the response"), "{told:?}");
}

#[tokio::test]
async fn a_close_inside_the_body_is_a_response_cut_short_and_says_where() {
    const SHORT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nHello";
    let told = failure(&[Step::SendAndClose(SHORT)], FailureKind::CutShort).await;
    for told in told {
        assert!(told.ends_with("on connection #1 ended after 5 B of 11 B"), "{told}");
    }
}

#[tokio::test]
async fn a_reset_is_told_apart_and_says_when_it_came() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n";
    for (text, when) in [
        ("", "before it answered"),
        ("HTTP/1.1 2", "inside the head of its response"),
        (head, "inside the body of its response"),
    ] {
        let steps: &'static [Step] = Box::leak(Box::new([Step::SendAndReset(text)]));
        for told in failure(steps, FailureKind::Reset).await {
            assert!(told.ends_with(when), "{told}");
        }
    }
}

#[tokio::test]
async fn a_peer_that_speaks_something_else_is_not_http() {
    failure(&[Step::Send("SSH-2.0-OpenSSH_9.2p1\r\n")], FailureKind::NotHttp).await;
}

#[tokio::test]
async fn a_refused_dial_names_the_address_and_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for preset in Preset::ALL {
        let client = Transport::new(Config::of(preset), None).unwrap();
        let error = fetch(&client, &format!("http://{address}/")).await.unwrap_err();
        assert_eq!(error.kind(), FailureKind::Refused);
        assert_eq!(error.to_string(), format!("cannot connect to {address}"));
        assert!(error.source().unwrap().to_string().contains("refused"));
    }
}

#[tokio::test]
async fn a_url_that_is_none_or_not_http_is_refused_before_anything_is_dialled() {
    for preset in Preset::ALL {
        let client = Transport::new(Config::of(preset), None).unwrap();
        for url in ["http://a b/", "https://127.0.0.1/", "127.0.0.1:8080", "ftp://localhost/"] {
            assert!(client.get(url).await.is_err(), "{url}");
        }
    }
}

/// Two exchanges; the server closes the connection when the second request arrives on it.
async fn second_request_on_a_stale_connection(preset: Preset) -> (Result<usize, Error>, usize) {
    let url = server(&[Step::Send(HELLO), Step::SendAndClose(""), Step::Send(HELLO)]).await;
    let events: Arc<Mutex<Vec<TraceEvent>>> = Arc::default();
    let client = common::watched(Config::of(preset), &events);
    assert_eq!(fetch(&client, &url).await.unwrap(), 11);
    tokio::time::sleep(Duration::from_millis(5)).await;
    let second = fetch(&client, &url).await;
    let asked = common::count(&events.lock().unwrap(), |m| matches!(m, Moment::GetConn { .. }));
    (second, asked)
}

#[tokio::test]
async fn go_replays_a_get_on_a_connection_that_turns_out_stale() {
    let (second, asked) = second_request_on_a_stale_connection(Preset::Go).await;
    assert_eq!(second.unwrap(), 11);
    assert_eq!(asked, 3, "the retry asks for a connection once more");
}

#[tokio::test]
async fn hyper_util_does_not_replay_a_get_that_was_written() {
    let (second, asked) = second_request_on_a_stale_connection(Preset::HyperUtil).await;
    assert_eq!(second.unwrap_err().kind(), FailureKind::ClosedBeforeResponse);
    assert_eq!(asked, 2);
}

#[tokio::test]
async fn a_post_that_was_written_is_not_replayed_unless_it_is_idempotent() {
    for (key, replayed) in [(false, false), (true, true)] {
        let url = server(&[Step::Send(HELLO), Step::SendAndClose(""), Step::Send(HELLO)]).await;
        let client = Transport::new(Config::of(Preset::Go), None).unwrap();
        fetch(&client, &url).await.unwrap();
        let mut post = http::Request::post(&url).body("data".into()).unwrap();
        if key {
            post.headers_mut().insert("idempotency-key", "1".parse().unwrap());
        }
        let response = client.send(evidence::ExchangeId(2), post).await;
        assert_eq!(response.is_ok(), replayed, "idempotency key: {key}");
    }
}

#[tokio::test]
async fn a_peer_that_speaks_before_it_is_asked_is_told_by_what_it_says() {
    for (greeting, words) in [
        (
            "SSH-2.0-OpenSSH_9.2p1\r\n",
            "does not answer in HTTP/1.1 on connection #1: its first bytes are `SSH-2.0-OpenSSH_9.2p1`, as of SSH",
        ),
        ("HTTP/1.1 408 Request Timeout\r\n\r\n", ": it answered before it was asked"),
    ] {
        speaks_first(greeting, words).await;
    }
}

async fn speaks_first(greeting: &'static str, words: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(greeting.as_bytes()).await.unwrap();
            let _ = stream.read(&mut [0; 64]).await;
        }
    });
    for preset in Preset::ALL {
        for _ in 0..23 {
            let client = Transport::new(Config::of(preset), None).unwrap();
            let error = fetch(&client, &url).await.unwrap_err();
            assert_eq!(error.kind(), FailureKind::NotHttp, "{}: {error:?}", preset.name());
            let told = common::told(&error);
            assert!(told.ends_with(words), "{}: {told}", preset.name());
        }
    }
}
