//! Systems that are not Linux: there are no packet sockets.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use super::{CaptureError, CaptureRefusal, CaptureSetup, PacketSink, Recording};

/// A capture that cannot be.
#[derive(Debug)]
pub(crate) enum Running {}

impl Running {
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "there is no value to call it on"))]
    pub(crate) fn stop(self) -> Result<Recording, CaptureError> {
        match self {}
    }
}

pub(crate) fn start(_: &CaptureSetup, _: Instant) -> Result<Running, CaptureError> {
    Err(CaptureRefusal::not_linux(std::env::consts::OS).into())
}

/// One that cannot be either.
#[derive(Debug)]
pub(crate) enum RunningLive {}

impl RunningLive {
    #[cfg_attr(target_os = "linux", expect(dead_code, reason = "there is no value to call it on"))]
    pub(crate) fn stop(self) -> Result<(), CaptureError> {
        match self {}
    }
}

#[cfg_attr(target_os = "linux", expect(dead_code, reason = "Linux has its own"))]
pub(crate) fn start_live(
    _: &CaptureSetup,
    _: Instant,
    _: impl PacketSink,
) -> Result<RunningLive, CaptureError> {
    Err(CaptureRefusal::not_linux(std::env::consts::OS).into())
}

#[cfg_attr(target_os = "linux", expect(dead_code, reason = "Linux has its own"))]
pub(crate) fn interface_toward(_: SocketAddr) -> io::Result<String> {
    Err(io::Error::other(CaptureRefusal::not_linux(std::env::consts::OS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_are_no_packet_sockets_nothing_is_heard() {
        let refusal = start(&CaptureSetup::on("lo0"), Instant::now()).unwrap_err().to_string();
        assert!(refusal.contains("not Linux"), "{refusal}");
    }
}
