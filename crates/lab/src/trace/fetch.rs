//! One request, and the reader's way with the body of its response.

use std::time::{Duration, Instant};

use apparatus::with_causes;
use bytes::Bytes;
use evidence::{BodyPolicy, ExchangeId, Preset};
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::ext::ReasonPhrase;
use transport::{Body, Dialling, Transport};

use super::FetchAnswer;
use super::asked::{FetchPlan, redirected};
use crate::cli::Trace;

/// The reader's way with bodies.
#[derive(Clone, Copy)]
pub(super) struct BodyReader {
    policy: BodyPolicy,
    /// True if a redirect is followed as Go's `Client` does it.
    follows_as_go: bool,
}

/// The most that Go's `Client` reads of a body before it follows a redirect
/// (`maxBodySlurpSize`): a connection is worth no more.
const MOST_OF_REDIRECT: u64 = 2048;

/// How long an end that is here already may take from hyper's task to the reader.
const END_COMES_ALONG: Duration = Duration::from_millis(10);

impl BodyReader {
    pub(super) fn of(args: &Trace) -> Self {
        let follows_as_go = args.follow && args.transport.0 != Preset::HyperUtil;
        Self { policy: args.body.0, follows_as_go }
    }

    /// Reads a body to its end. Returns false if it was left before that: one that leads to another
    /// request is read only if it is small, as far as that is known.
    async fn drain(self, body: &mut Body, leads_on: bool, read: &mut u64) -> Result<bool, String> {
        let is_bounded = leads_on && self.follows_as_go;
        let has_length = body.left();
        if is_bounded && has_length.is_some_and(|length| length > MOST_OF_REDIRECT) {
            return Ok(false);
        }
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| with_causes(&error))?;
            *read += frame.data_ref().map_or(0, |data| data.len() as u64);
            if is_bounded && has_length.is_none() && *read >= MOST_OF_REDIRECT {
                // The end may have come along with the last byte that Go reads.
                let end = tokio::time::timeout(END_COMES_ALONG, body.frame());
                return Ok(*read == MOST_OF_REDIRECT && matches!(end.await, Ok(None)));
            }
        }
        Ok(true)
    }
}

/// Sends a request and deals with the body of its response. What came of it is in `answered` also
/// if it fails, or is given up, later on.
pub(super) async fn fetch(
    client: Transport,
    dialling: &Dialling,
    number: ExchangeId,
    asked: &FetchPlan,
    reader: BodyReader,
    answered: &mut Option<FetchAnswer>,
) -> Result<Option<Body>, String> {
    let mut request = Request::new(Full::new(Bytes::from(asked.data.clone())));
    *request.method_mut() = asked.method.clone();
    // What is after the `#` is for the reader (RFC 9110 section 7.1).
    let mut url = asked.url.clone();
    url.set_fragment(None);
    *request.uri_mut() = dialling.check_url(url.as_str()).map_err(|error| with_causes(&error))?;
    *request.headers_mut() = asked.headers.clone();
    let response = client.send(number, request).await.map_err(|error| with_causes(&error))?;
    let reason = reason(&response);
    let (head, mut body) = response.into_parts();
    let answered = answered.insert(FetchAnswer {
        status: head.status,
        reason,
        version: head.version,
        headers: head.headers,
        body: 0,
        body_policy: reader.policy,
        head_at: Instant::now(),
    });
    match reader.policy {
        BodyPolicy::Drain => {
            let leads_on = matches!(redirected(asked, number, answered), Ok(Some(_)));
            if !reader.drain(&mut body, leads_on, &mut answered.body).await? {
                answered.body_policy = BodyPolicy::Drop;
            }
            Ok(None)
        }
        BodyPolicy::Drop => Ok(None),
        BodyPolicy::Hold => Ok(Some(body)),
    }
}

/// The words behind the status. hyper keeps them only if they are not the usual ones; HTTP/2 has
/// none (RFC 9113 section 8.3.2).
fn reason(response: &Response<Body>) -> String {
    if response.version() == Version::HTTP_2 {
        return String::new();
    }
    match response.extensions().get::<ReasonPhrase>() {
        Some(own) => String::from_utf8_lossy(own.as_bytes()).into_owned(),
        None => response.status().canonical_reason().unwrap_or_default().to_owned(),
    }
}
