//! A host's end of the cable, of one kind or the other.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};

use super::tun::TunEnd;
use super::veth::VethEnd;
use crate::Error;
use crate::cable::DeviceChoice;

/// The name of the device on either host.
pub(super) const NAME: &str = "cable0";
/// The bytes that a packet may have, its IP header included, as on Ethernet.
pub(super) const MTU: usize = 1500;
/// The length of a host's network address, in bits.
pub(super) const PREFIX: u8 = 24;

/// Tells what passed each device of the calling thread's network.
const DEVICES: &str = "/proc/thread-self/net/dev";

/// One end of the cable, in the network of the thread that plugged it in.
#[derive(Debug)]
pub(crate) enum CableDevice {
    Tun(TunEnd),
    Veth(VethEnd),
}

impl CableDevice {
    /// Makes the device in the calling thread's network, and brings it up with this address.
    pub(crate) fn plug_in(address: Ipv4Addr, choice: DeviceChoice) -> Result<Self, Error> {
        let tun = || TunEnd::plug_in(address).map(Self::Tun);
        let veth = || VethEnd::plug_in(address).map(Self::Veth);
        match choice {
            DeviceChoice::Tun => tun(),
            DeviceChoice::Veth => veth(),
            DeviceChoice::Auto => match tun() {
                // What helps is told of the one that is better.
                Err(Error::NoCable(refused)) => veth().map_err(|_| Error::NoCable(refused)),
                other => other,
            },
        }
    }

    /// Takes the next packet that the host has sent; `None` if there is none now.
    pub(crate) fn take(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self {
            Self::Tun(end) => end.take(buffer),
            Self::Veth(end) => end.take(buffer),
        }
    }

    /// Hands a packet to the host.
    pub(crate) fn hand_over(&self, packet: &[u8]) -> io::Result<()> {
        match self {
            Self::Tun(end) => end.hand_over(packet),
            Self::Veth(end) => end.hand_over(packet),
        }
    }

    /// How many packets of the host it is known to have had no room for.
    pub(crate) fn missed(&self) -> u64 {
        match self {
            Self::Tun(_) => 0,
            Self::Veth(end) => end.missed(),
        }
    }
}

impl AsFd for CableDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tun(end) => end.as_fd(),
            Self::Veth(end) => end.as_fd(),
        }
    }
}

/// Switches IPv6 off at the device of this name: the kernel looks for routers as soon as it is up.
pub(super) fn quiet(name: &str) -> Result<(), Error> {
    let path = format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6");
    match super::overwrite(&path, "1") {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::Cable { step: "switch off IPv6 at the device of", source })
        }
        _ => Ok(()),
    }
}

/// How many packets the calling thread's host has lost because the cable did not take them fast
/// enough.
pub(crate) fn lost_before_the_cable() -> io::Result<u64> {
    let text = fs::read_to_string(DEVICES)?;
    let unlike = || format!("{DEVICES} says nothing of {NAME}");
    tx_dropped(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, unlike()))
}

/// The fourth number about what was transmitted, the twelfth in all.
fn tx_dropped(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix("cable0:"))?;
    line.split_whitespace().nth(11)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_device_has_dropped_is_read_from_its_line() {
        let text = "Inter-|   Receive                      |  Transmit\n \
            face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop\n    \
            lo:       1       2    3    4    5     6          7         8        9      10   11   12    0 0 0 0\n\
            cable0: 2287204   38573    0    0    0     0          0         0 214799504  148035    0 11573    0     0       0          0\n";
        assert_eq!(tx_dropped(text), Some(11_573));
        assert_eq!(tx_dropped(""), None);
    }
}
