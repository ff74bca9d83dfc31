//! The client under study: ours, or another program that can be told what to do.

use std::pin::Pin;
use std::sync::{Mutex, OnceLock};

use bytes::Bytes;
use evidence::{
    BodyPolicy, BodySeen, ConnectionFields, ExchangeId, Failure, Preset, RuleDifference,
};
use http::Request;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName};
use http_body_util::{BodyExt, Full};
use transport::{Body, Transport};

use crate::{Ask, Post, lock, with_causes};

/// Something that a client does, and that takes its time.
pub type ClientWork<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The part of a response's head that a run looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// Its status code.
    pub status: u16,
    /// Its words on the connection.
    pub connection_fields: ConnectionFields,
}

impl ResponseHead {
    fn of(status: u16, fields: &HeaderMap) -> Self {
        const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
        let lines = |name| fields.get_all(name).iter().map(http::HeaderValue::as_bytes);
        let connection_fields = ConnectionFields::of(lines(&CONNECTION), lines(&KEEP_ALIVE));
        Self { status, connection_fields }
    }
}

/// A client under study. It tells a [`Listener`](transport::Listener), which it was given when it
/// was made, what happens to its exchanges and connections.
pub trait StudiedClient: Send + Sync {
    /// Returns true if it tells after every exchange what it decides on the connection.
    fn tells_of_its_pool(&self) -> bool;

    /// Returns where its rules differ from those that it is taken for, because somebody has changed
    /// them here. None of another program's can have been.
    fn rule_differences(&self) -> Vec<RuleDifference> {
        Vec::new()
    }

    /// Fetches `url` as the exchange of this number, and does with the body what `ask` says. As soon
    /// as it knows the response's head, it tells that, too: it may be given up before it is done.
    fn exchange<'a>(
        &'a self,
        number: ExchangeId,
        url: String,
        ask: &'a Ask,
        head: &'a OnceLock<ResponseHead>,
    ) -> ClientWork<'a, Result<BodySeen, Failure>>;

    /// Lets go of the bodies that it holds, and tells each exchange on whose connection it is going
    /// to decide then. Returns true if it held any.
    fn release<'a>(
        &'a self,
        will_decide: &'a (dyn Fn(ExchangeId) + Send + Sync),
    ) -> ClientWork<'a, bool>;

    /// Closes its idle connections.
    fn close(&self) -> ClientWork<'_, ()>;
}

/// One of our transports.
pub(crate) struct OwnClient {
    transport: Transport,
    preset: Preset,
    tells_of_its_pool: bool,
    held: Mutex<Vec<(ExchangeId, Body)>>,
}

impl OwnClient {
    pub(crate) fn new(transport: Transport, preset: Preset, tells_of_its_pool: bool) -> Self {
        Self { transport, preset, tells_of_its_pool, held: Mutex::default() }
    }

    async fn send_and_read(
        &self,
        number: ExchangeId,
        url: &str,
        ask: &Ask,
        head: &OnceLock<ResponseHead>,
    ) -> Result<BodySeen, Failure> {
        let response = self.transport.request_as(number, url, request(ask)).await;
        let response = response.map_err(|error| fail(&error))?;
        let _ = head.set(ResponseHead::of(response.status().as_u16(), response.headers()));
        let mut body = response.into_body();
        match ask.body {
            BodyPolicy::Drain => {
                // Counted, not collected: a body may be larger than the memory.
                let mut bytes = 0;
                while let Some(frame) = body.frame().await {
                    let frame = frame.map_err(|error| fail(&error))?;
                    bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
                Ok(BodySeen::Drained { bytes })
            }
            BodyPolicy::Drop => {
                let left = body.left();
                drop(body);
                Ok(BodySeen::Dropped { left })
            }
            BodyPolicy::Hold => {
                let left = body.left();
                lock(&self.held).push((number, body));
                Ok(BodySeen::Held { left })
            }
        }
    }
}

/// The request that is asked for, without its URL.
fn request(ask: &Ask) -> Request<Full<Bytes>> {
    let body = ask.post.as_ref().map(|post| Full::new(post.data.clone()));
    let mut request = Request::new(body.unwrap_or_default());
    *request.method_mut() = ask.method();
    *request.headers_mut() = ask.fields.clone();
    if let Some(Post { content_type, .. }) = &ask.post {
        request.headers_mut().insert(CONTENT_TYPE, content_type.clone());
    }
    request
}

fn fail(error: &transport::Error) -> Failure {
    Failure { kind: error.kind(), message: with_causes(error) }
}

impl StudiedClient for OwnClient {
    fn tells_of_its_pool(&self) -> bool {
        self.tells_of_its_pool
    }

    fn rule_differences(&self) -> Vec<RuleDifference> {
        transport::rule_differences(self.preset)
    }

    fn exchange<'a>(
        &'a self,
        number: ExchangeId,
        url: String,
        ask: &'a Ask,
        head: &'a OnceLock<ResponseHead>,
    ) -> ClientWork<'a, Result<BodySeen, Failure>> {
        Box::pin(async move { self.send_and_read(number, &url, ask, head).await })
    }

    fn release<'a>(
        &'a self,
        will_decide: &'a (dyn Fn(ExchangeId) + Send + Sync),
    ) -> ClientWork<'a, bool> {
        let held = std::mem::take(&mut *lock(&self.held));
        let any = !held.is_empty();
        for (number, body) in held {
            if self.tells_of_its_pool && !body.is_over() {
                will_decide(number);
            }
            drop(body);
        }
        Box::pin(std::future::ready(any))
    }

    fn close(&self) -> ClientWork<'_, ()> {
        self.transport.close();
        Box::pin(std::future::ready(()))
    }
}
