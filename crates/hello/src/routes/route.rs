//! A path that means something, and what all such paths have in common: methods, and what may be
//! asked of every answer.

use std::pin::Pin;

use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::Either;
use server::{Answer, InterimSender, RequestBody, ResponseBody, close, wait, whole};

use super::call::{RouteCall, RouteRefusal, RouteResult, streamed};
use super::desk::Desk;
use super::shaped::ShapedBody;

/// A path that means something.
pub(super) struct Route {
    /// The path; an `N` at its end stands for anything without a slash.
    pub(super) path: &'static str,
    /// The methods, as the field `Allow` lists them.
    pub(super) allow: &'static str,
    /// A few words for people about what it does.
    pub(super) about: &'static str,
    pub(super) respond:
        for<'a> fn(RouteCall<'a>) -> Pin<Box<dyn Future<Output = RouteResult> + Send + 'a>>,
}

impl Route {
    /// Returns true if `path` is this one.
    pub(super) fn has(&self, path: &str) -> bool {
        match self.path.strip_suffix('N') {
            None => path == self.path,
            Some(start) => path.strip_prefix(start).is_some_and(|rest| !rest.contains('/')),
        }
    }
}

/// Answers as `route` does, in the way the server's flags and the request's query ask for. What
/// they may ask of every route: `delay`, `pause_before_body`, `chunked` and `close`.
pub(super) async fn respond(
    route: &Route,
    request: Request<RequestBody>,
    defaults: &Answer,
    desk: &Desk,
    interim: Option<&InterimSender>,
) -> Response<ResponseBody> {
    let version = request.version();
    let is_head = *request.method() == Method::HEAD;
    let mut response = match prepare(route, &request, defaults) {
        Err(RouteRefusal(response)) => *response,
        Ok(answer) => {
            if !answer.delay.is_zero() {
                wait(answer.delay).await;
            }
            let call = RouteCall { request, desk, interim };
            let response = (route.respond)(call).await;
            let mut response = response.unwrap_or_else(|RouteRefusal(response)| *response);
            if answer.close {
                close(&mut response);
            }
            shaped(response, &answer)
        }
    };
    // Words for people, unless a route said otherwise.
    if !response.body().is_end_stream() && !response.headers().contains_key(CONTENT_TYPE) {
        let words = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, words);
    }
    if version >= Version::HTTP_2 {
        response.headers_mut().remove(CONNECTION);
        if is_head {
            response = headless(response);
        }
    }
    response
}

/// The answer asked for, if this method is one of the route's.
fn prepare(
    route: &Route,
    request: &Request<RequestBody>,
    defaults: &Answer,
) -> Result<Answer, RouteRefusal> {
    let method = request.method();
    if *method == Method::OPTIONS {
        let mut response = Response::new(whole(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Err(RouteRefusal::from(response).with(ALLOW, route.allow));
    }
    if !route.allow.split(", ").any(|allowed| allowed == method.as_str()) {
        let words = format_args!("{} answers {}", route.path, route.allow);
        return Err(
            RouteRefusal::new(StatusCode::METHOD_NOT_ALLOWED, words).with(ALLOW, route.allow)
        );
    }
    match request.uri().query() {
        None => Ok(defaults.clone()),
        Some(query) => Ok(defaults.with_query(query)?),
    }
}

/// Leaves a body alone of which nothing special is asked.
fn shaped(response: Response<ResponseBody>, answer: &Answer) -> Response<ResponseBody> {
    let has_no_body = matches!(
        response.status(),
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    if has_no_body || (answer.pause_before_body.is_zero() && !answer.chunked) {
        return response;
    }
    response.map(|body| match body {
        Either::Left(body) => streamed(ShapedBody::new(body, answer)),
        Either::Right(body) => streamed(ShapedBody::new(body, answer)),
    })
}

/// The answer to HEAD in HTTP/2, where hyper would send a body.
fn headless(response: Response<ResponseBody>) -> Response<ResponseBody> {
    let size = response.body().size_hint().exact();
    let mut response = response.map(|_| whole(""));
    if let Some(size) = size {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| size.into());
    }
    response
}
