//! One connection, from accept to close.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use wire::Wire;

use crate::answer::Answer;
use crate::body::HelloBody;
use crate::watch::{InFlight, Watch};

/// Serves requests until the connection ends, has been idle for too long, or until `stop` changes:
/// then it finishes the exchanges in flight and closes.
pub(crate) async fn serve(
    stream: TcpStream,
    answer: Arc<Answer>,
    watch: Watch,
    stop: watch::Receiver<bool>,
) {
    #[cfg_attr(not(feature = "http2"), expect(unused_mut, reason = "nobody looks ahead"))]
    let mut wire = Wire::new(stream, watch.clone());
    let service = service(answer, watch.clone());
    #[cfg(feature = "http2")]
    {
        let mut stop = stop.clone();
        let is_http2 = tokio::select! {
            biased;
            is_http2 = crate::http2::begins_with_preface(&mut wire) => is_http2,
            () = until_stopped(&mut stop) => return, // not a request has come
        };
        match is_http2 {
            Ok(false) => {}
            // Boxed, because most connections never need the room.
            Ok(true) => return Box::pin(crate::http2::serve(wire, service, watch, stop)).await,
            Err(_) => return, // reset already; the wire tells
        }
    }
    // Without a timer hyper has no limit on an idle connection, which is what the client's own
    // idle rules are to be seen against: the server never closes first unless it is asked to.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(wire), service);
    run(connection, http1::Connection::graceful_shutdown, watch, stop).await;
}

/// Runs a connection to its end, which comes soon after a stop or an idle timeout.
///
/// A client that drops a body early ends it with an error. That is what the lab sets out to show,
/// not a fault of the server; the wire has told how it ended.
pub(crate) async fn run<C: Future>(
    connection: C,
    graceful_shutdown: fn(Pin<&mut C>),
    watch: Watch,
    mut stop: watch::Receiver<bool>,
) {
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // In this order a request that has come in time is read before its time is looked at.
        biased;
        _ = connection.as_mut() => return,
        () = until_stopped(&mut stop) => {}
        () = watch.idle_too_long() => {}
    }
    graceful_shutdown(connection.as_mut());
    // A client of HTTP/2 is to acknowledge the end. One that does not is given as long again.
    if let Some(clock) = &watch.idle {
        clock.restart();
    }
    tokio::select! {
        biased;
        _ = connection => {}
        () = watch.idle_too_long() => {}
    }
}

/// Waits for the server to be stopped, or dropped.
pub(crate) async fn until_stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

pub(crate) type ResponseBody = Either<HelloBody, Full<Bytes>>;

/// Answers the requests of one connection. Each is told of in the task that reads the connection,
/// before its answer is begun: in HTTP/2 that is another task, which may come late or never.
fn service(
    answer: Arc<Answer>,
    watch: Watch,
) -> impl Service<
    Request<Incoming>,
    Response = Response<ResponseBody>,
    Error = Infallible,
    Future: Send + 'static,
> {
    service_fn(move |request| respond(request, Arc::clone(&answer), watch.request()))
}

async fn respond(
    request: Request<Incoming>,
    defaults: Arc<Answer>,
    in_flight: InFlight,
) -> Result<Response<ResponseBody>, Infallible> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "hello answers GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(finish(response, in_flight));
    }
    let answer = match request.uri().query().map(|query| defaults.with_query(query)) {
        None => Answer::clone(&defaults),
        Some(Ok(answer)) => answer,
        Some(Err(bad)) => {
            return Ok(finish(plain(StatusCode::BAD_REQUEST, format!("{bad}\n")), in_flight));
        }
    };
    if !answer.delay.is_zero() {
        wait(answer.delay).await;
    }
    let mut response = if request.method() == Method::HEAD {
        head_only(&answer, request.version(), in_flight)
    } else {
        Response::new(Either::Left(HelloBody::new(&answer, Some(in_flight))))
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if answer.close && request.version() < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// The answer to HEAD, which is done as soon as it is made. In HTTP/1.1 hyper takes the length from
/// the body, then lets go of it unread; in HTTP/2 it would send it.
fn head_only(answer: &Answer, version: Version, in_flight: InFlight) -> Response<ResponseBody> {
    in_flight.complete();
    if version < Version::HTTP_2 {
        return Response::new(Either::Left(HelloBody::new(answer, None)));
    }
    let mut response = Response::new(Either::Right(Full::default()));
    if !answer.chunked {
        response.headers_mut().insert(CONTENT_LENGTH, answer.bytes.into());
    }
    response
}

/// tokio's timers count in whole milliseconds. What is shorter is waited for by letting everybody
/// else go first, over and over.
const COARSE: Duration = Duration::from_millis(1);

async fn wait(time: Duration) {
    if time >= COARSE {
        return tokio::time::sleep(time).await;
    }
    let since = Instant::now();
    while since.elapsed() < time {
        tokio::task::yield_now().await;
    }
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

/// A refusal is done as soon as it is made: its few bytes go out with the head.
fn finish(response: Response<Full<Bytes>>, in_flight: InFlight) -> Response<ResponseBody> {
    in_flight.complete();
    response.map(Either::Right)
}
