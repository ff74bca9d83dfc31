//! `/echo`: what was sent, sent back.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::call::{RouteCall, RouteRefusal, RouteResult, streamed};
use server::{RequestBody, RequestBodyError, whole, words};

/// The body goes back while it comes: a client that does not read soon cannot send either.
pub(super) async fn respond(call: RouteCall<'_>) -> RouteResult {
    let is_read = matches!(*call.request.method(), Method::GET | Method::HEAD);
    if is_read && call.request.body().is_end_stream() {
        return Ok(words(StatusCode::OK, head(&call)));
    }
    let content_type = call.content_type().cloned();
    let is_head = *call.request.method() == Method::HEAD;
    let mut body = call.request.into_body();
    // hyper says `100 Continue` when a body is asked for, but not once the final head is out: who
    // waits for that word is asked before.
    let first = match body.frame().await {
        Some(first) => Some(first.map_err(|error| RouteRefusal::from(&error))?),
        None => None,
    };
    let body = BegunBody { first, rest: body };
    // To HEAD nobody reads it, and it is let go of before the head is written, which then says
    // truly if the connection ends with it.
    let size = body.size_hint().exact();
    let body = if is_head { whole("") } else { streamed(body) };
    let mut response = Response::new(body);
    if let Some(size) = size.filter(|_| is_head) {
        response.headers_mut().insert(CONTENT_LENGTH, size.into());
    }
    let octets = HeaderValue::from_static("application/octet-stream");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(octets));
    // What strangers have sent here shall be nothing else in a browser than what it says it is.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// A body whose first frame was read already.
struct BegunBody {
    first: Option<Frame<Bytes>>,
    rest: RequestBody,
}

impl Body for BegunBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.rest.size_hint();
        if let Some(data) = self.first.as_ref().and_then(Frame::data_ref) {
            let read = data.len() as u64;
            if let Some(exact) = hint.exact() {
                hint.set_exact(exact + read);
            }
        }
        hint
    }
}

/// The request's head as hyper hands it on: field names in lower case, as HTTP/2 sends them.
fn head(call: &RouteCall<'_>) -> Vec<u8> {
    let request = &call.request;
    let line = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
    let mut head = line.into_bytes();
    for (name, value) in request.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.push(b'\n');
    }
    head
}
