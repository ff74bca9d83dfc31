//! What stands in the place of `shared.rs` without the cargo feature `http2`: no connection is
//! shared, because `Config::check` lets nobody ask for HTTP/2.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use evidence::CloseReason;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::failure::error::Error;
use crate::seen::record::Record;
use crate::seen::wire::ClientWire;

pub(crate) struct SharedConnection {
    pub(crate) record: Arc<Record>,
    never: Infallible,
}

impl SharedConnection {
    #[expect(clippy::unused_async, reason = "it stands for one that waits")]
    pub(crate) async fn start<S>(
        _: ClientWire,
        _: S,
        _: Option<Duration>,
    ) -> Result<Arc<Self>, Error> {
        Err(Error::TransportClosed)
    }

    pub(crate) fn open(self: &Arc<Self>, _: bool) -> Option<SharedStream> {
        match self.never {}
    }

    pub(crate) fn close(&self, _: CloseReason) {
        match self.never {}
    }
}

pub(crate) struct SharedStream {
    pub(crate) idle_since: Option<Instant>,
    pub(crate) from_pool: bool,
    never: Infallible,
}

pub(crate) struct UnansweredRequest {
    pub(crate) error: hyper::Error,
    pub(crate) unprocessed: bool,
}

impl SharedStream {
    pub(crate) fn on_new_connection(self) -> Self {
        match self.never {}
    }

    pub(crate) fn record(&self) -> &Arc<Record> {
        match self.never {}
    }

    #[expect(clippy::unused_async, reason = "it stands for one that waits")]
    pub(crate) async fn send(
        self,
        _: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Self), UnansweredRequest> {
        match self.never {}
    }
}
