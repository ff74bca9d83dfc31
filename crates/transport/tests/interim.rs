//! Interim responses (1xx, RFC 9110 section 15.2): any number that a client can bear, and no more.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use evidence::{CloseReason, FailureKind, Moment, Observed, Preset, TraceEvent};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use transport::{Config, Error, Phase, Transport};

const HINT: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nHello world";

/// Answers each request with `hint`, `times` times or for ever, and then with `HELLO`.
async fn server(hint: String, times: Option<usize>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let hint = hint.clone();
            tokio::spawn(async move {
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                    let mut left = times.unwrap_or(usize::MAX);
                    while left > 0 && stream.write_all(hint.as_bytes()).await.is_ok() {
                        left -= 1;
                    }
                    let _ = stream.write_all(HELLO.as_bytes()).await;
                }
            });
        }
    });
    url
}

async fn fetch(client: &Transport, url: &str) -> Result<usize, Error> {
    let fetching = async {
        let response = client.get(url).await?;
        Ok(response.into_body().collect().await?.to_bytes().len())
    };
    tokio::time::timeout(Duration::from_secs(60), fetching).await.unwrap()
}

fn heard(events: &Mutex<Vec<TraceEvent>>) -> usize {
    common::count(&events.lock().unwrap(), |m| matches!(m, Moment::Got1xxResponse { .. }))
}

#[tokio::test]
async fn endless_interim_responses_end_in_a_failure_after_a_thousand() {
    for preset in Preset::ALL {
        let url = server(HINT.to_owned(), None).await;
        let events: Arc<Mutex<Vec<TraceEvent>>> = Arc::default();
        let client = common::watched(Config::of(preset), &events);
        let error = fetch(&client, &url).await.unwrap_err();
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        assert_eq!(
            common::told(&error).replace(address, "SERVER"),
            "gave up on SERVER on connection #1: more than 1000 interim responses (1xx) and no \
             final one",
        );
        assert_eq!(error.kind(), FailureKind::InterimOnly);
        assert_eq!(error.during(), Some(Phase::Head));
        assert_eq!(heard(&events), 1000, "{}", preset.name());
        let why = || {
            events.lock().unwrap().iter().find_map(|event| match &event.moment {
                Moment::ConnectionClosed { why, .. } => Some(why.clone()),
                _ => None,
            })
        };
        common::until(|| why().is_some(), "the connection to be closed").await;
        let words = "more than 1000 interim responses (1xx) and no final one".to_owned();
        assert_eq!(why(), Some(Observed::Known(CloseReason::Failed(words))), "{}", preset.name());
    }
}

#[tokio::test]
async fn a_client_that_nobody_listens_to_gives_up_after_so_many_bytes() {
    for preset in Preset::ALL {
        let long = format!("HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n", "a".repeat(30_000));
        let url = server(long, None).await;
        let client = Transport::new(Config::of(preset), None).unwrap();
        let error = fetch(&client, &url).await.unwrap_err();
        assert!(error.to_string().contains("of more than 10 MiB"), "{error}");
        assert_eq!(error.kind(), FailureKind::InterimOnly);
    }
}

#[tokio::test]
async fn every_exchange_may_have_a_thousand() {
    for preset in Preset::ALL {
        let url = server(HINT.to_owned(), Some(1000)).await;
        let events: Arc<Mutex<Vec<TraceEvent>>> = Arc::default();
        let client = common::watched(Config::of(preset), &events);
        for _ in 0..3 {
            assert_eq!(fetch(&client, &url).await.unwrap(), 11, "{}", preset.name());
        }
        assert_eq!(heard(&events), 3000);
    }
}
