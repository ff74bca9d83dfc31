//! Two hosts, each with a network of its own, and a cable between them.

use std::net::Ipv4Addr;

use crate::cable::{CableLaw, CablePlan, CableTally, Parcel};
use crate::{Error, NetworkSettings, PrivateNetwork, system};

/// The address of the client's host.
pub const CLIENT_HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
/// The address of the server's host.
pub const SERVER_HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// Two hosts that are to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostsPlan {
    /// The settings of the client's host.
    pub client: NetworkSettings,
    /// The settings of the server's host.
    pub server: NetworkSettings,
    /// The nature of the cable.
    pub cable: CablePlan,
}

/// The hosts at both ends of a cable: two socket tables, two sets of settings, counters and ports.
///
/// Both are one kernel's, and share one clock. What passes between them passes through the cable,
/// packet by packet; each host has a loopback interface beside it.
#[derive(Debug)]
pub struct TwoHosts {
    /// The client's host, in which this process lives, with all threads that it starts from now on.
    pub client: PrivateNetwork,
    /// The server's host.
    pub server: Host,
    /// The cable.
    pub cable: Cable,
}

/// A host that lives in a thread of its own: what that thread opens belongs to the host.
///
/// A socket stays where it was made. So a listener that is bound there accepts, in any thread,
/// connections to that host, and a netlink socket that is opened there tells of that host.
#[derive(Debug)]
pub struct Host {
    thread: system::HostThread,
}

impl Host {
    /// Carries out `job` in the thread of this host, and waits for it.
    ///
    /// # Errors
    /// [`Error::Host`] if a job has panicked, this one or one before.
    pub fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        self.thread.run(job)
    }

    /// Takes every IPv4 address for its own: whoever connects to any through the cable connects to
    /// this host, and the socket tells which address was meant.
    ///
    /// # Errors
    /// [`Error::Host`].
    pub fn takes_every_address(&self) -> Result<(), Error> {
        self.thread.takes_every_address()
    }

    /// Reads every setting of this host back from the kernel, as [`PrivateNetwork::settings`] does.
    ///
    /// # Errors
    /// Those of [`PrivateNetwork::settings`] and of [`Self::run`].
    pub fn settings(&self) -> Result<NetworkSettings, Error> {
        self.thread.settings()
    }
}

/// A cable, whose packets a thread of this process carries. Dropping it unplugs it.
#[derive(Debug)]
pub struct Cable {
    forwarder: system::Forwarder,
}

/// A way to put packets on a cable. It does nothing once the cable is unplugged.
#[derive(Clone, Debug)]
pub struct CableInjector {
    injector: system::Injector,
}

impl CableInjector {
    /// Puts `parcel` on its way, under the number of the packet that it came of: such as one that a
    /// law has kept back. No law is asked again.
    ///
    /// # Errors
    /// [`Error::Cable`] if there is no cable any more.
    pub fn put(&self, number: u64, parcel: Parcel) -> Result<(), Error> {
        let failed = |source| Error::Cable { step: "put a packet on", source };
        self.injector.put(number, parcel).map_err(failed)
    }
}

impl Cable {
    /// A way to put packets on it.
    #[must_use]
    pub fn injector(&self) -> CableInjector {
        CableInjector { injector: self.forwarder.injector() }
    }

    /// Unplugs it: what is under way is lost.
    ///
    /// # Errors
    /// [`Error::Cable`] if it had broken before, by itself.
    pub fn unplug(self) -> Result<CableTally, Error> {
        let broken = |source| Error::Cable { step: "carry packets on", source };
        self.forwarder.unplug().map_err(broken)
    }
}

/// Moves this process to the client's host, makes the server's, and lays a cable between them.
///
/// What [`enter`](crate::enter) says of the process holds here, too: it has one thread when it
/// calls this.
///
/// # Errors
/// Those of [`enter`](crate::enter); [`Error::NoCable`] if the system has no device for the cable;
/// [`Error::Host`] and [`Error::Cable`].
pub fn enter_hosts(plan: &HostsPlan, law: Box<dyn CableLaw>) -> Result<TwoHosts, Error> {
    plan.server.checked()?;
    let client = crate::enter(&plan.client)?;
    let (server, cable) = lay_cable(&client, &plan.server, plan.cable, law)?;
    Ok(TwoHosts { client, server, cable })
}

/// Makes a second host beside `client`, in which the calling thread is, and lays a cable between
/// them.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::NoCable`] if the system has no device for the cable;
/// [`Error::Host`] and [`Error::Cable`]. After the last two a half of the cable may be there.
pub fn lay_cable(
    client: &PrivateNetwork,
    server: &NetworkSettings,
    plan: CablePlan,
    law: Box<dyn CableLaw>,
) -> Result<(Host, Cable), Error> {
    let settings = server.checked()?;
    client.settings()?; // refuses a thread that is elsewhere
    let near = system::CableDevice::plug_in(CLIENT_HOST, plan.device)?;
    let server = Host { thread: system::HostThread::start(settings)? };
    let far = server.run(move || system::CableDevice::plug_in(SERVER_HOST, plan.device))??;
    let laid = system::Forwarder::start(near, far, plan, law);
    let forwarder = laid.map_err(|source| Error::Cable { step: "start the thread of", source })?;
    Ok((server, Cable { forwarder }))
}

/// Returns how many packets the host of the calling thread has lost because the cable did not take
/// them fast enough. No law has decided on those, and no witness at the cable has seen them.
///
/// # Errors
/// [`Error::Cable`] if the system does not tell.
pub fn lost_before_the_cable() -> Result<u64, Error> {
    let untold = |source| Error::Cable { step: "read what was lost before", source };
    system::lost_before_the_cable().map_err(untold)
}
