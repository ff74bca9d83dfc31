//! Linux: the move into a private network. The only privilege that an experiment needs, and it is
//! had without root. (`socket-inspector trace` wants root for the kernel's tracepoints, and asks by
//! itself.)

mod device;
mod forward;
mod host;
mod tun;
mod veth;

use std::fs;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::linux::fs::MetadataExt;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::process::{getegid, geteuid};

use crate::diagnosis::{EntryStep, Facts, diagnose, not_moved};
use crate::rtnetlink::{
    DefaultWay, LOOPBACK, MalformedAck, PacketLimits, bring_up, default_way, limit, limits, look,
    outcome,
};
use crate::settings::Sysctl;
use crate::{Error, Identity, Refused};

pub(crate) use device::{CableDevice, lost_before_the_cable};
pub(crate) use forward::{Forwarder, Injector};
pub(crate) use host::HostThread;

/// One entry for each thread of this process.
const THREADS: &str = "/proc/self/task";
/// Tells in which network the calling thread is.
const NETWORK: &str = "/proc/thread-self/ns/net";

/// The number of a network: no two that exist at the same time have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct NetworkId {
    device: u64,
    inode: u64,
}

impl NetworkId {
    /// The network in which the calling thread is.
    fn here() -> io::Result<Self> {
        let namespace = fs::metadata(NETWORK)?;
        Ok(Self { device: namespace.st_dev(), inode: namespace.st_ino() })
    }
}

/// A private network. There is no value of this type unless the kernel has confirmed the move.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    id: NetworkId,
}

/// Leaves the machine's network for a fresh one, and makes that as wished.
pub(crate) fn enter(settings: &[Sysctl], identity: Identity) -> Result<Network, Error> {
    one_thread()?;
    written(Network::fresh(identity)?, settings)
}

/// Brings up the loopback interface of a fresh network, and makes its settings as wished.
fn written(network: Network, settings: &[Sysctl]) -> Result<Network, Error> {
    network.loopback_up().map_err(|source| Error::LoopbackDown { source })?;
    for Sysctl { name, value } in settings {
        let failed = |source| Error::Setting { name, value: value.clone(), source };
        network.write(name, value).map_err(failed)?;
    }
    Ok(network)
}

/// Only the calling thread would move; others would go on in the machine's network.
fn one_thread() -> Result<(), Error> {
    let threads =
        fs::read_dir(THREADS).map_err(|error| refusal(EntryStep::Locate(THREADS), &error))?;
    match threads.count() {
        1 => Ok(()),
        threads => Err(Error::ManyThreads { threads }),
    }
}

impl Network {
    /// Moves into a new network, and makes sure of it.
    fn fresh(identity: Identity) -> Result<Self, Refused> {
        let here =
            || NetworkId::here().map_err(|error| refusal(EntryStep::Locate(NETWORK), &error));
        let before = here()?;
        leave(identity)?;
        match here()? {
            unmoved if unmoved == before => Err(not_moved()),
            id => Ok(Self { id }),
        }
    }

    /// Brings `lo` up, which also gives it 127.0.0.1 and `::1`.
    fn loopback_up(&self) -> io::Result<()> {
        self.check()?;
        change(&bring_up(LOOPBACK, 1), 1)
    }

    /// Lets `lo` cut packets as a wire does, and makes sure that it does: a kernel passes over what
    /// it does not know.
    pub(crate) fn as_on_a_wire(&self) -> io::Result<()> {
        self.check()?;
        let wanted = PacketLimits::AS_ON_A_WIRE;
        change(&limit(LOOPBACK, wanted, 1), 1)?;
        let now = limits(&ask(&look(LOOPBACK, 2))?, 2).map_err(invalid)?;
        if now != wanted {
            let why = format!("this kernel does not do so: it is {now:?}, not {wanted:?}");
            return Err(io::Error::new(io::ErrorKind::Unsupported, why));
        }
        Ok(())
    }

    /// Sends everything for which there is no other way through the cable.
    pub(crate) fn sends_all_by_cable(&self) -> io::Result<()> {
        self.check()?;
        let index = rustix::net::netdevice::name_to_index(netlink_socket()?, device::NAME)?;
        change(&default_way(DefaultWay::Out, index, 1), 1)
    }

    /// Takes everything that comes for its own, whatever its address.
    pub(crate) fn takes_every_address(&self) -> io::Result<()> {
        self.check()?;
        // A way says what is delivered here; that one may listen there, too, is another matter.
        overwrite(&path("net.ipv4.ip_nonlocal_bind"), "1")?;
        change(&default_way(DefaultWay::Home, LOOPBACK, 1), 1)
    }

    /// Reads one setting of this network.
    pub(crate) fn read(&self, name: &str) -> io::Result<String> {
        self.check()?;
        fs::read_to_string(path(name))
    }

    /// Writes one setting of this network.
    fn write(&self, name: &str, value: &str) -> io::Result<()> {
        self.check()?;
        overwrite(&path(name), value)
    }

    /// Makes sure that the calling thread is in this network: the kernel reads and writes the
    /// settings of the network in which the caller is.
    fn check(&self) -> io::Result<()> {
        if NetworkId::here()? == self.id {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "this thread is not in the private network",
        ))
    }
}

/// A socket on which the kernel is asked about the network of the calling thread.
fn netlink_socket() -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
    // Protocol number 0, which rustix writes as None, is NETLINK_ROUTE.
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0))?;
    Ok(socket)
}

/// Returns the kernel's answer to a request about an interface of the calling thread's network.
fn ask(request: &[u8]) -> io::Result<Vec<u8>> {
    let socket = netlink_socket()?;
    rustix::net::send(&socket, request, SendFlags::empty())?;
    let mut answer = vec![0; 16 * 1024];
    let (length, _) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    answer.truncate(length);
    Ok(answer)
}

/// Tells the kernel to change an interface of the calling thread's network.
fn change(request: &[u8], sequence: u32) -> io::Result<()> {
    match outcome(&ask(request)?, sequence).map_err(invalid)? {
        0 => Ok(()),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

fn invalid(malformed: MalformedAck) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, malformed)
}

/// Where the kernel keeps the setting that `sysctl` calls `name`.
fn path(name: &str) -> String {
    format!("/proc/sys/{}", name.replace('.', "/"))
}

/// Moves into a new network.
fn leave(identity: Identity) -> Result<(), Refused> {
    match identity {
        Identity::Root => leave_as_root(),
        Identity::Oneself => leave_as_oneself(),
    }
}

/// Moves as root of a new user namespace or, if there can be none and the process may do it, as
/// whoever it is.
fn leave_as_root() -> Result<(), Refused> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    match unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET) {
        Ok(()) => map(user, group, Identity::Root),
        // Whoever has no `CAP_SYS_ADMIN` wants to know what refused the way that is open to all.
        Err(errno) => unshare(CloneFlags::CLONE_NEWNET)
            .map_err(|_| diagnose(&Facts::gather(EntryStep::Unshare, errno))),
    }
}

/// Moves as whoever the process is: without a user namespace if it may do that, else as the same
/// user in a new one.
fn leave_as_oneself() -> Result<(), Refused> {
    let (user, group) = (geteuid().as_raw(), getegid().as_raw());
    if unshare(CloneFlags::CLONE_NEWNET).is_ok() {
        return Ok(());
    }
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)
        .map_err(|errno| diagnose(&Facts::gather(EntryStep::Unshare, errno)))?;
    map(user, group, Identity::Oneself)
}

/// Makes `user` and `group`, who this process is outside, the same or root in its new user
/// namespace.
///
/// An ordinary user may map a group only after giving up `setgroups` for good: it could otherwise
/// leave a group whose members are denied something.
fn map(user: u32, group: u32, identity: Identity) -> Result<(), Refused> {
    let write = |file, line: &str| {
        overwrite(file, line).map_err(|error| refusal(EntryStep::Map { file, user }, &error))
    };
    let (inside, inside_group) = match identity {
        Identity::Root => (0, 0),
        Identity::Oneself => (user, group),
    };
    write("/proc/self/uid_map", &format!("{inside} {user} 1"))?;
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/gid_map", &format!("{inside_group} {group} 1"))
}

/// Writes a file that exists, in one go as the kernel wants it. Never makes one.
fn overwrite(path: &str, text: &str) -> io::Result<()> {
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// The reason why there is no device for the cable, which `diagnosis` makes of an error number.
fn no_device(diagnosis: fn(Errno) -> Refused) -> impl Fn(io::Error) -> Error {
    move |error| match error.raw_os_error().map(Errno::from_raw) {
        Some(errno) => Error::NoCable(diagnosis(errno)),
        None => Error::Cable { step: "make a device for", source: error },
    }
}

fn refusal(step: EntryStep, error: &io::Error) -> Refused {
    let errno = error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw);
    diagnose(&Facts::gather(step, errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTING: &str = "net.ipv4.tcp_fin_timeout";

    #[test]
    fn nothing_is_written_to_a_network_other_than_the_private_one() {
        let now = fs::read_to_string(path(SETTING)).unwrap();
        let elsewhere = Network { id: NetworkId { device: 0, inode: 0 } };
        // What it is set to already, so that a broken lock breaks nothing else.
        let refusal = elsewhere.write(SETTING, now.trim()).unwrap_err();
        assert_eq!(refusal.to_string(), "this thread is not in the private network");
        assert!(elsewhere.read(SETTING).is_err());
        assert!(elsewhere.loopback_up().is_err());
        assert!(elsewhere.as_on_a_wire().is_err());
    }

    #[test]
    fn a_setting_lies_where_sysctl_finds_it() {
        assert_eq!(path(SETTING), "/proc/sys/net/ipv4/tcp_fin_timeout");
    }

    #[test]
    fn a_file_that_does_not_exist_is_not_made() {
        let error = overwrite("/proc/sys/net/ipv4/no_such_setting", "1").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_harness_has_several_threads_and_may_not_enter() {
        let before = NetworkId::here().unwrap();
        let Err(Error::ManyThreads { threads }) = enter(&[], Identity::Root) else {
            panic!("it entered")
        };
        assert!(threads > 1, "{threads}");
        assert_eq!(NetworkId::here().unwrap(), before);
    }
}
