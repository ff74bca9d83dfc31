//! The exchanges of one connection for a summary of each: from the head of the request to the last
//! byte of the response that the socket took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use evidence::ClosedBy;
use http::header::{REFERER, USER_AGENT};
use http::{Request, StatusCode};

use crate::lock;
use crate::watching::observer::ServedExchange;

/// A request that is being answered, as the connection and its answer know it.
#[derive(Clone)]
pub(crate) struct OpenRequest {
    pub(crate) number: u64,
    /// Only if a summary is wanted.
    about: Option<Arc<ExchangeSoFar>>,
}

struct ExchangeSoFar {
    begun: Instant,
    exchange: ServedExchange,
    status: Mutex<Option<StatusCode>>,
    handed_over: AtomicU64,
}

/// The fate of a response.
#[derive(Clone, Copy)]
pub(crate) enum ResponseFate {
    /// The socket has taken all of it, so many bytes of its body among them.
    Written(u64),
    /// The connection has taken all of it. In HTTP/2 nothing more is known.
    HandedOver,
    /// The connection ended, or was ended by somebody, when the socket had taken so many bytes of
    /// the body. In HTTP/2 that is not known.
    Cut(Option<u64>, ClosedBy),
}

impl OpenRequest {
    pub(crate) fn new<B>(
        number: u64,
        begun: Instant,
        request: &Request<B>,
        is_wanted: bool,
    ) -> Self {
        let about = is_wanted.then(|| Arc::new(ExchangeSoFar::new(begun, number, request)));
        Self { number, about }
    }

    /// Its response has this status.
    pub(crate) fn decided(&self, status: StatusCode) {
        if let Some(about) = &self.about {
            *lock(&about.status) = Some(status);
        }
    }

    /// Bytes of its response's body are handed over.
    pub(crate) fn handed_over(&self, bytes: usize) {
        if let Some(about) = &self.about {
            about.handed_over.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Returns the summary, if it is wanted.
    pub(crate) fn over(&self, at: Instant, fate: ResponseFate) -> Option<ServedExchange> {
        let about = self.about.as_ref()?;
        let handed_over = about.handed_over.load(Ordering::Relaxed);
        let (body_bytes, ended_by) = match fate {
            ResponseFate::Written(bytes) => (bytes, None),
            ResponseFate::HandedOver => (handed_over, None),
            ResponseFate::Cut(bytes, by) => (bytes.unwrap_or(handed_over), Some(by)),
        };
        Some(ServedExchange {
            status: *lock(&about.status),
            body_bytes,
            duration: at.saturating_duration_since(about.begun),
            complete: ended_by.is_none(),
            ended_by,
            ..about.exchange.clone()
        })
    }
}

impl ExchangeSoFar {
    fn new<B>(begun: Instant, number: u64, request: &Request<B>) -> Self {
        let header = |name| request.headers().get(name).cloned();
        let exchange = ServedExchange {
            number,
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            referer: header(REFERER),
            user_agent: header(USER_AGENT),
            status: None,
            body_bytes: 0,
            duration: std::time::Duration::ZERO,
            complete: false,
            ended_by: None,
        };
        Self { begun, exchange, status: Mutex::default(), handed_over: AtomicU64::default() }
    }
}

/// The responses of HTTP/1 between hyper, which has made them, and the socket.
#[derive(Default)]
pub(crate) struct UnwrittenResponses {
    /// Handed over, or given up, and not known to be written.
    waiting: Vec<OpenRequest>,
    /// Written before they were said to be handed over: number, and bytes of the body.
    early: Option<(u64, u64)>,
}

impl UnwrittenResponses {
    /// hyper has done with a response. Returns its summary if it is written already.
    pub(crate) fn done(&mut self, open: &OpenRequest, complete: bool) -> Option<ServedExchange> {
        match self.early.take() {
            Some((number, bytes)) if complete && number == open.number => {
                open.over(Instant::now(), ResponseFate::Written(bytes))
            }
            _ => {
                self.waiting.push(open.clone());
                None
            }
        }
    }

    /// The last byte of a response is with the socket.
    pub(crate) fn written(&mut self, number: u64, bytes: u64) -> Option<ServedExchange> {
        let Some(place) = self.waiting.iter().position(|open| open.number == number) else {
            self.early = Some((number, bytes));
            return None;
        };
        let open = self.waiting.remove(place);
        open.over(Instant::now(), ResponseFate::Written(bytes))
    }

    /// Returns those that never were, once the connection is over.
    pub(crate) fn rest(&mut self) -> Vec<OpenRequest> {
        std::mem::take(&mut self.waiting)
    }
}
