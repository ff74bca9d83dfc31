//! Which states a socket must have passed through between two readings of the table.

use evidence::{Side, TcpState};

/// The states that an end must have passed through from `old` to `new` (RFC 9293, figure 5), as far
/// as they are certain: a connection that is gone may have been reset in any state.
pub(crate) fn passed(old: TcpState, new: TcpState, side: Option<Side>) -> Vec<TcpState> {
    use TcpState::{
        CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, SynReceived, SynSent,
        TimeWait,
    };
    let opening: &[TcpState] = match (old, side) {
        (Closed, Some(Side::Client)) => &[SynSent, Established],
        (Closed, Some(Side::Server)) => &[SynReceived, Established],
        (Closed | SynSent | SynReceived, _) => &[Established],
        _ => &[],
    };
    let open = |rest: &[TcpState]| [opening, rest].concat();
    match new {
        Established => open(&[]).into_iter().filter(|state| *state != Established).collect(),
        FinWait1 | CloseWait => open(&[]),
        FinWait2 | Closing if old != FinWait1 => open(&[FinWait1]),
        LastAck if old != CloseWait => open(&[CloseWait]),
        // By FIN_WAIT_2 or by CLOSING: nobody can tell.
        TimeWait if !matches!(old, FinWait1 | FinWait2 | Closing) => open(&[FinWait1]),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_passed_follows_from_the_states_and_the_side() {
        use TcpState::{
            CloseWait, Closed, Established, FinWait1, FinWait2, LastAck, SynReceived, SynSent,
            TimeWait,
        };
        let (client, server) = (Some(Side::Client), Some(Side::Server));
        let table: [(_, _, _, &[TcpState]); 8] = [
            (Closed, Established, client, &[SynSent]),
            (Closed, Established, server, &[SynReceived]),
            (Closed, Established, None, &[]),
            (Closed, CloseWait, client, &[SynSent, Established]),
            (Established, TimeWait, client, &[FinWait1]),
            (FinWait2, TimeWait, client, &[]),
            (Established, LastAck, server, &[CloseWait]),
            (FinWait1, Closed, client, &[]), // it may have been reset
        ];
        for (from, to, side, expected) in table {
            assert_eq!(passed(from, to, side), expected, "{from} to {to}");
        }
    }

    proptest! {
        #[test]
        fn no_state_is_both_seen_and_inferred(
            old in prop::sample::select(TcpState::ALL.to_vec()),
            new in prop::sample::select(TcpState::ALL.to_vec()),
            side in prop::sample::select(vec![None, Some(Side::Client), Some(Side::Server)]),
        ) {
            let passed = passed(old, new, side);
            prop_assert!(!passed.contains(&new) && !passed.contains(&old));
        }
    }
}
