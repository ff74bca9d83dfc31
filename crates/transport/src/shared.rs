//! A connection of HTTP/2, which exchanges share.
//!
//! Go's rules: a host has one such connection, and it stays in the pool while exchanges are on it.
//! Only when the server would not take another stream is a further one dialled. It is idle, and
//! its time runs, while no stream is open.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use evidence::CloseReason;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;

use crate::failure::error::Error;
use crate::failure::{http2_words, meaning};
use crate::lock;
use crate::rules;
use crate::seen::record::Record;
use crate::seen::wire::ClientWire;
use crate::timer::IdleTimer;

/// A connection of HTTP/2.
pub(crate) struct SharedConnection {
    pub(crate) record: Arc<Record>,
    idle_timeout: Option<Duration>,
    /// How many streams the server takes at once, as far as that is known.
    max_streams: Arc<AtomicUsize>,
    runtime: Handle,
    state: Mutex<SharedState>,
}

struct SharedState {
    /// Dropping it closes the connection once its last stream is over; `None` from then on.
    sender: Option<SendRequest<Full<Bytes>>>,
    /// Streams that are open.
    streams: usize,
    idle_since: Option<Instant>,
    timer: Option<IdleTimer>,
    /// No further stream may be opened, for this reason.
    closing: Option<CloseReason>,
}

impl SharedConnection {
    /// Begins to speak HTTP/2 on a connection, which keeps `slot` as long as it lives.
    pub(crate) async fn start<S: Send + Sync + 'static>(
        wire: ClientWire,
        slot: S,
        idle_timeout: Option<Duration>,
    ) -> Result<Arc<Self>, Error> {
        let record = Arc::clone(&wire.record);
        let (sender, connection) = Builder::new(SlotHolder(Arc::new(slot)))
            .handshake(TokioIo::new(wire))
            .await
            .map_err(|error| Error::before_head(&record, error))?;
        let max_streams = Arc::new(AtomicUsize::new(connection.current_max_send_streams()));
        tokio::spawn(drive(connection, Arc::clone(&record), Arc::clone(&max_streams)));
        let state = SharedState {
            sender: Some(sender),
            streams: 0,
            idle_since: None,
            timer: None,
            closing: None,
        };
        let runtime = Handle::current();
        Ok(Arc::new(Self { record, idle_timeout, max_streams, runtime, state: Mutex::new(state) }))
    }

    /// Opens a stream, unless the connection takes no other. `must`: also one that the
    /// server will not take before another has ended.
    pub(crate) fn open(self: &Arc<Self>, must: bool) -> Option<SharedStream> {
        let mut state = lock(&self.state);
        let most = self.max_streams.load(Ordering::Relaxed);
        if state.closing.is_some() || !rules::takes_stream(state.streams, most, must) {
            return None;
        }
        let sender = state.sender.clone().filter(|sender| !sender.is_closed())?;
        state.streams += 1;
        state.timer = None;
        let idle_since = state.idle_since.take();
        drop(state);
        Some(SharedStream { shared: Arc::clone(self), sender, idle_since, from_pool: true })
    }

    /// Closes the connection for this reason: now, or when its last stream is over.
    pub(crate) fn close(&self, why: CloseReason) {
        let mut state = lock(&self.state);
        let why = state.closing.get_or_insert(why).clone();
        if state.streams == 0 {
            self.close_now(&mut state, why);
        }
    }

    fn close_now(&self, state: &mut SharedState, why: CloseReason) {
        self.record.close_because(why);
        state.sender = None;
        state.timer = None;
    }

    fn stream_is_over(self: &Arc<Self>) {
        let mut state = lock(&self.state);
        state.streams = state.streams.saturating_sub(1);
        if state.streams > 0 {
            return;
        }
        if let Some(why) = state.closing.clone() {
            return self.close_now(&mut state, why);
        }
        let since = Instant::now();
        state.idle_since = Some(since);
        state.timer = self.start_timer(since);
    }

    fn start_timer(self: &Arc<Self>, since: Instant) -> Option<IdleTimer> {
        let limit = self.idle_timeout?;
        // A time beyond what the clock can tell never comes.
        let deadline = since.checked_add(limit)?;
        let shared = Arc::downgrade(self);
        let task = self.runtime.spawn(async move {
            tokio::time::sleep_until(deadline.into()).await;
            let Some(shared) = shared.upgrade() else { return };
            let mut state = lock(&shared.state);
            if state.idle_since == Some(since) {
                let why = CloseReason::IdleTimeout(limit);
                state.closing = Some(why.clone());
                shared.close_now(&mut state, why);
            }
        });
        Some(IdleTimer(task.abort_handle()))
    }
}

/// Where hyper runs what belongs to one connection, its wire among it.
struct SlotHolder<S>(Arc<S>);

impl<S> Clone for SlotHolder<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: Send + Sync + 'static, F> hyper::rt::Executor<F> for SlotHolder<S>
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let held = Arc::clone(&self.0);
        tokio::spawn(async move {
            future.await;
            drop(held);
        });
    }
}

/// Hands requests to the connection until nobody sends any more, and looks how many it takes.
async fn drive<S: Send + Sync + 'static>(
    connection: Connection<TokioIo<ClientWire>, Full<Bytes>, SlotHolder<S>>,
    record: Arc<Record>,
    max_streams: Arc<AtomicUsize>,
) {
    let mut connection = std::pin::pin!(connection);
    let result = std::future::poll_fn(|cx| {
        let polled = connection.as_mut().poll(cx);
        max_streams.store(connection.current_max_send_streams(), Ordering::Relaxed);
        polled
    })
    .await;
    if let Err(error) = result
        && meaning::is_the_peers_fault(&error)
    {
        record.close_because(Error::before_head(&record, error).reason());
    }
}

/// The right to one exchange on a connection of HTTP/2, until the end of its body.
pub(crate) struct SharedStream {
    shared: Arc<SharedConnection>,
    sender: SendRequest<Full<Bytes>>,
    /// Since when the connection was idle; `None` if it was not, or is new.
    pub(crate) idle_since: Option<Instant>,
    /// True if the transport had the connection before.
    pub(crate) from_pool: bool,
}

/// A request that failed before its response's head came.
pub(crate) struct UnansweredRequest {
    pub(crate) error: hyper::Error,
    /// The server has certainly not done anything about it.
    pub(crate) unprocessed: bool,
}

impl SharedStream {
    /// The transport did not have the connection before.
    pub(crate) fn on_new_connection(mut self) -> Self {
        self.from_pool = false;
        self
    }

    pub(crate) fn record(&self) -> &Arc<Record> {
        &self.shared.record
    }

    /// Sends the request and waits for the head of the response. The stream lasts as long as it is
    /// kept.
    pub(crate) async fn send(
        mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Self), UnansweredRequest> {
        match self.sender.try_send_request(request).await {
            Ok(response) => Ok((response, self)),
            Err(mut failed) => {
                let never_sent = failed.take_message().is_some();
                let error = failed.into_error();
                let unprocessed = never_sent || http2_words::is_unprocessed(&error);
                Err(UnansweredRequest { error, unprocessed })
            }
        }
    }
}

impl Drop for SharedStream {
    fn drop(&mut self) {
        self.shared.stream_is_over();
    }
}
