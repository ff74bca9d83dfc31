//! What is known of one end of a connection: its state, and the numbers that it lives by.
//!
//! Sequence numbers go round; of two, the one that less than half of all numbers lie before is later.

use std::net::SocketAddr;

use super::{ChangeCause, Changes, Untold};
use crate::{Segment, SegmentFlags, TcpState};

/// One end.
#[derive(Clone, Debug)]
pub(super) struct StoryEnd {
    pub(super) address: SocketAddr,
    pub(super) state: Option<TcpState>,
    /// True once anything of it was heard as it left.
    pub(super) heard_leaving: bool,
    /// The number of its FIN.
    pub(super) fin: Option<u32>,
    /// True if it has answered the handshake again after that had seemed complete.
    pub(super) answered_again: bool,
    /// The number of its SYN.
    begin: Option<u32>,
    /// The number of its SYN in its life before this.
    begin_before: Option<u32>,
    /// The number behind the last that it has sent.
    next: Option<u32>,
    /// The number behind the last that has come to it without a gap.
    expects: Option<u32>,
    /// True if it listened.
    passive: bool,
}

/// Returns true if `number` is `other` or later.
pub(super) fn reaches(number: u32, other: u32) -> bool {
    number.wrapping_sub(other) < 1 << 31
}

impl StoryEnd {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            state: None,
            heard_leaving: false,
            fin: None,
            answered_again: false,
            begin: None,
            begin_before: None,
            next: None,
            expects: None,
            passive: false,
        }
    }

    /// Returns true if this SYN begins something, rather than being sent again.
    pub(super) fn begins_with(&mut self, segment: &Segment) -> bool {
        let (again, old) =
            (self.begin == Some(segment.seq), self.begin_before == Some(segment.seq));
        let answer = segment.has(SegmentFlags::ACK);
        if again && answer && self.state == Some(TcpState::SynSent) {
            return true; // it has met the SYN of the other end, which dialled as well
        }
        if again && answer && self.passive && self.state == Some(TcpState::Established) {
            self.answered_again = true;
        }
        !again && !old
    }

    /// Takes the end to where a SYN can begin, if it is not there: no packet has told when it went.
    pub(super) fn forget_before(&mut self, segment: &Segment, changes: &mut Changes) {
        let answer = segment.has(SegmentFlags::ACK);
        match self.state {
            None | Some(TcpState::Listen) if answer => {}
            Some(TcpState::SynSent) if answer && self.begin == Some(segment.seq) => {}
            None => {}
            Some(state) => {
                if state != TcpState::Closed {
                    changes.make(self, TcpState::Closed, ChangeCause::Unseen);
                }
                if answer {
                    changes.make(self, TcpState::Listen, ChangeCause::Unseen);
                }
            }
        }
    }

    /// Begins a life with a SYN, out of the state `from`.
    pub(super) fn begin(&mut self, segment: &Segment, from: TcpState) {
        let before = self.begin.filter(|before| *before != segment.seq).or(self.begin_before);
        let (state, heard_leaving) = (self.state.unwrap_or(from), self.heard_leaving);
        *self = Self {
            state: Some(state),
            heard_leaving,
            begin: Some(segment.seq),
            begin_before: before,
            next: Some(segment.seq.wrapping_add(segment.sequence_len())),
            expects: segment.has(SegmentFlags::ACK).then_some(segment.ack),
            passive: state == TcpState::Listen,
            ..Self::new(self.address)
        };
    }

    /// Returns true for a segment of an earlier connection that has come late.
    pub(super) fn is_old(&self, segment: &Segment) -> bool {
        self.begin.is_some_and(|begin| !reaches(segment.seq, begin))
    }

    /// Notes the numbers of what it sends.
    pub(super) fn note_sent(&mut self, segment: &Segment) {
        let end = segment.seq.wrapping_add(segment.sequence_len());
        if self.next.is_none_or(|next| reaches(end, next)) {
            self.next = Some(end);
        }
        if segment.has(SegmentFlags::FIN) {
            self.fin = Some(end.wrapping_sub(1));
        }
    }

    /// Notes that all up to `ack` has come to it.
    pub(super) fn confirm(&mut self, ack: u32) {
        if self.expects.is_none_or(|expects| reaches(ack, expects)) {
            self.expects = Some(ack);
        }
    }

    /// Notes what comes to it. What comes behind a gap is not counted until it is acknowledged.
    pub(super) fn take_in(&mut self, segment: &Segment) {
        let end = segment.seq.wrapping_add(segment.sequence_len());
        match self.expects {
            Some(expects) if reaches(expects, segment.seq) && reaches(end, expects) => {
                self.expects = Some(end);
            }
            None if segment.has(SegmentFlags::SYN) => self.expects = Some(end),
            _ => {}
        }
    }

    /// Returns true if what has this number has come, and all before it.
    pub(super) fn has_got(&self, number: u32) -> bool {
        self.expects.is_some_and(|expects| reaches(expects, number.wrapping_add(1)))
    }

    /// Returns true if a RST that it sends ends its connection. One that answers a segment which does
    /// not fit leaves a connection that is not open yet as it is (RFC 9293 section 3.5.2).
    pub(super) fn aborts_with(&self, segment: &Segment) -> bool {
        match self.state {
            None | Some(TcpState::Closed | TcpState::Listen | TcpState::SynSent) => false,
            Some(TcpState::SynReceived) => self.next == Some(segment.seq),
            Some(_) => true,
        }
    }

    /// Returns the state into which a RST takes it: none if the RST does not have the number that it
    /// expects, which it answers with an ACK (RFC 9293 section 3.10.7.4).
    pub(super) fn reset_by(&self, segment: &Segment) -> Option<TcpState> {
        let expected = self.expects.is_none_or(|expects| expects == segment.seq);
        match self.state? {
            TcpState::Closed | TcpState::Listen => None,
            TcpState::SynSent => {
                let acceptable =
                    segment.has(SegmentFlags::ACK) && self.syn_acknowledged_by(segment.ack);
                acceptable.then_some(TcpState::Closed)
            }
            TcpState::SynReceived if self.passive => expected.then_some(TcpState::Listen),
            _ => expected.then_some(TcpState::Closed),
        }
    }

    /// Returns true if `ack` acknowledges its SYN, and nothing that it has not sent.
    pub(super) fn syn_acknowledged_by(&self, ack: u32) -> bool {
        self.begin.is_some_and(|begin| reaches(ack, begin.wrapping_add(1))) && self.has_sent(ack)
    }

    /// Returns true if `ack` acknowledges its FIN, and nothing that it has not sent.
    pub(super) fn fin_acknowledged_by(&self, ack: u32) -> bool {
        self.fin.is_some_and(|fin| reaches(ack, fin.wrapping_add(1))) && self.has_sent(ack)
    }

    fn has_sent(&self, ack: u32) -> bool {
        self.next.is_some_and(|next| reaches(next, ack))
    }

    #[cfg(test)]
    pub(super) fn next_number(&self) -> u32 {
        self.next.unwrap_or_default()
    }

    /// What the packets do not tell of it.
    pub(super) fn untold(&self) -> impl Iterator<Item = Untold> + use<> {
        let state = match self.state {
            None => Some(Untold::Beginning),
            Some(TcpState::TimeWait) => Some(Untold::TimeWaitEnd),
            Some(TcpState::FinWait2) => Some(Untold::FinWait2End),
            Some(_) => None,
        };
        let closed = self.fin.map(|_| Untold::WhoClosed);
        let again = self.answered_again.then_some(Untold::HandshakeAgain);
        [state, closed, again].into_iter().flatten()
    }
}
