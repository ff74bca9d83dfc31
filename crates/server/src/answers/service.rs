//! The way of one request: refused or answered, at once or later, and what it means for its
//! connection.

use std::sync::Arc;
use std::time::Duration;

use evidence::ServerCloseReason;
use http::header::CONNECTION;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use hyper::body::Incoming;

use crate::answers::answering::AnswerFuture;
use crate::answers::refusal::{RequestRefusal, refusal};
use crate::answers::responder::{Responder, ResponseBody, plain_text};
use crate::bodies::request_body::RequestBody;
use crate::bodies::response_body::WatchedBody;
use crate::stream::interim::InterimSender;
use crate::watching::watch::{ConnectionWatch, RequestStart, ResponseInFlight};

/// Answers a request, once it is known whether it has to be refused.
pub(crate) fn answered<'a>(
    request: Request<Incoming>,
    responder: &Arc<dyn Responder>,
    watch: &ConnectionWatch,
    interim: Option<&'a InterimSender>,
) -> AnswerFuture<'a> {
    let RequestStart { in_flight, read_until, fault } = watch.request(&request);
    let refused = refusal(request.version(), request.headers(), fault);
    let request = request.map(|incoming| RequestBody::new(incoming, watch, read_until));
    answer(request, responder, in_flight, refused, watch, interim)
}

/// Answers at once where that takes no time, and later otherwise.
fn answer<'a>(
    request: Request<RequestBody>,
    responder: &Arc<dyn Responder>,
    in_flight: ResponseInFlight,
    refused: Option<RequestRefusal>,
    watch: &ConnectionWatch,
    interim: Option<&'a InterimSender>,
) -> AnswerFuture<'a> {
    let (is_head, version) = (request.method() == Method::HEAD, request.version());
    if let Some(refusal) = refused {
        in_flight.last_because(|| Some(ServerCloseReason::BadRequest));
        watch.refuses();
        let response = refusal.response();
        in_flight.handler_end(&response);
        return AnswerFuture::now(response.map(|body| WatchedBody::new(body, in_flight, is_head)));
    }
    in_flight.last_because(|| asked_to_close(version, request.headers()));
    in_flight.handler_start();
    if let Some(response) = responder.respond_at_once(&request) {
        return AnswerFuture::now(handed_over(response, in_flight, version, is_head));
    }
    let (responder, watch) = (Arc::clone(responder), watch.clone());
    AnswerFuture::Later(Box::pin(async move {
        let response = match watch.handler_limit() {
            None => responder.respond(request, interim).await,
            // Boxed, because few servers have such a limit.
            Some(limit) => Box::pin(within(limit, responder.respond(request, interim))).await,
        };
        if watch.has_let_go_of_a_body() && !says(response.headers(), "close") {
            // hyper reads what has come of it, or gives its connection up, before it asks here
            // again; so the head that it then writes says `Connection: close` if that is so.
            tokio::task::yield_now().await;
        }
        Ok(handed_over(response, in_flight, version, is_head))
    }))
}

/// The response is made. To HEAD it is done by that: nobody reads its body.
fn handed_over(
    response: Response<ResponseBody>,
    in_flight: ResponseInFlight,
    version: Version,
    is_head: bool,
) -> Response<WatchedBody<ResponseBody>> {
    in_flight.handler_end(&response);
    in_flight.last_because(|| {
        // To HTTP/1.0 the close is what ends a body of unknown length.
        let is_old = version < Version::HTTP_11;
        if is_old && response.body().size_hint().exact().is_none() {
            return Some(ServerCloseReason::Http10);
        }
        says(response.headers(), "close").then_some(ServerCloseReason::ServerSaidClose)
    });
    response.map(|body| WatchedBody::new(body, in_flight, is_head))
}

/// As Go's `TimeoutHandler`: what takes too long is given up, and the client is told so. The
/// connection is still good.
async fn within(
    limit: Duration,
    response: impl Future<Output = Response<ResponseBody>>,
) -> Response<ResponseBody> {
    tokio::time::timeout(limit, response).await.unwrap_or_else(|_| {
        let text = "the answer took longer than the handler's limit\n";
        plain_text(StatusCode::SERVICE_UNAVAILABLE, text)
    })
}

/// Why the connection ends after the response, if the request already decides that.
fn asked_to_close(version: Version, headers: &HeaderMap) -> Option<ServerCloseReason> {
    if version < Version::HTTP_11 && !says(headers, "keep-alive") {
        Some(ServerCloseReason::Http10)
    } else {
        says(headers, "close").then_some(ServerCloseReason::ClientSaidClose)
    }
}

/// Returns true if a head's `Connection` has this option.
fn says(headers: &HeaderMap, option: &str) -> bool {
    let values = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|it| it.trim().eq_ignore_ascii_case(option))
}
