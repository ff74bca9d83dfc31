//! A host's end of the cable where there is no TUN device: a pair of virtual Ethernet devices.
//!
//! One has the host's address. What the host sends through it comes out of the other, which has none,
//! and there a packet socket takes it; no packet of the host's is meant for that device, so the host
//! itself takes no notice. The socket gives and takes bare IP packets, as a TUN device does. No ARP is
//! spoken: every neighbour counts as known.

use std::io::{self, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SetSockOpt, SockFlag, SockProtocol,
    SockType, recvmsg, sendto, socket, sockopt,
};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::netdevice::name_to_index;
use socket2::SockFilter;

use super::device::{MTU, NAME, PREFIX, quiet};
use super::{change, netlink_socket, no_device};
use crate::diagnosis::no_veth;
use crate::rtnetlink::{
    PacketLimits, address as at_address, bring_up, bring_up_without_arp, limit, pair,
};
use crate::{Error, checksum};

/// The device that the cable hears.
const WIRE: &str = "wire0";
/// What the socket may hold until it is read; it is granted less to whoever is not root of the machine.
const BUFFER: usize = 64 * 1024 * 1024;
/// So often a first packet is sent, and so long it is waited for each time.
const ATTEMPTS: u32 = 200;
const WAIT: Duration = Duration::from_millis(10);
/// The port of a first packet, to which nobody listens: `discard` (RFC 863).
const NOBODY: u16 = 9;

/// One end of the cable, in the network of the thread that plugged it in.
#[derive(Debug)]
pub(crate) struct VethEnd {
    socket: OwnedFd,
    /// The host's device, as its packets tell it. (To make such an address oneself takes unsafe code.)
    host: LinkAddr,
    missed: u64,
}

impl VethEnd {
    /// Makes the devices in the calling thread's network, and brings them up, one with this address.
    pub(crate) fn plug_in(address: Ipv4Addr) -> Result<Self, Error> {
        let failed = |step: &'static str| move |source| Error::Cable { step, source };
        change(&pair(NAME, WIRE, 1), 1).map_err(no_device(no_veth))?;
        let index = |name| -> Result<u32, Error> {
            let found = netlink_socket().and_then(|socket| Ok(name_to_index(&socket, name)?));
            found.map_err(failed("find the device of"))
        };
        let (host, wire) = (index(NAME)?, index(WIRE)?);
        for (name, device) in [(NAME, host), (WIRE, wire)] {
            quiet(name)?;
            let limits = limit(device, PacketLimits::AS_ON_A_WIRE, 2);
            change(&limits, 2).map_err(failed("set the size of packets on"))?;
        }
        change(&at_address(host, address, PREFIX, 3), 3)
            .map_err(failed("give an address to the device of"))?;
        let socket = ear(wire).map_err(failed("hear the device of"))?;
        // In this order: the host's would throw away what it sends while the other is down.
        change(&bring_up(wire, 4), 4).map_err(failed("bring up the device of"))?;
        change(&bring_up_without_arp(host, 5), 5).map_err(failed("bring up the device of"))?;
        let host = first_packet(&socket, address).map_err(failed("try the device of"))?;
        Ok(Self { socket, host, missed: 0 })
    }

    /// Takes the next packet that the host has sent; `None` if there is none now.
    pub(crate) fn take(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        let Some(Taken { length, missed, .. }) = taken(&self.socket, buffer)? else {
            return Ok(None);
        };
        self.missed = missed.map_or(self.missed, u64::from);
        if let Some(packet) = buffer.get_mut(..length) {
            checksum::finish(packet);
        }
        Ok(Some(length))
    }

    /// Hands a packet to the host.
    pub(crate) fn hand_over(&self, packet: &[u8]) -> io::Result<()> {
        sendto(self.socket.as_raw_fd(), packet, &self.host, MsgFlags::empty())?;
        Ok(())
    }

    /// How many packets of the host the socket had no room for, as far as it has said so.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }
}

impl AsFd for VethEnd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A packet that a socket has given.
struct Taken {
    length: usize,
    from: Option<LinkAddr>,
    /// How many there was no room for before it, where the kernel says so.
    missed: Option<u32>,
}

fn taken(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<Taken>> {
    let mut about = nix::cmsg_space!(u32);
    let mut into = [IoSliceMut::new(buffer)];
    let fd = socket.as_raw_fd();
    let received = match recvmsg::<LinkAddr>(fd, &mut into, Some(&mut about), MsgFlags::empty()) {
        Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
        other => other?,
    };
    let told = received.cmsgs()?.find_map(|message| match message {
        ControlMessageOwned::RxqOvfl(missed) => Some(missed),
        _ => None,
    });
    Ok(Some(Taken { length: received.bytes, from: received.address, missed: told }))
}

/// A packet socket that gives what comes in through the device with this number: the IP packet alone.
fn ear(device: u32) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let kind = SockType::Datagram;
    let socket = socket(AddressFamily::Packet, kind, flags, SockProtocol::EthAll)?;
    // Until now it may have heard other devices, of a network in which nobody has sent anything.
    socket2::SockRef::from(&socket).attach_filter(&incoming(device))?;
    sockopt::RcvBufForce
        .set(&socket, &BUFFER)
        .or_else(|_| sockopt::RcvBuf.set(&socket, &BUFFER))?;
    sockopt::RxqOvfl.set(&socket, &1)?;
    Ok(socket)
}

/// The program of the classic BPF that lets IPv4 through that comes in through `device`.
fn incoming(device: u32) -> Vec<SockFilter> {
    // SKF_AD_OFF with SKF_AD_IFINDEX, SKF_AD_PKTTYPE and SKF_AD_PROTOCOL
    let (interface, kind, protocol) = (0xffff_f008, 0xffff_f004, 0xffff_f000);
    let (load, jump_equal, end) = (0x20, 0x15, 0x06);
    let step = |code, value| SockFilter::new(code, 0, 0, value);
    vec![
        step(load, interface),
        SockFilter::new(jump_equal, 0, 5, device),
        step(load, kind),
        SockFilter::new(jump_equal, 3, 0, 4), // PACKET_OUTGOING
        step(load, protocol),
        SockFilter::new(jump_equal, 0, 1, 0x0800),
        step(end, 0x0004_0000),
        step(end, 0),
    ]
}

/// Lets the host send datagrams until one comes through, and sends that back until the host has it.
/// Returns the address of the host's device, of which the first tells.
///
/// Both devices throw away without a word what they are given for a moment after they were brought up.
fn first_packet(socket: &OwnedFd, own: Ipv4Addr) -> io::Result<LinkAddr> {
    let sender = UdpSocket::bind((own, 0))?;
    sender.set_read_timeout(Some(WAIT))?;
    let neighbour = Ipv4Addr::from_bits(own.to_bits() ^ 3); // .1 and .2
    let timeout = WAIT.try_into().map_err(io::Error::other)?;
    let mut buffer = [0; MTU];
    for _ in 0..ATTEMPTS {
        let _ = sender.send_to(&[], (neighbour, NOBODY));
        poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout))?;
        let mut host = None;
        while let Some(Taken { length, from: Some(from), .. }) = taken(socket, &mut buffer)? {
            if let Some(packet) = buffer.get_mut(..length) {
                turn_round(packet);
                sendto(socket.as_raw_fd(), packet, &from, MsgFlags::empty())?;
            }
            host = Some(from);
        }
        if let (Some(host), Ok(_)) = (host, sender.recv_from(&mut [0; 1])) {
            return Ok(host);
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "no packet came through"))
}

/// Makes the answer of a datagram without options, whose sums stay what they are.
fn turn_round(packet: &mut [u8]) {
    checksum::finish(packet);
    if let Some(ends) = packet.get_mut(12..24) {
        let (addresses, ports) = ends.split_at_mut(8);
        addresses.rotate_left(4);
        ports.rotate_left(2);
    }
}
