//! The body of a request, as the routes read it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use crate::watching::watch::ConnectionWatch;
use evidence::ServerCloseReason;

/// The body of a request.
pub struct RequestBody {
    incoming: Incoming,
    /// Boxed, because most requests have no body.
    read: Option<Box<BodyProgress>>,
}

/// The means to read a body that is not empty.
struct BodyProgress {
    watch: ConnectionWatch,
    until: Option<Pin<Box<Sleep>>>,
    is_over: bool,
}

/// Why a request's body cannot be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum RequestBodyError {
    /// The client left, or what it sent is no body.
    #[error("the request's body ended before its time")]
    Broken(#[from] hyper::Error),
    /// A chunk, its extension or a trailer is not as the grammar has it (RFC 9112 section 7.1): some
    /// reader might see the body end elsewhere.
    #[error("the request's body is not framed as chunks are")]
    Malformed,
    /// The read limit has passed. To be answered 408 with `Connection: close`: what is still to
    /// come of the body would be taken for the next request.
    #[error("the request's body did not come within the read limit")]
    TooSlow,
    /// Not of a request at all, but of a response that was asked to break off: all bodies have one
    /// type of error.
    #[error("the response was asked to break off")]
    BrokenOff,
}

impl RequestBody {
    /// With `until` the body may be read until then, even if it has come in time, as in Go.
    pub(crate) fn new(incoming: Incoming, watch: &ConnectionWatch, until: Option<Instant>) -> Self {
        let read = (!incoming.is_end_stream()).then(|| {
            let until = until.map(|until| Box::pin(tokio::time::sleep_until(until)));
            Box::new(BodyProgress { watch: watch.clone(), until, is_over: false })
        });
        Self { incoming, read }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        let Some(read) = &mut this.read else {
            let frame = Pin::new(&mut this.incoming).poll_frame(cx);
            return frame.map(|frame| frame.map(|frame| frame.map_err(RequestBodyError::Broken)));
        };
        if let Some(until) = &mut read.until
            // A timer counts in whole milliseconds, so it may be late.
            && (until.deadline() <= Instant::now() || until.as_mut().poll(cx).is_ready())
        {
            read.watch.body_broke(ServerCloseReason::ReadTimeout);
            return Poll::Ready(Some(Err(RequestBodyError::TooSlow)));
        }
        let frame = std::task::ready!(Pin::new(&mut this.incoming).poll_frame(cx));
        if read.watch.body_is_malformed() {
            read.watch.body_broke(ServerCloseReason::BadRequest);
            read.is_over = true;
            return Poll::Ready(Some(Err(RequestBodyError::Malformed)));
        }
        if let Some(Err(_)) = frame {
            // Who has left is known to have by now.
            read.watch.body_broke(ServerCloseReason::BadRequest);
        }
        read.is_over |= matches!(frame, None | Some(Err(_)));
        Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let Some(read) = &self.read
            && !read.is_over
            && !self.incoming.is_end_stream()
        {
            read.watch.body_unread();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use http::{Request, Response};
    use http_body_util::{BodyExt, Collected, Empty};
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::AsyncWriteExt;
    use tokio::sync::mpsc;

    use super::*;
    use crate::life::limits::ServerLimits;

    /// Returns what a route meets that reads the body of a request of which just this has come.
    async fn read(sent: &str, until: Option<Duration>) -> Result<Bytes, RequestBodyError> {
        let (server, mut client) = tokio::io::duplex(4096);
        let (sender, mut outcome) = mpsc::unbounded_channel();
        client.write_all(sent.as_bytes()).await.unwrap();
        let until = until.map(|until| Instant::now() + until);
        let watch = ConnectionWatch::new(None, ServerLimits::default(), Default::default());
        let service = service_fn(move |request: Request<Incoming>| {
            let (watch, sender) = (watch.clone(), sender.clone());
            async move {
                let body = RequestBody::new(request.into_body(), &watch, until);
                let read = body.collect().await.map(Collected::to_bytes);
                sender.send(read).unwrap();
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(server), service);
        tokio::select! {
            _ = connection => outcome.recv().await.unwrap(),
            read = outcome.recv() => read.unwrap(),
        }
    }

    const HEAD: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

    #[tokio::test]
    async fn a_body_that_does_not_come_in_time_is_too_slow() {
        let limit = Duration::from_millis(70);
        let start = Instant::now();
        let slow = read(&format!("{HEAD}3\r\nab"), Some(limit)).await;
        assert!(matches!(slow, Err(RequestBodyError::TooSlow)), "{slow:?}");
        assert!(start.elapsed() >= limit);
    }

    #[tokio::test]
    async fn a_body_that_is_read_too_late_is_too_slow_as_in_go() {
        let late = read(&format!("{HEAD}3\r\nabc\r\n0\r\n\r\n"), Some(Duration::ZERO)).await;
        assert!(matches!(late, Err(RequestBodyError::TooSlow)), "{late:?}");
    }

    #[tokio::test]
    async fn a_body_in_time_is_read_and_one_that_is_none_is_broken() {
        let whole = read(&format!("{HEAD}3\r\nabc\r\n0\r\n\r\n"), None).await;
        assert_eq!(whole.unwrap(), "abc");
        let broken = read(&format!("{HEAD}x\r\nabc"), None).await;
        assert!(matches!(broken, Err(RequestBodyError::Broken(_))), "{broken:?}");
    }
}
