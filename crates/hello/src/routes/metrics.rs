//! What the server counts, as Prometheus fetches it.

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};

use crate::metrics::{MEDIA_TYPE, Metrics};
use server::{ResponseBody, whole, words};

/// Where they are fetched.
pub(super) const PATH: &str = "/metrics";

pub(super) fn respond<B>(request: &Request<B>, metrics: &Metrics) -> Response<ResponseBody> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let text = "metrics are answered to GET and HEAD\n";
        let mut response = words(StatusCode::METHOD_NOT_ALLOWED, text);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let mut response = words(StatusCode::OK, metrics.text());
    if *request.method() == Method::HEAD && request.version() == Version::HTTP_2 {
        // hyper would send the body.
        response = response.map(|_| whole(""));
    }
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    response
}
