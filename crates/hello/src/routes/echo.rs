//! `/echo`: what was sent, sent back.

use http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::Body;

use super::call::{Answered, Call, streamed};
use super::text;

/// The body goes back while it comes: a client that does not read soon cannot send either.
pub(super) async fn respond(call: Call<'_>) -> Answered {
    let is_read = matches!(*call.request.method(), Method::GET | Method::HEAD);
    if is_read && call.request.body().is_end_stream() {
        return Ok(text(StatusCode::OK, head(&call)));
    }
    let content_type = call.content_type().cloned();
    let mut response = Response::new(streamed(call.request.into_body()));
    let octets = HeaderValue::from_static("application/octet-stream");
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type.unwrap_or(octets));
    // What strangers have sent here shall be nothing else in a browser than what it says it is.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(response)
}

/// The request's head as hyper hands it on: field names in lower case, as HTTP/2 sends them.
fn head(call: &Call<'_>) -> Vec<u8> {
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
