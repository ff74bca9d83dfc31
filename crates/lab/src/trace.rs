//! `lab trace`: what happens between asking for a URL and having it, moment by moment.
//!
//! | idea | file |
//! |---|---|
//! | from the command line to a client and its requests | `trace/session.rs` |
//! | how long each phase of an exchange took, from its moments | `trace/phases.rs` |
//! | the moments as a list, and the phases as bars | `trace/text.rs` |
//! | one object, or one a moment | `trace/json.rs` |
//! | HTTP Archive 1.2, which browsers' developer tools read | `trace/har.rs` |

pub mod har;
pub mod json;
pub mod phases;
pub mod session;
pub mod text;

use std::time::{Duration, Instant, SystemTime};

use evidence::{ConnectionId, ExchangeId, TraceEvent};
use http::{HeaderMap, Method, StatusCode, Version};

use phases::Phases;

/// One traced request, and what became of it.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Its number.
    pub number: ExchangeId,
    /// Its method.
    pub method: Method,
    /// Its URL.
    pub url: String,
    /// Its header fields, as they were asked for.
    pub headers: HeaderMap,
    /// Its body.
    pub data: Vec<u8>,
    /// Where the redirect came from that led here, if one did.
    pub redirected_from: Option<ExchangeId>,
    /// When it was sent, on the clock of the moments.
    pub asked_at: Instant,
    /// The same on the wall's clock.
    pub asked_on: SystemTime,
    /// The head of the response and what was read of its body, or why there is none.
    pub result: Result<Answered, String>,
    /// When it was over.
    pub over_at: Instant,
    /// The moments that belong to it, in the order of time.
    pub events: Vec<TraceEvent>,
    /// How long each phase took.
    pub phases: Phases,
}

impl Traced {
    /// From the question to the end.
    #[must_use]
    pub fn took(&self) -> Duration {
        self.over_at.saturating_duration_since(self.asked_at)
    }

    /// The connection that carried it, if one did.
    #[must_use]
    pub fn connection(&self) -> Option<ConnectionId> {
        self.phases.connection
    }
}

/// A response.
#[derive(Clone, Debug)]
pub struct Answered {
    /// Its status.
    pub status: StatusCode,
    /// What was spoken.
    pub version: Version,
    /// Its header fields.
    pub headers: HeaderMap,
    /// The bytes of its body that were read.
    pub body: u64,
    /// What happened to the body: `drain`, `drop` or `hold`.
    pub body_policy: &'static str,
    /// When its head was there.
    pub head_at: Instant,
}

/// A whole session: every request, and the moments that belong to none of them.
#[derive(Clone, Debug)]
pub struct Session {
    /// The transport: `go`, `go1.27` or `hyper-util`.
    pub transport: &'static str,
    /// Whether certificates were not checked.
    pub insecure: bool,
    /// When it began: what every moment is counted from.
    pub started: Instant,
    /// Its requests, in order.
    pub exchanges: Vec<Traced>,
    /// What happened to connections after the last request.
    pub afterwards: Vec<TraceEvent>,
}
