//! Requests that are given up while their connection is still being made: how their dials end.

mod common;
#[path = "common/tls.rs"]
mod tls;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{count, until, watched};
use evidence::{CloseReason, ClosedBy, Moment, Observed, Preset, TraceEvent};
use tls::{Authority, client};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use transport::{Config, Transport};

type Events = Arc<Mutex<Vec<TraceEvent>>>;

/// Asks for `url` until a moment of this name is told, then for no longer; closes the client.
async fn give_up_at(name: &str, client: &Transport, url: &str, events: &Events) {
    let told = || count(&events.lock().unwrap(), |m| m.name() == name) > 0;
    tokio::select! {
        _ = client.get(url) => panic!("nobody answers"),
        () = until(told, name) => {}
    }
    client.close();
}

/// The last moments, in order.
fn moments(events: &Events, names: &[&str]) -> Vec<Moment> {
    let events = events.lock().unwrap();
    let moments = events.iter().map(|event| event.moment.clone());
    moments.filter(|moment| names.contains(&moment.name())).collect()
}

#[tokio::test]
async fn a_handshake_that_is_given_up_has_an_end_and_so_has_its_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    for preset in Preset::ALL {
        let (client, events) = client(Config::of(preset), Authority::new().trust());
        give_up_at("TLSHandshakeStart", &client, &url, &events).await;
        until(|| count(&events.lock().unwrap(), |m| m.name() == "ConnectionClosed") == 1, "an end")
            .await;
        let told = moments(&events, &["TLSHandshakeDone", "ConnectionClosed"]);
        let [done, Moment::ConnectionClosed { by, why, .. }] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(*done, Moment::TlsHandshakeDone { result: Err("given up".to_owned()) });
        let expected = (&ClosedBy::Client, &Observed::Known(CloseReason::RequestGivenUp));
        assert_eq!((by, why), expected, "{}", preset.name());
    }
}

/// A listener that takes no further connections, and what fills it.
#[cfg(target_os = "linux")]
async fn full() -> (tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut filling = Vec::new();
    let limit = Duration::from_millis(100);
    while let Ok(stream) = tokio::time::timeout(limit, TcpStream::connect(address)).await {
        filling.push(stream.unwrap());
    }
    (listener, filling)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_dial_that_is_given_up_has_an_end() {
    let (listener, _filling) = full().await;
    let server = listener.local_addr().unwrap();
    for preset in Preset::ALL {
        let events = Events::default();
        let client = watched(Config::of(preset), &events);
        give_up_at("ConnectStart", &client, &format!("http://{server}/"), &events).await;
        until(|| count(&events.lock().unwrap(), |m| m.name() == "ConnectDone") == 1, "an end")
            .await;
        let told = moments(&events, &["ConnectDone", "ConnectionClosed"]);
        let server = evidence::ServerAddr::new(server);
        let expected = [Moment::ConnectDone { server, result: Err("given up".to_owned()) }];
        assert_eq!(told, expected, "{}", preset.name());
    }
}

#[tokio::test]
async fn a_dial_goes_on_if_its_request_still_waits_when_the_client_is_closed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", listener.local_addr().unwrap());
    let (client, events) = client(Config::of(Preset::Go), Authority::new().trust());
    let asked = {
        let client = client.clone();
        tokio::spawn(async move { client.get(&url).await.map(drop) })
    };
    let started = |m: &Moment| matches!(m, Moment::TlsHandshakeStart);
    until(|| count(&events.lock().unwrap(), started) == 1, "the handshake").await;
    client.close();
    // The server's close ends it, not the client's.
    drop(listener.accept().await.unwrap());
    let told = asked.await.unwrap().unwrap_err().to_string();
    assert!(told.contains("during the handshake"), "{told}");
}
