//! The packets of the server's port as a second witness of how each connection came to its end.
//!
//! | idea | file |
//! |---|---|
//! | which packets belong to which accepted connection | `wire/lives.rs` |
//! | do packets and server agree? in words, and as an object | `wire/words.rs` |

mod lives;
pub(crate) mod words;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use evidence::ServerAddr;
use packets::{CaptureError, CaptureSetup, LiveCapture, LivePacket, PacketSink};
use server::{ServerEvent, ServerMoment};

pub(crate) use lives::WireEnd;
use lives::WireLives;

/// The headers of a packet with every option. What is behind them is not looked at.
const KEPT: usize = 256;

/// The ear on the server's port, which hears until it is dropped.
pub(crate) struct WireEar {
    lives: Arc<Mutex<WireLives>>,
    _capture: LiveCapture,
}

impl WireEar {
    /// Begins to hear the packets of a server at this address. A server on a loopback address is
    /// heard on that interface, any other on all.
    ///
    /// # Errors
    /// If packets cannot be heard here.
    pub(crate) fn open(server: ServerAddr, start: Instant) -> Result<Self, CaptureError> {
        let is_local = server.socket_addr().ip().is_loopback();
        let interface = if is_local { "lo" } else { CaptureSetup::ANY };
        let setup = CaptureSetup::on(interface).ports([server.port()]).keep(KEPT);
        let lives = Arc::new(Mutex::new(WireLives::of(server)));
        let capture = LiveCapture::start(&setup, start, WireSink(Arc::clone(&lives)))?;
        Ok(Self { lives, _capture: capture })
    }

    /// Takes notice of what the server tells, at the moment when it tells it.
    pub(crate) fn event(&self, event: &ServerEvent) {
        match event.moment {
            ServerMoment::Accepted => lock(&self.lives).accepted(event.connection, event.peer),
            ServerMoment::Closed { by, .. } => {
                lock(&self.lives).closed(event.connection, event.peer, by, event.at);
            }
            _ => {}
        }
    }

    /// Takes notice that the close of a connection has been shown: what its packets say may follow.
    pub(crate) fn shown(&self, event: &ServerEvent) {
        lock(&self.lives).shown(event.connection);
    }

    /// Returns what there is to say of connections whose packets have come to an end.
    pub(crate) fn ended(&self) -> Vec<WireEnd> {
        lock(&self.lives).ended(false)
    }

    /// Returns what there is to say of all that are closed, if the packets up to their close have
    /// been read.
    pub(crate) fn ended_at_last(&self) -> Vec<WireEnd> {
        lock(&self.lives).ended(true)
    }

    /// True if connections are closed of which nothing has been said yet.
    pub(crate) fn has_more(&self) -> bool {
        lock(&self.lives).has_closed()
    }
}

/// Sorts packets as they come.
struct WireSink(Arc<Mutex<WireLives>>);

impl PacketSink for WireSink {
    fn packet(&mut self, packet: LivePacket) {
        let Ok(segment) = packet.packet.segment() else { return };
        lock(&self.0).packet(&segment, packet.interface, packet.dropped);
    }

    fn drained(&mut self, at: Instant) {
        lock(&self.0).drained(at);
    }
}

impl Drop for WireSink {
    /// Nothing more is heard: nobody is to wait for it.
    fn drop(&mut self) {
        lock(&self.0).deaf();
    }
}

fn lock(lives: &Mutex<WireLives>) -> MutexGuard<'_, WireLives> {
    lives.lock().unwrap_or_else(PoisonError::into_inner)
}
