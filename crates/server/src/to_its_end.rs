//! A connection that is being served, until it ends: by itself, by a limit, or because the server
//! stops.

use std::pin::Pin;

use tokio::sync::watch;

use crate::watching::watch::ConnectionWatch;
use evidence::ServerCloseReason;

/// Runs a connection to its end, which comes soon after a stop, and when a limit has passed.
///
/// A client that drops a body early ends it with an error. That is what the lab sets out to show,
/// not a fault of the server; the wire has told how it ended.
#[expect(clippy::manual_async_fn, reason = "it is smaller: one for each connection")]
pub(crate) fn run<C: Future<Output = hyper::Result<()>>>(
    mut connection: Pin<&mut C>,
    graceful_shutdown: fn(Pin<&mut C>),
    watch: &ConnectionWatch,
    stop: &mut watch::Receiver<bool>,
) -> impl Future<Output = ()> {
    async move {
        tokio::select! {
            // In this order a request that has come in time is read before its time is looked at.
            biased;
            end = connection.as_mut() => return note_error(watch, &end),
            () = until_stopped(stop) => if watch.stops() {
                // Half a head is no request, and hyper would wait for the other half.
                return;
            },
            reason = watch.ran_out() => if !watch.ends(reason) {
                return;
            }
        }
        graceful_shutdown(connection.as_mut());
        // A client of HTTP/2 is to acknowledge the end. One that does not is given as long again.
        watch.restart();
        tokio::select! {
            biased;
            end = connection => note_error(watch, &end),
            reason = watch.ran_out() => watch.because(reason),
        }
    }
}

/// Of what the wire and the bodies have not told of, hyper's error is the only witness.
fn note_error(watch: &ConnectionWatch, end: &hyper::Result<()>) {
    match end {
        Err(error) if error.is_parse() => watch.because(ServerCloseReason::BadRequest),
        Err(error) if error.is_user() => watch.because(ServerCloseReason::Error),
        // That the client has gone is known before; what else ends HTTP/2 is a breach of its rules.
        Err(_) if watch.speaks_http2() => watch.because(ServerCloseReason::BadRequest),
        _ => {}
    }
}

/// Waits for the server to be stopped, or dropped.
pub(crate) async fn until_stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
