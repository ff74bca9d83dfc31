//! One connection, from accept to close.

use std::sync::Arc;

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
use crate::to_its_end::run;
use crate::watching::watch::ConnectionWatch;

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
        watch.speaks(Version::HTTP_11);
        let interim = InterimSender::default();
        let service = {
            let (watch, interim) = (watch.clone(), &interim);
            service_fn(move |request| answered(request, &responder, &watch, Some(interim)))
        };
        // The clock keeps the time. hyper's own limit on a head would limit an idle connection, too.
        let wire = interim.over(LingeringWire::new(wire, watch.clone(), lingers));
        // Pinned here and lent, because a task keeps room for every place its values move through.
        let connection = std::pin::pin!(
            http1::Builder::new()
                .header_read_timeout(None)
                .max_header_size(MAX_HEAD)
                .serve_connection(TokioIo::new(wire), service)
        );
        run(connection, http1::Connection::graceful_shutdown, &watch, &mut stop).await;
    }
}
