//! One connection, from accept to close.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use evidence::{ClientAddr, ClosedBy};
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use wire::{Ending, FirstClose, Tap, Wire};

use crate::answer::Answer;
use crate::body::{HelloBody, OnEnd};
use crate::observer::{Accepted, Observer, ServerEvent, ServerMoment};

/// What one connection's bookkeeping needs; exists only while somebody observes.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) connection: Accepted,
    pub(crate) peer: ClientAddr,
    pub(crate) accepted_at: Instant,
    requests: Arc<AtomicU64>,
}

impl Log {
    /// Starts the bookkeeping of a connection and tells that it was accepted.
    pub(crate) fn open(
        observer: Arc<dyn Observer>,
        connection: Accepted,
        peer: ClientAddr,
    ) -> Self {
        let accepted_at = Instant::now();
        let log = Self { observer, connection, peer, accepted_at, requests: Arc::default() };
        log.tell_at(accepted_at, ServerMoment::Accepted);
        log
    }

    fn tell(&self, moment: ServerMoment) {
        self.tell_at(Instant::now(), moment);
    }

    fn tell_at(&self, at: Instant, moment: ServerMoment) {
        let (connection, peer) = (self.connection, self.peer);
        self.observer.event(ServerEvent { at, connection, peer, moment });
    }

    /// Tells of a request, and returns what tells of its response when that is done.
    fn request(&self) -> OnEnd {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        self.tell(ServerMoment::Request { number });
        let log = self.clone();
        Box::new(move |complete| log.tell(ServerMoment::ResponseDone { number, complete }))
    }
}

impl Tap for Log {
    fn closed(&mut self, ending: Ending) {
        let by = match ending.first {
            FirstClose::Here => ClosedBy::Server,
            FirstClose::There => ClosedBy::Client,
            FirstClose::Reset => ClosedBy::Reset,
        };
        self.tell(ServerMoment::Closed {
            by,
            requests: self.requests.load(Ordering::Relaxed),
            age: self.accepted_at.elapsed(),
            unread: ending.unread,
        });
    }
}

/// Serves requests until the connection ends, or until `stop` changes: then it finishes the
/// exchange in flight and closes.
pub(crate) async fn serve(
    stream: TcpStream,
    answer: Arc<Answer>,
    log: Option<Log>,
    mut stop: watch::Receiver<bool>,
) {
    let service = {
        let log = log.clone();
        service_fn(move |request| respond(request, Arc::clone(&answer), log.clone()))
    };
    let io = TokioIo::new(Wire::new(stream, log));
    // Without a timer hyper has no limit on an idle connection, which is what the client's own
    // idle rules are to be seen against: the server never closes first unless it is asked to.
    let connection = http1::Builder::new().header_read_timeout(None).serve_connection(io, service);
    let mut connection = std::pin::pin!(connection);
    // A client that drops a body early ends the connection with an error here. That is what the
    // lab sets out to show, not a fault of the server; the wire has told how it ended.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = until_stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

/// Waits for the server to be stopped, or dropped.
pub(crate) async fn until_stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

type ResponseBody = Either<HelloBody, Full<Bytes>>;

async fn respond(
    request: Request<Incoming>,
    defaults: Arc<Answer>,
    log: Option<Log>,
) -> Result<Response<ResponseBody>, Infallible> {
    let on_end = log.as_ref().map(Log::request);
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "hello answers GET and HEAD\n");
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(finish(response, on_end));
    }
    let answer = match request.uri().query().map(|query| defaults.with_query(query)) {
        None => Answer::clone(&defaults),
        Some(Ok(answer)) => answer,
        Some(Err(bad)) => {
            return Ok(finish(plain(StatusCode::BAD_REQUEST, format!("{bad}\n")), on_end));
        }
    };
    if !answer.delay.is_zero() {
        tokio::time::sleep(answer.delay).await;
    }
    let mut response = Response::new(Either::Left(HelloBody::new(&answer, on_end)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if answer.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

fn plain(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
}

/// A refusal is done as soon as it is made: its few bytes go out with the head.
fn finish(response: Response<Full<Bytes>>, on_end: Option<OnEnd>) -> Response<ResponseBody> {
    if let Some(on_end) = on_end {
        on_end(true);
    }
    response.map(Either::Right)
}
