//! `Hello world`, whatever the path.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body;
use http_body_util::Either;

use crate::answers::answer::Answer;
use crate::answers::responder::{Responder, ResponseBody, ResponseFuture, close, whole, words};
use crate::bodies::hello_body::HelloBody;
use crate::bodies::request_body::RequestBody;
use crate::stream::interim::InterimSender;

/// Answers every request with `Hello world`, in the way that its query asks for.
#[derive(Clone, Debug)]
pub struct HelloWorld {
    defaults: Answer,
}

impl HelloWorld {
    /// Answers as `defaults` says where a query does not ask otherwise.
    #[must_use]
    pub fn new(defaults: Answer) -> Self {
        Self { defaults }
    }
}

impl Responder for HelloWorld {
    fn respond_at_once(&self, request: &Request<RequestBody>) -> Option<Response<ResponseBody>> {
        if !request.body().is_end_stream() {
            return None;
        }
        match asked(request, &self.defaults) {
            Ok(answer) => answer.delay.is_zero().then(|| of(request, &answer)),
            Err(refusal) => Some(*refusal),
        }
    }

    fn respond<'a>(
        self: Arc<Self>,
        request: Request<RequestBody>,
        _: Option<&'a InterimSender>,
    ) -> ResponseFuture<'a> {
        Box::pin(async move {
            match asked(&request, &self.defaults) {
                Ok(answer) => {
                    if !answer.delay.is_zero() {
                        wait(answer.delay).await;
                    }
                    of(&request, &answer)
                }
                Err(refusal) => *refusal,
            }
        })
    }
}

/// Returns what is asked of the answer, or why there is none.
fn asked<B>(
    request: &Request<B>,
    defaults: &Answer,
) -> Result<Answer, Box<Response<ResponseBody>>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = words(StatusCode::METHOD_NOT_ALLOWED, "hello answers GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Err(Box::new(response));
    }
    let Some(query) = request.uri().query() else { return Ok(defaults.clone()) };
    let bad = |bad| Box::new(words(StatusCode::BAD_REQUEST, format!("{bad}\n")));
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
        close(&mut response);
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

/// Waits for `time`, shorter than tokio's timers can if need be.
pub async fn wait(time: Duration) {
    if time >= COARSE {
        return tokio::time::sleep(time).await;
    }
    let since = Instant::now();
    while since.elapsed() < time {
        tokio::task::yield_now().await;
    }
}
