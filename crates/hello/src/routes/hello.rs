//! `Hello world`, on every path that means nothing else.

use std::time::{Duration, Instant};

use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::Either;

use super::{ResponseBody, text, whole};
use crate::answer::Answer;
use crate::body::HelloBody;

/// The answer, once it has been waited for.
pub(super) async fn respond<B>(request: &Request<B>, defaults: &Answer) -> Response<ResponseBody> {
    match asked(request, defaults) {
        Ok(answer) => {
            if !answer.delay.is_zero() {
                wait(answer.delay).await;
            }
            of(request, &answer)
        }
        Err(refusal) => *refusal,
    }
}

/// The answer, unless it is to be waited for.
pub(super) fn respond_at_once<B>(
    request: &Request<B>,
    defaults: &Answer,
) -> Option<Response<ResponseBody>> {
    match asked(request, defaults) {
        Ok(answer) => answer.delay.is_zero().then(|| of(request, &answer)),
        Err(refusal) => Some(*refusal),
    }
}

/// What is asked of the answer, or why there is none.
fn asked<B>(
    request: &Request<B>,
    defaults: &Answer,
) -> Result<Answer, Box<Response<ResponseBody>>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "hello answers GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Err(Box::new(response));
    }
    let Some(query) = request.uri().query() else { return Ok(defaults.clone()) };
    let bad = |bad| Box::new(text(StatusCode::BAD_REQUEST, format!("{bad}\n")));
    defaults.with_query(query).map_err(bad)
}

fn of<B>(request: &Request<B>, answer: &Answer) -> Response<ResponseBody> {
    let mut response = if request.method() == Method::HEAD && request.version() == Version::HTTP_2 {
        head_of_http2(answer)
    } else {
        Response::new(Either::Left(HelloBody::new(answer)))
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if answer.close && request.version() < Version::HTTP_2 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer to HEAD in HTTP/2, where hyper would send a body. In HTTP/1.1 it takes the length
/// from the body, then lets go of it unread.
fn head_of_http2(answer: &Answer) -> Response<ResponseBody> {
    let mut response = Response::new(whole(""));
    if !answer.chunked {
        response.headers_mut().insert(CONTENT_LENGTH, answer.bytes.into());
    }
    response
}

/// tokio's timers count in whole milliseconds. What is shorter is waited for by letting everybody
/// else go first, over and over.
const COARSE: Duration = Duration::from_millis(1);

pub(super) async fn wait(time: Duration) {
    if time >= COARSE {
        return tokio::time::sleep(time).await;
    }
    let since = Instant::now();
    while since.elapsed() < time {
        tokio::task::yield_now().await;
    }
}
