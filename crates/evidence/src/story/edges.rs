//! The changes of state that a TCP connection may make.

use crate::TcpState;
use crate::TcpState::{
    CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived,
    SynSent, TimeWait,
};

/// A change of state, and what makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StateEdge {
    /// The state before.
    pub from: TcpState,
    /// The state after.
    pub to: TcpState,
    /// What happens, and what is sent upon it.
    pub event: &'static str,
    /// True if figure 5 of RFC 9293 has it drawn; false for what its notes and its text add.
    pub drawn: bool,
}

const fn drawn(from: TcpState, to: TcpState, event: &'static str) -> StateEdge {
    StateEdge { from, to, event, drawn: true }
}

const fn added(from: TcpState, to: TcpState, event: &'static str) -> StateEdge {
    StateEdge { from, to, event, drawn: false }
}

const ABORT: &str = "RST, or given up";

/// Every change of state that RFC 9293 knows.
pub const STATE_EDGES: [StateEdge; 27] = [
    drawn(Closed, Listen, "passive OPEN"),
    drawn(Closed, SynSent, "active OPEN / SYN"),
    drawn(Listen, SynReceived, "SYN arrives / SYN,ACK"),
    drawn(Listen, SynSent, "SEND / SYN"),
    drawn(Listen, Closed, "CLOSE"),
    drawn(SynSent, SynReceived, "SYN arrives / SYN,ACK"),
    drawn(SynSent, Established, "SYN,ACK arrives / ACK"),
    drawn(SynSent, Closed, "CLOSE"),
    drawn(SynReceived, Established, "ACK of SYN arrives"),
    drawn(SynReceived, FinWait1, "CLOSE / FIN"),
    drawn(SynReceived, Listen, "RST arrives, after a passive OPEN"),
    drawn(Established, FinWait1, "CLOSE / FIN"),
    drawn(Established, CloseWait, "FIN arrives / ACK"),
    drawn(FinWait1, FinWait2, "ACK of FIN arrives"),
    drawn(FinWait1, Closing, "FIN arrives / ACK"),
    drawn(FinWait2, TimeWait, "FIN arrives / ACK"),
    drawn(Closing, TimeWait, "ACK of FIN arrives"),
    drawn(CloseWait, LastAck, "CLOSE / FIN"),
    drawn(LastAck, Closed, "ACK of FIN arrives"),
    drawn(TimeWait, Closed, "two segment lifetimes have passed"),
    added(FinWait1, TimeWait, "FIN and ACK of FIN arrive / ACK"),
    added(SynReceived, Closed, ABORT),
    added(Established, Closed, ABORT),
    added(FinWait1, Closed, ABORT),
    added(FinWait2, Closed, ABORT),
    added(CloseWait, Closed, ABORT),
    added(Closing, Closed, ABORT),
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_edge_stands_once_and_every_state_is_on_one() {
        let edges: HashSet<_> = STATE_EDGES.iter().map(|edge| (edge.from, edge.to)).collect();
        assert_eq!(edges.len(), STATE_EDGES.len());
        for state in TcpState::ALL {
            assert!(edges.iter().any(|(from, _)| *from == state), "{state} is never left");
            assert!(edges.iter().any(|(_, to)| *to == state), "{state} is never entered");
            let closes = state == Closed || edges.contains(&(state, Closed));
            assert!(closes, "{state} can be given up");
        }
    }
}
