//! The server's tests' own site, with `hello`'s routes on it.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "each test binary uses its own part")]

#[path = "../../../server/tests/common/mod.rs"]
mod served;

use std::net::SocketAddr;
use std::sync::Arc;

use hello::{Routes, Uploads};
use server::Answer;

pub use served::{Bound, Client, DEADLINE, FOREVER, Response, Site, answer, until};

/// Listens, and will answer as `hello` does.
pub fn bind(answer: Answer) -> (SocketAddr, Bound) {
    with(Routes::new(answer))
}

/// The same, with what becomes of uploads.
pub fn bind_with_uploads(uploads: Uploads) -> Bound {
    with(Routes::new(answer()).uploads(uploads)).1
}

fn with(routes: Routes) -> (SocketAddr, Bound) {
    let (address, bound) = served::bind(answer());
    (address, bound.map(|server| server.answered_by(Arc::new(routes))))
}

/// A running server with `hello`'s routes.
pub fn site(answer: Answer) -> Site {
    Site::of(bind(answer).1)
}
