//! The cable of a run: which packets meet with what, and the story of them all.
//!
//! What becomes of a packet is a pure decision: `rules.rs`.

mod rules;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use evidence::{PassageFate, Segment, Side, WirePlace, WireRecord};
use netlab::{CableLaw, CablePlan, Fate, HostEnd, Parcel, Passing};
use packets::{ClockFit, HeardPacket, LinkLayer, PacketDrops, Recording, WireLog};

use rules::CableRules;

use crate::settings::{CableStep, Network, Percent, Rate, Time};

/// The hand of a run on its cable.
#[derive(Clone, Debug)]
pub(crate) struct CableControl(Arc<Mutex<CableState>>);

#[derive(Debug)]
struct CableState {
    rules: CableRules,
    log: WireLog,
    /// The moment from which times count.
    start: Instant,
    /// The same on the machine's clock, since 1970 began.
    epoch: Duration,
    /// Every packet as the cable took it, if they are to be kept.
    kept: Option<Vec<HeardPacket>>,
}

impl CableControl {
    /// A hand on the cable of `network`, which keeps whole packets if `keeps` says so.
    pub(crate) fn new(network: &Network, keeps: bool) -> Self {
        let loss = network.loss.map_or(0.0, |Percent(loss)| loss);
        let rules = CableRules::new(network.cable.clone().unwrap_or_default(), loss, network.seed);
        let (log, start) = (WireLog::new(place(network)), Instant::now());
        let (epoch, kept) = (Duration::ZERO, keeps.then(Vec::new));
        Self(Arc::new(Mutex::new(CableState { rules, log, start, epoch, kept })))
    }

    /// The law by which the cable treats packets.
    pub(crate) fn law(&self) -> Box<dyn CableLaw> {
        Box::new(RuledCable(self.clone()))
    }

    /// Changes the cable as a whole.
    pub(crate) fn obey(&self, step: CableStep) {
        let rules = &mut self.lock().rules;
        match step {
            CableStep::Cut => rules.cut = vec![Side::Client, Side::Server],
            CableStep::CutClient => rules.cut = vec![Side::Client],
            CableStep::CutServer => rules.cut = vec![Side::Server],
            CableStep::Forget => rules.forget(),
            CableStep::LoseNext => rules.lose_next = true,
            CableStep::Heal => rules.heal(),
        }
    }

    /// Times are told from `start` on.
    pub(crate) fn begin(&self, start: Instant) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut state = self.lock();
        state.start = start;
        state.epoch = now.saturating_sub(start.elapsed());
    }

    /// Takes the whole packets, as the cable took them, if they were kept.
    pub(crate) fn take_recording(&self) -> Option<Recording> {
        let packets = self.lock().kept.take()?;
        let drops = PacketDrops { packets: 0, exact: true };
        let clock = ClockFit { shift: Duration::ZERO, uncertainty: Duration::ZERO };
        Some(Recording { interface: "cable".to_owned(), packets, drops, clock })
    }

    /// All that was heard.
    pub(crate) fn record(&self) -> WireRecord {
        self.lock().log.clone().into_record()
    }

    fn lock(&self) -> MutexGuard<'_, CableState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The nature of the cable that is asked for.
pub(crate) fn plan(network: &Network) -> CablePlan {
    CablePlan {
        delay: network.delay.map_or(Duration::ZERO, |Time(delay)| delay),
        bits_per_second: network.rate.map(|Rate(bits)| bits),
        ..CablePlan::default()
    }
}

fn place(network: &Network) -> WirePlace {
    WirePlace::Cable { delay: plan(network).delay }
}

/// A cable that follows the rules of an experiment.
struct RuledCable(CableControl);

impl CableLaw for RuledCable {
    fn decide(&mut self, packet: &Passing<'_>) -> Fate {
        let mut state = self.0.lock();
        let from = side(packet.from);
        let at = packet.at.saturating_duration_since(state.start);
        let whole = packet.bytes.len();
        let since_epoch = state.epoch + at;
        if let Some(kept) = &mut state.kept {
            let (bytes, outgoing) = (packet.bytes.into(), from == Side::Client);
            kept.push(HeardPacket { at, since_epoch, outgoing, wire_len: whole, bytes });
        }
        let Ok(segment) = packets::decode(at, LinkLayer::Raw, packet.bytes, whole) else {
            state.log.other();
            return if state.rules.cut.contains(&from) { Fate::Lose } else { Fate::Pass };
        };
        let fate = state.rules.decide(from, &segment);
        let carried = carried_out(&fate, packet, &segment);
        state.log.heard(packet.number, from, segment, packet.bytes, fate);
        carried
    }

    fn arrived(&mut self, number: u64, _: HostEnd, at: Instant) {
        let mut state = self.0.lock();
        let at = at.saturating_duration_since(state.start);
        state.log.arrived(number, at);
    }
}

fn side(end: HostEnd) -> Side {
    match end {
        HostEnd::Client => Side::Client,
        HostEnd::Server => Side::Server,
    }
}

/// What the cable has to do so that the packet meets its fate.
fn carried_out(fate: &PassageFate, packet: &Passing<'_>, segment: &Segment) -> Fate {
    let (to, back) = (packet.from.other(), packet.from);
    let copy = |hold| Parcel { to, bytes: packet.bytes.to_owned(), hold };
    match fate {
        PassageFate::Passed => Fate::Pass,
        PassageFate::Lost | PassageFate::LostByChance | PassageFate::Cut => Fate::Lose,
        PassageFate::Held { time } => Fate::Hold(*time),
        PassageFate::Doubled { time } => Fate::Replace(vec![copy(Duration::ZERO), copy(*time)]),
        PassageFate::Reset => {
            let forged = packets::resets(segment).into_iter().flatten().zip([to, back]);
            let parcel = |(bytes, to)| Parcel { to, bytes, hold: Duration::ZERO };
            Fate::Replace(forged.map(parcel).collect())
        }
    }
}
