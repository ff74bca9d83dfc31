//! Linux: packet sockets, and a thread that does nothing but read them.
//!
//! | file | idea |
//! |---|---|
//! | `linux/sockets.rs` | as many sockets as give the kernel room, and the loop that reads them |
//! | `linux/batch.rs` | many packets with one call |
//! | `linux/store.rs` | what was read, and the order in which it was sent |

mod batch;
mod sockets;
mod store;

use std::io::{self, PipeWriter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use nix::sys::socket::SockaddrStorage;

use super::clock::{ClockLine, ClockReading};
use super::drops::DropWitness;
use super::{CaptureError, CaptureSetup, PacketDrops, PacketSink, Recording};
use sockets::EarSockets;
use store::{PacketStore, in_order};

/// A thread that listens until its pipe is closed.
#[derive(Debug)]
pub(crate) struct Running {
    listener: JoinHandle<Result<Heard, CaptureError>>,
    /// Closed to end it.
    pipe: PipeWriter,
    interface: String,
    start: Instant,
}

/// What a thread has heard, as the kernel told it: a store for each socket.
struct Heard {
    stores: Vec<PacketStore>,
    drops: PacketDrops,
    first: ClockReading,
    last: ClockReading,
}

pub(crate) fn start(setup: &CaptureSetup, start: Instant) -> Result<Running, CaptureError> {
    let sockets = EarSockets::open(setup, sockets::MOST)?;
    let failed = setup_failed(setup);
    let witness = DropWitness::here().map_err(failed("asking who drops packets"))?;
    let (reader, pipe) = io::pipe().map_err(failed("making a pipe"))?;
    let first = ClockReading::now();
    let name = setup.interface.clone();
    let listen = move || {
        let failed = |source| CaptureError::Reading { interface: name, source };
        let stores = sockets.listen(&reader).map_err(failed)?;
        let last = ClockReading::now();
        let drops = sockets.drops(&witness, &stores);
        sockets.close();
        Ok(Heard { stores, drops, first, last })
    };
    let listener = thread::Builder::new()
        .name("packets".to_owned())
        .spawn(listen)
        .map_err(failed("starting a thread"))?;
    Ok(Running { listener, pipe, interface: setup.interface.clone(), start })
}

/// A thread that hands packets over until its pipe is closed.
#[derive(Debug)]
pub(crate) struct RunningLive {
    listener: JoinHandle<Result<(), CaptureError>>,
    pipe: PipeWriter,
    interface: String,
}

/// Begins to hand over what is heard: by one socket, from which packets come in their order.
pub(crate) fn start_live(
    setup: &CaptureSetup,
    start: Instant,
    sink: impl PacketSink,
) -> Result<RunningLive, CaptureError> {
    let sockets = EarSockets::open(setup, 1)?;
    let failed = setup_failed(setup);
    let (reader, pipe) = io::pipe().map_err(failed("making a pipe"))?;
    let interface = setup.interface.clone();
    let listen = move || {
        let failed = |source| CaptureError::Reading { interface, source };
        sockets.hand_over(&reader, start, sink).map_err(failed)
    };
    let listener = thread::Builder::new()
        .name("packets".to_owned())
        .spawn(listen)
        .map_err(failed("starting a thread"))?;
    Ok(RunningLive { listener, pipe, interface: setup.interface.clone() })
}

/// Makes an error of a step in which a capture could not be prepared.
fn setup_failed(
    setup: &CaptureSetup,
) -> impl Fn(&'static str) -> Box<dyn FnOnce(io::Error) -> CaptureError> + '_ {
    move |step| {
        let interface = setup.interface.clone();
        Box::new(move |source| CaptureError::Setup { interface, step, source })
    }
}

impl RunningLive {
    pub(crate) fn stop(self) -> Result<(), CaptureError> {
        drop(self.pipe);
        self.listener.join().unwrap_or_else(|_| {
            let source = io::Error::other("the thread that reads them has panicked");
            Err(CaptureError::Reading { interface: self.interface, source })
        })
    }
}

impl Running {
    pub(crate) fn stop(self) -> Result<Recording, CaptureError> {
        drop(self.pipe);
        let Ok(heard) = self.listener.join() else {
            let source = io::Error::other("the thread that reads them has panicked");
            return Err(CaptureError::Reading { interface: self.interface, source });
        };
        let Heard { stores, drops, first, last } = heard?;
        let line = ClockLine::between(self.start, first, last);
        let packets = in_order(&stores, |day| line.on_run(day));
        Ok(Recording { interface: self.interface, packets, drops, clock: line.fit() })
    }
}

/// Connecting a UDP socket sends nothing: it lets the kernel choose the way, and tell its own address
/// on it.
pub(crate) fn interface_toward(server: SocketAddr) -> io::Result<String> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    let own = socket.local_addr()?.ip();
    // What a machine sends to itself passes `lo`, whatever the address.
    if own.is_loopback() || own == server.ip() {
        return Ok("lo".to_owned());
    }
    let is_own = |address: &SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|it| IpAddr::from(it.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|it| IpAddr::from(it.ip()))) == Some(own)
    };
    let mut all = nix::ifaddrs::getifaddrs()?;
    let found = all.find(|it| it.address.as_ref().is_some_and(is_own));
    found.map(|it| it.interface_name).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("no interface has the address {own}"))
    })
}
