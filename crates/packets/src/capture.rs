//! Packets heard on one interface, each once, with the kernel's time.
//!
//! | file | idea |
//! |---|---|
//! | `linux.rs` | the sockets, and the thread that reads them |
//! | `live.rs` | packets that are handed over as they come, and not kept |
//! | `filter.rs` | what the kernel is told to let through: a program of the classic BPF |
//! | `clock.rs` | the kernel's time on the clock of a run |
//! | `drops.rs` | what the kernel says it has lost |
//! | `refusal.rs` | why nothing can be heard here, and the fix |
//! | `elsewhere.rs` | systems that are not Linux |

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use evidence::Segment;
use thiserror::Error;

use crate::decode::{LinkLayer, PacketCounts, decode};

#[cfg(any(target_os = "linux", test))]
pub(crate) mod clock;
#[cfg(target_os = "linux")]
mod drops;
#[cfg(any(not(target_os = "linux"), test))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod filter;
#[cfg(target_os = "linux")]
mod linux;
mod live;
mod refusal;

#[cfg(not(target_os = "linux"))]
use elsewhere as system;
#[cfg(target_os = "linux")]
use linux as system;

pub use live::{LiveCapture, LivePacket, PacketSink};
pub use refusal::CaptureRefusal;

/// Returns the name of the interface by which packets of this network leave for `server`.
///
/// # Errors
/// If no way leads there, or the system does not tell its interfaces.
pub fn interface_toward(server: std::net::SocketAddr) -> io::Result<String> {
    system::interface_toward(server)
}

/// What is to be heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaptureSetup {
    /// The interface, in the network of the thread that starts the capture; [`Self::ANY`] for all
    /// that there are.
    pub interface: String,
    /// Only TCP segments that have one of these ports at either end; everything if there are none.
    ///
    /// The kernel picks them by the fixed part of the IP header, so that a fragment or a segment
    /// behind IPv6 extension headers is not among them.
    pub ports: Vec<u16>,
    /// How many bytes of each packet are kept, its IP header's among them.
    pub keep: usize,
    /// How many bytes the kernel may hold at one socket until they are read, at the most. It counts
    /// twice as many, as it adds what a packet costs itself, and grants less to whoever is not root
    /// of the machine. Where that is little, several sockets share the connections.
    pub each: usize,
}

impl CaptureSetup {
    /// The word for every interface, as tcpdump has it.
    ///
    /// A packet that passes several of them, such as a bridge and what is behind it, is heard on each.
    pub const ANY: &str = "any";

    /// All packets of `interface`, as a whole.
    #[must_use]
    pub fn on(interface: &str) -> Self {
        let (keep, each) = (256 * 1024, 64 * 1024 * 1024);
        Self { interface: interface.to_owned(), ports: Vec::new(), keep, each }
    }

    /// The same, of packets that have one of `ports` at either end.
    #[must_use]
    pub fn ports(self, ports: impl IntoIterator<Item = u16>) -> Self {
        Self { ports: ports.into_iter().collect(), ..self }
    }

    /// The same, of each packet its first `keep` bytes.
    #[must_use]
    pub fn keep(self, keep: usize) -> Self {
        Self { keep, ..self }
    }

    /// The same, with no more than `each` bytes held at one socket.
    #[must_use]
    pub fn each(self, each: usize) -> Self {
        Self { each, ..self }
    }
}

/// A capture that is going on. It ends when it is dropped, or with [`Capture::stop`].
#[derive(Debug)]
pub struct Capture {
    running: system::Running,
}

impl Capture {
    /// Begins to hear, on an interface of the calling thread's network. What is sent after this has
    /// returned is heard.
    ///
    /// Times are told on the clock of a run that began at `start`.
    ///
    /// # Errors
    /// [`CaptureError::Refused`] where this process may not hear packets, with the one who refuses
    /// and the fix; the other variants for an interface that there is not, and a kernel that
    /// does not do as it should.
    pub fn start(setup: &CaptureSetup, start: Instant) -> Result<Self, CaptureError> {
        Ok(Self { running: system::start(setup, start)? })
    }

    /// Ends it, and returns all that was heard up to now.
    ///
    /// On `lo` that is every packet that had been sent when this was called: it is heard on its way
    /// out, before the call that sent it returns. On another device a packet that comes in may be
    /// under way in the kernel; so this waits until 20 ms have passed without one, for half a second
    /// at the longest.
    ///
    /// # Errors
    /// [`CaptureError::Reading`] if the socket could not be read to its end.
    pub fn stop(self) -> Result<Recording, CaptureError> {
        self.running.stop()
    }
}

/// What a capture has heard.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The interface.
    pub interface: String,
    /// The packets, each once, in the order of the kernel's times; those of one connection in the
    /// order in which the kernel handed them over.
    pub packets: Vec<HeardPacket>,
    /// How many more there were.
    pub drops: PacketDrops,
    /// How the kernel's time was put on the run's clock.
    pub clock: ClockFit,
}

impl Recording {
    /// What stands in front of the IP headers: nothing, whatever the device.
    pub const LINK: LinkLayer = LinkLayer::Raw;

    /// The TCP segments among the packets, and how many packets were none.
    #[must_use]
    pub fn segments(&self) -> (Vec<Segment>, PacketCounts) {
        let mut counts = PacketCounts::default();
        let decoded = self.packets.iter().map(HeardPacket::segment);
        let segments = decoded.inspect(|decoded| counts.count(decoded)).filter_map(Result::ok);
        (segments.collect(), counts)
    }

    /// The random numbers with which clients of TLS began, among these packets: by them keys of
    /// connections are found. That of a client whose first packet was not heard is not among them.
    #[must_use]
    pub fn client_randoms(&self) -> HashSet<[u8; 32]> {
        let random = |packet: &HeardPacket| {
            let segment = packet.segment().ok()?;
            let headers = segment.ip_header_bytes + segment.tcp_header_bytes;
            wire::tls::client_random(packet.bytes.get(usize::from(headers)..)?)
        };
        self.packets.iter().filter_map(random).collect()
    }
}

/// A packet as it was heard, from its IP header on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeardPacket {
    /// When the kernel took it, on the run's clock. What was taken before the run began is at zero.
    pub at: Duration,
    /// The same on the machine's clock, since 1970 began.
    pub since_epoch: Duration,
    /// True if it was leaving this network by the interface. On `lo`, where all packets both leave
    /// and arrive, it is the leaving that is heard.
    pub outgoing: bool,
    /// How long it was.
    pub wire_len: usize,
    /// Its bytes from the IP header on, as far as they were kept.
    pub bytes: Box<[u8]>,
}

impl HeardPacket {
    /// Reads it as a TCP segment.
    ///
    /// # Errors
    /// [`NoSegment`](crate::NoSegment) if it is none.
    pub fn segment(&self) -> Result<Segment, crate::NoSegment> {
        decode(self.at, Recording::LINK, &self.bytes, self.wire_len)
    }
}

/// How many packets the kernel had to drop because they were not read in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketDrops {
    /// How many are known of.
    pub packets: u64,
    /// True if the kernel was asked at the end; false if it does not answer such a question
    /// (`CONFIG_PACKET_DIAG`), so that what was dropped behind the last packet heard is not counted.
    pub exact: bool,
}

impl fmt::Display for PacketDrops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at_least = if self.exact { "" } else { "at least " };
        write!(f, "{at_least}{} packets dropped by the kernel", self.packets)
    }
}

/// How the kernel's time of the day was put on the clock of the run.
///
/// The difference between the two clocks was read when the capture began and when it ended; what lies
/// between follows a straight line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockFit {
    /// How far the two readings differ: the time of the day was put on or back by so much meanwhile.
    pub shift: Duration,
    /// How uncertain the readings are: the longer of the two took so long.
    pub uncertainty: Duration,
}

/// Why packets cannot be heard.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// This process may not hear packets.
    #[error(transparent)]
    Refused(#[from] CaptureRefusal),
    /// There is no such interface in this network.
    #[error("cannot hear packets on {interface}: this network has no such interface")]
    NoInterface {
        /// Its name.
        interface: String,
        /// The system's answer.
        source: io::Error,
    },
    /// So many ports cannot be told to the kernel.
    #[error("cannot hear packets of {ports} ports: the kernel's filter takes {most} at the most")]
    ManyPorts {
        /// How many there are.
        ports: usize,
        /// How many there may be.
        most: usize,
    },
    /// The socket could not be made as it has to be.
    #[error("cannot hear packets on {interface}: {step} failed")]
    Setup {
        /// The interface.
        interface: String,
        /// What was attempted.
        step: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// The socket could not be read to its end.
    #[error("cannot hear any more packets on {interface}")]
    Reading {
        /// The interface.
        interface: String,
        /// The system's answer.
        source: io::Error,
    },
}
