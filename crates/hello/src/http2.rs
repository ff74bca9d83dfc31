//! HTTP/2 without TLS, on the port that speaks HTTP/1.1.
//!
//! Without TLS nobody agrees on a protocol beforehand: the client has to know (RFC 9113 section
//! 3.3). One that does begins with a preface that no request of HTTP/1.1 can begin with.

use std::convert::Infallible;
use std::io;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::watch;
use wire::{Tap, Wire};

use crate::connection::run;
use crate::response_body::Told;
use crate::routes::ResponseBody;
use crate::watch::{Ear, Watch};

/// What a client of HTTP/2 sends first (RFC 9113 section 3.4).
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether the client begins in HTTP/2. Decided by its first bytes, which stay unread: the first
/// one that departs from the preface, mostly the very first of all, means HTTP/1.1.
///
/// # Errors
/// The client has reset the connection.
pub(crate) async fn begins_with_preface<T: Tap>(wire: &mut Wire<T>) -> io::Result<bool> {
    let mut seen = [0; PREFACE.len()];
    let mut known = 0;
    loop {
        let count = wire.peek(&mut seen, known).await?;
        let is_over = count <= known;
        if is_over || seen.get(..count) != PREFACE.get(..count) {
            return Ok(false);
        }
        if count == PREFACE.len() {
            return Ok(true);
        }
        known = count;
    }
}

/// Serves requests, many at once, until the connection ends.
pub(crate) async fn serve<S>(
    wire: Wire<Ear>,
    service: S,
    watch: Watch,
    mut stop: watch::Receiver<bool>,
) where
    S: Service<Request<Incoming>, Response = Response<Told<ResponseBody>>, Error = Infallible>,
    S::Future: Send + 'static,
{
    watch.is_http2();
    let connection = std::pin::pin!(
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(wire), service)
    );
    run(connection, http2::Connection::graceful_shutdown, &watch, &mut stop).await;
}
