//! HTTP/2, on the port that speaks HTTP/1.1.
//!
//! In TLS both ends agree on it in the handshake. Without TLS nobody agrees on a protocol beforehand: the client has to know (RFC 9113 section
//! 3.3). One that does begins with a preface that no request of HTTP/1.1 can begin with.

use std::io;
use std::sync::Arc;

use http::Version;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use wire::{Tap, Wire};

use crate::answers::responder::Responder;
use crate::answers::service::answered;
use crate::to_its_end::{run, until_stopped};
use crate::watching::watch::{ConnectionWatch, WireEar};

/// The first bytes of a client of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Serves the connection to its end if the client begins in HTTP/2, or does not begin at all.
/// Otherwise it is given back: `None` says that there is nothing left to do.
pub(crate) async fn unless_http2(
    mut wire: Wire<WireEar>,
    responder: &Arc<dyn Responder>,
    watch: &ConnectionWatch,
    stop: &mut watch::Receiver<bool>,
) -> Option<Wire<WireEar>> {
    let is_http2 = tokio::select! {
        biased;
        is_http2 = begins_with_preface(&mut wire) => is_http2,
        () = until_stopped(stop) => {
            watch.stops(); // not a request has come
            wire.take(); // and none shall be answered with a reset
            return None;
        }
        reason = watch.ran_out() => {
            watch.because(reason);
            wire.take();
            return None;
        }
    };
    match is_http2 {
        Ok(false) => Some(wire),
        // Boxed, because most connections never need the room.
        Ok(true) => {
            Box::pin(serve(wire, Arc::clone(responder), watch, stop)).await;
            None
        }
        Err(_) => None, // reset already; the wire tells
    }
}

/// Serves requests, many at once, until the connection ends. Each is told of in the task that reads
/// the connection, before its answer is begun: in HTTP/2 that is another task, which may come late
/// or never.
pub(crate) async fn serve(
    wire: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    responder: Arc<dyn Responder>,
    watch: &ConnectionWatch,
    stop: &mut watch::Receiver<bool>,
) {
    watch.speaks(Version::HTTP_2);
    let service = {
        let watch = watch.clone();
        service_fn(move |request| answered(request, &responder, &watch, None))
    };
    let connection = std::pin::pin!(
        http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(wire), service)
    );
    run(connection, http2::Connection::graceful_shutdown, watch, stop).await;
}

/// Returns true if the client begins in HTTP/2. Decided by its first bytes, which stay unread: the
/// first one that departs from the preface, mostly the very first of all, means HTTP/1.1.
///
/// # Errors
/// The client has reset the connection.
async fn begins_with_preface<T: Tap>(wire: &mut Wire<T>) -> io::Result<bool> {
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
