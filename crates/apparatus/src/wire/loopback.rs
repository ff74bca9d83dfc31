//! Packets on the loopback interface.

use std::collections::HashSet;
use std::io;
use std::sync::Mutex;
use std::time::Instant;

use evidence::{PassageFate, Segment, ServerAddr, Side, WirePlace, WireRecord};
use packets::{Capture, CaptureSetup, WireLog};

use super::WireWitness;
use crate::lock;

/// The bytes that are kept of a packet: its headers with every option, and the first line of what
/// it carries.
const KEPT: usize = 512;

/// A witness that listens on the loopback interface of the network in which the run takes place.
#[derive(Debug, Default)]
pub struct LoopbackWitness {
    capture: Mutex<Option<Capture>>,
}

impl WireWitness for LoopbackWitness {
    fn begin(&self, start: Instant) -> io::Result<()> {
        let setup = CaptureSetup::on("lo").keep(KEPT);
        *lock(&self.capture) = Some(Capture::start(&setup, start).map_err(io::Error::other)?);
        Ok(())
    }

    fn end(&self, servers: &HashSet<ServerAddr>) -> io::Result<WireRecord> {
        let mut log = WireLog::new(WirePlace::Loopback);
        let Some(capture) = lock(&self.capture).take() else { return Ok(log.into_record()) };
        let recording = capture.stop().map_err(io::Error::other)?;
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
