//! What all routes have in common: the request, what they may refuse, and how an answer is asked
//! for.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use evidence::ByteCount;
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::{BodyExt, Either, LengthLimitError};

use super::table::Route;
use super::upload::Uploads;
use super::{ResponseBody, Site, failed_body, hello, text, whole};
use crate::answer::{Answer, BadQuery, parse_duration};
use crate::body::Shaped;
use crate::interim::Interim;
use crate::request_body::{RequestBody, RequestBodyError};

/// What the routes of one server share.
pub(crate) struct Desk {
    pub(super) uploads: Uploads,
    created: AtomicU64,
    begun_uploads: AtomicU64,
}

impl Desk {
    pub(crate) fn new(uploads: Uploads) -> Self {
        Self { uploads, created: AtomicU64::new(0), begun_uploads: AtomicU64::new(0) }
    }

    /// What `/json` has taken is numbered from 1, each once.
    pub(super) fn next_id(&self) -> u64 {
        self.created.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// So are uploads.
    pub(super) fn next_upload(&self) -> u64 {
        self.begun_uploads.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A request, as a route sees it.
pub(super) struct Call<'a> {
    pub(super) request: Request<RequestBody>,
    pub(super) desk: &'a Desk,
    /// The way for informational responses, where there is one: in HTTP/1.
    pub(super) interim: Option<&'a Interim>,
}

impl Call<'_> {
    /// What stands in the place of the `N` at the end of a route's path.
    pub(super) fn parameter(&self) -> &str {
        self.request.uri().path().rsplit('/').next().unwrap_or_default()
    }

    /// What the query gives for `key`, read by `read`. The last one counts, as in [`Answer`].
    pub(super) fn query<T>(
        &self,
        key: &str,
        default: T,
        read: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, BadQuery> {
        let pairs = self.request.uri().query().unwrap_or_default().split('&');
        let mut values = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let Some((_, value)) = values.rfind(|(name, _)| *name == key) else {
            return Ok(default);
        };
        read(value).map_err(|cause| BadQuery::new(key, value, cause))
    }

    /// A time in the query.
    pub(super) fn time(
        &self,
        key: &str,
        default: std::time::Duration,
    ) -> Result<std::time::Duration, BadQuery> {
        self.query(key, default, parse_duration)
    }

    pub(super) fn content_type(&self) -> Option<&HeaderValue> {
        self.request.headers().get(CONTENT_TYPE)
    }
}

/// An answer that ends the work on a request early.
pub(super) struct Refusal(Box<Response<ResponseBody>>);

impl Refusal {
    pub(super) fn new(status: StatusCode, words: impl std::fmt::Display) -> Self {
        text(status, format!("{words}\n")).into()
    }

    /// The request's body is not read to its end, so the connection has none after it.
    pub(super) fn closing(mut self) -> Self {
        close(&mut self.0);
        self
    }

    pub(super) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.0.headers_mut().insert(name, HeaderValue::from_static(value));
        self
    }
}

impl From<Response<ResponseBody>> for Refusal {
    fn from(response: Response<ResponseBody>) -> Self {
        Self(Box::new(response))
    }
}

impl From<BadQuery> for Refusal {
    fn from(bad: BadQuery) -> Self {
        Self::new(StatusCode::BAD_REQUEST, bad)
    }
}

impl From<&RequestBodyError> for Refusal {
    fn from(error: &RequestBodyError) -> Self {
        failed_body(error).into()
    }
}

/// The answer to a body that could not be read to its end, or not within `limit` bytes.
pub(super) fn body_refused(error: &(dyn Error + Send + Sync + 'static), limit: u64) -> Refusal {
    match error.downcast_ref::<RequestBodyError>() {
        Some(error) => error.into(),
        None => {
            debug_assert!(error.is::<LengthLimitError>(), "{error}");
            too_long(limit)
        }
    }
}

pub(super) fn too_long(limit: u64) -> Refusal {
    let words = format_args!("the body is longer than {}", ByteCount(limit));
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, words).closing()
}

pub(super) type Answered = Result<Response<ResponseBody>, Refusal>;

/// A body made of a route's own frames.
pub(super) fn streamed<B>(body: B) -> ResponseBody
where
    B: Body<Data = bytes::Bytes, Error = RequestBodyError> + Send + 'static,
{
    Either::Right(body.boxed_unsync())
}

/// Ends the connection after this response. HTTP/2 has no such header; see [`respond`].
pub(super) fn close(response: &mut Response<ResponseBody>) {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
}

/// Answers as `route` does, in the way the server's flags and the request's query ask for. What
/// they may ask of every route: `delay`, `pause_before_body`, `chunked` and `close`.
pub(super) async fn respond(
    route: &Route,
    request: Request<RequestBody>,
    site: &Site,
    interim: Option<&Interim>,
) -> Response<ResponseBody> {
    let version = request.version();
    let is_head = *request.method() == Method::HEAD;
    let mut response = match prepare(route, &request, &site.answer) {
        Err(Refusal(response)) => *response,
        Ok(answer) => {
            if !answer.delay.is_zero() {
                hello::wait(answer.delay).await;
            }
            let call = Call { request, desk: &site.desk, interim };
            let response = (route.respond)(call).await;
            let mut response = response.unwrap_or_else(|Refusal(response)| *response);
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
) -> Result<Answer, Refusal> {
    let method = request.method();
    if *method == Method::OPTIONS {
        let mut response = Response::new(whole(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        return Err(Refusal::from(response).with(ALLOW, route.allow));
    }
    if !route.allow.split(", ").any(|allowed| allowed == method.as_str()) {
        let words = format_args!("{} answers {}", route.path, route.allow);
        return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, words).with(ALLOW, route.allow));
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
        Either::Left(body) => streamed(Shaped::new(body, answer)),
        Either::Right(body) => streamed(Shaped::new(body, answer)),
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
