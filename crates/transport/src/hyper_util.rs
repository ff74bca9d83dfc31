//! hyper-util's legacy `Client` behind the same interface: not an emulation, the real thing.
//!
//! Its pool decides in the dark: there are no hooks. Through the connector we see every dial and
//! the wire of every connection; through `capture_connection` which connection a request got.
//! Whether that had been idle, for how long, and why a connection is closed, cannot be observed.
//!
//! Nor is anything mended here: a body that `Expect: 100-continue` should keep back is sent at
//! once.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use ::hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use ::hyper_util::client::legacy::{Client, Error as LegacyError};
use ::hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use bytes::Bytes;
use evidence::{ExchangeId, Moment, Observed};
use http::{Extensions, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::body::Body;
use crate::config::Config;
#[cfg(feature = "http2")]
use crate::config::HttpVersion;
use crate::dial::dialer::Dialer;
use crate::dial::target::Target;
use crate::expect::{self, OutgoingBody};
use crate::failure::error::Error;
use crate::lock;
use crate::seen::record::Record;
use crate::seen::trace::Tracer;
use crate::seen::wire::{Carried, ClientWire};

/// hyper-util's client, watched.
pub(crate) struct HyperUtil {
    /// `None` once it is closed: dropping the client is what closes its idle connections.
    client: Mutex<Option<Client<Connector, OutgoingBody>>>,
    dialer: Arc<Dialer>,
    last_failure: LastFailure,
    tracer: Tracer,
}

/// The failure of the last dial, if it failed, and where it was to lead. In HTTP/2 requests wait
/// for a dial that another one has started, and the client tells them just that it is over.
type LastFailure = Arc<Mutex<Option<(Target, Error)>>>;

impl HyperUtil {
    pub(crate) fn new(config: &Config, dialer: Dialer) -> Self {
        let tracer = dialer.tracer().clone();
        let dialer = Arc::new(dialer);
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_idle_timeout(config.limits.idle_timeout)
            .pool_max_idle_per_host(config.limits.max_idle_per_host);
        if config.pool_timer {
            builder.pool_timer(TokioTimer::new());
        }
        #[cfg(feature = "http2")]
        builder.http2_only(config.version == HttpVersion::Http2);
        let last_failure = LastFailure::default();
        let client = builder.build(Connector {
            dialer: Arc::clone(&dialer),
            last_failure: Arc::clone(&last_failure),
        });
        Self { client: Mutex::new(Some(client)), dialer, last_failure, tracer }
    }

    pub(crate) fn close(&self) {
        self.dialer.client_closes();
        lock(&self.client).take();
    }

    pub(crate) async fn send(
        &self,
        exchange: ExchangeId,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, Error> {
        let target = self.dialer.target(request.uri())?;
        let url = request.uri().to_string();
        let client = lock(&self.client).clone();
        let client = client.ok_or(Error::TransportClosed)?;
        self.tracer
            .tell(Some(exchange), None, || Moment::GetConn { host_port: target.host_port() });
        let mut request = request;
        expect::remove_framing(request.headers_mut());
        // hyper sends a body as soon as it can, whatever the request expects.
        let mut request = expect::not_gated(request);
        let captured = Arc::new(capture_connection(&mut request));
        // The client tells which connection it has chosen before anything is written to it.
        let heard_by = Arc::clone(&captured);
        expect::hear_interim(&mut request, None, move || chosen(&heard_by));
        let call = DialCall { exchange, dial_error: Arc::default(), dialled: Arc::default() };
        let (dial_error, dialled) = (Arc::clone(&call.dial_error), Arc::clone(&call.dialled));
        let response = CALL.scope(call, client.request(request));
        let (result, record) = self.watch(exchange, &captured, response).await;
        let response = result.map_err(|error| {
            lock(&dial_error)
                .take()
                .or_else(|| self.failure_of_anothers_dial(&target, &error))
                .unwrap_or_else(|| {
                    // A server that speaks first is gone before the client has chosen it.
                    let speaks_first = |record: &Arc<Record>| record.server_speaks_something_else();
                    let dialled = lock(&dialled).take().filter(speaks_first);
                    explain(error, record.clone().or(dialled).as_deref(), url)
                })
        })?;
        let Some(record) = record else {
            let source = "the response does not tell its connection".into();
            return Err(Error::Client { url: target.host_port(), source });
        };
        let info = record.info;
        let mut response = response.map(|incoming| Body::of_hyper_util(incoming, record));
        response.extensions_mut().insert(info);
        Ok(response)
    }

    /// Waits for the response, and tells of its connection as soon as that is chosen: the client
    /// chooses while it is polled, so a look after each poll sees it before anything is written.
    async fn watch(
        &self,
        exchange: ExchangeId,
        captured: &CaptureConnection,
        response: impl Future<Output = Result<Response<Incoming>, LegacyError>>,
    ) -> (Result<Response<Incoming>, LegacyError>, Option<Arc<Record>>) {
        let mut response = std::pin::pin!(response);
        let mut record: Option<Arc<Record>> = None;
        let result = std::future::poll_fn(|cx| {
            let polled = response.as_mut().poll(cx);
            if let Some(chosen) = chosen(captured)
                // Its own retry may choose another one.
                && record.as_ref().is_none_or(|record| !Arc::ptr_eq(record, &chosen))
            {
                self.got_connection(&chosen, exchange);
                record = Some(chosen);
            }
            polled
        })
        .await;
        (result, record)
    }

    /// The failure of the dial that a request has waited for, if that is what `error` means.
    fn failure_of_anothers_dial(&self, target: &Target, error: &LegacyError) -> Option<Error> {
        let last = lock(&self.last_failure);
        let (of, failure) = last.as_ref().filter(|_| error.is_connect())?;
        if of == target { failure.of_the_same_dial() } else { None }
    }

    fn got_connection(&self, record: &Record, exchange: ExchangeId) {
        let reused = record.count_exchange();
        // Told before the claim, which may release moments that came after it.
        self.tracer.tell(Some(exchange), Some(record.info.id), || Moment::GotConn {
            client: record.info.ends.client,
            reused,
            was_idle: Observed::NotObservable,
            idle_time: Observed::NotObservable,
        });
        record.claim(exchange);
    }
}

/// The connection that the client has chosen, if it has.
fn chosen(captured: &CaptureConnection) -> Option<Arc<Record>> {
    let mut extensions = Extensions::new();
    captured.connection_metadata().as_ref()?.get_extras(&mut extensions);
    extensions.remove::<Carried>().map(|Carried(record)| record)
}

/// Returns what the client's error means; the error within is hyper's, if hyper was asked at all.
fn explain(error: LegacyError, record: Option<&Record>, url: String) -> Error {
    let within = std::error::Error::source(&error).and_then(|e| e.downcast_ref::<hyper::Error>());
    match (within, record) {
        (Some(within), Some(record)) => Error::meaning_before_head(record, within)(error.into()),
        _ => Error::Client { url, source: error.into() },
    }
}

/// Which exchange a dial is for, and where the cause goes if it fails: the client wraps a
/// connector's error so that it cannot be had back.
#[derive(Clone)]
struct DialCall {
    exchange: ExchangeId,
    dial_error: Arc<Mutex<Option<Error>>>,
    /// The connection that was dialled for it.
    dialled: Arc<Mutex<Option<Arc<Record>>>>,
}

tokio::task_local! {
    /// The client asks its connector for a connection in the task that made the request.
    static CALL: DialCall;
}

/// Our dial, as the client asks for it.
#[derive(Clone)]
struct Connector {
    dialer: Arc<Dialer>,
    last_failure: LastFailure,
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<ClientWire>;
    type Error = DialFailed;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, DialFailed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialFailed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let dialer = Arc::clone(&self.dialer);
        let last_failure = Arc::clone(&self.last_failure);
        let call = CALL.try_with(Clone::clone);
        Box::pin(async move {
            let call = call.map_err(|_| DialFailed)?;
            let dialled = async {
                let target = dialer.target(&uri)?;
                let dialled = dialer.dial(&target, call.exchange).await;
                let failure = dialled.as_ref().err().and_then(Error::of_the_same_dial);
                *lock(&last_failure) = failure.map(|failure| (target, failure));
                *lock(&call.dialled) = dialled.as_ref().ok().map(|wire| Arc::clone(&wire.record));
                dialled
            };
            dialled.await.map(TokioIo::new).map_err(|error| {
                *lock(&call.dial_error) = Some(error);
                DialFailed
            })
        })
    }
}

/// Stands for the error in [`DialCall::dial_error`].
#[derive(Debug, thiserror::Error)]
#[error("the dial failed")]
struct DialFailed;
