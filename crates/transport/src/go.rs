//! One exchange after Go's rules, from `GetConn` to the head of the response.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use evidence::{CloseReason, ConnectionId, ExchangeId, Moment, Observed};
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue};
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Body as _;
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};

use crate::body::Body;
use crate::config::Config;
use crate::dial::dialer::Dialer;
use crate::dial::target::Target;
use crate::expect::{self, OutgoingBody};
use crate::failure::error::Error;
use crate::failure::meaning;
use crate::give_back::GiveBack;
use crate::pool::{Checkout, Grant, Lease, Pool, PoolAnswer, WaitingRequest};
use crate::read_ahead::{Demand, ReadAhead};
use crate::rules::{self, EarlyDrop, ExchangeAttempt, RequestSays};
use crate::seen::record::Record;
use crate::seen::trace::Tracer;
use crate::shared::{SharedConnection, SharedStream, UnansweredRequest};

/// A transport with Go's rules.
pub(crate) struct Go {
    pool: Arc<Pool>,
    dialer: Dialer,
    tracer: Tracer,
    keep_alives: bool,
    idle_timeout: Option<Duration>,
    early_drop: EarlyDrop,
    expect_continue_timeout: Duration,
    closing: watch::Sender<bool>,
}

impl Go {
    pub(crate) fn new(config: &Config, dialer: Dialer) -> Arc<Self> {
        Arc::new(Self {
            pool: Pool::new(config.limits),
            tracer: dialer.tracer().clone(),
            dialer,
            keep_alives: config.limits.keep_alives,
            idle_timeout: config.limits.idle_timeout,
            early_drop: rules::early_drop(config.preset),
            expect_continue_timeout: config.expect_continue_timeout,
            closing: watch::Sender::default(),
        })
    }

    pub(crate) fn close(&self) {
        self.pool.close();
        self.closing.send_replace(true);
    }

    pub(crate) async fn send(
        self: &Arc<Self>,
        exchange: ExchangeId,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, Error> {
        let target = self.dialer.target(request.uri())?;
        let replayable = rules::is_replayable(&request);
        let for_http2 = request.clone();
        let request = self.for_the_wire(request);
        loop {
            let checkout = match self.connection(&target, exchange).await? {
                Grant::Http1(checkout) => checkout,
                Grant::Http2(stream) => match exchange_in_http2(stream, for_http2.clone()).await {
                    Some(result) => return result,
                    None => continue,
                },
            };
            let record = Arc::clone(&checkout.lease.record);
            let (from_pool, written) = (checkout.from_pool, record.requests_written());
            match self.exchange(checkout, exchange, request.clone()).await {
                Ok(response) => return Ok(response),
                Err(error) => {
                    let nothing_written = record.requests_written() == written;
                    let response_started = !nothing_written && record.response_started();
                    let attempt = ExchangeAttempt {
                        from_pool,
                        nothing_written,
                        response_started,
                        replayable,
                    };
                    if !rules::retries(attempt) {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// hyper writes the URI as it is and adds no `Host`, so both are put in place here.
    fn for_the_wire(&self, mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
        // The authority as it was typed, without user information (RFC 9112 section 3.2).
        let authority = request.uri().authority().map_or("", |authority| authority.as_str());
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let host = HeaderValue::from_str(host).ok();
        let origin_form =
            request.uri().path_and_query().cloned().map_or_else(Uri::default, Uri::from);
        *request.uri_mut() = origin_form;
        let has_no_body = request.body().is_end_stream();
        let length_is_said = has_no_body && rules::says_that_there_is_no_body(request.method());
        let headers = request.headers_mut();
        expect::remove_framing(headers);
        if let Some(host) = headers.remove(HOST).or(host) {
            // First of all, as Go has it.
            let others = std::mem::take(headers);
            headers.insert(HOST, host);
            headers.extend(others);
        }
        if length_is_said {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        if !self.keep_alives {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        request
    }

    /// An idle connection, or whichever comes first: a new one, or one that comes back.
    async fn connection(
        self: &Arc<Self>,
        target: &Target,
        exchange: ExchangeId,
    ) -> Result<Grant, Error> {
        self.tracer
            .tell(Some(exchange), None, || Moment::GetConn { host_port: target.host_port() });
        let (want, delivered) = WaitingRequest::new(target.clone(), exchange);
        let asked = Instant::now();
        let grant = match self.pool.ask(&want) {
            PoolAnswer::Granted(grant) => grant,
            PoolAnswer::Wait => {
                let grant = delivery(&self.pool, delivered).await?;
                self.tracer.tell(Some(exchange), Some(grant.record().info.id), || {
                    Moment::WaitedForSlot { waited: want.waited(asked) }
                });
                grant
            }
            PoolAnswer::WaitAndDial => {
                self.start_dial(want);
                delivery(&self.pool, delivered).await?
            }
        };
        let record = grant.record();
        let reused = record.count_exchange();
        // In HTTP/2 a connection that nobody has used yet may have lain idle all the same.
        let idle_since = grant.idle_since().filter(|_| reused || record.is_http1());
        record.claim(exchange);
        self.tracer.tell(Some(exchange), Some(record.info.id), || Moment::GotConn {
            client: record.info.ends.client,
            reused,
            was_idle: Observed::Known(idle_since.is_some()),
            idle_time: Observed::Known(idle_since.map(|since| since.elapsed())),
        });
        Ok(grant)
    }

    /// Dials in the background: the request may be served by another connection meanwhile.
    fn start_dial(self: &Arc<Self>, want: Arc<WaitingRequest>) {
        let go = Arc::clone(self);
        // Taken before the task runs: a runtime that ends first drops it all the same.
        let slot =
            ConnectionSlot { go: Arc::downgrade(self), target: want.target.clone(), id: None };
        tokio::spawn(async move {
            let dialled = tokio::select! {
                dialled = go.dial(&want, slot) => dialled,
                () = go.is_in_vain(&want) => return,
            };
            match dialled {
                Ok(DialOutcome::Http2(shared)) => go.pool.share(&shared, &want),
                Ok(DialOutcome::Http1(lease)) => {
                    let fresh = Checkout { lease, idle_since: None, from_pool: false };
                    let delivered = want.deliver(Ok(Grant::Http1(fresh)));
                    if let Err(Ok(Grant::Http1(unwanted))) = delivered {
                        // Dialled in vain; if it is refused, its record says why.
                        let _ = go.pool.put(unwanted.lease);
                    }
                }
                Err(error) => {
                    let _ = want.deliver(Err(error));
                }
            }
        });
    }

    /// Waits until nobody has any use for the connection that is dialled for `want`: until the
    /// transport is closed, and the request is over.
    async fn is_in_vain(&self, want: &WaitingRequest) {
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
        want.is_over().await;
    }

    /// Makes a connection, which holds `slot` as long as it lives.
    async fn dial(
        self: &Arc<Self>,
        want: &WaitingRequest,
        mut slot: ConnectionSlot,
    ) -> Result<DialOutcome, Error> {
        let io = self.dialer.dial(&want.target, want.exchange).await?;
        let record = Arc::clone(&io.record);
        slot.id = Some(record.info.id);
        if !record.is_http1() {
            return SharedConnection::start(io, slot, self.idle_timeout)
                .await
                .map(DialOutcome::Http2);
        }
        let demand = Arc::new(Demand::default());
        let io = ReadAhead::new(io, Arc::clone(&demand));
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
            .await
            .map_err(|error| Error::before_head(&record, error))?;
        let lease = Lease {
            sender,
            record: Arc::clone(&record),
            target: want.target.clone(),
            demand: Arc::clone(&demand),
        };
        tokio::spawn(async move {
            drive(connection, &record, &demand).await;
            drop(slot);
        });
        Ok(DialOutcome::Http1(lease))
    }

    /// Sends the request and waits for the head of the response.
    async fn exchange(
        self: &Arc<Self>,
        checkout: Checkout,
        exchange: ExchangeId,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Body>, Error> {
        let Checkout { mut lease, .. } = checkout;
        let record = Arc::clone(&lease.record);
        let head_only = request.method() == http::Method::HEAD;
        let asked = RequestSays::by(&request);
        let (mut request, gate) = expect::gated(request, self.expect_continue_timeout);
        let heard_by = Arc::clone(&record);
        expect::hear_interim(&mut request, gate.as_ref(), move || Some(Arc::clone(&heard_by)));
        record.head_is_awaited();
        lease.demand.response(asked.answered_method());
        let mut response = match lease.sender.send_request(request).await {
            Ok(response) => response,
            Err(error) => {
                let error = Error::before_head(&record, error);
                lease.close(error.reason());
                return Err(error);
            }
        };
        if response.version() == http::Version::HTTP_11 {
            *response.version_mut() = lease.demand.version();
        }
        let fate = rules::persistence(asked, &response, self.keep_alives);
        if let Err(refused) = fate {
            // Known from now on; the server may close before the reader has come to the end.
            record.close_because(CloseReason::NotPooled(refused));
        }
        record.head_is_read();
        let withheld = gate.and_then(|gate| gate.decide(fate, &record));
        let give_back = GiveBack {
            lease,
            fate,
            exchange,
            pool: Arc::clone(&self.pool),
            tracer: self.tracer.clone(),
            runtime: Handle::current(),
            _withheld: withheld,
        };
        let no_body = head_only || response.body().is_end_stream();
        let (head, incoming) = response.into_parts();
        let body = if no_body {
            // Nothing is left to read, so the caller need not be waited for.
            Body::given_back(give_back).await
        } else {
            Body::of_go(incoming, give_back, self.early_drop)
        };
        let mut response = Response::from_parts(head, body);
        response.extensions_mut().insert(record.info);
        Ok(response)
    }
}

/// The result of a dial.
enum DialOutcome {
    Http1(Lease),
    Http2(Arc<SharedConnection>),
}

/// Sends the request on a stream of its own; `None` if it is to be sent again on another
/// connection, because this one has never taken it.
async fn exchange_in_http2(
    stream: SharedStream,
    request: Request<Full<Bytes>>,
) -> Option<Result<Response<Body>, Error>> {
    let (record, from_pool) = (Arc::clone(stream.record()), stream.from_pool);
    match stream.send(request).await {
        Ok((response, stream)) => {
            let mut response = response.map(|incoming| Body::of_stream(incoming, stream));
            response.extensions_mut().insert(record.info);
            Some(Ok(response))
        }
        Err(UnansweredRequest { error, unprocessed: nothing_written }) => {
            let attempt = ExchangeAttempt {
                from_pool,
                nothing_written,
                response_started: false,
                // What the server may have seen, Go sends only once in HTTP/2.
                replayable: false,
            };
            let again = rules::retries(attempt);
            (!again).then(|| Err(Error::before_head(&record, error)))
        }
    }
}

/// A place among the connections that a host may have, from the dial to the close. However it
/// comes to an end, the next request in line may dial.
struct ConnectionSlot {
    go: Weak<Go>,
    target: Target,
    id: Option<ConnectionId>,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let Some(go) = self.go.upgrade() else { return };
        let next = go.pool.gone(&self.target, self.id);
        if let (Some(want), Ok(_)) = (next, Handle::try_current()) {
            go.start_dial(want);
        }
    }
}

/// Runs a connection to its end, or until it is given up. The wire is dropped here, after the
/// reason is known.
async fn drive<T>(
    connection: hyper::client::conn::http1::Connection<T, OutgoingBody>,
    record: &Record,
    demand: &Demand,
) where
    T: hyper::rt::Read + hyper::rt::Write + Unpin,
{
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        // First of all, or hyper would see that nobody listens any more, and say goodbye.
        biased;
        () = demand.given_up() => return,
        result = connection.as_mut() => result,
    };
    if let Err(error) = result
        && meaning::is_the_peers_fault(&error)
    {
        record.close_because(match Error::before_head(record, error) {
            // Nobody waits for a response, so nothing else is wrong with it.
            Error::Exchange { .. } => {
                CloseReason::Malformed("bytes came that belong to no response".to_owned())
            }
            error => error.reason(),
        });
    }
}

/// Waits for a delivery. If the request is given up while it waits, a connection that was
/// delivered all the same goes back to the pool.
async fn delivery(
    pool: &Arc<Pool>,
    delivered: oneshot::Receiver<Result<Grant, Error>>,
) -> Result<Grant, Error> {
    let mut waiting = PendingDelivery { pool: Arc::clone(pool), delivered };
    (&mut waiting.delivered).await.unwrap_or(Err(Error::TransportClosed))
}

struct PendingDelivery {
    pool: Arc<Pool>,
    delivered: oneshot::Receiver<Result<Grant, Error>>,
}

impl Drop for PendingDelivery {
    fn drop(&mut self) {
        self.delivered.close();
        if let Ok(Ok(Grant::Http1(checkout))) = self.delivered.try_recv() {
            let _ = self.pool.put(checkout.lease);
        }
    }
}
