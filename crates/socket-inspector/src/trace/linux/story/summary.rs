//! The last word on a connection: how it came to its end.

use std::net::SocketAddr;
use std::time::Duration;

use evidence::{Side, TcpState};

use super::{EndKey, StoryEnd};
use crate::trace::linux::bytes::EndBytes;
use crate::trace::linux::change::{MomentRange, TimeSpan};

/// One connection that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionSummary {
    /// When the last of its ends that was seen was done with it.
    pub(crate) when: MomentRange,
    pub(crate) connection: u64,
    /// The client's address where the sides are known, else one of the two.
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) sides_known: bool,
    pub(crate) ending: ConnectionEnding,
    /// From the first `ESTABLISHED` to the first FIN, or to the moment when the first end was gone
    /// without one; `None` if nobody saw one of the two.
    pub(crate) closed_after: Option<TimeSpan>,
    /// From the first `ESTABLISHED` to the end; `None` if it was open before anybody watched, or
    /// never.
    pub(crate) age: Option<TimeSpan>,
    /// The ends that hold `TIME_WAIT`.
    pub(crate) time_wait: Vec<Option<Side>>,
    /// The rest of it.
    pub(crate) left: Option<Duration>,
    /// True if an end should have come to hold it but was not found to. There are several reasons:
    /// a reset or a timeout came first, the kernel has no room for more
    /// (`net.ipv4.tcp_max_tw_buckets`), or the connection is in another network namespace, of
    /// which sock_diag does not tell here.
    pub(crate) time_wait_not_found: bool,
    /// True if it is known to be in another network namespace.
    pub(crate) elsewhere: bool,
    /// The bytes written and read at the address that is called the client's; `None` if nobody
    /// knows: the end is on another machine, or the witness does not tell.
    pub(crate) client_bytes: Option<EndBytes>,
    /// The same at the other address.
    pub(crate) server_bytes: Option<EndBytes>,
}

/// How a connection came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionEnding {
    /// This end sent the first FIN.
    ClosedFirst(Option<Side>),
    /// Both ends sent a FIN before they had the other's.
    Both,
    /// Without a FIN: a reset, or a timeout. This end was seen to be gone first.
    Aborted(Option<Side>),
    /// Without a FIN, and nobody can tell which end was gone first.
    AbortedBySomebody,
    /// The connection never came to be: refused, or nobody answered.
    NeverOpen,
    /// The changes that would tell are missing.
    Unknown,
}

/// Returns what is to be said of a connection in the end.
pub(super) fn summary(key: EndKey, end: &StoryEnd, other: Option<&StoryEnd>) -> ConnectionSummary {
    let ends = || std::iter::once(end).chain(other);
    let side = end.side.or_else(|| other.and_then(|other| other.side.map(Side::opposite)));
    let (mine, theirs) = (end.bytes, other.and_then(|other| other.bytes));
    let turned = side == Some(Side::Server);
    let (client, server) = if turned { (key.1, key.0) } else { (key.0, key.1) };
    let (client_bytes, server_bytes) = if turned { (theirs, mine) } else { (mine, theirs) };
    let last = ends().filter_map(|end| end.since).max_by_key(|when| when.latest);
    let when = last.unwrap_or(MomentRange::at(Duration::ZERO));
    let opened = ends().filter_map(|end| end.established).min();
    let older = ends().any(|end| end.older);
    let opened = opened.filter(|_| !older);
    let waiting = ends().filter(|end| end.state == TcpState::TimeWait);
    let ending = ending(end, other);
    ConnectionSummary {
        when,
        connection: end.number,
        client,
        server,
        sides_known: side.is_some(),
        ending,
        closed_after: opened.zip(closed_at(ending, end, other)).map(|(from, to)| from.until(to)),
        age: opened.map(|opened| opened.until(when)),
        left: waiting.clone().filter_map(|end| end.left).max(),
        time_wait_not_found: ends().any(|end| {
            let from = end.closed.map(|(_, from)| from);
            matches!(from, Some(TcpState::FinWait2 | TcpState::Closing))
        }),
        elsewhere: ends().any(|end| end.elsewhere),
        time_wait: waiting.map(|end| end.side).collect(),
        client_bytes,
        server_bytes,
    }
}

/// Returns when a connection that came to this end was closed by the end that was first to do so.
fn closed_at(
    ending: ConnectionEnding,
    end: &StoryEnd,
    other: Option<&StoryEnd>,
) -> Option<MomentRange> {
    let ends = || std::iter::once(end).chain(other);
    let fin = |end: &StoryEnd| end.first_fin;
    match ending {
        ConnectionEnding::ClosedFirst(_) => {
            let sent = ends().find(|end| end.fin_wait);
            let came = ends().filter(|end| !end.fin_wait).find_map(fin);
            // Where both ends were seen, the FIN had left one before it reached the other.
            sent.map_or(came, |sent| Some(sent.first_fin?.within(None, came)))
        }
        ConnectionEnding::Both => ends().map(fin).min()?,
        ConnectionEnding::Aborted(_) | ConnectionEnding::AbortedBySomebody => {
            ends().filter_map(|end| Some(end.closed?.0)).min_by_key(|when| when.latest)
        }
        ConnectionEnding::NeverOpen | ConnectionEnding::Unknown => None,
    }
}

fn ending(end: &StoryEnd, other: Option<&StoryEnd>) -> ConnectionEnding {
    let opposite_of = |end: &StoryEnd| end.side.map(Side::opposite);
    match (end, other) {
        (one, Some(two)) if one.fin_wait && two.fin_wait => return ConnectionEnding::Both,
        (one, _) if one.fin_wait => return ConnectionEnding::ClosedFirst(one.side),
        (_, Some(two)) if two.fin_wait => return ConnectionEnding::ClosedFirst(two.side),
        (one, _) if one.close_wait => return ConnectionEnding::ClosedFirst(opposite_of(one)),
        (_, Some(two)) if two.close_wait => return ConnectionEnding::ClosedFirst(opposite_of(two)),
        _ => {}
    }
    let mut closed: Vec<(MomentRange, &StoryEnd)> = [Some(end), other]
        .into_iter()
        .flatten()
        .filter_map(|end| Some((end.closed?.0, end)))
        .collect();
    closed.sort_by_key(|(when, _)| *when);
    let from = |state| closed.iter().any(|(_, end)| end.closed.is_some_and(|c| c.1 == state));
    match closed.as_slice() {
        _ if !from(TcpState::Established) && from(TcpState::SynSent) => ConnectionEnding::NeverOpen,
        _ if !from(TcpState::Established) => ConnectionEnding::Unknown,
        [(first, end), (second, _)] if first.latest < second.earliest => {
            ConnectionEnding::Aborted(end.side)
        }
        _ => ConnectionEnding::AbortedBySomebody,
    }
}
