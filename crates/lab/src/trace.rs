//! `lab trace`: what happens between asking for a URL and having it, moment by moment.
//!
//! | idea | file |
//! |---|---|
//! | what is asked for: by the command line, or by a redirect | `trace/asked.rs` |
//! | a client, and its requests one after the other | `trace/tracer.rs` |
//! | one request, and the way with its body | `trace/fetch.rs` |
//! | what is heard of requests, until it is told | `trace/ear.rs` |
//! | the packets of a trace | `trace/packets.rs` |
//! | how long each phase of an exchange took, from its moments | `trace/phases.rs` |
//! | what an exchange was about when it was given up | `trace/doing.rs` |
//! | credentials, which are not shown | `trace/secrets.rs` |
//! | what a connection that was there already has saved | `trace/reuse.rs` |
//! | the moments as a list | `trace/text.rs` |
//! | the phases as numbers and bars | `trace/bars.rs` |
//! | one object, or one a moment | `trace/json.rs` |
//! | HTTP Archive 1.2, which browsers' developer tools read | `trace/har.rs` |

pub(crate) mod asked;
pub(crate) mod bars;
pub(crate) mod doing;
mod ear;
mod fetch;
pub(crate) mod har;
pub(crate) mod json;
pub(crate) mod packets;
pub(crate) mod phases;
pub(crate) mod reuse;
pub(crate) mod secrets;
pub(crate) mod text;
pub(crate) mod tracer;

use std::time::{Duration, Instant, SystemTime};

use evidence::{BodyPolicy, ConnectionId, ExchangeId, TraceEvent};
use http::{HeaderMap, StatusCode, Version};

use asked::FetchPlan;
use phases::FetchPhases;

/// One traced request, and what became of it.
#[derive(Clone, Debug)]
pub(crate) struct FetchedExchange {
    /// Its number.
    pub(crate) number: ExchangeId,
    /// The request that was made.
    pub(crate) asked: FetchPlan,
    /// When it was sent, on the clock of the moments.
    pub(crate) asked_at: Instant,
    /// The same on the wall's clock.
    pub(crate) asked_on: SystemTime,
    /// The head of the response, if it came, and what was read of its body.
    pub(crate) answered: Option<FetchAnswer>,
    /// Why it did not end as it should, if it did not. It may have been answered, in part, all the
    /// same.
    pub(crate) error: Option<String>,
    /// When it was over.
    pub(crate) over_at: Instant,
    /// How long each phase took.
    pub(crate) phases: FetchPhases,
}

impl FetchedExchange {
    /// From the question to the end.
    #[must_use]
    pub(crate) fn took(&self) -> Duration {
        self.over_at.saturating_duration_since(self.asked_at)
    }

    /// The connection that carried it, if one did.
    #[must_use]
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        self.phases.connection
    }
}

/// A response.
#[derive(Clone, Debug)]
pub(crate) struct FetchAnswer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// The words behind it: the server's own in HTTP/1.1, none in HTTP/2.
    pub(crate) reason: String,
    /// The version that was spoken.
    pub(crate) version: Version,
    /// Its header fields.
    pub(crate) headers: HeaderMap,
    /// The bytes of its body that were read.
    pub(crate) body: u64,
    /// The reader's way with the body.
    pub(crate) body_policy: BodyPolicy,
    /// When its head was there.
    pub(crate) head_at: Instant,
}

/// A whole session: every request, and every moment.
#[derive(Clone, Debug)]
pub(crate) struct FetchSession {
    /// The transport: `go`, `go1.27` or `hyper-util`.
    pub(crate) transport: &'static str,
    /// True if certificates were not checked.
    pub(crate) insecure: bool,
    /// True if something was left out of what is shown.
    pub(crate) has_hidden: bool,
    /// When it began: what every moment is counted from.
    pub(crate) started: Instant,
    /// Its requests, in order.
    pub(crate) exchanges: Vec<FetchedExchange>,
    /// Every moment, in the order in which it was heard.
    pub(crate) events: Vec<TraceEvent>,
}

impl FetchSession {
    /// The moments of one exchange; `None` for those that belong to a connection alone.
    pub(crate) fn events_of(
        &self,
        exchange: Option<ExchangeId>,
    ) -> impl Iterator<Item = &TraceEvent> {
        self.events.iter().filter(move |event| event.exchange == exchange)
    }
}
