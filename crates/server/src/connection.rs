//! One connection, from accept to close.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use evidence::ServerCloseReason;
use http::Version;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use wire::Wire;

use crate::answers::refusal::MAX_HEAD;
use crate::answers::responder::Responder;
use crate::answers::service::answered;
use crate::stream::interim::InterimSender;
use crate::stream::linger::LingeringWire;
use crate::stream::secured::{EndEar, SecuredWire, ServerTls};
use crate::to_its_end::{run, until_stopped};
use crate::watching::watch::ConnectionWatch;

/// Serves requests of HTTP/1 over `$wire`. No function, whose future would keep room for the wire once
/// more, in every connection.
macro_rules! serve_http1 {
    ($wire:ident, $responder:ident, $watch:ident, $lingers:ident, $stop:ident) => {{
        $watch.speaks(Version::HTTP_11);
        let interim = InterimSender::default();
        let service = {
            let (watch, interim) = ($watch.clone(), &interim);
            service_fn(move |request| answered(request, &$responder, &watch, Some(interim)))
        };
        // The clock keeps the time. hyper's own limit on a head would limit an idle connection, too.
        let wire = interim.over(LingeringWire::new($wire, $watch.clone(), $lingers));
        // Pinned here and lent, because a task keeps room for every place its values move through.
        let connection = std::pin::pin!(
            http1::Builder::new()
                .header_read_timeout(None)
                .max_header_size(MAX_HEAD)
                .serve_connection(TokioIo::new(wire), service)
        );
        run(connection, http1::Connection::graceful_shutdown, &$watch, &mut $stop).await;
    }};
}

/// Serves requests until the connection ends, a limit has passed, or until `stop` changes: then it
/// finishes the exchanges in flight and closes.
///
/// A block instead of an `async fn`, whose future would keep room for its arguments twice.
pub(crate) fn serve(
    stream: TcpStream,
    responder: Arc<dyn Responder>,
    watch: ConnectionWatch,
    lingers: bool,
    mut stop: watch::Receiver<bool>,
) -> impl Future<Output = ()> + Send {
    let wire = Wire::new(stream, watch.ear());
    async move {
        #[cfg(feature = "http2")]
        let Some(wire) = crate::http2::unless_http2(wire, &responder, &watch, &mut stop).await
        else {
            return;
        };
        serve_http1!(wire, responder, watch, lingers, stop);
    }
}

/// The same with TLS, once the handshake is done.
pub(crate) async fn serve_secured(
    stream: TcpStream,
    tls: Arc<dyn ServerTls>,
    responder: Arc<dyn Responder>,
    watch: ConnectionWatch,
    lingers: bool,
    mut stop: watch::Receiver<bool>,
) {
    let ear = EndEar::new(&watch);
    let client_has_left = ear.client_has_left();
    let handshake = tls.shake_hands(Box::new(Wire::new(stream, ear)));
    let shaken = tokio::select! {
        biased;
        shaken = handshake => shaken,
        () = until_stopped(&mut stop) => {
            watch.stops(); // not a request has come
            return;
        }
        reason = watch.ran_out() => return watch.because(reason),
    };
    let secured = match shaken {
        Ok(secured) => secured,
        // Whoever leaves has a reason of its own.
        Err(_) if client_has_left.load(Ordering::Relaxed) => return,
        Err(_) => return watch.because(ServerCloseReason::BadRequest),
    };
    #[cfg(feature = "http2")]
    let is_http2 = secured.is_http2();
    let wire = SecuredWire::new(secured, watch.ear(), client_has_left);
    #[cfg(feature = "http2")]
    if is_http2 {
        return crate::http2::serve(wire, responder, &watch, &mut stop).await;
    }
    serve_http1!(wire, responder, watch, lingers, stop);
}
