//! Packets of this network namespace, as they are heard.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use packets::{CaptureSetup, LiveCapture, LivePacket, PacketSink};

use super::clock;
use super::wire_story::WirePacket;

/// The headers of a packet with every option.
const KEPT: usize = 256;
/// So many packets may wait to be told; what is beyond is counted.
const MOST_WAITING: usize = 100_000;

/// The wish for this witness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WantedPackets {
    /// It is not wanted.
    No,
    /// It is wanted, and nothing is said where it cannot be had.
    IfPossible,
    /// It is wanted, and where it cannot be had the reason is told.
    Asked,
}

/// The ear, which hears until it is dropped.
pub(crate) struct WireEar {
    heard: Arc<Mutex<WireQueue>>,
    _capture: LiveCapture,
}

/// Packets that have been heard and not been taken.
#[derive(Default)]
pub(crate) struct WireQueue {
    pub(crate) packets: Vec<WirePacket>,
    /// How many were not heard, or not kept.
    pub(crate) missed: u64,
    dropped: u64,
    overflown: u64,
}

impl WireEar {
    /// Begins to hear TCP on all interfaces; of these ports, if there are any. The error says who
    /// refuses, and the fix.
    pub(crate) fn open(ports: &[u16]) -> Result<Self, String> {
        let setup = CaptureSetup::on(CaptureSetup::ANY).ports(ports.iter().copied()).keep(KEPT);
        let heard = Arc::new(Mutex::new(WireQueue::default()));
        let (start, began) = (Instant::now(), clock::now());
        let sink = WireSink { heard: Arc::clone(&heard), began };
        let capture = LiveCapture::start(&setup, start, sink)
            .map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
        Ok(Self { heard, _capture: capture })
    }

    /// Takes the packets that have been heard so far.
    pub(crate) fn take(&self) -> WireQueue {
        let mut heard = lock(&self.heard);
        let packets = std::mem::take(&mut heard.packets);
        let missed = heard.dropped.saturating_add(heard.overflown);
        WireQueue { packets, missed, ..WireQueue::default() }
    }
}

struct WireSink {
    heard: Arc<Mutex<WireQueue>>,
    /// The trace's clock when the capture began.
    began: Duration,
}

impl PacketSink for WireSink {
    fn packet(&mut self, LivePacket { packet, interface, dropped }: LivePacket) {
        let mut heard = lock(&self.heard);
        heard.dropped = dropped;
        let Ok(segment) = packet.segment() else { return };
        if heard.packets.len() >= MOST_WAITING {
            heard.overflown = heard.overflown.saturating_add(1);
            return;
        }
        let at = self.began.saturating_add(segment.at);
        heard.packets.push(WirePacket { at, segment, interface });
    }

    fn drained(&mut self, _: Instant) {}
}

fn lock(heard: &Mutex<WireQueue>) -> MutexGuard<'_, WireQueue> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
