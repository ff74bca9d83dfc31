//! `/slow?for=15s`: an answer that takes its time.
//!
//! hyper goes on reading while it waits for an answer, so it sees a client leave, and lets go of
//! the answer that is being made: nothing has to be cancelled here.

use std::time::Duration;

use http::StatusCode;

use super::call::{RouteCall, RouteResult};
use server::words;

pub(super) async fn respond(call: RouteCall<'_>) -> RouteResult {
    let time = call.time("for", Duration::from_secs(1))?;
    tokio::time::sleep(time).await;
    let took = humantime::format_duration(time);
    Ok(words(StatusCode::OK, format!("answered after {took}\n")))
}
