//! The client under study.
//!
//! Go's `http.Transport` and hyper-util's `Client` decide differently what becomes of a TCP
//! connection after an exchange. This crate re-creates Go's rules on top of hyper's own HTTP/1.1
//! connection, and puts hyper-util's real client beside it
//! behind the same interface. With the cargo feature `http2` both also speak HTTP/2, and
//! with `tls` they fetch https URLs. Whoever wants to watch passes a [`Listener`], which hears the
//! moments of Go's `net/http/httptrace`.
//!
//! | idea | file |
//! |---|---|
//! | every decision about a connection as a pure function: **change a rule here** | `rules.rs` |
//! | which of them differ from Go's: **not to be changed** | `go_judge.rs` |
//! | the limits, and all else that can be asked for | `config.rs` |
//! | one exchange after Go's rules, from `GetConn` to the response's head | `go.rs` |
//! | idle connections, and requests that wait for one | `pool.rs`, `timer.rs` |
//! | a body that gives its connection back at its end, or loses it | `body.rs`, `give_back.rs` |
//! | how far a response is read before anybody asks for its body | `read_ahead.rs` |
//! | HTTP/2: one connection for many exchanges at once | `shared.rs`, or `without_http2.rs` |
//! | a request body that waits for the server's word | `expect.rs` |
//! | from a URL to an established connection | `dial/` |
//! | what is seen of a connection, and who hears of it | `seen/` |
//! | what can go wrong, when, and what it means | `failure/` |
//! | the same exchange with hyper-util's client | `hyper_util.rs` |
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use http_body_util::BodyExt;
//! use transport::{Config, Preset, Transport};
//!
//! let server = server::Server::bind("127.0.0.1:0".parse()?, server::Answer::default())?.start();
//! let client = Transport::new(Config::of(Preset::Go), None)?;
//! let response = client.get(&format!("http://{}/", server.address())).await?;
//! assert_eq!(response.into_body().collect().await?.to_bytes(), "Hello world");
//! # Ok(()) }
//! ```

mod body;
mod config;
mod dial;
mod expect;
mod failure;
mod give_back;
mod go;
mod go_judge;
mod hyper_util;
mod pool;
mod read_ahead;
mod rules;
mod seen;
#[cfg(feature = "http2")]
mod shared;
#[cfg(not(feature = "http2"))]
#[path = "without_http2.rs"]
mod shared;
mod timer;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;

pub use body::Body;
pub use dial::dialling::{ConnectTo, Dialling, NoConnectTo};
pub use dial::given_up::GIVEN_UP;
pub use dial::keys::TlsKeys;
pub use dial::target::shown_url;
pub use seen::secrets::{NOT_SHOWN, hide_in_field, hide_in_moment};

pub use evidence::{ConnectionId, ExchangeId, Moment, Preset, TraceEvent};
pub use failure::error::Error;
pub use failure::phase::Phase;

pub use config::{Config, HttpVersion, Limits, Unsupported};
pub use dial::tls::Tls;
#[cfg(feature = "tls")]
pub use dial::tls::{TlsError, Trust};
pub use go_judge::rule_differences;
pub use rules::EarlyDrop;
pub use seen::record::ConnectionInfo;
pub use seen::trace::Listener;

/// An HTTP client with a pool of persistent connections. Clones share the pool.
#[derive(Clone)]
pub struct Transport {
    client: AnyClient,
    preset: Preset,
    speaks_tls: bool,
    next_exchange: Arc<AtomicU64>,
}

#[derive(Clone)]
enum AnyClient {
    Go(Arc<go::Go>),
    HyperUtil(Arc<hyper_util::HyperUtil>),
}

impl Transport {
    /// A client that follows `config` and tells `listener` what it does, if there is one.
    ///
    /// # Errors
    /// [`Unsupported`] if `config` asks for something that the preset's client does not have.
    pub fn new(config: Config, listener: Option<Arc<dyn Listener>>) -> Result<Self, Unsupported> {
        Self::with(config, Dialling::default(), listener)
    }

    /// The same, with connections made as `dialling` says.
    ///
    /// # Errors
    /// As [`Transport::new`].
    pub fn with(
        config: Config,
        dialling: Dialling,
        listener: Option<Arc<dyn Listener>>,
    ) -> Result<Self, Unsupported> {
        config.check()?;
        let tracer = seen::trace::Tracer::new(listener);
        let preset = config.preset;
        let speaks_tls = dialling.tls.is_some();
        let dialer = dial::dialer::Dialer::new(&config, dialling, tracer);
        let client = match preset {
            Preset::Go | Preset::Go127 => AnyClient::Go(go::Go::new(&config, dialer)),
            Preset::HyperUtil => {
                AnyClient::HyperUtil(hyper_util::HyperUtil::new(&config, dialer).into())
            }
        };
        Ok(Self { client, preset, speaks_tls, next_exchange: Arc::default() })
    }

    /// Whose rules it follows.
    #[must_use]
    pub fn preset(&self) -> Preset {
        self.preset
    }

    /// Sends a GET request for `url`. Exchanges are numbered from 1 in the order of these calls.
    ///
    /// # Errors
    /// As [`Transport::send`].
    pub async fn get(&self, url: &str) -> Result<Response<Body>, Error> {
        let number = self.next_exchange.fetch_add(1, Ordering::Relaxed) + 1;
        self.get_as(ExchangeId(number), url).await
    }

    /// Sends a GET request for `url` as the exchange of this number.
    ///
    /// # Errors
    /// As [`Transport::send`].
    pub async fn get_as(&self, exchange: ExchangeId, url: &str) -> Result<Response<Body>, Error> {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = dial::dialling::check_url(url, self.speaks_tls)?;
        self.send(exchange, request).await
    }

    /// Sends `request` for `url`, whatever its URI was, as the exchange of this number.
    ///
    /// # Errors
    /// As [`Transport::send`].
    pub async fn request_as(
        &self,
        exchange: ExchangeId,
        url: &str,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, Error> {
        *request.uri_mut() = dial::dialling::check_url(url, self.speaks_tls)?;
        self.send(exchange, request).await
    }

    /// Sends `request`, whose URI must be absolute (`http://host:port/path`), and returns once
    /// the head of the response is there. `exchange` is the number under which the listener hears
    /// of it. The response's extensions hold the [`ConnectionInfo`] of its connection.
    ///
    /// A body gets a `Content-Length`; what the request's headers say of its framing is not sent.
    /// If they say `Expect: 100-continue`, a body waits in HTTP/1.1 until the server says
    /// `100 Continue` or [`Config::expect_continue_timeout`] is over. If a final response comes
    /// first, the body is sent if the connection persists, and otherwise not at all, as in Go.
    /// With [`Preset::HyperUtil`] it is sent at once: hyper does not wait for anybody's word.
    ///
    /// Dropping the future gives the request up and closes its connection; in HTTP/2 the connection
    /// stays.
    ///
    /// # Errors
    /// [`Error`] says what was attempted, on what, and the cause.
    pub async fn send(
        &self,
        exchange: ExchangeId,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, Error> {
        match &self.client {
            AnyClient::Go(go) => go.send(exchange, request).await,
            AnyClient::HyperUtil(client) => client.send(exchange, request).await,
        }
    }

    /// Closes the idle connections and pools no others from now on. Connections whose body is
    /// still being read live until it ends. Dials whose request was given up, which go on in the
    /// background as in Go, are given up too; one that a request waits for goes on.
    pub fn close(&self) {
        match &self.client {
            AnyClient::Go(go) => go.close(),
            AnyClient::HyperUtil(client) => client.close(),
        }
    }
}

/// Reads a URL that a client made by [`Transport::new`] can fetch: absolute, and with the scheme
/// http. [`Dialling::check_url`] is for those who dial otherwise.
///
/// # Errors
/// [`Error::BadUrl`] or [`Error::UnsupportedUrl`], with the reason.
pub fn check_url(url: &str) -> Result<Uri, Error> {
    Dialling::default().check_url(url)
}

/// Locks `mutex`. A panic elsewhere leaves nothing half done behind these locks, so it does not
/// become ours.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
