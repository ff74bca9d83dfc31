//! A server, a client and everything both of them tell.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use evidence::{CloseReason, ClosedBy, ConnectionId, Moment, NotPooled, Observed, TraceEvent};
use http_body_util::BodyExt;
use server::{Answer, ServerEvent, ServerMoment};
use transport::{Config, Error, Transport};

pub struct Bench {
    pub client: Transport,
    pub url: String,
    pub server: server::RunningServer,
    events: Arc<Mutex<Vec<TraceEvent>>>,
    server_events: Arc<Mutex<Vec<ServerEvent>>>,
}

/// A connection's end, as the trace told it.
#[derive(Clone, Debug, PartialEq)]
pub struct Closed {
    pub id: ConnectionId,
    pub by: ClosedBy,
    pub why: Observed<CloseReason>,
    pub exchanges: u64,
}

pub fn answer() -> Answer {
    Answer::default()
}

impl Bench {
    pub fn new(config: Config, answer: Answer) -> Self {
        let server_events: Arc<Mutex<Vec<ServerEvent>>> = Arc::default();
        let heard = Arc::clone(&server_events);
        let server = server::Server::bind("127.0.0.1:0".parse().unwrap(), answer)
            .unwrap()
            .observed_by(Arc::new(move |event| heard.lock().unwrap().push(event)))
            .start();
        let events: Arc<Mutex<Vec<TraceEvent>>> = Arc::default();
        let client = watched(config, &events);
        let url = format!("http://{}/", server.address());
        Self { client, url, server, events, server_events }
    }

    /// Reads the body to its end; returns its size.
    pub async fn drain(&self) -> Result<usize, Error> {
        let response = self.client.get(&self.url).await?;
        Ok(response.into_body().collect().await?.to_bytes().len())
    }

    /// Lets go of the body unread.
    pub async fn drop_body(&self) {
        drop(self.client.get(&self.url).await.unwrap());
    }

    pub fn moments(&self) -> Vec<TraceEvent> {
        self.events.lock().unwrap().clone()
    }

    pub fn opened(&self) -> usize {
        count(&self.moments(), |m| matches!(m, Moment::ConnectDone { result: Ok(_), .. }))
    }

    pub fn accepted(&self) -> usize {
        let events = self.server_events.lock().unwrap();
        events.iter().filter(|e| e.moment == ServerMoment::Accepted).count()
    }

    pub fn refusals(&self) -> Vec<NotPooled> {
        self.moments()
            .into_iter()
            .filter_map(|e| match e.moment {
                Moment::PutIdleConn { refused } => refused,
                _ => None,
            })
            .collect()
    }

    pub fn closed(&self) -> Vec<Closed> {
        self.moments()
            .into_iter()
            .filter_map(|e| match e.moment {
                Moment::ConnectionClosed { by, why, exchanges, .. } => {
                    Some(Closed { id: e.connection.unwrap(), by, why, exchanges })
                }
                _ => None,
            })
            .collect()
    }

    /// Waits until `count` connections are closed, with a deadline.
    pub async fn closed_count(&self, count: usize) -> Vec<Closed> {
        until(|| self.closed().len() >= count, "connections to be closed").await;
        self.closed()
    }
}

pub fn watched(config: Config, events: &Arc<Mutex<Vec<TraceEvent>>>) -> Transport {
    let heard = Arc::clone(events);
    let listener = move |event| heard.lock().unwrap().push(event);
    Transport::new(config, Some(Arc::new(listener))).unwrap()
}

pub fn count(events: &[TraceEvent], is: impl Fn(&Moment) -> bool) -> usize {
    events.iter().filter(|event| is(&event.moment)).count()
}

/// The states of both ends, the client's first, of the connections to `port` that were told. Only
/// of those: the port may have been another server's a moment ago, whose connections linger.
#[cfg(target_os = "linux")]
pub fn states(port: u16, events: &[TraceEvent]) -> [Vec<evidence::TcpState>; 2] {
    let filter = socket_table::SocketFilter::default().server(port);
    let sockets = socket_table::snapshot(&filter).unwrap().sockets;
    let dialled = |end: std::net::SocketAddr| {
        events.iter().any(|event| match event.moment {
            Moment::ConnectDone { result: Ok(client), .. } => client.socket_addr() == end,
            _ => false,
        })
    };
    let clients = sockets.iter().filter(|end| end.peer.port() == port && dialled(end.local));
    let servers = sockets.iter().filter(|end| end.local.port() == port && dialled(end.peer));
    [clients.map(|end| end.state).collect(), servers.map(|end| end.state).collect()]
}

/// An error with its causes, as a program tells it.
pub fn told(error: &Error) -> String {
    let first: &dyn std::error::Error = error;
    let chain = std::iter::successors(Some(first), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Waits for an event with a deadline.
pub async fn until(happened: impl Fn() -> bool, what: &str) {
    let waited = tokio::time::timeout(Duration::from_secs(10), async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited in vain for {what}"));
}
