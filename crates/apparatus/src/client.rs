//! The client under study: ours, or another program that can be told what to do.

use std::pin::Pin;
use std::sync::{Mutex, OnceLock};

use evidence::{BodyPolicy, BodySeen, ExchangeId, Failure};
use http_body_util::BodyExt;
use transport::{Body, Transport};

use crate::{Ask, Post, lock, with_causes};

/// Something that a client does, and that takes its time.
pub type ClientWork<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A client under study. It tells a [`Listener`](transport::Listener), which it was given when it
/// was made, what happens to its exchanges and connections.
pub trait StudiedClient: Send + Sync {
    /// Returns true if it tells after every exchange what it decides on the connection.
    fn tells_of_its_pool(&self) -> bool;

    /// Fetches `url` as the exchange of this number, and does with the body what `ask` says. As soon
    /// as it knows the response's status, it tells that, too: it may be given up before it is done.
    fn exchange<'a>(
        &'a self,
        number: ExchangeId,
        url: String,
        ask: &'a Ask,
        status: &'a OnceLock<u16>,
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
    tells_of_its_pool: bool,
    held: Mutex<Vec<(ExchangeId, Body)>>,
}

impl OwnClient {
    pub(crate) fn new(transport: Transport, tells_of_its_pool: bool) -> Self {
        Self { transport, tells_of_its_pool, held: Mutex::default() }
    }

    async fn send_and_read(
        &self,
        number: ExchangeId,
        url: &str,
        ask: &Ask,
        status: &OnceLock<u16>,
    ) -> Result<BodySeen, Failure> {
        let response = match &ask.post {
            None => self.transport.get_as(number, url).await,
            Some(Post { data, content_type }) => {
                self.transport.post_as(number, url, content_type, data.clone()).await
            }
        };
        let response = response.map_err(|error| fail(&error))?;
        let _ = status.set(response.status().as_u16());
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

fn fail(error: &transport::Error) -> Failure {
    Failure { kind: error.kind(), message: with_causes(error) }
}

impl StudiedClient for OwnClient {
    fn tells_of_its_pool(&self) -> bool {
        self.tells_of_its_pool
    }

    fn exchange<'a>(
        &'a self,
        number: ExchangeId,
        url: String,
        ask: &'a Ask,
        status: &'a OnceLock<u16>,
    ) -> ClientWork<'a, Result<BodySeen, Failure>> {
        Box::pin(async move { self.send_and_read(number, &url, ask, status).await })
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
