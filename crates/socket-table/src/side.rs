//! Which end of a connection a socket is. The kernel does not say, so it is worked out.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use evidence::Side;

/// The knowledge about ports. The sets are mostly small, and each is asked about every row.
#[derive(Clone, Debug)]
pub(crate) struct KnownPorts {
    /// Ports that the caller says are servers'.
    pub(crate) servers: BTreeSet<u16>,
    /// Ports on which somebody listens on this machine.
    pub(crate) listening: BTreeSet<u16>,
    /// The ports from which the system picks one for a client.
    pub(crate) ephemeral: RangeInclusive<u16>,
    /// Ports that the caller asks for.
    pub(crate) asked_for: BTreeSet<u16>,
}

impl KnownPorts {
    /// The side of a socket from its two ports, by the first of these signs that tells one port
    /// from the other. The server's port is the one
    ///
    /// 1. that the caller says is a server's,
    /// 2. on which somebody listens,
    /// 3. that the system would not have picked for a client,
    /// 4. that the caller asks for.
    ///
    /// `None` if all four say the same of both ports. The two ends of one connection always get
    /// opposite sides.
    pub(crate) fn side(&self, local: u16, peer: u16) -> Option<Side> {
        self.told(local, peer)
            .or_else(|| server_is(local, peer, |port| self.listening.contains(&port)))
            .or_else(|| server_is(local, peer, |port| !self.ephemeral.contains(&port)))
            .or_else(|| server_is(local, peer, |port| self.asked_for.contains(&port)))
    }

    /// The side as far as the caller has said which ports are servers'.
    pub(crate) fn told(&self, local: u16, peer: u16) -> Option<Side> {
        server_is(local, peer, |port| self.servers.contains(&port))
    }
}

/// The side of the local end if `is_server` holds for exactly one of the ports.
fn server_is(local: u16, peer: u16, is_server: impl Fn(u16) -> bool) -> Option<Side> {
    match (is_server(local), is_server(peer)) {
        (true, false) => Some(Side::Server),
        (false, true) => Some(Side::Client),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLIENT: Option<Side> = Some(Side::Client);
    const SERVER: Option<Side> = Some(Side::Server);

    fn known(servers: &[u16], listening: &[u16], asked_for: &[u16]) -> KnownPorts {
        KnownPorts {
            servers: servers.iter().copied().collect(),
            listening: listening.iter().copied().collect(),
            ephemeral: 32768..=60999,
            asked_for: asked_for.iter().copied().collect(),
        }
    }

    #[test]
    fn the_first_sign_that_tells_the_ports_apart_decides() {
        let table: [(&str, KnownPorts, u16, u16, Option<Side>); 12] = [
            ("told, though another listens", known(&[40001], &[40002], &[]), 40001, 40002, SERVER),
            ("told of the peer", known(&[40001], &[], &[]), 40002, 40001, CLIENT),
            (
                "told of both: the listener",
                known(&[40001, 40002], &[40002], &[]),
                40001,
                40002,
                CLIENT,
            ),
            ("listens here", known(&[], &[40001], &[]), 40001, 40002, SERVER),
            ("listens there", known(&[], &[40001], &[]), 40002, 40001, CLIENT),
            ("a listener beats the range", known(&[], &[40001], &[]), 40001, 8080, SERVER),
            ("both listen: the range", known(&[], &[40001, 8080], &[]), 40001, 8080, CLIENT),
            ("the listener is gone", known(&[], &[], &[]), 8080, 40001, SERVER),
            ("a port above the range", known(&[], &[], &[]), 40001, 61000, CLIENT),
            ("the range beats the question", known(&[], &[], &[40001]), 40001, 8080, CLIENT),
            ("both could be a client's", known(&[], &[], &[40001]), 40001, 40002, SERVER),
            ("nothing tells", known(&[], &[], &[]), 40001, 40002, None),
        ];
        for (case, known, local, peer, expected) in table {
            assert_eq!(known.side(local, peer), expected, "{case}");
        }
    }

    #[test]
    fn two_ports_outside_the_range_stay_undecided() {
        assert_eq!(known(&[], &[], &[]).side(8080, 9090), None);
    }

    proptest! {
        #[test]
        fn the_two_ends_of_a_connection_get_opposite_sides(
            servers in prop::collection::vec(32760_u16..32780, 0..4),
            listening in prop::collection::vec(32760_u16..32780, 0..4),
            asked_for in prop::collection::vec(32760_u16..32780, 0..4),
            (a, b) in (32760_u16..32780, 32760_u16..32780),
        ) {
            let known = known(&servers, &listening, &asked_for);
            let opposite = known.side(a, b).map(Side::opposite);
            prop_assert_eq!(known.side(b, a), opposite);
        }
    }
}
