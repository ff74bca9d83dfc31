//! What the server counts, as Prometheus fetches it.

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};

use crate::metrics::{MEDIA_TYPE, Metrics};
use server::{ResponseBody, words};

/// Where they are fetched.
pub(super) const PATH: &str = "/metrics";

pub(super) fn respond<B>(request: &Request<B>, metrics: &Metrics) -> Response<ResponseBody> {
    if request.method() != Method::GET {
        return words(StatusCode::METHOD_NOT_ALLOWED, "metrics are answered to GET\n");
    }
    let mut response = words(StatusCode::OK, metrics.text());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}
