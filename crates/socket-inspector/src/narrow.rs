//! Which of the listed sockets are kept: by what the kernel is not asked for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use evidence::{Observed, Side, Socket};

/// The other end of a connection: an address, a port of it, or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    ip: IpAddr,
    port: Option<u16>,
}

impl Peer {
    /// The port, if one is named.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Whether `address` is meant; an IPv4 address is meant in its mapped form, too.
    #[must_use]
    pub fn is(&self, address: SocketAddr) -> bool {
        address.ip().to_canonical() == self.ip && self.port.is_none_or(|p| p == address.port())
    }
}

/// A text that names no peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address, as in 10.0.0.7, 10.0.0.7:443, ::1 or [::1]:443")]
pub struct NoPeer(String);

impl FromStr for Peer {
    type Err = NoPeer;

    /// Reads `10.0.0.7`, `10.0.0.7:443`, `::1`, `[::1]:443`.
    fn from_str(text: &str) -> Result<Self, NoPeer> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self { ip: ip.to_canonical(), port: None });
        }
        let address: SocketAddr = text.parse().map_err(|_| NoPeer(text.to_owned()))?;
        Ok(Self { ip: address.ip().to_canonical(), port: Some(address.port()) })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

/// Which of the sockets that a [`Filter`](crate::Filter) selects are kept. The default keeps them
/// all; each part narrows it.
///
/// ```
/// use socket_inspector::Narrow;
///
/// let narrow = Narrow { processes: vec!["nginx".into()], ..Narrow::default() };
/// assert_eq!(narrow.to_string(), ", held by nginx");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrow {
    /// Only sockets that one of these processes holds. What nobody holds, as `TIME_WAIT`, and
    /// what cannot be looked into is left out.
    pub pids: Vec<u32>,
    /// Only sockets that a process of one of these names holds. A longer name than the system
    /// keeps (15 bytes on Linux) matches by its beginning.
    pub processes: Vec<String>,
    /// Only sockets whose other end is one of these.
    pub peers: Vec<Peer>,
    /// Only this end of connections.
    pub side: Option<Side>,
}

/// The bytes that Linux keeps of a process's name.
const NAME_LEN: usize = 15;

impl Narrow {
    /// Whether it keeps `socket`, whose owners have been asked for.
    #[must_use]
    pub fn keeps(&self, socket: &Socket) -> bool {
        let owners = match &socket.owners {
            Observed::Known(owners) => owners.as_slice(),
            Observed::NotObservable => &[],
        };
        let named = |name: &String| {
            let kept = name.get(..NAME_LEN).unwrap_or(name);
            owners.iter().any(|owner| owner.process == *name || owner.process == kept)
        };
        (self.pids.is_empty() || owners.iter().any(|owner| self.pids.contains(&owner.pid)))
            && (self.processes.is_empty() || self.processes.iter().any(named))
            && (self.peers.is_empty() || self.peers.iter().any(|peer| peer.is(socket.peer)))
            && (self.side.is_none() || self.side == socket.side)
    }

    /// Whether it asks who holds a socket.
    #[must_use]
    pub fn asks_for_owners(&self) -> bool {
        !self.pids.is_empty() || !self.processes.is_empty()
    }
}

impl fmt::Display for Narrow {
    /// Goes on where a [`Filter`](crate::Filter)'s words end: `, held by process 4711`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: Vec<String>| items.join(" or ");
        if let Some(side) = self.side {
            write!(f, ", at the {}'s end", side.name())?;
        }
        if !self.peers.is_empty() {
            write!(f, ", to {}", list(self.peers.iter().map(Peer::to_string).collect()))?;
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
    use evidence::{Owner, TcpState};

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
            owners: Observed::Known(owner.into_iter().collect()),
        }
    }

    #[test]
    fn a_peer_is_an_address_with_or_without_a_port() {
        let mapped = socket("[::ffff:10.0.0.7]:443", None);
        for (peer, meant) in
            [("10.0.0.7", true), ("10.0.0.7:443", true), ("10.0.0.7:80", false), ("::1", false)]
        {
            let narrow = Narrow { peers: vec![peer.parse().unwrap()], ..Narrow::default() };
            assert_eq!(narrow.keeps(&mapped), meant, "{peer}");
        }
        assert!("10.0.0".parse::<Peer>().is_err());
        assert_eq!("[::1]:443".parse::<Peer>().unwrap().to_string(), "[::1]:443");
    }

    #[test]
    fn a_name_longer_than_the_kernel_keeps_still_matches() {
        let held = socket("10.0.0.7:443", Some((7, "socket-inspecto")));
        let named = |name: &str| Narrow { processes: vec![name.into()], ..Narrow::default() };
        assert!(named("socket-inspector").keeps(&held));
        assert!(!named("socket").keeps(&held));
    }

    #[test]
    fn what_nobody_holds_belongs_to_no_process() {
        let narrow = Narrow { pids: vec![7], ..Narrow::default() };
        assert!(!narrow.keeps(&socket("10.0.0.7:443", None)));
        assert!(narrow.keeps(&socket("10.0.0.7:443", Some((7, "curl")))));
    }

    #[test]
    fn the_words_go_on_where_the_filter_s_end() {
        let narrow = Narrow {
            pids: vec![7, 8],
            processes: vec![],
            peers: vec!["10.0.0.7:443".parse().unwrap()],
            side: Some(Side::Client),
        };
        let words = ", at the client's end, to 10.0.0.7:443, held by process 7 or 8";
        assert_eq!(narrow.to_string(), words);
    }
}
