//! Which path is answered by what.
//!
//! | path | file |
//! |---|---|
//! | `/metrics`, if the server counts | `routes/metrics.rs` |
//! | those of [`index`] | `routes/table.rs`, then a file each |
//! | any other: `Hello world` | the crate `server` |
//!
//! A new route is a file here and an entry in `table.rs`.

mod bytes;
mod call;
mod chunks;
mod desk;
mod early_hints;
mod echo;
mod json;
mod metrics;
mod partial_file;
mod route;
mod shaped;
mod slow;
mod status;
mod table;
mod upload;
mod upload_progress;
mod uploads;

use std::sync::Arc;

use http::{Request, Response};
use server::{
    Answer, HelloWorld, InterimSender, RequestBody, Responder, ResponseBody, ResponseFuture,
};

use crate::metrics::Metrics;
use crate::routes::desk::Desk;

pub use table::index;
pub use upload_progress::{UploadProgress, UploadState};
pub use uploads::Uploads;

/// Answers the paths of [`index`], and all others with `Hello world`.
pub struct Routes {
    defaults: Answer,
    hello: Arc<HelloWorld>,
    desk: Desk,
    metrics: Option<Arc<Metrics>>,
}

impl Routes {
    /// Answers as `defaults` says where a query does not ask otherwise. Uploads are counted and
    /// discarded.
    #[must_use]
    pub fn new(defaults: Answer) -> Self {
        let hello = Arc::new(HelloWorld::new(defaults.clone()));
        Self { defaults, hello, desk: Desk::new(Uploads::default()), metrics: None }
    }

    /// Says what becomes of uploads.
    #[must_use]
    pub fn uploads(mut self, uploads: Uploads) -> Self {
        self.desk = Desk::new(uploads);
        self
    }

    /// Answers `/metrics` with these counts. They count only if they observe the server, too.
    #[must_use]
    pub fn metrics(mut self, metrics: Arc<Metrics>) -> Self {
        self.metrics = Some(metrics);
        self
    }
}

impl Responder for Routes {
    fn respond_at_once(&self, request: &Request<RequestBody>) -> Option<Response<ResponseBody>> {
        let path = request.uri().path();
        if (path == metrics::PATH && self.metrics.is_some()) || table::find(path).is_some() {
            return None;
        }
        self.hello.respond_at_once(request)
    }

    fn respond<'a>(
        self: Arc<Self>,
        request: Request<RequestBody>,
        interim: Option<&'a InterimSender>,
    ) -> ResponseFuture<'a> {
        if let (metrics::PATH, Some(metrics)) = (request.uri().path(), &self.metrics) {
            let response = metrics::respond(&request, metrics);
            return Box::pin(std::future::ready(response));
        }
        match table::find(request.uri().path()) {
            Some(route) => Box::pin(async move {
                route::respond(route, request, &self.defaults, &self.desk, interim).await
            }),
            None => Arc::clone(&self.hello).respond(request, interim),
        }
    }
}
