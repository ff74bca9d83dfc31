//! Which request is answered by what.
//!
//! | path | file |
//! |---|---|
//! | `/metrics`, if the server counts | `routes/metrics.rs` |
//! | any other: `Hello world` | `routes/hello.rs` |
//! | those of [`index`], with the cargo feature `routes` | `routes/table.rs`, then a file each |

mod hello;
#[cfg(feature = "metrics")]
mod metrics;

#[cfg(feature = "routes")]
mod bytes;
#[cfg(feature = "routes")]
mod call;
#[cfg(feature = "routes")]
mod chunks;
#[cfg(feature = "routes")]
mod early_hints;
#[cfg(feature = "routes")]
mod echo;
#[cfg(feature = "routes")]
mod json;
#[cfg(feature = "routes")]
mod partial_file;
#[cfg(feature = "routes")]
mod slow;
#[cfg(feature = "routes")]
mod status;
#[cfg(feature = "routes")]
mod table;
#[cfg(feature = "routes")]
mod upload;
#[cfg(feature = "routes")]
mod upload_progress;

use std::sync::Arc;

use ::bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full};

use crate::answer::Answer;
use crate::body::HelloBody;
use crate::interim::Interim;
use crate::request_body::{RequestBody, RequestBodyError};

#[cfg(feature = "routes")]
pub(crate) use call::Desk;
#[cfg(feature = "routes")]
pub use table::index;
#[cfg(feature = "routes")]
pub use upload::Uploads;
#[cfg(feature = "routes")]
pub use upload_progress::{UploadProgress, UploadState};

/// What the routes know of the server they belong to.
pub(crate) struct Site {
    /// How requests are answered that do not ask otherwise.
    pub(crate) answer: Answer,
    /// What the routes other than `Hello world` need.
    #[cfg(feature = "routes")]
    pub(crate) desk: Desk,
    /// What it counts, if it does.
    #[cfg(feature = "metrics")]
    pub(crate) metrics: Option<Arc<crate::Metrics>>,
}

/// The plain answer, which costs no allocation, or any other.
pub(crate) type ResponseBody = Either<HelloBody, UnsyncBoxBody<Bytes, RequestBodyError>>;

/// Answers a request that takes no time, so needs no future: it is for `Hello world`, nothing is
/// to be waited for, and no body is to come.
pub(crate) fn respond_at_once<B: Body>(
    request: &Request<B>,
    site: &Site,
) -> Option<Response<ResponseBody>> {
    let path = request.uri().path();
    #[cfg(feature = "metrics")]
    if path == "/metrics" && site.metrics.is_some() {
        return None;
    }
    #[cfg(feature = "routes")]
    if table::find(path).is_some() {
        return None;
    }
    let _ = path; // without those features it means nothing
    if !request.body().is_end_stream() {
        return None;
    }
    hello::respond_at_once(request, &site.answer)
}

/// Answers a request. `interim` is the way for informational responses, where there is one.
pub(crate) async fn respond(
    request: Request<RequestBody>,
    site: Arc<Site>,
    interim: Option<&Interim>,
) -> Response<ResponseBody> {
    #[cfg(feature = "metrics")]
    if let ("/metrics", Some(metrics)) = (request.uri().path(), &site.metrics) {
        return metrics::respond(&request, metrics);
    }
    #[cfg(feature = "routes")]
    if let Some(route) = table::find(request.uri().path()) {
        // Boxed, so that a connection that never asks for a route has no room set aside for it.
        return Box::pin(call::respond(route, request, &site, interim)).await;
    }
    #[cfg(not(feature = "routes"))]
    let _ = interim; // nobody has anything to send
    hello::respond(&request, &site.answer).await
}

/// A whole body that is known already.
fn whole(bytes: impl Into<Bytes>) -> ResponseBody {
    let body = Full::new(bytes.into()).map_err(|never| match never {});
    Either::Right(body.boxed_unsync())
}

/// A few words of text.
fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    response
}

/// The answer to a request whose body cannot be read to its end. There can be no next request on
/// its connection: nobody knows where it would begin.
#[cfg(feature = "routes")]
pub(crate) fn failed_body(error: &RequestBodyError) -> Response<ResponseBody> {
    let status = match error {
        RequestBodyError::Broken(_) | RequestBodyError::BrokenOff => StatusCode::BAD_REQUEST,
        RequestBodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
    };
    let mut response = text(status, format!("{error}\n"));
    call::close(&mut response);
    response
}
