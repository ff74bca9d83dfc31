//! A private network in which one experiment runs, or two hosts with a cable between them, made
//! without root.
//!
//! A machine's network remembers: connections of the past stay in `TIME_WAIT` for a minute, other
//! programs open and close their own, the counters count them all. [`enter`] leaves that network
//! for a fresh one, which has no sockets, counters that start at zero, a loopback interface of its
//! own and settings that may be changed without touching the machine's. It ends with the last
//! process in it.
//!
//! A process enters as a whole and for good, and only while it has one thread. An experiment
//! therefore runs in a child process, which calls [`die_with_parent`] and [`enter`] before
//! anything else.
//!
//! | file | idea |
//! |---|---|
//! | `settings.rs` | what may be asked of a network, in the kernel's names and units |
//! | `hosts.rs` | two hosts and what can be asked of them |
//! | `cable.rs` | what becomes of a packet, and when it arrives: no I/O |
//! | `linux.rs` | the move itself; the only place that changes a network's settings |
//! | `linux/host.rs` | a thread that lives on the second host |
//! | `linux/device.rs` | a host's end of the cable, of one kind or the other |
//! | `linux/tun.rs` | one that is a TUN device |
//! | `linux/veth.rs` | one that is a pair of virtual Ethernet devices |
//! | `checksum.rs` | the sums that such a device leaves to others |
//! | `linux/forward.rs` | the loop that carries packets |
//! | `rtnetlink.rs` | requests to change an interface, and what the kernel's answer means |
//! | `diagnosis.rs` | facts in, culprit out: who refuses a private network here |
//! | `refused.rs` | the same as a sentence, with the fix |
//! | `counters.rs` | the kernel's counters under `nstat`'s names |
//! | `parent.rs` | no process outlives the one that started it |
//! | `elsewhere.rs` | systems that are not Linux |
//!
//! On one loopback interface a round trip costs nothing, and both ends share one socket table.
//! [`enter_hosts`] makes two hosts instead. A thread of this process carries every packet from one
//! to the other, through a device that has neither checksum offload nor packets of 64 KiB: what
//! passes is what would be on a wire. It takes a [`CableLaw`], which may lose, hold, copy or forge
//! packets, one by one and repeatably. The TCP at both ends is the kernel's, the same kernel's.
//!
//! ```standalone_crate
//! use std::net::{TcpListener, TcpStream};
//!
//! use netlab::{Counters, Error, NetworkSettings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = NetworkSettings { local_ports: Some((50_000, 50_019)),
//! ..NetworkSettings::default() }; match netlab::enter(&settings) {
//!     Ok(private) => {
//!         assert_eq!(private.settings()?.local_ports, Some((50_000, 50_019)));
//!         let before = Counters::read()?;
//!         let server = TcpListener::bind("127.0.0.1:8080")?; // free, whatever else runs here
//!         let client = TcpStream::connect("127.0.0.1:8080")?;
//!         assert!((50_000..50_020).contains(&client.local_addr()?.port()));
//!         assert_eq!(Counters::read()?.since(&before)["TcpActiveOpens"], 1);
//!         # drop(server);
//!     }
//!     // One line: what was refused, by whom, and the fix.
//!     Err(Error::Refused(refused)) => eprintln!("{refused}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```

mod cable;
mod counters;
mod error;
mod hosts;
mod parent;
mod refused;
mod settings;

#[cfg(target_os = "linux")]
mod checksum;
#[cfg(target_os = "linux")]
mod diagnosis;
#[cfg(any(not(target_os = "linux"), test))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod rtnetlink;

#[cfg(not(target_os = "linux"))]
use elsewhere as system;
#[cfg(target_os = "linux")]
use linux as system;

pub use cable::{
    CableLaw, CablePlan, CableTally, DeviceChoice, Fate, HostEnd, NothingHappens, Parcel, Passing,
};
pub use counters::Counters;
pub use error::Error;
pub use hosts::{
    CLIENT_HOST, Cable, CableInjector, Host, HostsPlan, SERVER_HOST, TwoHosts, enter_hosts,
    lay_cable, lost_before_the_cable,
};
pub use parent::{die_with, die_with_parent};
pub use refused::Refused;
pub use settings::NetworkSettings;

/// Proof that this process lives in a private network.
#[derive(Debug)]
pub struct PrivateNetwork {
    network: system::Network,
}

impl PrivateNetwork {
    /// Reads every setting back from the kernel, also those that were not asked for.
    ///
    /// A setting that this kernel does not have is `None`: `tcp_tw_reuse_delay` came with
    /// Linux 6.14.
    ///
    /// # Errors
    /// [`Error::SettingUnreadable`] if the kernel does not tell one.
    pub fn settings(&self) -> Result<NetworkSettings, Error> {
        NetworkSettings::told_by(|name| self.network.read(name))
    }

    /// Sends every IPv4 packet for which there is no other way through the cable, which has been laid
    /// before.
    ///
    /// # Errors
    /// [`Error::Cable`].
    pub fn sends_all_by_cable(&self) -> Result<(), Error> {
        let failed = |source| Error::Cable { step: "send everything through", source };
        self.network.sends_all_by_cable().map_err(failed)
    }

    /// Lets the loopback interface cut what is sent as a wire does: IP packets of 1500 bytes at the
    /// most, each handed over on its own.
    ///
    /// A fresh `lo` takes packets of 64 KiB, and several of them as one, for somebody else to cut,
    /// which on loopback nobody does. So whoever listens hears a body of 100 kB in three pieces
    /// rather than in the seventy that a network would carry. Call it before any socket is opened:
    /// connections keep what they began with.
    ///
    /// Checksums stay unfinished: `lo` never fills them in.
    ///
    /// # Errors
    /// [`Error::UnlikeWire`] if the kernel does not do so; the interface may be changed in part.
    pub fn as_on_a_wire(&self) -> Result<(), Error> {
        self.network.as_on_a_wire().map_err(|source| Error::UnlikeWire { source })
    }
}

/// Leaves the machine's network for a fresh private one, brings its loopback interface up and
/// writes `settings`.
///
/// Call it in a process that has one thread only, before any runtime is built: a namespace belongs
/// to a thread, and only threads started later follow. Sockets opened before stay in the machine's
/// network.
///
/// Where the process may not be root, it becomes root of a user namespace in which nobody else
/// exists: files keep their owners and their permissions, but all other users look like `nobody`.
/// Where user namespaces are refused, a process with `CAP_SYS_ADMIN` enters without one.
///
/// The machine's own settings are never written: that takes a network which the kernel has
/// confirmed to be another than the one before.
///
/// # Errors
/// [`Error::Invalid`] and [`Error::ManyThreads`] before anything has changed. After
/// [`Error::Refused`], [`Error::LoopbackDown`] or [`Error::Setting`] the process may be in a
/// network of which it can make no use: it should end.
pub fn enter(settings: &NetworkSettings) -> Result<PrivateNetwork, Error> {
    enter_as(Identity::Root, settings)
}

/// The user that a process is in a private network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Root, wherever a user namespace can be had.
    Root,
    /// The same user as outside, so that programs that it starts do as they always do.
    ///
    /// The process keeps what it needs to rule its network; a program that it starts does not, but
    /// for one that is started by the machine's root.
    Oneself,
}

/// Does what [`enter`] does, as this user.
///
/// # Errors
/// Those of [`enter`].
pub fn enter_as(identity: Identity, settings: &NetworkSettings) -> Result<PrivateNetwork, Error> {
    let network = system::enter(&settings.checked()?, identity)?;
    Ok(PrivateNetwork { network })
}
