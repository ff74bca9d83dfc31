//! Which request is answered by what.
//!
//! | path | file |
//! |---|---|
//! | `/metrics`, if the server counts | `routes/metrics.rs` |
//! | any: `Hello world` | `routes/hello.rs` |

mod hello;
#[cfg(feature = "metrics")]
mod metrics;

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full};

use crate::answer::Answer;
use crate::body::HelloBody;
use crate::request_body::{RequestBody, RequestBodyError};

/// What the routes know of the server they belong to.
pub(crate) struct Site {
    /// How requests are answered that do not ask otherwise.
    pub(crate) answer: Answer,
    /// What it counts, if it does.
    #[cfg(feature = "metrics")]
    pub(crate) metrics: Option<Arc<crate::Metrics>>,
}

/// The plain answer, which costs no allocation, or any other.
pub(crate) type ResponseBody = Either<HelloBody, UnsyncBoxBody<Bytes, RequestBodyError>>;

/// Answers a request.
pub(crate) async fn respond(
    request: Request<RequestBody>,
    site: Arc<Site>,
) -> Response<ResponseBody> {
    match (request.uri().path(), &*site) {
        #[cfg(feature = "metrics")]
        ("/metrics", Site { metrics: Some(metrics), .. }) => metrics::respond(&request, metrics),
        _ => hello::respond(&request, &site.answer).await,
    }
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
