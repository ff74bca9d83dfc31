//! Requests that met a connection which was no longer there, and requests that were sent again.

use std::time::Duration;

use evidence::{Side, WireClose};

use crate::connection::ObservedConnection;
use crate::exchange::{SeenExchange, SeenRequest};

/// A request on a connection that its server had closed, or was closing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StaleRequest<'a> {
    /// The request.
    pub request: &'a SeenRequest,
    /// How long the connection had been idle.
    pub idle: Duration,
    /// The time from the server's close to the request; `None` if the request was sent first, and
    /// the two crossed.
    pub after_close: Option<Duration>,
}

/// Returns the request of a connection that had been used before, and that its server closed without
/// having received a byte of it: the request met the close.
///
/// The packet that closes acknowledges what had reached the server's kernel. A server that gets a
/// request and then closes without an answer has acknowledged it; that is another matter.
#[must_use]
pub fn meets_stale(connection: &ObservedConnection) -> Option<StaleRequest<'_>> {
    let end = connection.end?;
    let by_server =
        matches!(end.by, WireClose::First(Side::Server) | WireClose::Reset(Side::Server));
    let (last, earlier) = connection.exchanges.split_last()?;
    let before = earlier.last()?;
    if !by_server || last.response.is_some() {
        return None;
    }
    let began = last.request.began;
    let idle = began.checked_sub(before.ended()?)?;
    let after_close = began.checked_sub(end.at);
    let bytes = |it: &SeenExchange| it.request.head_bytes + it.request.body_bytes;
    let first_byte: u64 = earlier.iter().map(bytes).sum();
    let unheard = end.reached.is_some_and(|reached| reached <= first_byte);
    (after_close.is_some() || unheard).then_some(StaleRequest {
        request: &last.request,
        idle,
        after_close,
    })
}

/// A request that was sent again.
#[derive(Clone, Copy, Debug)]
pub struct SentAgain<'a> {
    /// The connection that ended without an answer.
    pub first: &'a ObservedConnection,
    /// The connection on which it was sent again.
    pub again: &'a ObservedConnection,
    /// The request, as it was sent again.
    pub request: &'a SeenRequest,
}

/// Returns the requests that were sent again after their connection had ended without an answer: of
/// the same method, target, host and body.
#[must_use]
pub fn sent_again<'a>(connections: &[&'a ObservedConnection]) -> Vec<SentAgain<'a>> {
    let mut known: Vec<*const SeenExchange> = Vec::new();
    let mut all = Vec::new();
    for &first in connections {
        let Some(end) = first.end else { continue };
        for lost in first.exchanges.iter().filter(|it| it.response.is_none()) {
            let repeats = |it: &SeenExchange| {
                it.request.began >= lost.request.began
                    && is_same(&lost.request, &it.request)
                    && !known.contains(&std::ptr::from_ref(it))
            };
            let later = connections
                .iter()
                .filter(|other| other.id != first.id && other.ends.server == first.ends.server)
                .flat_map(|&other| other.exchanges.iter().map(move |it| (other, it)))
                .filter(|(_, it)| it.request.began >= end.at && repeats(it))
                .min_by_key(|(_, it)| it.request.began);
            if let Some((again, exchange)) = later {
                known.push(std::ptr::from_ref(exchange));
                all.push(SentAgain { first, again, request: &exchange.request });
            }
        }
    }
    all
}

fn is_same(one: &SeenRequest, other: &SeenRequest) -> bool {
    let same_body = one.body_digest.is_some() && one.body_digest == other.body_digest;
    // A body of which a part was lost with its connection is the beginning of the other.
    let cut_off = one.ended.is_none() && one.body_bytes <= other.body_bytes;
    one.method == other.method
        && one.target == other.target
        && one.host == other.host
        && (cut_off || (same_body && one.body_bytes == other.body_bytes))
}
