//! From a URL to an established connection, with TLS or without.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use evidence::{
    ClientAddr, CloseReason, ConnectionId, Ends, ExchangeId, Moment, Preset, ServerAddr,
};
use http::Uri;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::config::{Config, HttpVersion};
use crate::dial::dialling::Dialling;
use crate::dial::given_up::{GIVEN_UP, IfGivenUp};
use crate::dial::race::{self, AddressDial, Winner};
use crate::dial::target::Target;
use crate::dial::tls::{self, TlsFailure};
use crate::failure::error::Error;
use crate::seen::record::{ConnectionInfo, Record};
use crate::seen::trace::Tracer;
use crate::seen::wire::ClientWire;

/// Dials, and numbers the connections it makes.
pub(crate) struct Dialer {
    tracer: Tracer,
    timeout: Duration,
    keepalive: Option<Duration>,
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "Linux alone has it"))]
    user_timeout: Option<Duration>,
    version: HttpVersion,
    dialling: Dialling,
    tls: Option<tls::TlsClient>,
    dialled: AtomicU64,
    client_closing: Arc<AtomicBool>,
    /// True if bodies wait for `100 Continue`.
    bodies_wait: bool,
}

impl Dialer {
    pub(crate) fn new(config: &Config, dialling: Dialling, tracer: Tracer) -> Self {
        Self {
            tls: dialling.tls.as_ref().map(|tls| tls::TlsClient::new(tls, config.version)),
            dialling,
            tracer,
            timeout: config.dial_timeout,
            keepalive: config.tcp_keepalive,
            user_timeout: config.tcp_user_timeout,
            version: config.version,
            dialled: AtomicU64::new(0),
            client_closing: Arc::default(),
            bodies_wait: config.preset != Preset::HyperUtil,
        }
    }

    /// Returns who hears of what happens.
    pub(crate) fn tracer(&self) -> &Tracer {
        &self.tracer
    }

    /// Where `uri` leads, if connections can be made to it.
    pub(crate) fn target(&self, uri: &Uri) -> Result<Target, Error> {
        let target = Target::of(uri, self.tls.is_some())?;
        if let Some(tls) = self.tls.as_ref().filter(|_| target.tls) {
            let host = target.host.clone();
            tls.prepare().map_err(|source| Error::NoTrust { host, source })?;
        }
        Ok(target)
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
        let record = Arc::new(Record::new(info, self.tracer.clone(), closing, self.bodies_wait));
        match &self.tls {
            Some(tls) if target.tls => self.secure(tls, target, exchange, stream, record).await,
            _ => {
                record.speak(match self.version {
                    HttpVersion::Http2 => HttpVersion::Http2,
                    HttpVersion::Http1 | HttpVersion::Negotiated => HttpVersion::Http1,
                });
                Ok(ClientWire::plain(stream, record))
            }
        }
    }

    /// Puts TLS on an established connection.
    async fn secure(
        &self,
        tls: &tls::TlsClient,
        target: &Target,
        exchange: ExchangeId,
        stream: TcpStream,
        record: Arc<Record>,
    ) -> Result<ClientWire, Error> {
        let ConnectionInfo { id, ends } = record.info;
        self.tell(exchange, id, || Moment::TlsHandshakeStart);
        let given_up = || {
            let result = Err(GIVEN_UP.to_owned());
            self.tell(exchange, id, || Moment::TlsHandshakeDone { result });
        };
        let result = tls.handshake(&target.host, stream, &record, given_up).await;
        self.tell(exchange, id, || Moment::TlsHandshakeDone {
            result: match &result {
                Ok((facts, _)) => Ok(facts.clone()),
                Err(failed) => Err(failed.because.clone()),
            },
        });
        let agreed = result.and_then(|(facts, wire)| {
            let is_http2 = facts.alpn.as_deref() == Some("h2");
            if is_http2 {
                record.speak(HttpVersion::Http2);
            } else if self.version == HttpVersion::Http2 {
                return Err(TlsFailure::not_http2(wire));
            } else {
                record.speak(HttpVersion::Http1);
            }
            Ok(wire)
        });
        let wire = agreed.map_err(|TlsFailure { because, cause, wire }| {
            record.close_because(CloseReason::Tls(because.clone()));
            // Closed now that its record knows why.
            drop(wire);
            let (host, server) = (target.host.clone(), ends.server);
            Error::Tls { host, server, connection: id, because, cause }
        })?;
        Ok(ClientWire::tapped(wire, record))
    }

    /// The addresses of a name, in the resolver's order; an IP address is its own, without events.
    async fn resolve(
        &self,
        target: &Target,
        exchange: ExchangeId,
        id: ConnectionId,
        deadline: Instant,
    ) -> Result<Vec<SocketAddr>, Error> {
        let (host, port) = self.dialling.host_and_port(target);
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        self.tell(exchange, id, || Moment::DnsStart { host: host.to_owned() });
        let given_up = IfGivenUp::then(|| {
            self.tell(exchange, id, || Moment::DnsDone {
                result: Err(GIVEN_UP.to_owned()),
                coalesced: false,
            });
        });
        let look_up = tokio::net::lookup_host((host, port));
        let result = match tokio::time::timeout_at(deadline, look_up).await {
            Ok(result) => result.map(Vec::from_iter),
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")),
        };
        given_up.over();
        self.tell(exchange, id, || Moment::DnsDone {
            result: match &result {
                Ok(addresses) => Ok(addresses.iter().map(SocketAddr::ip).collect()),
                Err(error) => Err(error.to_string()),
            },
            coalesced: false,
        });
        result.map_err(|source| Error::NameNotFound { host: host.to_owned(), source })
    }

    /// Connects to one address within `limit`.
    fn connect(&self, address: SocketAddr, limit: Duration) -> AddressDial<'_> {
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
        #[cfg(target_os = "linux")]
        if self.user_timeout.is_some() {
            let _ = SockRef::from(stream).set_tcp_user_timeout(self.user_timeout);
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
