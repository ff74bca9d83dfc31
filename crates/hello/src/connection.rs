//! One connection, from accept to close.

#[cfg(feature = "http2")]
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
#[cfg(feature = "http2")]
use hyper::service::Service;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use wire::Wire;

use crate::answering::Answering;
use crate::close_reason::CloseReason;
use crate::interim::Interim;
use crate::linger::Lingering;
use crate::refusal::{self, MAX_HEAD, Refusal, refusal};
use crate::request_body::RequestBody;
use crate::response_body::Told;
use crate::routes::{self, ResponseBody, Site};
use crate::watch::{Begun, InFlight, Watch};

/// Serves requests until the connection ends, a limit has passed, or until `stop` changes: then it
/// finishes the exchanges in flight and closes.
///
/// A block instead of an `async fn`, whose future would keep room for its arguments twice.
pub(crate) fn serve(
    stream: TcpStream,
    site: Arc<Site>,
    watch: Watch,
    mut stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send {
    #[cfg_attr(not(feature = "http2"), expect(unused_mut, reason = "nobody looks ahead"))]
    let mut wire = Wire::new(stream, watch.ear());
    async move {
        #[cfg(feature = "http2")]
        {
            let is_http2 = tokio::select! {
                biased;
                is_http2 = crate::http2::begins_with_preface(&mut wire) => is_http2,
                () = until_stopped(&mut stop) => {
                    watch.stops(); // not a request has come
                    return wire.take(); // and none shall be answered with a reset
                }
                reason = watch.ran_out() => {
                    watch.because(reason);
                    return wire.take();
                }
            };
            match is_http2 {
                Ok(false) => {}
                // Boxed, because most connections never need the room.
                Ok(true) => {
                    let service = service(site, watch.clone());
                    return Box::pin(crate::http2::serve(wire, service, watch, stop)).await;
                }
                Err(_) => return, // reset already; the wire tells
            }
        }
        let interim = Interim::default();
        let service = {
            let (watch, interim) = (watch.clone(), &interim);
            service_fn(move |request| asked(request, &site, &watch, Some(interim)))
        };
        // The clock keeps the time. hyper's own limit on a head would limit an idle connection, too.
        let wire = interim.over(Lingering::new(wire, watch.clone()));
        // Pinned here and lent, because a task keeps room for every place its values move through.
        let connection = std::pin::pin!(
            http1::Builder::new()
                .header_read_timeout(None)
                .max_header_size(MAX_HEAD)
                .serve_connection(TokioIo::new(wire), service)
        );
        run(connection, http1::Connection::graceful_shutdown, &watch, &mut stop).await;
    }
}

/// Runs a connection to its end, which comes soon after a stop, and when a limit has passed.
///
/// A client that drops a body early ends it with an error. That is what the lab sets out to show,
/// not a fault of the server; the wire has told how it ended.
#[expect(clippy::manual_async_fn, reason = "it is smaller: one for each connection")]
pub(crate) fn run<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    graceful_shutdown: fn(Pin<&mut C>),
    watch: &Watch,
    stop: &mut watch::Receiver<bool>,
) -> impl Future<Output = ()> {
    async move {
        tokio::select! {
            // In this order a request that has come in time is read before its time is looked at.
            biased;
            end = connection.as_mut() => return note_error(watch, &end),
            () = until_stopped(stop) => if watch.stops() {
                // Half a head is no request, and hyper would wait for the other half.
                return;
            },
            reason = watch.ran_out() => if !watch.ends(reason) {
                return;
            }
        }
        graceful_shutdown(connection.as_mut());
        // A client of HTTP/2 is to acknowledge the end. One that does not is given as long again.
        watch.restart();
        tokio::select! {
            biased;
            end = connection => note_error(watch, &end),
            reason = watch.ran_out() => watch.because(reason),
        }
    }
}

/// Of what the wire and the bodies have not told of, hyper's error is the only witness.
fn note_error(watch: &Watch, end: &hyper::Result<()>) {
    match end {
        Err(error) if error.is_parse() => watch.because(CloseReason::BadRequest),
        Err(error) if error.is_user() => watch.because(CloseReason::Error),
        // That the client has gone is known before; what else ends HTTP/2 is a breach of its rules.
        Err(_) if watch.speaks_http2() => watch.because(CloseReason::BadRequest),
        _ => {}
    }
}

/// Waits for the server to be stopped, or dropped.
pub(crate) async fn until_stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Answers the requests of one HTTP/2 connection. Each is told of in the task that reads the connection,
/// before its answer is begun: in HTTP/2 that is another task, which may come late or never.
#[cfg(feature = "http2")]
fn service(
    site: Arc<Site>,
    watch: Watch,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Told<ResponseBody>>,
    Error = Infallible,
    Future: Send + 'static,
> {
    service_fn(move |request| asked(request, &site, &watch, None))
}

/// Answers a request, once it is known whether it has to be refused.
fn asked<'a>(
    request: Request<Incoming>,
    site: &Arc<Site>,
    watch: &Watch,
    interim: Option<&'a Interim>,
) -> Answering<'a> {
    let Begun { in_flight, read_until, two_lengths } = watch.request(&request);
    let refused = refusal(request.version(), request.headers(), two_lengths);
    let request = request.map(|incoming| RequestBody::new(incoming, watch, read_until));
    answer(request, site, in_flight, refused, watch.handler_limit(), interim)
}

/// Answers at once where that takes no time, and later otherwise.
fn answer<'a>(
    request: Request<RequestBody>,
    site: &Arc<Site>,
    in_flight: InFlight,
    refused: Option<Refusal>,
    limit: Option<Duration>,
    interim: Option<&'a Interim>,
) -> Answering<'a> {
    let (is_head, version) = (request.method() == Method::HEAD, request.version());
    if let Some(refusal) = refused {
        in_flight.last_because(|| Some(CloseReason::BadRequest));
        let response = refusal.response();
        in_flight.handler_end(&response);
        return Answering::now(response.map(|body| Told::new(body, in_flight, is_head)));
    }
    in_flight.last_because(|| asked_to_close(version, request.headers()));
    in_flight.handler_start();
    if let Some(response) = routes::respond_at_once(&request, site) {
        return Answering::now(answered(response, in_flight, version, is_head));
    }
    let site = Arc::clone(site);
    Answering::Later(Box::pin(async move {
        let response = match limit {
            None => routes::respond(request, site, interim).await,
            // Boxed, because few servers have such a limit.
            Some(limit) => Box::pin(within(limit, routes::respond(request, site, interim))).await,
        };
        Ok(answered(response, in_flight, version, is_head))
    }))
}

/// The response is made. To HEAD it is done by that: nobody reads its body.
fn answered(
    response: Response<ResponseBody>,
    in_flight: InFlight,
    version: Version,
    is_head: bool,
) -> Response<Told<ResponseBody>> {
    in_flight.handler_end(&response);
    in_flight.last_because(|| {
        // To HTTP/1.0 the close is what ends a body of unknown length.
        let is_old = version < Version::HTTP_11;
        if is_old && response.body().size_hint().exact().is_none() {
            return Some(CloseReason::Http10);
        }
        says(response.headers(), "close").then_some(CloseReason::ServerSaidClose)
    });
    response.map(|body| Told::new(body, in_flight, is_head))
}

/// As Go's `TimeoutHandler`: what takes too long is given up, and the client is told so. The
/// connection is still good.
async fn within(
    limit: Duration,
    response: impl Future<Output = Response<ResponseBody>>,
) -> Response<ResponseBody> {
    tokio::time::timeout(limit, response).await.unwrap_or_else(|_| {
        let text = "the answer took longer than the handler's limit\n";
        refusal::text_response(StatusCode::SERVICE_UNAVAILABLE, text)
    })
}

/// Why the connection ends after the response, if the request already decides that.
fn asked_to_close(version: Version, headers: &HeaderMap) -> Option<CloseReason> {
    if version < Version::HTTP_11 && !says(headers, "keep-alive") {
        Some(CloseReason::Http10)
    } else {
        says(headers, "close").then_some(CloseReason::ClientSaidClose)
    }
}

/// Whether a head's `Connection` has this option.
fn says(headers: &HeaderMap, option: &str) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|it| it.trim().eq_ignore_ascii_case(option))
}
