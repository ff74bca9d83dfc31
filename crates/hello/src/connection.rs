//! One connection, from accept to close.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use wire::Wire;

use crate::request_body::RequestBody;
use crate::response_body::Told;
use crate::routes::{self, ResponseBody, Site};
use crate::watch::{InFlight, Watch};

/// Serves requests until the connection ends, has been idle for too long, or until `stop` changes:
/// then it finishes the exchanges in flight and closes.
pub(crate) async fn serve(
    stream: TcpStream,
    site: Arc<Site>,
    watch: Watch,
    stop: watch::Receiver<bool>,
) {
    #[cfg_attr(not(feature = "http2"), expect(unused_mut, reason = "nobody looks ahead"))]
    let mut wire = Wire::new(stream, watch.clone());
    let service = service(site, watch.clone());
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

/// Answers the requests of one connection. Each is told of in the task that reads the connection,
/// before its answer is begun: in HTTP/2 that is another task, which may come late or never.
fn service(
    site: Arc<Site>,
    watch: Watch,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Told<ResponseBody>>,
    Error = Infallible,
    Future: Send + 'static,
> {
    service_fn(move |request| {
        let in_flight = watch.request(&request);
        answer(request, Arc::clone(&site), in_flight)
    })
}

/// The response to HEAD is done as soon as it is made: nobody reads its body.
async fn answer(
    request: Request<Incoming>,
    site: Arc<Site>,
    in_flight: InFlight,
) -> Result<Response<Told<ResponseBody>>, Infallible> {
    let is_head = request.method() == Method::HEAD;
    in_flight.handler_start();
    let response = routes::respond(request.map(RequestBody::new), site).await;
    in_flight.handler_end(&response);
    Ok(response.map(|body| Told::new(body, in_flight, is_head)))
}
