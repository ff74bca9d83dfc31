//! The life of a TCP connection as its segments tell it: a state machine by the rules of RFC 9293.
//!
//! | file | idea |
//! |---|---|
//! | `edges.rs` | the changes of state that there are: figure 5 of RFC 9293, and what it leaves out |
//! | `end.rs` | what is known of one end |

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::micros;
use crate::{Segment, SegmentFlags, TcpState};

mod edges;
mod end;

pub use edges::{STATE_EDGES, StateEdge};

use end::{StoryEnd, reaches};

/// Where a segment was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeardAt {
    /// As it left its sender: it is not said to have arrived.
    Sender,
    /// As it arrived.
    Receiver,
    /// At one place for both, such as `lo`: it is taken to arrive when it is heard.
    Both,
}

/// The reason for which an end is taken to have changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeCause {
    /// It has sent this: certain.
    Sent(SegmentFlags),
    /// What it sent shows that this of the other end's had come: certain, and some moments earlier.
    Acknowledged(SegmentFlags),
    /// This has come: certain where it was heard as it arrived, otherwise presumed.
    Received(SegmentFlags),
    /// No packet tells it: only a timer, a call or a loss can have done it, at some time before.
    Unseen,
}

/// One end has come from one state into another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// When the segment that tells it was heard, on the run's clock.
    #[serde(rename = "at_us", with = "micros")]
    pub at: Duration,
    /// The end.
    pub end: SocketAddr,
    /// The state that it left.
    pub from: TcpState,
    /// The state that it is in.
    pub to: TcpState,
    /// The reason.
    pub cause: ChangeCause,
}

/// Something that no packet tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Untold {
    /// How it came into its state: the beginning of the connection was not heard.
    Beginning,
    /// When it leaves `TIME_WAIT`: a timer ends it.
    TimeWaitEnd,
    /// Until when it waits in `FIN_WAIT_2`: if its application has closed, a timer ends that.
    FinWait2End,
    /// Who closed: an application that called `close` or `shutdown`, or a kernel after a process ended.
    WhoClosed,
    /// Why the handshake is answered again although its last ACK was heard: that was lost, or there is
    /// no room in the queue of the listener.
    HandshakeAgain,
}

/// A connection between two ends, followed segment by segment.
///
/// ```
/// # use evidence::{HeardAt, Segment, SegmentFlags, TcpState, TcpStory};
/// # let [client, server] = ["127.0.0.1:40000", "127.0.0.1:8080"].map(|end| end.parse().unwrap());
/// # let syn = Segment { at: Default::default(), source: client, destination: server, seq: 7, ack: 0,
/// #     flags: SegmentFlags::SYN, window: 512, urgent: 0, options: vec![], payload_bytes: 0,
/// #     tcp_header_bytes: 20, ip_header_bytes: 20 };
/// let mut story = TcpStory::between(client, server);
/// let changes = story.hear(&syn, HeardAt::Both);
/// assert_eq!((changes[0].from, changes[0].to), (TcpState::Closed, TcpState::SynSent));
/// assert_eq!(story.state(client), Some(TcpState::SynSent));
/// assert_eq!(story.state(server), None, "nobody knows whether it listens");
/// ```
///
/// That data, a SYN or a FIN has come is told when the end that it was sent to acknowledges it, not
/// before: a FIN may wait in a queue while that end sends its own. That an ACK or a RST has come nobody
/// acknowledges; it is told when the segment is heard arriving, or presumed with [`HeardAt::Both`].
///
/// Segments are to be given in the order in which they were heard. What was lost by whoever listened
/// leaves an end behind its true state until later segments show more.
#[derive(Clone, Debug)]
pub struct TcpStory {
    ends: [StoryEnd; 2],
}

impl TcpStory {
    /// A connection between these two, of which nothing is known yet. A socket may be connected to
    /// itself: then both are the same.
    #[must_use]
    pub fn between(one: SocketAddr, other: SocketAddr) -> Self {
        Self { ends: [StoryEnd::new(one), StoryEnd::new(other)] }
    }

    /// Returns the state of an end; `None` while no packet has told it, or for an end of another
    /// connection.
    #[must_use]
    pub fn state(&self, end: SocketAddr) -> Option<TcpState> {
        self.ends.iter().find(|one| one.address == end)?.state
    }

    /// Returns what the packets so far do not tell, of which end.
    #[must_use]
    pub fn untold(&self) -> Vec<(SocketAddr, Untold)> {
        self.ends.iter().flat_map(|end| end.untold().map(|what| (end.address, what))).collect()
    }

    /// Follows one more segment, and returns what has changed by it, in order. A segment of another
    /// connection changes nothing.
    pub fn hear(&mut self, segment: &Segment, heard: HeardAt) -> Vec<StateChange> {
        let index = |end| self.ends.iter().position(|one| one.address == end);
        let (Some(sender), Some(receiver)) = (index(segment.source), index(segment.destination))
        else {
            return Vec::new();
        };
        if sender == receiver && self.ends[0].address != self.ends[1].address {
            return Vec::new(); // from an end to itself, but not the connection that is followed
        }
        let mut changes = Changes { at: segment.at, list: Vec::new() };
        if heard != HeardAt::Receiver {
            self.ends[sender].heard_leaving = true;
        }
        // What arrives was sent, so it tells of its sender too, if nobody hears it there.
        if heard != HeardAt::Receiver || !self.ends[sender].heard_leaving {
            self.sent(sender, receiver, segment, &mut changes);
        }
        if heard != HeardAt::Sender {
            self.received(receiver, sender, segment, &mut changes);
        }
        changes.list
    }

    /// What a segment tells of the end that sent it.
    fn sent(&mut self, own: usize, peer: usize, segment: &Segment, changes: &mut Changes) {
        let peer_fin = self.ends[peer].fin;
        let end = &mut self.ends[own];
        let sent = ChangeCause::Sent(segment.flags);
        if segment.has(SegmentFlags::RST) {
            if end.aborts_with(segment) {
                changes.make(end, TcpState::Closed, sent);
            }
            return;
        }
        if segment.has(SegmentFlags::SYN) {
            if end.begins_with(segment) {
                begin(end, segment, changes);
            }
            return;
        }
        if end.is_old(segment) {
            return;
        }
        end.note_sent(segment);
        if segment.has(SegmentFlags::ACK) {
            acknowledge(end, peer_fin, segment, changes);
        }
        if segment.has(SegmentFlags::FIN) {
            let next = match end.state {
                Some(TcpState::SynReceived | TcpState::Established) => TcpState::FinWait1,
                Some(TcpState::CloseWait) => TcpState::LastAck,
                _ => return,
            };
            changes.make(end, next, sent);
        }
    }

    /// What a segment tells of the end that it has come to.
    fn received(&mut self, own: usize, peer: usize, segment: &Segment, changes: &mut Changes) {
        let (old, peer_fin) = (self.ends[peer].is_old(segment), self.ends[peer].fin);
        let end = &mut self.ends[own];
        let cause = ChangeCause::Received(segment.flags);
        let has = |flags| segment.has(flags);
        if has(SegmentFlags::RST) {
            if let Some(next) = end.reset_by(segment) {
                changes.make(end, next, cause);
            }
            return;
        }
        if old && !has(SegmentFlags::SYN) {
            return;
        }
        let fin_came_before = peer_fin.is_some_and(|fin| end.has_got(fin));
        end.take_in(segment);
        if !has(SegmentFlags::ACK) {
            return;
        }
        if end.state == Some(TcpState::SynReceived) && end.syn_acknowledged_by(segment.ack) {
            changes.make(end, TcpState::Established, cause);
        }
        if !end.fin_acknowledged_by(segment.ack) {
            return;
        }
        if end.state == Some(TcpState::FinWait1) && fin_came_before {
            // What came first is taken first, though it is not acknowledged yet.
            changes.make(end, TcpState::Closing, ChangeCause::Received(SegmentFlags::FIN));
        }
        let next = match end.state {
            Some(TcpState::FinWait1) => TcpState::FinWait2,
            Some(TcpState::Closing) => TcpState::TimeWait,
            Some(TcpState::LastAck) => TcpState::Closed,
            _ => return,
        };
        changes.make(end, next, cause);
    }
}

/// An end has sent its SYN, or answered one.
fn begin(end: &mut StoryEnd, segment: &Segment, changes: &mut Changes) {
    let answer = segment.has(SegmentFlags::ACK);
    end.forget_before(segment, changes);
    let (from, to) = match (answer, end.state) {
        (true, Some(TcpState::SynSent)) => (TcpState::SynSent, TcpState::SynReceived),
        (true, _) => (TcpState::Listen, TcpState::SynReceived),
        (false, _) => (TcpState::Closed, TcpState::SynSent),
    };
    end.begin(segment, from);
    changes.make(end, to, ChangeCause::Sent(segment.flags));
}

/// An end acknowledges what has come to it: an answer to its SYN, perhaps the other end's FIN.
fn acknowledge(
    end: &mut StoryEnd,
    peer_fin: Option<u32>,
    segment: &Segment,
    changes: &mut Changes,
) {
    end.confirm(segment.ack);
    if segment.payload_bytes > 0 {
        end.answered_again = false;
    }
    if end.state == Some(TcpState::SynSent) {
        let answer = SegmentFlags::SYN.with(SegmentFlags::ACK);
        changes.make(end, TcpState::Established, ChangeCause::Acknowledged(answer));
    }
    if !peer_fin.is_some_and(|fin| reaches(segment.ack, fin.wrapping_add(1))) {
        return;
    }
    let cause = ChangeCause::Acknowledged(SegmentFlags::FIN);
    if end.state == Some(TcpState::SynReceived) {
        changes.make(end, TcpState::Established, cause);
    }
    let next = match end.state {
        Some(TcpState::Established) => TcpState::CloseWait,
        Some(TcpState::FinWait1) => TcpState::Closing,
        Some(TcpState::FinWait2) => TcpState::TimeWait,
        _ => return,
    };
    changes.make(end, next, cause);
}

/// The changes that one segment makes.
struct Changes {
    at: Duration,
    list: Vec<StateChange>,
}

impl Changes {
    fn make(&mut self, end: &mut StoryEnd, to: TcpState, cause: ChangeCause) {
        if let Some(from) = end.state.replace(to) {
            self.list.push(StateChange { at: self.at, end: end.address, from, to, cause });
        }
    }
}

#[cfg(test)]
mod tests;
