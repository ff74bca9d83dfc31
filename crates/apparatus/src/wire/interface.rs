//! Packets on one interface of the network in which the run takes place.

use std::collections::HashSet;
use std::io;
use std::sync::Mutex;
use std::time::Instant;

use evidence::{PassageFate, Segment, ServerAddr, Side, WirePlace, WireRecord};
use packets::{Capture, CaptureError, CaptureSetup, Recording, WireLog};

use super::WireWitness;
use crate::lock;

const LOOPBACK: &str = "lo";

/// The bytes that are kept of a packet that nobody wants whole: its headers with every option, and
/// the first line of what it carries.
const KEPT: usize = 512;

/// A witness that listens on an interface of the network in which the run takes place.
///
/// Where it may not listen, the run goes on without it, and the record is the refusal.
#[derive(Debug)]
pub struct InterfaceWitness {
    setup: CaptureSetup,
    /// True if nobody else's packets are on it.
    is_own: bool,
    ear: Mutex<Ear>,
}

/// How far the hearing has come.
#[derive(Debug)]
enum Ear {
    NotYet,
    Hears(Capture),
    Refused(CaptureError),
    Heard(Recording),
}

impl InterfaceWitness {
    /// Listens on the loopback interface of a private network: to everything.
    #[must_use]
    pub fn private() -> Self {
        Self::new(CaptureSetup::on(LOOPBACK), true)
    }

    /// Listens in the machine's own network, on the loopback interface, to the ports of the run's
    /// servers alone.
    #[must_use]
    pub fn machine() -> Self {
        Self::new(CaptureSetup::on(LOOPBACK), false)
    }

    /// Listens in the machine's own network, on this interface, to this port alone.
    #[must_use]
    pub fn toward(interface: &str, port: u16) -> Self {
        Self::new(CaptureSetup::on(interface).ports([port]), false)
    }

    fn new(setup: CaptureSetup, is_own: bool) -> Self {
        Self { setup: setup.keep(KEPT), is_own, ear: Mutex::new(Ear::NotYet) }
    }

    /// The same, with every packet kept as a whole.
    #[must_use]
    pub fn whole(self) -> Self {
        let keep = CaptureSetup::on(LOOPBACK).keep;
        Self { setup: self.setup.keep(keep), ..self }
    }

    /// Takes the packets that were heard; `None` before the end, a second time, and where nothing
    /// could be heard.
    #[must_use]
    pub fn take_recording(&self) -> Option<Recording> {
        let mut ear = lock(&self.ear);
        match std::mem::replace(&mut *ear, Ear::NotYet) {
            Ear::Heard(recording) => Some(recording),
            other => {
                *ear = other;
                None
            }
        }
    }

    fn place(&self) -> WirePlace {
        if self.setup.interface == LOOPBACK { WirePlace::Loopback } else { WirePlace::Device }
    }
}

impl WireWitness for InterfaceWitness {
    fn begin(&self, start: Instant, servers: &[ServerAddr]) -> io::Result<()> {
        let mut setup = self.setup.clone();
        if !self.is_own && setup.ports.is_empty() {
            setup = setup.ports(servers.iter().map(|server| server.port()));
        }
        *lock(&self.ear) = match Capture::start(&setup, start) {
            Ok(capture) => Ear::Hears(capture),
            Err(refused) => Ear::Refused(refused),
        };
        Ok(())
    }

    fn end(&self, servers: &HashSet<ServerAddr>) -> io::Result<WireRecord> {
        let mut ear = lock(&self.ear);
        let capture = match std::mem::replace(&mut *ear, Ear::NotYet) {
            Ear::Hears(capture) => capture,
            Ear::Refused(refused) => return Err(io::Error::other(refused)),
            other => {
                *ear = other;
                return Ok(WireRecord::of(self.place()));
            }
        };
        let recording = capture.stop().map_err(io::Error::other)?;
        let mut log = WireLog::new(self.place());
        for (number, packet) in (1..).zip(&recording.packets) {
            let segment = packet.segment().ok();
            match segment.and_then(|segment| Some((sender(&segment, servers)?, segment))) {
                Some((from, segment)) => {
                    log.heard(number, from, segment, &packet.bytes, PassageFate::Passed);
                }
                None => log.other(),
            }
        }
        let mut record = log.into_record();
        record.missed = recording.drops.packets;
        *ear = Ear::Heard(recording);
        Ok(record)
    }
}

/// Which end of a connection to one of `servers` sent this; `None` if it belongs to none.
fn sender(segment: &Segment, servers: &HashSet<ServerAddr>) -> Option<Side> {
    let is_server = |address| servers.contains(&ServerAddr::new(address));
    match (is_server(segment.source), is_server(segment.destination)) {
        (false, true) => Some(Side::Client),
        (true, false) => Some(Side::Server),
        _ => None,
    }
}
