//! A host's end of the cable: a TUN device, whose packets a process reads and writes.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::net::netdevice::name_to_index;
use tappers::linux::Tun;
use tappers::{AddAddressV4, DeviceState, Interface};

use super::change;
use super::device::{MTU, NAME, PREFIX, quiet};
use crate::Error;
use crate::diagnosis::no_tun;
use crate::rtnetlink::queue_of;

/// Packets that may wait for the cable to take them. When more come at once, the device throws
/// them away; so it has room for several connections' whole windows. (It has 500 by default.)
const QUEUE: u32 = 65_536;

/// One end of the cable, in the network of the thread that plugged it in.
pub(crate) struct TunEnd(Tun);

impl std::fmt::Debug for TunEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TunEnd").field(&NAME).finish()
    }
}

impl TunEnd {
    /// Makes the device in the calling thread's network, and brings it up with this address.
    pub(crate) fn plug_in(address: Ipv4Addr) -> Result<Self, Error> {
        let failed = |step: &'static str| move |source| Error::Cable { step, source };
        let name = Interface::new(NAME).map_err(failed("name the device of"))?;
        let tun = Tun::create_named(name).map_err(super::no_device(no_tun))?;
        quiet(NAME)?;
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

impl AsFd for TunEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
