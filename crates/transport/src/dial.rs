//! From a URL to an established TCP connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use evidence::{ClientAddr, ConnectionId, Ends, ExchangeId, Moment, ServerAddr};
use http::Uri;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::error::Error;
use crate::race::{self, Attempt, Winner};
use crate::rules::{Config, HttpVersion};
use crate::trace::Tracer;
use crate::wire::{ClientWire, ConnectionInfo, Record};

/// The host and port of a URL: what connections are pooled by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// A name, or an IP address without brackets.
    host: String,
    port: u16,
}

impl Target {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Error> {
        let unsupported = |because| Error::UnsupportedUrl { url: uri.to_string(), because };
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(unsupported("TLS is not spoken here, only http")),
            Some(_) => return Err(unsupported("the scheme is not http")),
            None => return Err(unsupported("it does not start with http://")),
        }
        let host = uri.host().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() {
            return Err(unsupported("it names no host"));
        }
        Ok(Self { host: host.to_owned(), port: uri.port_u16().unwrap_or(80) })
    }

    /// `127.0.0.1:8080`, `[::1]:8080`, `localhost:80`: as Go's `GetConn` tells it.
    pub(crate) fn host_port(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

/// Dials, and numbers the connections it makes.
pub(crate) struct Dialer {
    tracer: Tracer,
    timeout: Duration,
    keepalive: Option<Duration>,
    version: HttpVersion,
    dialled: AtomicU64,
    client_closing: Arc<AtomicBool>,
}

impl Dialer {
    pub(crate) fn new(config: &Config, tracer: Tracer) -> Self {
        Self {
            tracer,
            timeout: config.dial_timeout,
            keepalive: config.tcp_keepalive,
            version: config.version,
            dialled: AtomicU64::new(0),
            client_closing: Arc::default(),
        }
    }

    /// Connections that close from now on for a reason nobody gives close because of this.
    pub(crate) fn client_closes(&self) {
        self.client_closing.store(true, Ordering::Relaxed);
    }

    /// Connects to an address of `target`, whichever lets it first.
    pub(crate) async fn dial(
        &self,
        target: &Target,
        exchange: ExchangeId,
    ) -> Result<ClientWire, Error> {
        let id = ConnectionId(self.dialled.fetch_add(1, Ordering::Relaxed) + 1);
        let deadline = Instant::now() + self.timeout;
        let addresses = self.resolve(target, exchange, id, deadline).await?;
        let connect = |address, limit| self.connect(address, limit);
        let tell = |moment| self.tell(exchange, id, || moment);
        let winner = race::run(&addresses, deadline, connect, tell).await;
        let Winner { stream, client, server } =
            winner.unwrap_or_else(|| Err(no_address(target)))?;
        let info = ConnectionInfo { id, ends: Ends { client, server } };
        let closing = Arc::clone(&self.client_closing);
        let record = Record::new(info, self.version, self.tracer.clone(), closing);
        Ok(ClientWire::new(stream, Arc::new(record)))
    }

    /// The addresses of a name, in the resolver's order; an IP address is its own, without events.
    async fn resolve(
        &self,
        target: &Target,
        exchange: ExchangeId,
        id: ConnectionId,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, Error> {
        if let Ok(ip) = target.host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, target.port)]);
        }
        self.tell(exchange, id, || Moment::DnsStart { host: target.host.clone() });
        let look_up = tokio::net::lookup_host((target.host.as_str(), target.port));
        let result = match tokio::time::timeout_at(deadline, look_up).await {
            Ok(result) => result.map(Vec::from_iter),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
        };
        self.tell(exchange, id, || Moment::DnsDone {
            result: match &result {
                Ok(addresses) => Ok(addresses.iter().map(SocketAddr::ip).collect()),
                Err(error) => Err(error.to_string()),
            },
            coalesced: false,
        });
        result.map_err(|source| Error::NameNotFound { host: target.host.clone(), source })
    }

    /// Connects to one address within `limit`.
    fn connect(&self, address: SocketAddr, limit: Duration) -> Attempt<'_> {
        Box::pin(async move {
            let server = ServerAddr::new(address);
            let failed = |source| Error::Connect { server, source };
            let stream = tokio::time::timeout(limit, TcpStream::connect(address))
                .await
                .map_err(|_| Error::ConnectTimedOut { server, limit: in_milliseconds(limit) })?
                .map_err(failed)?;
            let client = ClientAddr::new(stream.local_addr().map_err(failed)?);
            self.set_options(&stream);
            Ok((stream, client))
        })
    }

    /// An option that cannot be set leaves a connection that works all the same.
    fn set_options(&self, stream: &TcpStream) {
        let _ = stream.set_nodelay(true);
        if let Some(time) = self.keepalive {
            let keepalive = TcpKeepalive::new().with_time(time).with_interval(time);
            let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
        }
    }

    fn tell(&self, exchange: ExchangeId, id: ConnectionId, moment: impl FnOnce() -> Moment) {
        self.tracer.tell(Some(exchange), Some(id), moment);
    }
}

/// A limit as it is told: what is left of 30 s after a microsecond is 30 s.
fn in_milliseconds(limit: Duration) -> Duration {
    Duration::from_millis(u64::try_from(limit.as_micros().div_ceil(1000)).unwrap_or(u64::MAX))
}

fn no_address(target: &Target) -> Error {
    let source = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    Error::NameNotFound { host: target.host.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<String, String> {
        let uri = url.parse().map_err(|e: http::uri::InvalidUri| e.to_string())?;
        Target::of(&uri).map(|t| t.host_port()).map_err(|e| e.to_string())
    }

    #[test]
    fn connections_are_pooled_by_host_and_port() {
        assert_eq!(target("http://localhost/a?b").as_deref(), Ok("localhost:80"));
        assert_eq!(target("http://127.0.0.1:8080").as_deref(), Ok("127.0.0.1:8080"));
        assert_eq!(target("http://[::1]:8080/").as_deref(), Ok("[::1]:8080"));
    }

    #[test]
    fn a_url_that_cannot_be_fetched_is_refused_with_the_reason() {
        for (url, because) in [
            ("https://localhost/", "TLS is not spoken here"),
            ("ftp://localhost/", "the scheme is not http"),
            ("/only/a/path", "does not start with http://"),
        ] {
            let error = target(url).unwrap_err();
            assert!(error.contains(because), "{error}");
        }
    }
}
