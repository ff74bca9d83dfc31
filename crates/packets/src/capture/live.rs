//! Packets that are handed over as they come: for whoever listens for days, and keeps none.

use std::time::Instant;

use super::{CaptureError, CaptureSetup, HeardPacket, system};

/// Somebody to whom packets are handed as they come, in a thread of their own.
pub trait PacketSink: Send + 'static {
    /// Takes a packet.
    fn packet(&mut self, packet: LivePacket);

    /// Takes notice that all which the kernel had handed over up to `at` has been taken. Told several
    /// times a second, also where nothing comes.
    fn drained(&mut self, at: Instant);
}

/// A packet that has just come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePacket {
    /// The packet.
    pub packet: HeardPacket,
    /// The number of the interface on which it was heard.
    pub interface: u32,
    /// How many packets the kernel had dropped before this one, as they were not read in time.
    pub dropped: u64,
}

/// A capture that keeps nothing. It ends when it is dropped, or with [`LiveCapture::stop`].
#[derive(Debug)]
pub struct LiveCapture {
    running: system::RunningLive,
}

impl LiveCapture {
    /// Begins to hear, as [`Capture::start`](super::Capture::start) does, and hands each packet to
    /// `sink`.
    ///
    /// # Errors
    /// Those of [`Capture::start`](super::Capture::start).
    pub fn start(
        setup: &CaptureSetup,
        start: Instant,
        sink: impl PacketSink,
    ) -> Result<Self, CaptureError> {
        Ok(Self { running: system::start_live(setup, start, sink)? })
    }

    /// Ends it. What has not been handed over by then may be lost.
    ///
    /// # Errors
    /// [`CaptureError::Reading`] if the socket could not be read any more at some time.
    pub fn stop(self) -> Result<(), CaptureError> {
        self.running.stop()
    }
}
