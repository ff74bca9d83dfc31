//! The cable of a run: which packets meet with what, and the story of them all.
//!
//! | idea | file |
//! |---|---|
//! | what becomes of a packet: a pure decision | `rules.rs` |
//! | packets, as they are told and counted | `log.rs` |

mod log;
mod rules;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use evidence::{PassageFate, Segment, Side};
use netlab::{CableLaw, CablePlan, Fate, HostEnd, Parcel, Passing};
use packets::LinkLayer;

pub(crate) use log::CableRecord;

use log::CableLog;
use rules::CableRules;

use crate::settings::{CableStep, Network, Percent, Rate, Time};

/// The hand of a run on its cable.
#[derive(Clone, Debug)]
pub(crate) struct CableControl(Arc<Mutex<CableState>>);

#[derive(Debug)]
struct CableState {
    rules: CableRules,
    log: CableLog,
    /// The moment from which the log counts.
    start: Instant,
}

impl CableControl {
    pub(crate) fn new(network: &Network) -> Self {
        let loss = network.loss.map_or(0.0, |Percent(loss)| loss);
        let rules = CableRules::new(network.cable.clone().unwrap_or_default(), loss, network.seed);
        let start = Instant::now();
        Self(Arc::new(Mutex::new(CableState { rules, log: CableLog::default(), start })))
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

    /// All that was seen, on the clock of a run that began at `start`.
    pub(crate) fn record(&self, start: Instant) -> CableRecord {
        let mut state = self.lock();
        let before = start.saturating_duration_since(state.start);
        std::mem::take(&mut state.log).since(before)
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
    }
}

/// A cable that follows the rules of an experiment.
struct RuledCable(CableControl);

impl CableLaw for RuledCable {
    fn decide(&mut self, packet: &Passing<'_>) -> Fate {
        let mut state = self.0.lock();
        let from = side(packet.from);
        let at = packet.at.saturating_duration_since(state.start);
        let whole = packet.bytes.len();
        let Ok(segment) = packets::decode(at, LinkLayer::Raw, packet.bytes, whole) else {
            state.log.other();
            return if state.rules.cut.contains(&from) { Fate::Lose } else { Fate::Pass };
        };
        let fate = state.rules.decide(from, &segment);
        let carried = carried_out(&fate, packet, &segment);
        state.log.heard(packet.number, from, segment, fate);
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
