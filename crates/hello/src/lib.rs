//! What `hello` answers, beside `Hello world`: a responder for the crate `server`.
//!
//! | idea | file |
//! |---|---|
//! | which path is answered by what | `routes.rs`, `routes/` |
//! | counts for Prometheus | `metrics.rs` |
//!
//! The program around it is in `main.rs`, and what may be typed in `cli.rs`.

pub mod cli;
mod metrics;
mod routes;

pub use metrics::Metrics;
pub use routes::{Routes, UploadProgress, UploadState, Uploads, index};
