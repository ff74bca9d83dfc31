//! Which network namespace a socket is in, as far as the tracepoint's records tell: it hears of all
//! of them, and the same two addresses may be in use in several.
//!
//! The kernel's own name of a socket is the place where it keeps it. Two sockets that live at the
//! same time between the same addresses are in different networks, which are numbered here, in the
//! order in which they were met, for each pair of addresses by itself. Which of them is the one that
//! sock_diag tells of is known by the process that dialled, if that is still there.

use std::collections::HashMap;
use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

use evidence::TcpState;
use socket_table::AddressPair;

use super::change::{SocketNetwork, StateChange};

/// A socket that has been told of and is not closed.
#[derive(Clone, Copy, Debug)]
struct LiveSocket {
    place: u64,
    network: SocketNetwork,
    established: bool,
}

/// The sockets that live now, by their addresses and by their places.
#[derive(Debug, Default)]
pub(crate) struct LiveSockets {
    by_ends: HashMap<AddressPair, Vec<LiveSocket>>,
    /// Of a socket that has no port yet: what its first change told of its network.
    fresh: HashMap<u64, Option<bool>>,
}

impl LiveSockets {
    /// Finds the network of the socket that `change` is of. `is_elsewhere` tells it of a thread;
    /// `is_kept` tells of addresses if what is left of an earlier connection still has them in the
    /// network of sock_diag, in which no other can have them, then.
    pub(crate) fn place(
        &mut self,
        change: &mut StateChange,
        is_elsewhere: impl Fn(u32) -> Option<bool>,
        is_kept: impl Fn(AddressPair) -> bool,
    ) {
        let Some(place) = change.kernel_address else { return };
        let dials = (change.old, change.new) == (TcpState::Closed, TcpState::SynSent);
        let told = change.network.thread.filter(|_| dials).and_then(&is_elsewhere);
        if change.local.port() == 0 {
            self.fresh.insert(place, told);
            change.network.elsewhere = told;
            return;
        }
        let told = self.fresh.remove(&place).flatten().or(told);
        let ends = AddressPair { local: change.local, peer: change.peer }.canonical();
        if change.new == TcpState::Listen || change.old == TcpState::Listen && ends.peer.port() == 0
        {
            return;
        }
        let begins = matches!(change.old, TcpState::Closed | TcpState::Listen);
        let known = self.by_ends.get_mut(&ends).and_then(|sockets| {
            let socket = sockets.iter_mut().find(|socket| socket.place == place && !begins)?;
            socket.established |= change.new == TcpState::Established;
            socket.network.elsewhere = socket.network.elsewhere.or(told);
            Some(socket.network)
        });
        let network = known.unwrap_or_else(|| {
            let network = self.choose(change, ends, told, &is_kept);
            let established = change.new == TcpState::Established;
            let sockets = self.by_ends.entry(ends).or_default();
            sockets.retain(|socket| socket.place != place);
            sockets.push(LiveSocket { place, network, established });
            network
        });
        change.network = SocketNetwork { thread: change.network.thread, ..network };
        if change.new == TcpState::Closed
            && let Some(sockets) = self.by_ends.get_mut(&ends)
        {
            sockets.retain(|socket| socket.place != place);
            if sockets.is_empty() {
                self.by_ends.remove(&ends);
            }
        }
    }

    /// Forgets everything: changes were lost, and what seems to live may be long gone.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Returns the network of a socket of which nothing is known yet.
    fn choose(
        &self,
        change: &StateChange,
        ends: AddressPair,
        told: Option<bool>,
        is_kept: impl Fn(AddressPair) -> bool,
    ) -> SocketNetwork {
        let at = |ends: &AddressPair| self.by_ends.get(ends).map_or(&[][..], Vec::as_slice);
        let (here, there) = (at(&ends), at(&ends.turned()));
        let is_taken = |number: u16| here.iter().any(|socket| socket.network.number == number);
        if change.old != TcpState::Closed {
            // The other end of a connection that has got through the handshake, and is alone yet.
            let alone = |socket: &&LiveSocket| !is_taken(socket.network.number);
            let mut others = there.iter().filter(alone);
            let other = others.clone().find(|socket| socket.established).or(others.next());
            if let Some(other) = other {
                // What goes over loopback stays in its network.
                let same =
                    is_loopback(ends.local.ip()).then_some(other.network.elsewhere).flatten();
                return SocketNetwork { elsewhere: same.or(told), ..other.network };
            }
        }
        let begins = change.old == TcpState::Closed;
        let other = |number: u16| there.iter().any(|socket| socket.network.number == number);
        let kept = begins && is_kept(ends);
        let in_use =
            |number: u16| is_taken(number) || (begins && other(number)) || (kept && number == 0);
        let number = (0..u16::MAX).find(|number| !in_use(*number)).unwrap_or_default();
        let elsewhere = told.or(kept.then_some(true));
        SocketNetwork { number, thread: None, elsewhere }
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// The inode of the first PID namespace (`PROC_PID_INIT_INO`): the tracepoint tells threads by
/// their numbers there.
const FIRST_PID_NAMESPACE: &str = "pid:[4026531836]";

/// Tells of threads whether their network is another than this program's.
#[derive(Debug)]
pub(crate) struct ThreadNetworks {
    /// This program's; `None` if nothing can be told.
    own: Option<PathBuf>,
}

impl ThreadNetworks {
    pub(crate) fn new() -> Self {
        let pids = fs::read_link("/proc/self/ns/pid").ok();
        let is_first = pids.is_some_and(|pids| pids.as_os_str() == FIRST_PID_NAMESPACE);
        let own = fs::read_link("/proc/self/ns/net").ok();
        Self { own: own.filter(|_| is_first) }
    }

    /// `None` if the thread is gone.
    pub(crate) fn is_elsewhere(&self, thread: u32) -> Option<bool> {
        let theirs = fs::read_link(format!("/proc/{thread}/ns/net")).ok()?;
        Some(theirs != *self.own.as_ref()?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::trace::linux::change::MomentRange;
    use TcpState::{Closed, Established, Listen, SynReceived, SynSent};

    const CLIENT: &str = "127.0.0.1:45123";
    const SERVER: &str = "127.0.0.1:18090";

    fn change(place: u64, ends: [&str; 2], old: TcpState, new: TcpState) -> StateChange {
        StateChange {
            when: MomentRange::at(Duration::ZERO),
            kernel_address: Some(place),
            local: ends[0].parse().unwrap(),
            peer: ends[1].parse().unwrap(),
            old,
            new,
            side: None,
            unseen: Vec::new(),
            left: None,
            network: SocketNetwork::default(),
        }
    }

    fn numbers(changes: &[(u64, [&str; 2], TcpState, TcpState)]) -> Vec<u16> {
        let mut live = LiveSockets::default();
        let number = |(place, ends, old, new): &(u64, [&str; 2], TcpState, TcpState)| {
            let mut change = change(*place, *ends, *old, *new);
            live.place(&mut change, |_| None, |_| false);
            change.network.number
        };
        changes.iter().map(number).collect()
    }

    #[test]
    fn the_same_addresses_at_the_same_time_are_in_different_networks() {
        let (there, back) = ([CLIENT, SERVER], [SERVER, CLIENT]);
        let told = numbers(&[
            (1, there, Closed, SynSent),
            (1, there, SynSent, Established),
            (2, back, Listen, SynReceived),
            (2, back, SynReceived, Established),
            (3, there, Closed, SynSent),
            (3, there, SynSent, Established),
            (4, back, Listen, SynReceived),
            (1, there, Established, Closed),
            (2, back, Established, Closed),
            (3, there, Established, Closed),
            (4, back, SynReceived, Closed),
            // One after the other, in one network.
            (1, there, Closed, SynSent),
        ]);
        assert_eq!(told, [0, 0, 0, 0, 1, 1, 1, 0, 0, 1, 1, 0]);
    }

    #[test]
    fn addresses_that_time_wait_keeps_are_those_of_another_network() {
        let mut live = LiveSockets::default();
        let mut next = change(7, [CLIENT, SERVER], Closed, SynSent);
        live.place(&mut next, |_| None, |_| true);
        assert_eq!((next.network.number, next.network.elsewhere), (1, Some(true)));
    }

    #[test]
    fn the_network_of_who_dials_is_that_of_both_ends_on_loopback() {
        let mut live = LiveSockets::default();
        let mut told = Vec::new();
        for (place, ends, old, new) in [
            (1, ["127.0.0.1:0", SERVER], Closed, SynSent),
            (1, [CLIENT, SERVER], SynSent, Established),
            (2, [SERVER, CLIENT], Listen, SynReceived),
        ] {
            let mut change = change(place, ends, old, new);
            change.network.thread = Some(4711);
            live.place(&mut change, |thread| Some(thread == 4711), |_| false);
            told.push(change.network.elsewhere);
        }
        assert_eq!(told, [Some(true); 3]);
    }
}
