//! Linux: the socket table by `sock_diag(7)`, the holders of a socket by `/proc/PID/fd`.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::{fs, path::Path};

use evidence::{Observed, Socket, TcpInfo, TcpState};
use netlink_sys::{SocketAddr as NetlinkAddr, protocols::NETLINK_SOCK_DIAG};

use crate::Error;
pub(crate) use crate::cgroups::paths as cgroups;
use crate::owners::Holders;
use crate::sock_diag::{Content, Family, Message, Row as Diag, messages, request, request_one};

/// The kernel hands out no more than this at a time.
const DATAGRAM_LEN: usize = 32 * 1024;
/// `MSG_TRUNC`, in a call: tell the length that a datagram had, even if it was cut.
const TELL_FULL_LENGTH: i32 = 0x20;
/// `ENOBUFS`: the kernel had no room for a part of its answer.
const NO_BUFFER_SPACE: i32 = 105;
/// `ENOENT`: there is no such socket.
const NO_ENTRY: i32 = 2;
/// How often a list is read that changes while it is read.
const READINGS: usize = 5;

/// A socket, with what leads to the processes that hold it.
pub(crate) struct Row {
    pub(crate) socket: Socket,
    /// The number by which `/proc/PID/fd` names it; 0 if no process holds it.
    inode: u32,
    info: Option<Box<TcpInfo>>,
    cgroup: Option<u64>,
}

impl Row {
    /// The number by which processes hold it; 0 if none does.
    pub(crate) fn handle(&self) -> Option<u32> {
        Some(self.inode)
    }

    /// The socket, what TCP remembers of it, and the number of its control group.
    pub(crate) fn in_depth(self) -> (Socket, TcpInfo, Option<u64>) {
        (self.socket, self.info.map_or(TcpInfo::UNSEEN, |info| *info), self.cgroup)
    }
}

impl From<Diag> for Row {
    fn from(diag: Diag) -> Self {
        let socket = Socket {
            local: diag.local,
            peer: diag.peer,
            state: diag.state,
            side: None,
            recv_queue: Observed::Known(diag.recv_queue),
            send_queue: Observed::Known(diag.send_queue),
            timer: diag.timer,
            owners: Observed::NotObservable,
        };
        Self { socket, inode: diag.inode, info: diag.info, cgroup: diag.cgroup }
    }
}

/// Lists the sockets in one of `states` with one of `ports` at either end; none stand for all.
///
/// With very many ports it lists every port: the caller has to look again.
pub(crate) fn read(ports: &[u16], states: &[TcpState]) -> Result<Vec<Row>, Error> {
    read_to(false, ports, states)
}

/// Lists what [`read`] lists, with what TCP remembers if it is read in depth.
pub(crate) fn read_to(
    in_depth: bool,
    ports: &[u16],
    states: &[TcpState],
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    for family in Family::ALL {
        rows.extend(steady_list(family, ports, states, in_depth)?);
    }
    Ok(rows)
}

/// Finds the socket between two addresses.
pub(crate) fn find(local: SocketAddr, peer: SocketAddr) -> Result<Option<Row>, Error> {
    let found = Question::ask_for_one(local, peer)?.one()?;
    Ok(found.filter(|row| row.socket.state != TcpState::Listen))
}

/// Reads the list of one family until nothing changes under the kernel's hands.
fn steady_list(
    family: Family,
    ports: &[u16],
    states: &[TcpState],
    in_depth: bool,
) -> Result<Vec<Row>, Error> {
    for _ in 0..READINGS {
        // A new socket each time, so that no answer to an earlier question is in the way.
        if let Some(rows) = Question::ask(family, ports, states, in_depth)?.answer()? {
            return Ok(rows);
        }
    }
    Err(Error::Unsteady { family: family.name(), readings: READINGS })
}

/// A question that is on its way.
struct Question {
    socket: netlink_sys::Socket,
    family: Family,
    sequence: u32,
}

impl Question {
    fn ask(
        family: Family,
        ports: &[u16],
        states: &[TcpState],
        in_depth: bool,
    ) -> Result<Self, Error> {
        Self::send(family, |sequence| request(family, states, ports, in_depth, sequence))
    }

    fn ask_for_one(local: SocketAddr, peer: SocketAddr) -> Result<Self, Error> {
        Self::send(Family::of(local), |sequence| request_one(local, peer, sequence))
    }

    fn send(family: Family, words: impl FnOnce(u32) -> Vec<u8>) -> Result<Self, Error> {
        let sequence = 1;
        let unreachable = |source| Error::TableUnreachable { source };
        let mut socket = netlink_sys::Socket::new(NETLINK_SOCK_DIAG).map_err(unreachable)?;
        socket.bind_auto().map_err(unreachable)?;
        socket.connect(&NetlinkAddr::new(0, 0)).map_err(unreachable)?; // 0 is the kernel
        socket.send(&words(sequence), 0).map_err(unreachable)?;
        Ok(Self { socket, family, sequence })
    }

    /// The answer to a question for one socket: one message, and no end behind it.
    fn one(&self) -> Result<Option<Row>, Error> {
        let family = self.family.name();
        let mut datagram = Vec::with_capacity(DATAGRAM_LEN);
        if self.receive(&mut datagram)?.is_none() {
            return Err(Error::Unsteady { family, readings: 1 });
        }
        for message in messages(&datagram) {
            let message =
                message.map_err(|what| Error::Malformed { family, what: what.to_string() })?;
            if matches!(message.content, Content::Refused(errno) if errno.saturating_abs() == NO_ENTRY)
            {
                return Ok(None);
            }
            if let Step::Row(row) = self.judge(message)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// The whole answer; `None` if the table changed meanwhile or a part was lost.
    fn answer(&self) -> Result<Option<Vec<Row>>, Error> {
        let family = self.family.name();
        let mut rows = Vec::new();
        let mut interrupted = false;
        let mut datagram = Vec::with_capacity(DATAGRAM_LEN);
        loop {
            if self.receive(&mut datagram)?.is_none() {
                return Ok(None);
            }
            for message in messages(&datagram) {
                let message =
                    message.map_err(|what| Error::Malformed { family, what: what.to_string() })?;
                if message.sequence != self.sequence {
                    continue; // the answer to somebody else's question
                }
                interrupted |= message.interrupted;
                match self.judge(message)? {
                    Step::Row(row) => rows.push(row),
                    Step::Skip => {}
                    Step::Lost => return Ok(None),
                    Step::End => return Ok((!interrupted).then_some(rows)),
                }
            }
        }
    }

    /// What a message means for the list.
    fn judge(&self, message: Message) -> Result<Step, Error> {
        let family = self.family.name();
        match message.content {
            Content::Socket(diag) => Ok(Step::Row(diag.into())),
            Content::Nothing => Ok(Step::Skip),
            Content::Lost => Ok(Step::Lost),
            Content::Done(0..) => Ok(Step::End),
            Content::Done(errno) | Content::Refused(errno) => {
                let source = io::Error::from_raw_os_error(errno.saturating_abs());
                Err(Error::Refused { family, source })
            }
        }
    }

    /// Receives the next datagram; `None` if the kernel lost one.
    fn receive(&self, datagram: &mut Vec<u8>) -> Result<Option<()>, Error> {
        let family = self.family.name();
        datagram.clear();
        match self.socket.recv(datagram, TELL_FULL_LENGTH) {
            Ok(0) => Err(Error::Malformed { family, what: "a datagram is empty".to_owned() }),
            Ok(full) if full > datagram.len() => {
                let what = format!("a datagram of {full} bytes was cut to {}", datagram.len());
                Err(Error::Malformed { family, what })
            }
            Ok(_) => Ok(Some(())),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.receive(datagram),
            Err(error) if error.raw_os_error() == Some(NO_BUFFER_SPACE) => Ok(None),
            Err(source) => Err(Error::AnswerLost { family, source }),
        }
    }
}

/// What the next message does to the list.
enum Step {
    Row(Row),
    Skip,
    Lost,
    End,
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
pub(crate) fn holders(rows: &[Row]) -> Result<Vec<Holders>, Error> {
    let wanted: HashSet<u32> =
        rows.iter().map(|row| row.inode).filter(|&inode| inode != 0).collect();
    let found = if wanted.is_empty() { Found::default() } else { walk(&wanted)? };
    let holders = rows.iter().map(|row| match found.pids.get(&row.inode) {
        _ if row.inode == 0 => Holders::Pids(Vec::new()),
        Some(pids) => Holders::Pids(pids.clone()),
        None if found.refused => Holders::Hidden,
        // Closed since the table was read, or held by the kernel itself.
        None => Holders::Pids(Vec::new()),
    });
    Ok(holders.collect())
}

/// What a walk through all descriptors found.
#[derive(Default)]
struct Found {
    /// The processes that hold a socket, by its inode.
    pids: HashMap<u32, Vec<u32>>,
    /// Whether the descriptors of some process may not be read.
    refused: bool,
}

fn walk(wanted: &HashSet<u32>) -> Result<Found, Error> {
    let mut found = Found::default();
    let processes = fs::read_dir("/proc")
        .map_err(|source| Error::ProcessesUnreadable { source: source.into() })?;
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
    Ok(found)
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
    use super::*;

    #[test]
    fn only_sockets_have_a_socket_inode() {
        assert_eq!(socket_inode(Path::new("socket:[4711]")), Some(4711));
        assert_eq!(socket_inode(Path::new("pipe:[4711]")), None);
        assert_eq!(socket_inode(Path::new("/dev/null")), None);
    }

    #[test]
    fn the_ephemeral_range_is_the_kernel_s() {
        let line = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let ports: Vec<u16> = line.split_whitespace().map(|port| port.parse().unwrap()).collect();
        assert_eq!(ephemeral_ports(), ports[0]..=ports[1]);
    }
}
