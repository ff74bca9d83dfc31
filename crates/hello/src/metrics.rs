//! Counts for Prometheus, under the names of OpenTelemetry's semantic conventions for HTTP servers
//! where there are such, and under `hello_` where there are none.
//!
//! <https://opentelemetry.io/docs/specs/semconv/http/http-metrics/>

use std::sync::atomic::AtomicU64;

use evidence::ClosedBy;
use http::{Method, StatusCode, Version};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use server::{
    ConnState, ForeignProtocol, Observer, ObserverWants, ServerCloseReason, ServerEvent,
    ServerMoment,
};

/// `OpenMetrics` 1.0, which Prometheus reads as well as its own older format.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The bucket boundaries that OpenTelemetry recommends for `http.server.request.duration`, in
/// seconds.
const BUCKETS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

/// Counts what a server does. An [`Observer`]; [`Routes::metrics`](crate::Routes::metrics) lets the
/// server tell what it counts.
pub struct Metrics {
    registry: Registry,
    duration: Family<ExchangeLabels, Histogram>,
    active: Family<RequestLabels, Gauge>,
    accepted: Counter,
    open: Gauge,
    idle: Gauge,
    received: Counter<u64, AtomicU64>,
    sent: Counter<u64, AtomicU64>,
    closed: Family<CloseLabels, Counter>,
    refused: Family<RefusalLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    /// Empty, which to Prometheus is no label at all, if it was closed without an answer.
    http_response_status_code: String,
    /// What it was instead; empty if its first bytes do not tell.
    protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ExchangeLabels {
    http_request_method: &'static str,
    /// Empty, which to Prometheus is no label at all, if the client was gone before there was one.
    http_response_status_code: String,
    network_protocol_version: &'static str,
    url_scheme: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    http_request_method: &'static str,
    url_scheme: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CloseLabels {
    by: &'static str,
    reason: &'static str,
}

/// As OpenTelemetry writes it.
fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}

/// The server speaks no TLS.
const SCHEME: &str = "http";

impl Metrics {
    /// Everything at 0.
    #[must_use]
    pub fn new() -> Self {
        let duration = || Histogram::new(BUCKETS);
        let mut metrics = Self {
            registry: Registry::default(),
            duration: Family::new_with_constructor(duration),
            active: Family::default(),
            accepted: Counter::default(),
            open: Gauge::default(),
            idle: Gauge::default(),
            received: Counter::default(),
            sent: Counter::default(),
            closed: Family::default(),
            refused: Family::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register_with_unit(
            "http_server_request_duration",
            "From the head of a request to the last byte of its response being with the socket",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "http_server_active_requests",
            "Requests that are being answered, this one included",
            self.active.clone(),
        );
        registry.register(
            "hello_connections_accepted",
            "Connections that were accepted",
            self.accepted.clone(),
        );
        registry.register(
            "hello_connections_open",
            "Connections that are open, idle ones included",
            self.open.clone(),
        );
        registry.register(
            "hello_connections_idle",
            "Connections that wait for their next request",
            self.idle.clone(),
        );
        registry.register_with_unit(
            "hello_received",
            "Read from the sockets",
            Unit::Bytes,
            self.received.clone(),
        );
        registry.register_with_unit(
            "hello_sent",
            "Taken over by the sockets",
            Unit::Bytes,
            self.sent.clone(),
        );
        registry.register(
            "hello_connections_closed",
            "Connections that were closed, by who closed first and why",
            self.closed.clone(),
        );
        registry.register(
            "hello_requests_refused",
            "What came and was no request, by the answer and by the protocol that it was instead",
            self.refused.clone(),
        );
    }

    /// The counts as text, in the `OpenMetrics` format.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Observer for Metrics {
    fn event(&self, event: ServerEvent) {
        match event.moment {
            ServerMoment::Accepted => {
                self.accepted.inc();
                self.open.inc();
            }
            ServerMoment::State { from, to, .. } => {
                if from == Some(ConnState::Idle) {
                    self.idle.dec();
                }
                if to == ConnState::Idle {
                    self.idle.inc();
                }
            }
            ServerMoment::RequestHead(head) => {
                self.active.get_or_create(&RequestLabels::of(&head.method)).inc();
            }
            ServerMoment::Exchange(exchange) => {
                let request = RequestLabels::of(&exchange.method);
                self.active.get_or_create(&request).dec();
                let RequestLabels { http_request_method, url_scheme } = request;
                let status = exchange.status.as_ref().map_or("", StatusCode::as_str);
                let http_response_status_code = status.to_owned();
                let labels = ExchangeLabels {
                    http_request_method,
                    http_response_status_code,
                    network_protocol_version: version(exchange.version),
                    url_scheme,
                };
                let seconds = exchange.duration.as_secs_f64();
                self.duration.get_or_create(&labels).observe(seconds);
            }
            ServerMoment::Refused(refused) => {
                let status = refused.status.as_ref().map_or("", StatusCode::as_str);
                let labels = RefusalLabels {
                    http_response_status_code: status.to_owned(),
                    protocol: refused.protocol.map_or("", ForeignProtocol::name),
                };
                self.refused.get_or_create(&labels).inc();
            }
            ServerMoment::Received { bytes } => {
                self.received.inc_by(bytes);
            }
            ServerMoment::Sent { bytes } => {
                self.sent.inc_by(bytes);
            }
            ServerMoment::Closed { by, why, .. } => {
                self.open.dec();
                let by = match by {
                    ClosedBy::Client => "client",
                    ClosedBy::Server => "server",
                    ClosedBy::Reset => "reset",
                };
                let reason = why.map_or("unknown", ServerCloseReason::name);
                self.closed.get_or_create(&CloseLabels { by, reason }).inc();
            }
            _ => {}
        }
    }

    fn wants(&self) -> ObserverWants {
        ObserverWants { states: true, exchanges: true, traffic: true, ..ObserverWants::default() }
    }
}

impl RequestLabels {
    /// Methods that HTTP does not know are one, so that nobody can make up labels without end.
    fn of(method: &Method) -> Self {
        const KNOWN: [&str; 9] =
            ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
        let known = KNOWN.iter().find(|known| **known == method.as_str());
        let http_request_method = known.copied().unwrap_or("_OTHER");
        Self { http_request_method, url_scheme: SCHEME }
    }
}
