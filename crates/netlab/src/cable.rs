//! The cable between two hosts: what becomes of each packet, and when.
//!
//! Nothing here does I/O. The loop that reads packets from one host and hands them to the other is
//! `linux/forward.rs`.

#[cfg(any(target_os = "linux", test))]
mod queue;

use std::fmt;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
pub(crate) use queue::DueQueue;

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostEnd {
    /// The host that this process lives on.
    Client,
    /// The host at the far end of the cable.
    Server,
}

impl HostEnd {
    /// Both of them.
    pub const BOTH: [Self; 2] = [Self::Client, Self::Server];

    /// The host at the other end.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl fmt::Display for HostEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// The nature of a cable: the same for every packet, whatever the [`CableLaw`] decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CablePlan {
    /// How long a packet travels, each way: half of the round trip.
    pub delay: Duration,
    /// How many bits a second go through, each way; `None` is as many as this machine can forward.
    /// The first bit of a packet leaves when the last bit of the one before has left.
    pub bits_per_second: Option<u64>,
    /// The devices at its ends.
    pub device: DeviceChoice,
}

/// The kind of device by which a host is plugged into a cable. What the cable hears is the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// TUN and, where there is none to be had, veth.
    #[default]
    Auto,
    /// A TUN device: `/dev/net/tun` has to be open to this user. It waits until the cable takes what
    /// it has.
    Tun,
    /// A pair of virtual Ethernet devices, of which the cable hears one by a packet socket. What comes
    /// while that has no more room is lost: [`CableTally::missed`] tells.
    Veth,
}

/// A packet that one host has sent.
#[derive(Clone, Copy, Debug)]
pub struct Passing<'a> {
    /// Its number on this cable, from 1, over both directions.
    pub number: u64,
    /// The host that sent it.
    pub from: HostEnd,
    /// When the cable took it from that host.
    pub at: Instant,
    /// The whole packet, from its IP header on.
    pub bytes: &'a [u8],
}

/// The fate of one packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It travels as any packet does.
    Pass,
    /// It never arrives.
    Lose,
    /// It leaves after a pause, then travels as any packet does. Others may overtake it.
    Hold(Duration),
    /// These arrive in its stead: copies of it, or none, and packets that nobody sent. Each waits
    /// for its pause, then travels as any packet does.
    Replace(Vec<Parcel>),
}

/// A packet that the cable itself puts on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The host that gets it.
    pub to: HostEnd,
    /// The whole packet, from its IP header on.
    pub bytes: Vec<u8>,
    /// The pause before it leaves.
    pub hold: Duration,
}

/// A judge of packets: it hears each one, and decides what becomes of it.
///
/// It is called in the cable's own thread and for every packet, so it should be quick. It may share
/// its state with others: a cut cable is one whose law says [`Fate::Lose`] from now on.
pub trait CableLaw: Send {
    /// Decides what becomes of a packet.
    fn decide(&mut self, packet: &Passing<'_>) -> Fate;

    /// Hears that the packet with this number was handed to the other host, at this time. A packet
    /// that arrives more than once is heard of each time, and a [`Parcel`] under the number of the
    /// packet that it came of.
    fn arrived(&mut self, number: u64, to: HostEnd, at: Instant) {
        let _ = (number, to, at);
    }
}

/// The law of a cable that loses nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NothingHappens;

impl CableLaw for NothingHappens {
    fn decide(&mut self, _: &Passing<'_>) -> Fate {
        Fate::Pass
    }
}

/// The sums of a cable that has been unplugged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CableTally {
    /// Packets that the hosts sent.
    pub sent: u64,
    /// Packets that were handed to a host.
    pub arrived: u64,
    /// Packets that a host did not take, which no law decided.
    pub refused: u64,
    /// Packets that a host sent while its device had no more room for them, as far as is known: of
    /// veth. (What a TUN device loses, [`lost_before_the_cable`](crate::lost_before_the_cable) tells.)
    pub missed: u64,
    /// Packets that were still on their way.
    pub under_way: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_the_other_end_is_the_first() {
        for end in HostEnd::BOTH {
            assert_ne!(end, end.other());
            assert_eq!(end, end.other().other());
        }
    }
}
