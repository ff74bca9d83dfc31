//! The ground of a run: the machine's network, a private one, or two hosts with a cable.

use std::collections::{BTreeMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use apparatus::{FarHost, InterfaceWitness, WireWitness};
use evidence::{ServerAddr, WirePlace, WireRecord};
use netlab::{
    Cable, CablePlan, CableTally, Counters, Host, HostsPlan, NetworkSettings, PrivateNetwork,
};

use packets::Recording;

use crate::cable::CableControl;
use crate::settings::Network;

/// The ground on which a run takes place.
pub(crate) enum Ground {
    /// The machine's own network, with who hears the packets of the run in it, if anybody is to.
    Machine(Option<Arc<InterfaceWitness>>),
    /// A network of its own, with who hears the packets in it.
    Network(PrivateNetwork, Option<Arc<InterfaceWitness>>),
    /// Two hosts, the client's and the servers'.
    Hosts(TwoHosts),
}

/// Two hosts, with a hand on the cable.
pub(crate) struct TwoHosts {
    client: PrivateNetwork,
    server: Arc<ServersHost>,
    cable: Arc<CableWitness>,
}

/// The cable as the witness of all packets.
#[derive(Debug)]
struct CableWitness {
    control: CableControl,
    /// The cable, until it is unplugged.
    cable: Mutex<Option<Cable>>,
    server: Arc<ServersHost>,
}

impl WireWitness for CableWitness {
    fn begin(&self, start: Instant, _: &[ServerAddr]) -> io::Result<()> {
        self.control.begin(start);
        Ok(())
    }

    /// Unplugs the cable. Nobody but the run's client and servers uses it.
    fn end(&self, _: &HashSet<ServerAddr>) -> io::Result<WireRecord> {
        let of_client = netlab::lost_before_the_cable().map_err(io::Error::other)?;
        let of_server = self.server.0.run(netlab::lost_before_the_cable);
        let of_server = of_server.flatten().map_err(io::Error::other)?;
        let cable = self.cable.lock().unwrap_or_else(PoisonError::into_inner).take();
        let tally = cable.map(Cable::unplug).transpose().map_err(io::Error::other)?;
        let mut record = self.control.record();
        record.missed = of_client + of_server;
        if let Some(CableTally { refused, under_way, missed, .. }) = tally {
            record.missed += missed;
            (record.refused, record.under_way) = (refused, under_way);
        }
        Ok(record)
    }
}

/// The host of the servers, as the apparatus asks for it.
#[derive(Debug)]
struct ServersHost(Host);

impl FarHost for ServersHost {
    fn run(&self, job: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        self.0.run(job).map_err(io::Error::other)
    }
}

/// The kernel's counters of a ground: one network's, or two hosts'.
pub(crate) struct GroundCounters(Vec<Counters>);

impl TwoHosts {
    /// Moves this process to the client's host, and makes the other. The cable keeps whole packets
    /// if `keeps` says so.
    ///
    /// # Errors
    /// Those of [`netlab::enter_hosts`].
    pub(crate) fn enter(
        settings: &NetworkSettings,
        cable: CablePlan,
        network: &Network,
        keeps: bool,
    ) -> Result<Self, netlab::Error> {
        let control = CableControl::new(network, keeps);
        let plan = HostsPlan { client: settings.clone(), server: settings.clone(), cable };
        let netlab::TwoHosts { client, server, cable } = netlab::enter_hosts(&plan, control.law())?;
        let server = Arc::new(ServersHost(server));
        let cable =
            CableWitness { control, cable: Mutex::new(Some(cable)), server: Arc::clone(&server) };
        Ok(Self { client, server, cable: Arc::new(cable) })
    }
}

impl Ground {
    /// The network of the client, if it is private.
    pub(crate) fn network(&self) -> Option<&PrivateNetwork> {
        match self {
            Self::Machine(_) => None,
            Self::Network(network, _) => Some(network),
            Self::Hosts(hosts) => Some(&hosts.client),
        }
    }

    /// The host of the servers, if it is another.
    pub(crate) fn far(&self) -> Option<Arc<dyn FarHost>> {
        match self {
            Self::Machine(_) | Self::Network(..) => None,
            Self::Hosts(hosts) => Some(Arc::<ServersHost>::clone(&hosts.server)),
        }
    }

    /// The hand on the cable, if there is one.
    pub(crate) fn cable(&self) -> Option<&CableControl> {
        match self {
            Self::Machine(_) | Self::Network(..) => None,
            Self::Hosts(hosts) => Some(&hosts.cable.control),
        }
    }

    /// Reads the kernel's counters, which in the machine's own network count others' doings, too,
    /// and so are not read.
    pub(crate) fn counters(&self) -> Result<GroundCounters, netlab::Error> {
        Ok(GroundCounters(match self {
            Self::Machine(_) => Vec::new(),
            Self::Network(..) => vec![Counters::read()?],
            Self::Hosts(hosts) => vec![Counters::read()?, hosts.server.0.run(Counters::read)??],
        }))
    }

    /// By how much the counters have grown: on two hosts those of each, and their sums.
    pub(crate) fn grown_since(
        &self,
        before: &GroundCounters,
    ) -> Result<BTreeMap<String, u64>, netlab::Error> {
        let now = self.counters()?;
        let grown: Vec<BTreeMap<String, u64>> =
            now.0.iter().zip(&before.0).map(|(now, before)| now.since(before)).collect();
        let mut all: BTreeMap<String, u64> = BTreeMap::new();
        let of_hosts = matches!(self, Self::Hosts(_));
        for (host, counters) in ["client", "server"].into_iter().zip(grown) {
            for (name, by) in counters {
                if of_hosts {
                    all.insert(format!("{host}.{name}"), by);
                }
                *all.entry(name).or_default() += by;
            }
        }
        Ok(all)
    }

    /// Takes the packets that were heard, if there are any; of the cable only if it kept them.
    pub(crate) fn take_recording(&self) -> Option<Recording> {
        match self {
            Self::Machine(ear) | Self::Network(_, ear) => ear.as_ref()?.take_recording(),
            Self::Hosts(hosts) => hosts.cable.control.take_recording(),
        }
    }

    /// The witness of the packets, if there is one.
    pub(crate) fn wire(&self) -> Option<Arc<dyn WireWitness>> {
        match self {
            Self::Machine(ear) | Self::Network(_, ear) => {
                Some(Arc::<InterfaceWitness>::clone(ear.as_ref()?))
            }
            Self::Hosts(hosts) => Some(Arc::<CableWitness>::clone(&hosts.cable)),
        }
    }
}

/// Where the cable was not as it should be, in a sentence: then numbers are not the experiment's.
/// What is heard beside the run, and not by carrying it, may be missed without harm to it.
pub(crate) fn fault(record: &WireRecord) -> Option<String> {
    let WireRecord { place, refused, missed, .. } = record;
    let carries = matches!(place, WirePlace::Cable { .. });
    (carries && refused + missed > 0).then(|| {
        format!(
            "packets: {missed} were dropped before the cable took them, and {refused} were refused \
             by the host that they were for; no rule said so"
        )
    })
}
