//! Who answers requests: the one thing that a server does not decide by itself.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Either, Full};

use crate::bodies::hello_body::HelloBody;
use crate::bodies::request_body::{RequestBody, RequestBodyError};
use crate::stream::interim::InterimSender;

/// The body of a response: the plain answer, which costs no allocation, or any other.
pub type ResponseBody = Either<HelloBody, UnsyncBoxBody<Bytes, RequestBodyError>>;

/// A response that is being made.
pub type ResponseFuture<'a> = Pin<Box<dyn Future<Output = Response<ResponseBody>> + Send + 'a>>;

/// Makes the response to each request of a server. Limits, refusals of what is no request, and
/// whatever is told of connections are the server's own; a responder need not know of them.
pub trait Responder: Send + Sync + 'static {
    /// Returns the response, if there is nothing to wait for and no body to be read; `None` if
    /// [`respond`](Self::respond) is to be asked. What is answered here costs no future, and lets
    /// hyper reuse its buffer at once.
    fn respond_at_once(&self, request: &Request<RequestBody>) -> Option<Response<ResponseBody>>;

    /// Makes the response. `interim` is the way for informational responses (1xx), where there is
    /// one: in HTTP/1.
    fn respond<'a>(
        self: Arc<Self>,
        request: Request<RequestBody>,
        interim: Option<&'a InterimSender>,
    ) -> ResponseFuture<'a>;
}

/// Returns a whole body that is known already.
#[must_use]
pub fn whole(bytes: impl Into<Bytes>) -> ResponseBody {
    let body = Full::new(bytes.into()).map_err(|never| match never {});
    Either::Right(body.boxed_unsync())
}

/// Returns a response of a few words, of which nothing is said but the status.
#[must_use]
pub fn words(status: StatusCode, text: impl Into<Bytes>) -> Response<ResponseBody> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    response
}

/// Lets `response` say `Connection: close`, so that it ends its connection.
pub fn close(response: &mut Response<ResponseBody>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Returns a response of a few words in plain text.
pub(crate) fn plain_text(status: StatusCode, text: &'static str) -> Response<ResponseBody> {
    let mut response = words(status, text);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
