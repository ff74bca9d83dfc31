//! Clients' ends where nothing tells the side: both ports are of the range that the system picks from,
//! and nobody listens here, as the server is on another machine.

use std::collections::HashMap;
use std::net::SocketAddr;

use evidence::{Side, Socket, TcpState, canonical};

/// How many sockets of an unknown side have which address, at this end and at the other.
///
/// A server's address is the one that connections share. So of these sockets one is most likely a
/// client's if the address of its peer is that of at least as many as its own is; between two ends
/// on this machine, of which both are the only one, the lower port decides.
#[derive(Clone, Debug, Default)]
pub(crate) struct LikelyClients {
    local: HashMap<SocketAddr, usize>,
    peer: HashMap<SocketAddr, usize>,
}

impl LikelyClients {
    pub(crate) fn of(sockets: &[Socket]) -> Self {
        let mut counts = Self::default();
        for socket in sockets.iter().filter(|socket| is_unknown(socket)) {
            *counts.local.entry(canonical(socket.local)).or_default() += 1;
            *counts.peer.entry(canonical(socket.peer)).or_default() += 1;
        }
        counts
    }

    /// Returns true if `socket` is one of them, or known to be a client's.
    pub(crate) fn has(&self, socket: &Socket) -> bool {
        if !is_unknown(socket) {
            return socket.side == Some(Side::Client);
        }
        let (local, peer) = (canonical(socket.local), canonical(socket.peer));
        let count = |counts: &HashMap<SocketAddr, usize>, at| counts.get(at).copied().unwrap_or(0);
        let (own, others) = (count(&self.local, &local), count(&self.peer, &peer));
        let is_alone = own == 1 && others == 1 && count(&self.local, &peer) == 1;
        if is_alone { local.port() > peer.port() } else { others >= own }
    }
}

fn is_unknown(socket: &Socket) -> bool {
    socket.side.is_none() && socket.state != TcpState::Listen && !socket.is_connected_to_itself()
}
