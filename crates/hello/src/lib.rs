//! What `hello` answers, beside `Hello world`: a responder for the crate `server`.
//!
//! | idea | file |
//! |---|---|
//! | which path is answered by what | `routes.rs`, `routes/` |
//! | counts for Prometheus | `metrics.rs` |
//!
//! The program around it is in `main.rs`: what may be typed, and what is shown.

mod metrics;
mod routes;

pub use metrics::Metrics;
pub use routes::{Routes, UploadProgress, UploadState, Uploads, index};
