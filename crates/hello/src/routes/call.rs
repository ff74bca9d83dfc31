//! What all routes have in common: the request, what they may refuse, and how an answer is asked
//! for.

use std::error::Error;

use evidence::ByteCount;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Either, LengthLimitError};
use program::args::time;
use server::{BadQuery, InterimSender, RequestBody, RequestBodyError, ResponseBody, close, words};

use super::desk::Desk;

/// A request, as a route sees it.
pub(super) struct RouteCall<'a> {
    pub(super) request: Request<RequestBody>,
    pub(super) desk: &'a Desk,
    /// The way for informational responses, where there is one: in HTTP/1.
    pub(super) interim: Option<&'a InterimSender>,
}

impl RouteCall<'_> {
    /// Returns what stands in the place of the `N` at the end of a route's path.
    pub(super) fn parameter(&self) -> &str {
        self.request.uri().path().rsplit('/').next().unwrap_or_default()
    }

    /// Returns what the query gives for `key`, read by `read`. The last one counts, as in
    /// [`Answer`].
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
        self.query(key, default, time)
    }

    pub(super) fn content_type(&self) -> Option<&HeaderValue> {
        self.request.headers().get(CONTENT_TYPE)
    }
}

/// An answer that ends the work on a request early.
pub(super) struct RouteRefusal(pub(super) Box<Response<ResponseBody>>);

impl RouteRefusal {
    pub(super) fn new(status: StatusCode, text: impl std::fmt::Display) -> Self {
        words(status, format!("{text}\n")).into()
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

impl From<Response<ResponseBody>> for RouteRefusal {
    fn from(response: Response<ResponseBody>) -> Self {
        Self(Box::new(response))
    }
}

impl From<BadQuery> for RouteRefusal {
    fn from(bad: BadQuery) -> Self {
        Self::new(StatusCode::BAD_REQUEST, bad)
    }
}

impl From<&RequestBodyError> for RouteRefusal {
    fn from(error: &RequestBodyError) -> Self {
        failed_body(error).into()
    }
}

/// The answer to a body that could not be read to its end, or not within `limit` bytes.
pub(super) fn body_refused(
    error: &(dyn Error + Send + Sync + 'static),
    limit: u64,
) -> RouteRefusal {
    match error.downcast_ref::<RequestBodyError>() {
        Some(error) => error.into(),
        None => {
            debug_assert!(error.is::<LengthLimitError>(), "{error}");
            too_long(limit)
        }
    }
}

pub(super) fn too_long(limit: u64) -> RouteRefusal {
    let words = format_args!("the body is longer than {}", ByteCount(limit));
    RouteRefusal::new(StatusCode::PAYLOAD_TOO_LARGE, words).closing()
}

pub(super) type RouteResult = Result<Response<ResponseBody>, RouteRefusal>;

/// A body made of a route's own frames.
pub(super) fn streamed<B>(body: B) -> ResponseBody
where
    B: Body<Data = bytes::Bytes, Error = RequestBodyError> + Send + 'static,
{
    Either::Right(body.boxed_unsync())
}

/// Returns the answer to a request whose body cannot be read to its end. There can be no next
/// request on its connection: nobody knows where it would begin.
fn failed_body(error: &RequestBodyError) -> Response<ResponseBody> {
    let status = match error {
        RequestBodyError::Broken(_) | RequestBodyError::Malformed | RequestBodyError::BrokenOff => {
            StatusCode::BAD_REQUEST
        }
        RequestBodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
    };
    let mut response = words(status, format!("{error}\n"));
    close(&mut response);
    response
}
