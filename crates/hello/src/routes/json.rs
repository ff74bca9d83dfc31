//! `/json`: takes JSON and tells what it understood.

use http::header::{ACCEPT, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use serde::Serialize;
use serde_json::Value;

use super::call::{RouteCall, RouteRefusal, RouteResult, body_refused, too_long};
use server::whole;

/// The longest body, in bytes. It lies in memory as a whole.
const LONGEST: usize = 1 << 20;

/// The media types to send, for whoever sent something else (Linked Data Platform, section 7.1).
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");

#[derive(Serialize)]
struct Created {
    /// 1, 2, 3 and so on, for as long as the server runs.
    id: u64,
    body_bytes: usize,
    /// The content of the body, written anew: of a key that was there twice, the last.
    understood: Value,
}

pub(super) async fn respond(call: RouteCall<'_>) -> RouteResult {
    if !call.content_type().is_some_and(is_json) {
        let words = "the request's Content-Type is not application/json";
        return Err(RouteRefusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words)
            .with(ACCEPT, "application/json")
            .with(ACCEPT_POST, "application/json"));
    }
    let RouteCall { request, desk, .. } = call;
    if request.body().size_hint().lower() > LONGEST as u64 {
        return Err(too_long(LONGEST as u64));
    }
    let body = Limited::new(request.into_body(), LONGEST).collect().await;
    let body = body.map_err(|error| body_refused(&*error, LONGEST as u64))?.to_bytes();
    let understood = serde_json::from_slice(&body).map_err(|error| {
        // serde_json's words end in the line and the column.
        RouteRefusal::new(StatusCode::BAD_REQUEST, format_args!("the body is no JSON: {error}"))
    })?;
    let created = Created { id: desk.next_id(), body_bytes: body.len(), understood };
    json(StatusCode::CREATED, &created)
}

/// `application/json`, or one of the types built on it (RFC 6839 section 3.1).
fn is_json(content_type: &HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// A response in JSON, with a line's end for people who read it in a terminal.
pub(super) fn json(status: StatusCode, value: &impl Serialize) -> RouteResult {
    let mut text = serde_json::to_vec(value)
        .map_err(|error| RouteRefusal::new(StatusCode::INTERNAL_SERVER_ERROR, error))?;
    text.push(b'\n');
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
