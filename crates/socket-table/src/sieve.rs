//! Which of the listed sockets are kept: by what the kernel is not asked for.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use evidence::{Observed, Owner, Side, Socket};

use crate::address_pair::AddressPair;

/// The other end of a connection: an address, a port of it, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPattern {
    ip: IpAddr,
    port: Option<u16>,
}

impl PeerPattern {
    /// The port, if one is named.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns true if `address` is meant; an IPv4 address is meant in its mapped form, too.
    #[must_use]
    pub fn is(&self, address: SocketAddr) -> bool {
        address.ip().to_canonical() == self.ip && self.port.is_none_or(|p| p == address.port())
    }
}

/// A text that names no peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address, as in 10.0.0.7, 10.0.0.7:443, ::1 or [::1]:443")]
pub struct PeerSyntaxError(String);

impl FromStr for PeerPattern {
    type Err = PeerSyntaxError;

    /// Reads `10.0.0.7`, `10.0.0.7:443`, `::1`, `[::1]:443`.
    fn from_str(text: &str) -> Result<Self, PeerSyntaxError> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self { ip: ip.to_canonical(), port: None });
        }
        let address: SocketAddr = text.parse().map_err(|_| PeerSyntaxError(text.to_owned()))?;
        Ok(Self { ip: address.ip().to_canonical(), port: Some(address.port()) })
    }
}

impl fmt::Display for PeerPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

/// Which of the sockets that a [`SocketFilter`](crate::SocketFilter) selects are kept. The default keeps
/// them all; each part narrows it.
///
/// ```
/// use socket_table::SocketSieve;
///
/// let sieve = SocketSieve { processes: vec!["nginx".into()], ..SocketSieve::default() };
/// assert_eq!(sieve.to_string(), ", held by nginx");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SocketSieve {
    /// Only sockets that one of these processes holds. What no process holds, as `TIME_WAIT`, and
    /// what cannot be looked into is left out, unless [`SocketSieve::retain`] keeps it as the other
    /// end of one that is kept.
    pub pids: Vec<u32>,
    /// Only sockets that a process of one of these names holds. A longer name than the system
    /// keeps (15 bytes on Linux) matches by its beginning.
    pub processes: Vec<String>,
    /// Only sockets whose other end is one of these.
    pub peers: Vec<PeerPattern>,
    /// Only this end of connections.
    pub side: Option<Side>,
}

/// The bytes that Linux keeps of a process's name.
const NAME_LEN: usize = 15;

impl SocketSieve {
    /// Keeps of `rows`, whose owners have been asked for, the sockets that are meant; `socket`
    /// tells the socket of a row.
    ///
    /// A process holds one end of a connection, and who asks about the process wants to know what
    /// became of the connection. So where owners are asked for, and no side is, the other end of
    /// each socket that is meant is kept with it, whoever holds that.
    pub fn retain<T>(&self, rows: &mut Vec<T>, socket: impl Fn(&T) -> &Socket) {
        let meant = rows.iter().map(&socket).filter(|socket| self.keeps(socket));
        let ends: HashSet<AddressPair> =
            meant.map(|socket| AddressPair::of(socket).canonical()).collect();
        let whole = self.asks_for_owners() && self.side.is_none();
        rows.retain(|row| {
            let socket = socket(row);
            let other = || AddressPair::of(socket).canonical().turned();
            self.keeps(socket) || (whole && ends.contains(&other()))
        });
    }

    /// Returns true if it means `socket`, whose owners have been asked for.
    #[must_use]
    pub fn keeps(&self, socket: &Socket) -> bool {
        let owners = match &socket.owners {
            Observed::Known(owners) => &owners[..],
            Observed::NotObservable => &[],
        };

        let has_pid = |owner: &Owner| self.pids.contains(&owner.pid);
        (self.pids.is_empty() || owners.iter().any(has_pid))
            && (self.processes.is_empty() || owners.iter().any(|owner| self.names(owner)))
            && (self.peers.is_empty() || self.peers.iter().any(|peer| peer.is(socket.peer)))
            && (self.side.is_none() || self.side == socket.side)
    }

    /// Returns true if it means `owner` among all processes: by its id, and by its name.
    #[must_use]
    pub fn means(&self, owner: &Owner) -> bool {
        (self.pids.is_empty() || self.pids.contains(&owner.pid))
            && (self.processes.is_empty() || self.names(owner))
    }

    /// Returns true if the process has one of the names that are asked for.
    fn names(&self, owner: &Owner) -> bool {
        self.processes.iter().any(|name| {
            let kept = name.get(..NAME_LEN).unwrap_or(name);
            owner.process == *name || owner.process == kept
        })
    }

    /// Returns true if it asks who holds a socket.
    #[must_use]
    pub fn asks_for_owners(&self) -> bool {
        !self.pids.is_empty() || !self.processes.is_empty()
    }
}

impl fmt::Display for SocketSieve {
    /// Goes on where a [`SocketFilter`](crate::SocketFilter)'s words end: `, held by process 4711`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: Vec<String>| items.join(" or ");
        if let Some(side) = self.side {
            write!(f, ", at the {}'s end", side.name())?;
        }
        if !self.peers.is_empty() {
            write!(f, ", to {}", list(self.peers.iter().map(PeerPattern::to_string).collect()))?;
        }
        if !self.pids.is_empty() {
            let pids = list(self.pids.iter().map(u32::to_string).collect());
            write!(f, ", held by process {pids}")?;
        }
        if !self.processes.is_empty() {
            write!(f, ", held by {}", list(self.processes.clone()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::TcpState;

    fn socket(peer: &str, owner: Option<(u32, &str)>) -> Socket {
        let owner = owner.map(|(pid, process)| Owner { pid, process: process.to_owned() });
        Socket {
            local: "10.0.0.1:40000".parse().unwrap(),
            peer: peer.parse().unwrap(),
            state: TcpState::Established,
            side: Some(Side::Client),
            recv_queue: Observed::NotObservable,
            send_queue: Observed::NotObservable,
            timer: Observed::NotObservable,
            cookie: Observed::NotObservable,
            owners: Observed::Known(owner.into_iter().collect()),
        }
    }

    #[test]
    fn a_peer_is_an_address_with_or_without_a_port() {
        let mapped = socket("[::ffff:10.0.0.7]:443", None);
        for (peer, meant) in
            [("10.0.0.7", true), ("10.0.0.7:443", true), ("10.0.0.7:80", false), ("::1", false)]
        {
            let sieve =
                SocketSieve { peers: vec![peer.parse().unwrap()], ..SocketSieve::default() };
            assert_eq!(sieve.keeps(&mapped), meant, "{peer}");
        }
        assert!("10.0.0".parse::<PeerPattern>().is_err());
        assert_eq!("[::1]:443".parse::<PeerPattern>().unwrap().to_string(), "[::1]:443");
    }

    #[test]
    fn a_name_longer_than_the_kernel_keeps_still_matches() {
        let held = socket("10.0.0.7:443", Some((7, "socket-inspecto")));
        let named =
            |name: &str| SocketSieve { processes: vec![name.into()], ..SocketSieve::default() };
        assert!(named("socket-inspector").keeps(&held));
        assert!(!named("socket").keeps(&held));
    }

    #[test]
    fn what_nobody_holds_belongs_to_no_process() {
        let sieve = SocketSieve { pids: vec![7], ..SocketSieve::default() };
        assert!(!sieve.keeps(&socket("10.0.0.7:443", None)));
        assert!(sieve.keeps(&socket("10.0.0.7:443", Some((7, "curl")))));
    }

    #[test]
    fn the_other_end_stays_unless_one_side_is_asked_for() {
        let end = |local: &str, peer: &str, side, pid: u32| Socket {
            local: local.parse().unwrap(),
            side: Some(side),
            ..socket(peer, Some((pid, "curl")))
        };
        let (mine, theirs) = ("127.0.0.1:40210", "127.0.0.1:8080");
        let mapped = ["[::ffff:127.0.0.1]:8080", "[::ffff:127.0.0.1]:40210"];
        let table = [
            end(mine, theirs, Side::Client, 7),
            end(mapped[0], mapped[1], Side::Server, 8),
            end("127.0.0.1:40212", theirs, Side::Client, 9),
            end(theirs, "127.0.0.1:40212", Side::Server, 8),
        ];
        let kept = |sieve: SocketSieve| {
            let mut rows = table.to_vec();
            sieve.retain(&mut rows, |socket| socket);
            rows
        };
        let process = |pid| SocketSieve { pids: vec![pid], ..SocketSieve::default() };
        assert_eq!(kept(process(7)), table[..2]);
        assert_eq!(kept(process(8)), table);
        assert_eq!(kept(SocketSieve { side: Some(Side::Client), ..process(7) }), table[..1]);
        assert_eq!(kept(SocketSieve { side: Some(Side::Server), ..process(7) }), []);
        let to_8080 = SocketSieve { peers: vec![theirs.parse().unwrap()], ..process(9) };
        assert_eq!(kept(to_8080), table[2..]);
        let peer_alone =
            SocketSieve { peers: vec![theirs.parse().unwrap()], ..SocketSieve::default() };
        assert_eq!(kept(peer_alone).len(), 2);
    }

    #[test]
    fn the_words_go_on_where_the_filter_s_end() {
        let sieve = SocketSieve {
            pids: vec![7, 8],
            processes: vec![],
            peers: vec!["10.0.0.7:443".parse().unwrap()],
            side: Some(Side::Client),
        };
        let words = ", at the client's end, to 10.0.0.7:443, held by process 7 or 8";
        assert_eq!(sieve.to_string(), words);
    }
}
