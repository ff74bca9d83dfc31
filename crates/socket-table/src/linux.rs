//! Linux: the socket table by `sock_diag(7)`, the holders of a socket by `/proc/PID/fd`.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::{fs, path::Path};

use evidence::TcpState;
use rustix::buffer::spare_capacity;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::Error;
pub(crate) use crate::cgroups::paths as cgroups;
use crate::owners::SocketHolders;
pub(crate) use crate::sock_diag::TableRow;
use crate::sock_diag::{IpFamily, request, request_bound, request_one};

use answer::{DatagramReceiver, KernelAnswer, steady_list};

mod answer;

/// Lists the sockets in one of `states` with one of `ports` at either end; none stand for all.
///
/// With very many ports it lists every port: the caller has to look again.
pub(crate) fn read(ports: &[u16], states: &[TcpState]) -> Result<Vec<TableRow>, Error> {
    read_to(false, ports, states)
}

/// Lists what [`read`] lists, with what TCP remembers if it is read in depth.
pub(crate) fn read_to(
    in_depth: bool,
    ports: &[u16],
    states: &[TcpState],
) -> Result<Vec<TableRow>, Error> {
    let mut rows = Vec::new();
    for family in IpFamily::ALL {
        let words = |sequence| request(family, states, ports, in_depth, sequence);
        steady_list(family, &mut rows, || ask(family, words))?;
    }
    Ok(rows)
}

/// Lists the sockets that are bound to a port, and no more.
pub(crate) fn bound() -> Result<Vec<TableRow>, Error> {
    let mut rows = Vec::new();
    for family in IpFamily::ALL {
        steady_list(family, &mut rows, || ask(family, |n| request_bound(family, n)))?;
    }
    Ok(rows)
}

/// Finds the socket between two addresses.
pub(crate) fn find(local: SocketAddr, peer: SocketAddr) -> Result<Option<TableRow>, Error> {
    let words = |sequence| request_one(local, peer, sequence);
    let found = ask(IpFamily::of(local), words)?.one()?;
    Ok(found.filter(|row| row.socket.state != TcpState::Listen))
}

/// Asks one question, on a socket of its own, so that no answer to an earlier one is in the way.
fn ask(
    family: IpFamily,
    words: impl FnOnce(u32) -> Vec<u8>,
) -> Result<KernelAnswer<impl DatagramReceiver>, Error> {
    let sequence = 1;
    let unreachable = |source: io::Error| Error::TableUnreachable { source };
    let socket = sent(&words(sequence)).map_err(unreachable)?;
    let receive = move |datagram: &mut Vec<u8>| {
        // In a call, MSG_TRUNC asks for the length that a datagram had, even if it is cut.
        let (_, full) = rustix::net::recv(&socket, spare_capacity(datagram), RecvFlags::TRUNC)?;
        Ok(full)
    };
    Ok(KernelAnswer::new(family, sequence, receive))
}

/// Sends a question to the kernel; its answer comes on the socket that is returned.
pub(crate) fn sent(question: &[u8]) -> io::Result<OwnedFd> {
    let (domain, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    let protocol = Some(netlink::SOCK_DIAG);
    let socket = rustix::net::socket_with(domain, kind, SocketFlags::CLOEXEC, protocol)?;
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::connect(&socket, &kernel)?;
    rustix::net::send(&socket, question, SendFlags::empty())?;
    Ok(socket)
}

/// The ports from which this system picks one for a client.
pub(crate) fn ephemeral_ports() -> RangeInclusive<u16> {
    setting("ip_local_port_range")
        .and_then(|line| {
            let (low, high) = line.trim().split_once(char::is_whitespace)?;
            Some(low.parse().ok()?..=high.trim().parse().ok()?)
        })
        .unwrap_or(32768..=60999) // what every kernel starts with
}

/// A setting of IPv4, which holds for TCP over IPv6, too: a line of `/proc/sys/net/ipv4`.
pub(crate) fn setting(name: &str) -> Option<String> {
    fs::read_to_string(Path::new("/proc/sys/net/ipv4").join(name)).ok()
}

/// Finds the processes that hold each of `rows`, in one walk through all descriptors.
pub(crate) fn holders(rows: &[TableRow]) -> Result<Vec<SocketHolders>, Error> {
    let wanted: HashSet<u32> =
        rows.iter().map(|row| row.inode).filter(|&inode| inode != 0).collect();
    let found = if wanted.is_empty() { HolderWalk::default() } else { walk(&wanted, sockets_of) };
    let holders = rows.iter().map(|row| match found.pids.get(&row.inode) {
        _ if row.inode == 0 => SocketHolders::Pids(Vec::new()),
        Some(pids) => SocketHolders::Pids(pids.clone()),
        None if found.refused => SocketHolders::Hidden,
        // Closed since the table was read, or held by the kernel itself.
        None => SocketHolders::Pids(Vec::new()),
    });
    Ok(holders.collect())
}

/// The find of a walk through all descriptors.
#[derive(Default)]
struct HolderWalk {
    /// The processes that hold a socket, by its inode.
    pids: HashMap<u32, Vec<u32>>,
    /// True if the descriptors of some process may not be read, or not even the process be seen.
    refused: bool,
}

/// Looks into each process once, by `sockets_of`, whatever is wanted.
fn walk(
    wanted: &HashSet<u32>,
    mut sockets_of: impl FnMut(&Path) -> io::Result<HashSet<u32>>,
) -> HolderWalk {
    // The first process is always there. If it is not shown, others are not, either; and without
    // /proc none is, but the table is told all the same.
    let mut found = HolderWalk { refused: !Path::new("/proc/1").exists(), ..HolderWalk::default() };
    let Ok(processes) = fs::read_dir("/proc") else { return found };
    for process in processes.filter_map(Result::ok) {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue; // not a process
        };
        match sockets_of(&process.path()) {
            Ok(inodes) => {
                for inode in inodes.intersection(wanted) {
                    found.pids.entry(*inode).or_default().push(pid);
                }
            }
            Err(error) => found.refused |= error.kind() == io::ErrorKind::PermissionDenied,
        }
    }
    found.pids.values_mut().for_each(|pids| pids.sort_unstable());
    found
}

/// The inodes of the sockets that a process holds.
fn sockets_of(process: &Path) -> io::Result<HashSet<u32>> {
    let descriptors = fs::read_dir(process.join("fd"))?;
    Ok(descriptors
        .filter_map(Result::ok)
        .filter_map(|descriptor| socket_inode(&fs::read_link(descriptor.path()).ok()?))
        .collect())
}

/// `4711` out of `socket:[4711]`.
fn socket_inode(link: &Path) -> Option<u32> {
    link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn only_sockets_have_a_socket_inode() {
        assert_eq!(socket_inode(Path::new("socket:[4711]")), Some(4711));
        assert_eq!(socket_inode(Path::new("pipe:[4711]")), None);
        assert_eq!(socket_inode(Path::new("/dev/null")), None);
    }

    #[test]
    fn each_process_is_looked_into_once_however_many_sockets_are_asked_for() {
        let listeners: Vec<_> =
            (0..23).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> =
            listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let rows = read(&ports, &[TcpState::Listen]).unwrap();
        let wanted: HashSet<u32> = rows.iter().map(|row| row.inode).collect();
        assert_eq!(wanted.len(), 23);

        let mut looked: HashMap<PathBuf, usize> = HashMap::new();
        let found = walk(&wanted, |process| {
            *looked.entry(process.to_owned()).or_default() += 1;
            sockets_of(process)
        });
        assert!(looked.values().all(|&times| times == 1), "{looked:?}");
        let me = std::process::id();
        assert_eq!(looked.get(&PathBuf::from(format!("/proc/{me}"))), Some(&1));
        let pids = found.pids;
        assert!(wanted.iter().all(|inode| pids[inode].contains(&me)));
    }

    #[test]
    fn the_ephemeral_range_is_the_kernel_s() {
        let line = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let ports: Vec<u16> = line.split_whitespace().map(|port| port.parse().unwrap()).collect();
        assert_eq!(ephemeral_ports(), ports[0]..=ports[1]);
    }
}
