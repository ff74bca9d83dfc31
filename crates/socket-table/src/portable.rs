//! Systems other than Linux, by the netstat2 crate: no queues, no timers.
//!
//! Compiled on Linux for the tests alone, which hold it against `linux.rs`.
#![cfg_attr(target_os = "linux", allow(dead_code, reason = "the tests need a part of it"))]

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use evidence::TcpInfo;
use evidence::{Observed, Socket, TcpState};
use netstat2::{AddressFamilyFlags, ProtocolFlags, ProtocolSocketInfo, SocketInfo};

use crate::Error;
use crate::owners::SocketHolders;

/// A socket, with the processes that hold it.
pub(crate) struct TableRow {
    pub(crate) socket: Socket,
    pids: Vec<u32>,
}

impl TableRow {
    /// There is no such number: the processes are told with the row.
    pub(crate) fn handle(&self) -> Option<u32> {
        None
    }

    /// The socket, what TCP remembers of it, and the number of its control group.
    pub(crate) fn in_depth(self) -> (Socket, TcpInfo, Option<u64>) {
        (self.socket, TcpInfo::UNSEEN, None)
    }
}

/// Lists every TCP socket: this way knows no depth.
pub(crate) fn read_to(_: bool, ports: &[u16], states: &[TcpState]) -> Result<Vec<TableRow>, Error> {
    read(ports, states)
}

/// Lists every TCP socket: this way knows no filter, the caller has to look again.
pub(crate) fn read(_ports: &[u16], _states: &[TcpState]) -> Result<Vec<TableRow>, Error> {
    let families = AddressFamilyFlags::IPV4 | AddressFamilyFlags::IPV6;
    let sockets = netstat2::get_sockets_info(families, ProtocolFlags::TCP)
        .map_err(|source| Error::TableUnreadable { source: source.into() })?;
    Ok(sockets.into_iter().filter_map(row).collect())
}

/// Lists none: this way knows no sockets that are bound and no more.
pub(crate) fn bound() -> Result<Vec<TableRow>, Error> {
    Ok(Vec::new())
}

/// Finds the socket between two addresses.
pub(crate) fn find(local: SocketAddr, peer: SocketAddr) -> Result<Option<TableRow>, Error> {
    let is_it = |row: &TableRow| row.socket.local == local && row.socket.peer == peer;
    Ok(read(&[], &[])?.into_iter().find(is_it))
}

fn row(info: SocketInfo) -> Option<TableRow> {
    let ProtocolSocketInfo::Tcp(tcp) = info.protocol_socket_info else { return None };
    let socket = Socket {
        local: SocketAddr::new(tcp.local_addr, tcp.local_port),
        peer: SocketAddr::new(tcp.remote_addr, tcp.remote_port),
        state: state_of(tcp.state)?,
        side: None,
        recv_queue: Observed::NotObservable,
        send_queue: Observed::NotObservable,
        timer: Observed::NotObservable,
        cookie: Observed::NotObservable,
        owners: Observed::NotObservable,
    };
    Some(TableRow { socket, pids: info.associated_pids })
}

/// `None` for a state that the system itself has no name for.
fn state_of(state: netstat2::TcpState) -> Option<TcpState> {
    Some(match state {
        netstat2::TcpState::Closed | netstat2::TcpState::DeleteTcb => TcpState::Closed,
        netstat2::TcpState::Listen => TcpState::Listen,
        netstat2::TcpState::SynSent => TcpState::SynSent,
        netstat2::TcpState::SynReceived => TcpState::SynReceived,
        netstat2::TcpState::Established => TcpState::Established,
        netstat2::TcpState::FinWait1 => TcpState::FinWait1,
        netstat2::TcpState::FinWait2 => TcpState::FinWait2,
        netstat2::TcpState::CloseWait => TcpState::CloseWait,
        netstat2::TcpState::Closing => TcpState::Closing,
        netstat2::TcpState::LastAck => TcpState::LastAck,
        netstat2::TcpState::TimeWait => TcpState::TimeWait,
        netstat2::TcpState::Unknown => return None,
    })
}

/// The ports from which a system that nobody has tuned picks one for a client (RFC 6335 section 6).
pub(crate) fn ephemeral_ports() -> RangeInclusive<u16> {
    49152..=65535
}

/// The settings have other names.
pub(crate) fn setting(_: &str) -> Option<String> {
    None
}

/// There are no control groups.
pub(crate) fn cgroups(_: HashSet<u64>) -> HashMap<u64, String> {
    HashMap::new()
}

/// The processes that hold each of `rows`, as the system told with the table itself.
pub(crate) fn holders(rows: &[TableRow]) -> Result<Vec<SocketHolders>, Error> {
    let holders = rows.iter().map(|row| {
        // Windows names process 0 for what no process holds any more.
        let mut pids: Vec<u32> = row.pids.iter().copied().filter(|&pid| pid != 0).collect();
        pids.sort_unstable();
        if pids.is_empty() && row.socket.state != TcpState::TimeWait {
            return SocketHolders::Hidden;
        }
        SocketHolders::Pids(pids)
    });
    Ok(holders.collect())
}
