//! This machine's TCP sockets at one moment.
//!
//! [`snapshot`] is one reading of the kernel's table, cheap enough to be taken many times in a
//! run: it asks the kernel for the wanted sockets alone. [`snapshot_with_owners`] also says which
//! processes hold them, which takes a walk through the descriptors of every process.
//!
//! | file | idea |
//! |---|---|
//! | `sock_diag.rs` | what is said to the Linux kernel, and what its answer means: bytes and values |
//! | `linux.rs` | whom to ask, and who holds a socket |
//! | `linux/answer.rs` | what the datagrams add up to: a whole list, or an error |
//! | `sock_diag/attributes.rs` | what stands behind a row: `struct tcp_info` and the control group |
//! | `cgroups.rs` | which directory a control group's number stands for |
//! | `filter.rs` | which sockets are asked for, as the kernel can be asked |
//! | `sieve.rs` | which of them are kept: by peer, side, process |
//! | `address_pair.rs` | the two addresses of a socket |
//! | `ledger.rs` | what earlier readings knew: who held what is closed now, and what has changed |
//! | `passed.rs` | the states between two readings that nobody has seen |
//! | `watch.rs` | the table looked at again and again |
//! | `holder_cache.rs` | who holds what is watched, at a price that can be paid ten times a second |
//! | `portable.rs` | the same for other systems, which tell no queues and no timers |
//! | `side.rs` | which end of a connection a socket is |
//!
//! ```
//! use std::net::{TcpListener, TcpStream};
//!
//! use evidence::{Side, TcpState};
//! use socket_table::SocketFilter;
//!
//! let server = TcpListener::bind("127.0.0.1:0")?;
//! let port = server.local_addr()?.port();
//! let client = TcpStream::connect(("127.0.0.1", port))?;
//!
//! let table = socket_table::snapshot(&SocketFilter::default().port(port))?;
//! assert_eq!(table.count(Side::Client, TcpState::Established), 1);
//! assert_eq!(table.count(Side::Server, TcpState::Established), 1);
//! # drop(client);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod address_pair;
#[cfg(target_os = "linux")]
mod cgroups;
mod error;
mod filter;
mod holder_cache;
mod ledger;
mod owners;
mod passed;
mod side;
mod sieve;
mod watch;

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(not(target_os = "linux"), test))]
mod portable;
#[cfg(target_os = "linux")]
mod sock_diag;
#[cfg(all(target_os = "linux", test))]
mod two_ways;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use portable as system;

/// Doors for a fuzzer, which alone can open them (`--cfg fuzzing`).
#[cfg(all(fuzzing, target_os = "linux"))]
pub mod fuzzing {
    /// Reads a datagram as if the kernel had sent it.
    pub fn datagram(datagram: &[u8]) {
        use crate::sock_diag::{MessageContent, messages, row};
        for message in messages(datagram).map_while(Result::ok) {
            if let MessageContent::Socket(words) = message.content {
                let _ = row(words);
            }
        }
    }
}

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use evidence::{Inspected, Observed, Owner, Socket, SocketTable, TcpState};

use crate::side::KnownPorts;
use crate::system::TableRow;

pub use address_pair::AddressPair;
pub use error::Error;
pub use filter::SocketFilter;
pub use ledger::{SocketChange, SocketLedger, TimeInState};
pub use sieve::{PeerPattern, PeerSyntaxError, SocketSieve};
pub use watch::{TableLook, TableWatch, watch};

/// Lists this machine's TCP sockets that `filter` selects, IPv4 and IPv6, without their owners.
///
/// One reading of a moving table: a state shorter than the reading may be absent. On Linux no
/// socket is listed twice, but one that stands still may be missing: where one datagram of the
/// answer ends, the kernel remembers the hash bucket and how many sockets of it are listed; if one
/// of these goes away before the next datagram, it leaves out another, and says nothing. With no
/// more sockets than buckets, as is usual, `tests/crowd.rs` has not seen that in a million rows.
///
/// Which end of a connection a socket is ([`Socket::side`]) is worked out from ports, by the first
/// of these signs that tells one port from the other. The server's port is the one
///
/// 1. that the filter declares a server's ([`SocketFilter::servers`]),
/// 2. on which somebody listens on this machine,
/// 3. that lies outside the range from which the system picks ports for clients,
/// 4. that the filter asks for ([`SocketFilter::ports`]).
///
/// A socket for which they do not decide has no side, nor has one that listens: it is no end of a
/// connection.
///
/// # Errors
/// If the system refuses its table, and on Linux [`Error::Unsteady`] if a part of the answer is
/// lost, or the kernel says that the table has changed, each time that it is read. What is known
/// to be short is never given for a list.
pub fn snapshot(filter: &SocketFilter) -> Result<SocketTable, Error> {
    let sockets = rows(filter, false)?.into_iter().map(|row| row.socket).collect();
    Ok(SocketTable { sockets })
}

/// Lists what [`snapshot`] lists, and the processes that hold each socket.
///
/// The names are those the system keeps: on Linux, the first 15 bytes of the program's name. Only
/// root sees the descriptors of other users' processes; the owners of their sockets are
/// [`Observed::NotObservable`] to anybody else. A process in another PID namespace is not seen at
/// all: its sockets seem to have no owner.
///
/// # Errors
/// Those of [`snapshot`], and [`Error::ProcessesUnreadable`] if processes cannot be listed.
pub fn snapshot_with_owners(filter: &SocketFilter) -> Result<SocketTable, Error> {
    let rows = rows(filter, false)?;
    let owners = owners::named(system::holders(&rows)?)?;
    let with_owners = |(row, owners): (TableRow, _)| Socket { owners, ..row.socket };
    Ok(SocketTable { sockets: rows.into_iter().zip(owners).map(with_owners).collect() })
}

/// Lists what [`snapshot_with_owners`] lists, with what TCP remembers of each connection and with
/// its control group.
///
/// The kernel's answer is some three times as long as a snapshot's. Systems other than Linux tell
/// none of it.
///
/// ```
/// use std::io::Write;
/// use std::net::{TcpListener, TcpStream};
///
/// use evidence::Observed;
/// use socket_table::SocketFilter;
///
/// let server = TcpListener::bind("127.0.0.1:0")?;
/// let mut client = TcpStream::connect(server.local_addr()?)?;
/// client.write_all(b"eleven byte")?;
///
/// let port = server.local_addr()?.port();
/// let sockets = socket_table::inspect(&SocketFilter::default().port(port))?;
/// let local = client.local_addr()?;
/// let client = sockets.iter().find(|row| row.socket.local == local).unwrap();
/// # #[cfg(target_os = "linux")]
/// assert_eq!(client.info.bytes_sent, Observed::Known(11));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// Those of [`snapshot_with_owners`].
pub fn inspect(filter: &SocketFilter) -> Result<Vec<Inspected>, Error> {
    let rows = rows(filter, true)?;
    let owners = owners::named(system::holders(&rows)?)?;
    let in_depth: Vec<_> = rows.into_iter().map(TableRow::in_depth).collect();
    let cgroups = system::cgroups(in_depth.iter().filter_map(|(_, _, cgroup)| *cgroup).collect());
    let inspected = in_depth.into_iter().zip(owners).map(|((socket, info, cgroup), owners)| {
        let cgroup = cgroup.map_or(Observed::NotObservable, |id| {
            Observed::Known(cgroups.get(&id).cloned().unwrap_or_else(|| format!("id {id}")))
        });
        Inspected { socket: Socket { owners, ..socket }, info, cgroup }
    });
    Ok(inspected.collect())
}

/// Lists what [`inspect`] lists, without the processes that hold the sockets and without
/// their control groups: both are [`Observed::NotObservable`].
///
/// It asks the kernel, and nobody else, as [`snapshot`] does; the answer is some three times
/// as long.
///
/// # Errors
/// Those of [`snapshot`].
pub fn inspect_without_owners(filter: &SocketFilter) -> Result<Vec<Inspected>, Error> {
    let in_depth = rows(filter, true)?.into_iter().map(TableRow::in_depth);
    let inspected = in_depth.map(|(socket, info, _)| Inspected {
        socket,
        info,
        cgroup: Observed::NotObservable,
    });
    Ok(inspected.collect())
}

/// Lists the local addresses of TCP sockets that are bound to a port and neither listen nor have a
/// connection (since Linux 6.8; none on older kernels and other systems, which do not tell).
///
/// They are in no other list, as they are no end of a connection; but their ports are taken.
///
/// # Errors
/// Those of [`snapshot`].
pub fn bound() -> Result<Vec<SocketAddr>, Error> {
    let ports = system::bound()?.into_iter().map(|row| row.socket.local);
    Ok(ports.filter(|local| local.port() != 0).collect())
}

/// Finds one end of one connection: the socket between the address `local` of this machine and
/// `peer`, as the socket itself tells them (an IPv4 peer of a dual-stack socket is a mapped
/// address). `None` if there is none, or no more. It has no side, and no owners.
///
/// On Linux the kernel is asked for this socket alone, which costs some ten microseconds whatever
/// the size of its table; elsewhere the table is listed.
///
/// # Errors
/// Those of [`snapshot`].
pub fn find(local: SocketAddr, peer: SocketAddr) -> Result<Option<Socket>, Error> {
    Ok(system::find(local, peer)?.map(|row| row.socket))
}

/// Finds who listens on `port` (host byte order): `None` if nobody does on this machine.
///
/// Where several processes listen on it, at different addresses or side by side, one whose name
/// can be told comes first.
///
/// # Errors
/// Those of [`snapshot_with_owners`].
pub fn listener(port: u16) -> Result<Option<Socket>, Error> {
    let filter = SocketFilter::default().port(port).state(TcpState::Listen);
    let mut sockets = snapshot_with_owners(&filter)?.sockets;
    sockets.sort_by_key(|socket| first_owner(socket).is_none());
    Ok(sockets.into_iter().next())
}

/// Reads a setting of this machine's network: `ip_local_port_range` for what `sysctl` calls
/// `net.ipv4.ip_local_port_range`. `None` if this system has none of that name.
#[must_use]
pub fn setting(name: &str) -> Option<String> {
    system::setting(name)
}

/// Reads the range of ports from which the system picks one for a client, both ends included.
#[must_use]
pub fn ephemeral_ports() -> RangeInclusive<u16> {
    system::ephemeral_ports()
}

/// The first process that holds `socket`, if any is known.
fn first_owner(socket: &Socket) -> Option<&Owner> {
    match &socket.owners {
        Observed::Known(owners) => owners.first(),
        Observed::NotObservable => None,
    }
}

/// The rows that `filter` selects, with their sides.
fn rows(filter: &SocketFilter, in_depth: bool) -> Result<Vec<TableRow>, Error> {
    let states: Vec<TcpState> = filter.states.iter().copied().collect();
    let mut rows = system::read_to(in_depth, &filter.ports, &states)?;
    if !filter.selects_everything() {
        rows.retain(|row| filter.selects(&row.socket));
    }

    let mut known = KnownPorts {
        servers: filter.servers.iter().copied().collect(),
        listening: BTreeSet::new(),
        ephemeral: system::ephemeral_ports(),
        asked_for: filter.ports.iter().copied().collect(),
    };
    known.listening = if filter.selects_every_listener() {
        listening(&rows)
    } else if rows.iter().all(|row| told(&known, &row.socket)) {
        BTreeSet::new() // nobody needs to know
    } else {
        listening(&system::read(&[], &[TcpState::Listen])?)
    };
    for TableRow { socket, .. } in &mut rows {
        if socket.state != TcpState::Listen {
            socket.side = known.side(socket.local.port(), socket.peer.port());
        }
    }
    Ok(rows)
}

/// Returns true if the side of `socket` is a matter of what the caller said.
fn told(known: &KnownPorts, socket: &Socket) -> bool {
    socket.state == TcpState::Listen
        || known.told(socket.local.port(), socket.peer.port()).is_some()
}

/// The ports on which somebody listens.
fn listening(rows: &[TableRow]) -> BTreeSet<u16> {
    let listeners = rows.iter().filter(|row| row.socket.state == TcpState::Listen);
    listeners.map(|row| row.socket.local.port()).collect()
}
