//! Where a program runs while it is observed: a private network, its packets, its kernel's counters.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use evidence::SocketTable;
use netlab::{
    Cable, CableInjector, CableLaw, CablePlan, Counters, Fate, Host, HostEnd, Identity,
    NetworkSettings, Passing, PrivateNetwork,
};
use packets::{Capture, CaptureError, CaptureSetup, ClockFit, HeardPacket, PacketDrops, Recording};
use socket_table::SocketFilter;

use crate::connection::HearingPlace;
use crate::gather::{ConnectionGatherer, GatheredConnections, number};
use crate::observation::KernelWords;

/// So many bytes of packets are kept whole; of those behind them the beginnings, which tell all but
/// bodies.
const KEPT_WHOLE: u64 = 512 << 20;
const KEPT_BEHIND: usize = 1024;
/// Silence on the cable that lasts so long is taken for its end.
const QUIET: Duration = Duration::from_millis(50);
/// So long it is waited for.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// A private network in which a program is observed, and perhaps another host beside it.
#[derive(Debug)]
pub struct ObservedGround {
    network: PrivateNetwork,
    far: Option<FarEnd>,
    capture: Option<Capture>,
    before: Vec<Counters>,
    /// The moment from which times count.
    start: Instant,
}

/// The other host, and the cable that leads to it.
#[derive(Debug)]
struct FarEnd {
    host: Arc<Host>,
    cable: Cable,
    heard: CableEar,
    /// How long a packet travels.
    delay: Duration,
}

/// Every packet that passed the cable.
#[derive(Clone, Debug)]
struct CableEar {
    packets: Arc<Mutex<CablePackets>>,
    start: Instant,
    /// The start on the machine's clock, since 1970 began.
    epoch: Duration,
}

/// The packets, in the order in which the cable took them, and when which of them was handed over.
#[derive(Debug, Default)]
struct CablePackets {
    taken: Vec<HeardPacket>,
    /// The bytes that are kept of them.
    kept: u64,
    arrived: Vec<(u64, Duration)>,
}

/// All that was heard in a private network, and what its kernel says.
#[derive(Debug)]
pub struct Heard {
    /// The packets on the loopback interface.
    pub loopback: Recording,
    /// The packets on the cable, if there was one.
    pub cable: Option<Recording>,
    /// The numbers of those that were handed to the other host, counted from 1, and when.
    pub arrived: Vec<(u64, Duration)>,
    /// What the kernel says: of the program's host, and of the other if there was one.
    pub kernel: Vec<KernelWords>,
    /// Packets that are known to have been missed.
    pub missed: u64,
}

impl ObservedGround {
    /// Moves this process, which must have one thread, into a private network, as the user that it
    /// is. Times count from `start` on.
    ///
    /// # Errors
    /// Those of [`netlab::enter_as`].
    pub fn enter(start: Instant) -> Result<Self, netlab::Error> {
        let network = netlab::enter_as(Identity::Oneself, &NetworkSettings::default())?;
        Ok(Self { network, far: None, capture: None, before: Vec::new(), start })
    }

    /// Lets the loopback interface cut packets as a wire does. Before that it takes what is sent at
    /// once for one packet.
    ///
    /// # Errors
    /// [`netlab::Error::UnlikeWire`].
    pub fn as_on_a_wire(&self) -> Result<(), netlab::Error> {
        self.network.as_on_a_wire()
    }

    /// Makes another host, and lays a cable to it, under a law that is asked after every packet was
    /// heard. Whatever this host has no other way for goes there, and is taken for its own there.
    ///
    /// # Errors
    /// Those of [`netlab::lay_cable`].
    pub fn second_host(
        &mut self,
        plan: CablePlan,
        law: Box<dyn CableLaw>,
    ) -> Result<Arc<Host>, netlab::Error> {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch = epoch.saturating_sub(self.start.elapsed());
        let heard = CableEar { packets: Arc::default(), start: self.start, epoch };
        let law = Box::new(HearingLaw { heard: heard.clone(), law });
        let settings = NetworkSettings::default();
        let (host, cable) = netlab::lay_cable(&self.network, &settings, plan, law)?;
        host.takes_every_address()?;
        self.network.sends_all_by_cable()?;
        let host = Arc::new(host);
        let delay = plan.delay;
        self.far = Some(FarEnd { host: Arc::clone(&host), cable, heard, delay });
        Ok(host)
    }

    /// A way to put packets on the cable, if there is one.
    #[must_use]
    pub fn injector(&self) -> Option<CableInjector> {
        Some(self.far.as_ref()?.cable.injector())
    }

    /// Begins to hear. What is sent from now on is heard.
    ///
    /// # Errors
    /// Those of [`Capture::start`]. Counters that cannot be read are no error: they are missing.
    pub fn begin(&mut self) -> Result<(), CaptureError> {
        self.capture = Some(Capture::start(&CaptureSetup::on("lo"), self.start)?);
        self.before = self.counters().unwrap_or_default();
        Ok(())
    }

    fn counters(&self) -> Option<Vec<Counters>> {
        let mut all = vec![Counters::read().ok()?];
        if let Some(far) = &self.far {
            all.push(far.host.run(Counters::read).ok()?.ok()?);
        }
        Some(all)
    }

    /// Ends the hearing: reads tables and counters, unplugs the cable, and returns all.
    ///
    /// # Errors
    /// [`CaptureError::Reading`].
    pub fn end(self) -> Result<Heard, CaptureError> {
        if let Some(far) = &self.far {
            far.heard.until_quiet(QUIET + 2 * far.delay);
        }
        let counters = self.counters().unwrap_or_default();
        let mut kernel: Vec<KernelWords> = counters
            .iter()
            .zip(&self.before)
            .map(|(now, before)| KernelWords { counters: now.since(before), table: None })
            .collect();
        if let Some(words) = kernel.first_mut() {
            words.table = table();
        }
        let mut missed = 0;
        let (mut cable, mut arrived) = (None, Vec::new());
        if let Some(FarEnd { host, cable: plugged, heard, .. }) = self.far {
            if let Some(words) = kernel.get_mut(1) {
                words.table = host.run(table).ok().flatten();
            }
            missed += netlab::lost_before_the_cable().unwrap_or(0);
            missed +=
                host.run(netlab::lost_before_the_cable).ok().and_then(Result::ok).unwrap_or(0);
            let _ = plugged.unplug(); // a packet under way in the end changes nothing
            let CablePackets { taken, arrived: handed_over, .. } = heard.take();
            cable = Some(recording("cable", taken));
            arrived = handed_over;
        }
        let loopback = match self.capture {
            Some(capture) => capture.stop()?,
            None => recording("lo", Vec::new()),
        };
        missed += loopback.drops.packets;
        Ok(Heard { loopback, cable, arrived, kernel, missed })
    }
}

fn table() -> Option<SocketTable> {
    socket_table::snapshot(&SocketFilter::default()).ok()
}

fn recording(interface: &str, packets: Vec<HeardPacket>) -> Recording {
    Recording {
        interface: interface.to_owned(),
        packets,
        drops: PacketDrops { packets: 0, exact: true },
        clock: ClockFit { shift: Duration::ZERO, uncertainty: Duration::ZERO },
    }
}

impl CableEar {
    fn lock(&self) -> MutexGuard<'_, CablePackets> {
        self.packets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nothing has passed for a while: the far end may be about to close.
    fn until_quiet(&self, quiet: Duration) {
        let patience = Instant::now() + LONGEST_WAIT.max(4 * quiet);
        let mut before = None;
        while Instant::now() < patience {
            let now = {
                let packets = self.lock();
                packets.taken.len() + packets.arrived.len()
            };
            if before == Some(now) {
                return;
            }
            before = Some(now);
            std::thread::sleep(quiet);
        }
    }

    fn take(&self) -> CablePackets {
        std::mem::take(&mut *self.lock())
    }
}

impl Heard {
    /// Puts the packets together to connections, place by place: first those of the loopback
    /// interface.
    #[must_use]
    pub fn gathered(&self) -> Vec<GatheredConnections> {
        let of = |place, recording: &Recording, arrived: &[(u64, Duration)]| {
            let mut gatherer = ConnectionGatherer::at(place);
            let mut arrived = arrived.iter().peekable();
            for packet in &recording.packets {
                while let Some((number, at)) = arrived.next_if(|(_, at)| *at <= packet.at) {
                    gatherer.arrived(*number, *at);
                }
                gatherer.hear(packet);
            }
            arrived.for_each(|(number, at)| gatherer.arrived(*number, *at));
            gatherer.finish()
        };
        let mut all = vec![of(HearingPlace::Loopback, &self.loopback, &[])];
        all.extend(self.cable.as_ref().map(|cable| of(HearingPlace::Cable, cable, &self.arrived)));
        number(&mut all.iter_mut().collect::<Vec<_>>());
        all
    }
}

/// A law that hears every packet before another decides on it.
struct HearingLaw {
    heard: CableEar,
    law: Box<dyn CableLaw>,
}

impl CableLaw for HearingLaw {
    fn decide(&mut self, packet: &Passing<'_>) -> Fate {
        let at = packet.at.saturating_duration_since(self.heard.start);
        let mut packets = self.heard.lock();
        let whole = packets.kept < KEPT_WHOLE;
        let kept = if whole { packet.bytes.len() } else { packet.bytes.len().min(KEPT_BEHIND) };
        packets.kept += kept as u64;
        let bytes = packet.bytes.get(..kept).unwrap_or(packet.bytes);
        let heard = HeardPacket {
            at,
            since_epoch: self.heard.epoch + at,
            outgoing: packet.from == HostEnd::Client,
            wire_len: packet.bytes.len(),
            bytes: bytes.into(),
        };
        packets.taken.push(heard);
        drop(packets);
        self.law.decide(packet)
    }

    fn arrived(&mut self, number: u64, to: HostEnd, at: Instant) {
        let on_run = at.saturating_duration_since(self.heard.start);
        self.heard.lock().arrived.push((number, on_run));
        self.law.arrived(number, to, at);
    }
}
