//! As many packet sockets as give the kernel room, and the loop that reads them.
//!
//! A reader that has to wait for a processor reads nothing meanwhile, and what the kernel cannot hold
//! until then it drops. What it may hold for one socket is limited (`net.core.rmem_max`), on many
//! systems to some three hundred small packets: that is a few milliseconds of a busy run. So several
//! sockets listen, each to its share of the connections.

use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, GetSockOpt, SetSockOpt, SockFlag, SockProtocol, SockType, socket, sockopt,
};
use socket2::SockFilter;

use super::batch::{self, ReadBatch};
use super::store::PacketStore;
use crate::capture::clock::{ClockLine, ClockReading};
use crate::capture::drops::DropWitness;
use crate::capture::filter::{LOOPBACK, MOST_PORTS, PacketShare, nothing, packets_of};
use crate::capture::refusal::{CaptureFacts, diagnose};
use crate::capture::{CaptureError, CaptureSetup, LivePacket, PacketDrops, PacketSink};

/// What the kernel should be able to hold until it is read, in bytes as it counts them: for a small
/// packet more than a thousand.
const ENOUGH: usize = 8 * 1024 * 1024;
/// No more sockets than this are opened: each packet is shown to all of them.
pub(super) const MOST: usize = 16;
/// The kernel counts more bytes than this for any packet that it holds.
const SMALLEST: usize = 256;
/// A pause between a reading and the next. Whoever wakes up for each packet takes the processor from
/// those who send them, each time.
const NAP: Duration = Duration::from_micros(500);
/// Silence after which nothing is taken to be under way any more.
const QUIET: u16 = 20;
/// Whoever hears packets as they come is told so often, in milliseconds, that there are no more.
const DRAINED_EVERY: u16 = 200;
/// The longest wait for such a silence.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// Packet sockets that hear an interface together, and what is to be kept of what they hear.
pub(super) struct EarSockets {
    sockets: Vec<OwnedFd>,
    /// `None` for all.
    interface: Option<u32>,
    keep: usize,
    /// How much the kernel may hold for each, in bytes.
    held: usize,
}

impl EarSockets {
    /// Opens as many as it takes, `most` at the most.
    pub(super) fn open(setup: &CaptureSetup, most: usize) -> Result<Self, CaptureError> {
        if setup.ports.len() > MOST_PORTS {
            return Err(CaptureError::ManyPorts { ports: setup.ports.len(), most: MOST_PORTS });
        }
        let failed = |step| {
            let interface = setup.interface.clone();
            move |source| CaptureError::Setup { interface, step, source }
        };
        let first = deaf_socket(setup)?;
        let no_interface = |errno: rustix::io::Errno| CaptureError::NoInterface {
            interface: setup.interface.clone(),
            source: errno.into(),
        };
        let interface = match setup.interface.as_str() {
            CaptureSetup::ANY => None,
            name => {
                Some(rustix::net::netdevice::name_to_index(&first, name).map_err(no_interface)?)
            }
        };
        let granted = sockopt::RcvBuf
            .get(&first)
            .map_err(|errno| failed("asking for the size of its buffer")(errno.into()))?;
        let count = ENOUGH.div_ceil(granted.max(1)).clamp(1, most);
        let mut sockets = vec![first];
        while sockets.len() < count {
            sockets.push(deaf_socket(setup)?);
        }
        let mut batch = ReadBatch::new(1);
        for (number, socket) in (0..).zip(&sockets) {
            let mut gone = PacketStore::default();
            while batch.read(socket, &mut gone).map_err(failed("emptying it"))? > 0 {}
            let share = PacketShare { number, of: count };
            let program = packets_of(interface, &setup.ports, share);
            attach(socket, &program).map_err(failed("attaching a filter"))?;
        }
        Ok(Self { sockets, interface, keep: setup.keep, held: granted })
    }

    /// Reads until the other end of `pipe` is closed, and then what is left. Returns what each socket
    /// has heard.
    pub(super) fn listen(&self, pipe: &PipeReader) -> io::Result<Vec<PacketStore>> {
        let mut stores: Vec<_> = self.sockets.iter().map(|_| PacketStore::default()).collect();
        let mut batch = ReadBatch::new(self.keep);
        while let Woken::Packets(places) = self.wait(Some(pipe), PollTimeout::NONE)? {
            self.read(&places, &mut batch, &mut stores)?;
            thread::sleep(NAP);
        }
        // On `lo` a packet is heard before the call that sends it returns: nothing is under way.
        let ends = Instant::now() + LONGEST_WAIT;
        while self.interface != Some(LOOPBACK) && Instant::now() < ends {
            match self.wait(None, QUIET.into())? {
                Woken::Packets(places) if !places.is_empty() => {
                    self.read(&places, &mut batch, &mut stores)?;
                }
                _ => return Ok(stores),
            }
        }
        for (socket, store) in self.sockets.iter().zip(&mut stores) {
            self.drain(socket, &mut batch, store)?;
        }
        Ok(stores)
    }

    /// Reads until the other end of `pipe` is closed, and keeps nothing.
    pub(super) fn hand_over(
        &self,
        pipe: &PipeReader,
        start: Instant,
        mut sink: impl PacketSink,
    ) -> io::Result<()> {
        let (mut batch, mut store) = (ReadBatch::new(self.keep), PacketStore::default());
        let mut dropped = 0;
        loop {
            let begun = Instant::now();
            for socket in &self.sockets {
                while batch.read(socket, &mut store)? > 0 {
                    let now = ClockReading::now();
                    let line = ClockLine::between(start, now, now);
                    for (head, bytes) in store.iter() {
                        dropped = head.dropped.map_or(dropped, u64::from);
                        let packet = head.with(bytes, line.on_run(head.at));
                        sink.packet(LivePacket { packet, interface: head.interface, dropped });
                    }
                    store.clear();
                }
            }
            sink.drained(begun);
            if let Woken::Ended = self.wait(Some(pipe), DRAINED_EVERY.into())? {
                return Ok(());
            }
        }
    }

    /// Reads what the sockets at these places have.
    fn read(
        &self,
        places: &[usize],
        batch: &mut ReadBatch,
        stores: &mut [PacketStore],
    ) -> io::Result<()> {
        for place in places {
            if let (Some(socket), Some(store)) = (self.sockets.get(*place), stores.get_mut(*place))
            {
                self.drain(socket, batch, store)?;
            }
        }
        Ok(())
    }

    /// Reads all that there is now. Others may send on and on: that has been read after so many
    /// packets as the kernel can hold.
    fn drain(
        &self,
        socket: &OwnedFd,
        batch: &mut ReadBatch,
        store: &mut PacketStore,
    ) -> io::Result<()> {
        let mut left = self.held / SMALLEST;
        loop {
            let count = batch.read(socket, store)?;
            left = left.saturating_sub(count);
            if left == 0 || count < batch::MOST {
                return Ok(());
            }
        }
    }

    /// How many packets the kernel has dropped.
    pub(super) fn drops(&self, witness: &DropWitness, stores: &[PacketStore]) -> PacketDrops {
        let asked = witness.drops_of(&self.sockets).ok().flatten();
        let told = stores.iter().map(|store| u64::from(store.dropped())).sum();
        PacketDrops { packets: asked.unwrap_or(told), exact: asked.is_some() }
    }

    /// Closes the sockets. The kernel takes some milliseconds for each, for which nobody waits.
    pub(super) fn close(self) {
        // Dropped here if there can be no thread.
        drop(thread::Builder::new().name("closing".to_owned()).spawn(move || drop(self)));
    }

    /// Waits for packets, for so long, or until the other end of `pipe` is closed.
    fn wait(&self, pipe: Option<&PipeReader>, timeout: PollTimeout) -> io::Result<Woken> {
        let watched = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut all: Vec<PollFd<'_>> =
            self.sockets.iter().map(|socket| watched(socket.as_fd())).collect();
        all.extend(pipe.map(|pipe| watched(pipe.as_fd())));
        match poll(&mut all, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let is_ready = |fd: &PollFd<'_>| fd.any() == Some(true);
        let (sockets, pipe) = all.split_at(self.sockets.len());
        if pipe.iter().any(is_ready) {
            return Ok(Woken::Ended);
        }
        let ready = sockets.iter().enumerate().filter(|(_, socket)| is_ready(socket));
        Ok(Woken::Packets(ready.map(|(place, _)| place).collect()))
    }
}

/// The end of a wait.
enum Woken {
    /// These sockets have packets, by their places; none if it has been silent.
    Packets(Vec<usize>),
    /// The pipe is closed.
    Ended,
}

/// A packet socket with a large buffer, which hears nothing yet.
///
/// It would hear all interfaces from the first moment on: binding it to one takes unsafe code. So
/// nothing passes until the right filter stands, and what has passed before is to be thrown away.
fn deaf_socket(setup: &CaptureSetup) -> Result<OwnedFd, CaptureError> {
    let failed = |step| {
        let interface = setup.interface.clone();
        move |source| CaptureError::Setup { interface, step, source }
    };
    // Cooked: whatever the device, the bytes begin at the IP header.
    let socket = socket(
        AddressFamily::Packet,
        SockType::Datagram,
        SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
        SockProtocol::EthAll,
    )
    .map_err(|errno| diagnose(&CaptureFacts::gather(errno)))?;
    attach(&socket, &nothing()).map_err(failed("attaching a filter"))?;
    let prepared = sockopt::RcvBufForce.set(&socket, &setup.each);
    prepared
        .or_else(|_| sockopt::RcvBuf.set(&socket, &setup.each))
        .map_err(|errno| failed("enlarging its buffer")(errno.into()))?;
    sockopt::ReceiveTimestampns
        .set(&socket, &true)
        .map_err(|errno| failed("asking for time stamps")(errno.into()))?;
    sockopt::RxqOvfl.set(&socket, &1).map_err(|errno| failed("asking for drops")(errno.into()))?;
    Ok(socket)
}

fn attach(socket: &OwnedFd, program: &[SockFilter]) -> io::Result<()> {
    socket2::SockRef::from(socket).attach_filter(program)
}
