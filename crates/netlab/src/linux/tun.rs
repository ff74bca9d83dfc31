//! A host's end of the cable: a TUN device, whose packets a process reads and writes.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::netdevice::name_to_index;
use tappers::linux::Tun;
use tappers::{AddAddressV4, DeviceState, Interface};

use super::change;
use crate::Error;
use crate::rtnetlink::queue_of;

/// The name of the device on either host.
pub(super) const NAME: &str = "cable0";
/// The bytes that a packet may have, its IP header included, as on Ethernet.
pub(crate) const MTU: usize = 1500;
/// The length of a host's network address, in bits.
const PREFIX: u8 = 24;
/// Packets that may wait for the cable to take them. When more come at once, the device throws
/// them away; so it has room for several connections' whole windows. (It has 500 by default.)
const QUEUE: u32 = 65_536;

/// Tells what passed each device of the calling thread's network.
const DEVICES: &str = "/proc/thread-self/net/dev";

/// One end of the cable, in the network of the thread that plugged it in.
pub(crate) struct CableDevice(Tun);

impl std::fmt::Debug for CableDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CableDevice").field(&NAME).finish()
    }
}

impl CableDevice {
    /// Makes the device in the calling thread's network, and brings it up with this address.
    pub(crate) fn plug_in(address: Ipv4Addr) -> Result<Self, Error> {
        let failed = |step: &'static str| move |source| Error::Cable { step, source };
        let name = Interface::new(NAME).map_err(failed("name the device of"))?;
        let tun = Tun::create_named(name).map_err(super::no_tun)?;
        // Without it the kernel looks for routers as soon as the device is up.
        let quiet = format!("/proc/sys/net/ipv6/conf/{NAME}/disable_ipv6");
        match super::overwrite(&quiet, "1") {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("switch off IPv6 at the device of")(error));
            }
            _ => {}
        }
        tun.set_mtu(MTU).map_err(failed("set the size of packets on"))?;
        let socket = super::netlink_socket().map_err(failed("ask for the device of"))?;
        let index = name_to_index(&socket, NAME)
            .map_err(|error| failed("find the device of")(error.into()))?;
        change(&queue_of(index, QUEUE, 1), 1).map_err(failed("make room for packets at"))?;
        let mut wanted = AddAddressV4::new(address);
        wanted.set_netmask(PREFIX);
        tun.add_addr(wanted).map_err(failed("give an address to the device of"))?;
        tun.set_nonblocking(true).map_err(failed("prepare the device of"))?;
        tun.set_state(DeviceState::Up).map_err(failed("bring up the device of"))?;
        Ok(Self(tun))
    }

    /// Takes the next packet that the host has sent; `None` if there is none now.
    pub(crate) fn take(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match self.0.recv(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands a packet to the host.
    pub(crate) fn hand_over(&self, packet: &[u8]) -> io::Result<()> {
        self.0.send(packet).map(drop)
    }
}

impl AsFd for CableDevice {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
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
