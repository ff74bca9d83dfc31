//! Linux: a packet socket, and a thread that does nothing but read it.

use std::io::{self, IoSliceMut, PipeReader, PipeWriter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SetSockOpt, SockFlag, SockProtocol,
    SockType, SockaddrStorage, recvmsg, socket, sockopt,
};
use nix::sys::time::TimeSpec;
use socket2::SockFilter;

use super::clock::{ClockLine, ClockReading};
use super::drops::DropWitness;
use super::filter::{LOOPBACK, MOST_PORTS, OUTGOING, nothing, packets_of};
use super::refusal::{CaptureFacts, diagnose};
use super::{
    CaptureError, CaptureSetup, HeardPacket, LivePacket, PacketDrops, PacketSink, Recording,
};

/// What the kernel may hold until it is read: it grants less to whoever is not root of the machine.
const BUFFER: usize = 64 * 1024 * 1024;
/// Silence after which nothing is taken to be under way any more.
const QUIET: u16 = 20;
/// The longest wait for such a silence.
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// Whoever hears packets as they come is told so often, in milliseconds, that there are no more.
const DRAINED_EVERY: u16 = 200;

/// A packet socket, and what is to be done with what it hears.
struct Ear {
    socket: OwnedFd,
    /// `None` for all.
    interface: Option<u32>,
    keep: usize,
    name: String,
}

/// A thread that listens until its pipe is closed.
#[derive(Debug)]
pub(crate) struct Running {
    listener: JoinHandle<Result<Heard, CaptureError>>,
    /// Closed to end it.
    pipe: PipeWriter,
    interface: String,
    start: Instant,
}

/// What a thread has heard, as the kernel told it.
struct Heard {
    packets: Vec<RawPacket>,
    drops: PacketDrops,
    first: ClockReading,
    last: ClockReading,
}

/// A thread that hands packets over until its pipe is closed.
#[derive(Debug)]
pub(crate) struct RunningLive {
    listener: JoinHandle<Result<(), CaptureError>>,
    pipe: PipeWriter,
    interface: String,
}

/// A packet, with the machine's time.
struct RawPacket {
    since_epoch: Duration,
    outgoing: bool,
    interface: u32,
    wire_len: usize,
    bytes: Box<[u8]>,
}

impl RawPacket {
    fn on_run(self, line: &ClockLine) -> HeardPacket {
        HeardPacket {
            at: line.on_run(self.since_epoch),
            since_epoch: self.since_epoch,
            outgoing: self.outgoing,
            wire_len: self.wire_len,
            bytes: self.bytes,
        }
    }
}

pub(crate) fn start(setup: &CaptureSetup, start: Instant) -> Result<Running, CaptureError> {
    let ear = Ear::open(setup)?;
    let failed = setup_failed(setup);
    let witness = DropWitness::here().map_err(failed("asking who drops packets"))?;
    let (reader, pipe) = io::pipe().map_err(failed("making a pipe"))?;
    let first = ClockReading::now();
    let listener = thread::Builder::new()
        .name("packets".to_owned())
        .spawn(move || ear.listen(&reader, &witness, first))
        .map_err(failed("starting a thread"))?;
    Ok(Running { listener, pipe, interface: setup.interface.clone(), start })
}

/// Begins to hand over what is heard.
pub(crate) fn start_live(
    setup: &CaptureSetup,
    start: Instant,
    sink: impl PacketSink,
) -> Result<RunningLive, CaptureError> {
    let ear = Ear::open(setup)?;
    let failed = setup_failed(setup);
    let (reader, pipe) = io::pipe().map_err(failed("making a pipe"))?;
    let listener = thread::Builder::new()
        .name("packets".to_owned())
        .spawn(move || ear.hand_over(&reader, start, sink))
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
        let Heard { packets, drops, first, last } = heard?;
        let line = ClockLine::between(self.start, first, last);
        let packets = packets.into_iter().map(|packet| packet.on_run(&line)).collect();
        Ok(Recording { interface: self.interface, packets, drops, clock: line.fit() })
    }
}

impl Ear {
    fn open(setup: &CaptureSetup) -> Result<Self, CaptureError> {
        if setup.ports.len() > MOST_PORTS {
            return Err(CaptureError::ManyPorts { ports: setup.ports.len(), most: MOST_PORTS });
        }
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
        // It hears all interfaces from the first moment on: binding it to one takes unsafe code. So
        // nothing passes until the right filter stands, and what has passed before is thrown away.
        attach(&socket, &nothing()).map_err(failed("attaching a filter"))?;
        let no_interface = |errno: rustix::io::Errno| CaptureError::NoInterface {
            interface: setup.interface.clone(),
            source: errno.into(),
        };
        let interface = match setup.interface.as_str() {
            CaptureSetup::ANY => None,
            name => {
                Some(rustix::net::netdevice::name_to_index(&socket, name).map_err(no_interface)?)
            }
        };
        let prepared = sockopt::RcvBufForce.set(&socket, &BUFFER);
        prepared
            .or_else(|_| sockopt::RcvBuf.set(&socket, &BUFFER))
            .map_err(|errno| failed("enlarging its buffer")(errno.into()))?;
        sockopt::ReceiveTimestampns
            .set(&socket, &true)
            .map_err(|errno| failed("asking for time stamps")(errno.into()))?;
        sockopt::RxqOvfl
            .set(&socket, &1)
            .map_err(|errno| failed("asking for drops")(errno.into()))?;
        let ear = Self { socket, interface, keep: setup.keep, name: setup.interface.clone() };
        while ear.read(&mut ear.buffer()).map_err(failed("emptying it"))?.is_some() {}
        let program = packets_of(interface, &setup.ports);
        attach(&ear.socket, &program).map_err(failed("attaching a filter"))?;
        Ok(ear)
    }

    /// Reads until the other end of `pipe` is closed, and then what is left.
    fn listen(
        self,
        pipe: &PipeReader,
        witness: &DropWitness,
        first: ClockReading,
    ) -> Result<Heard, CaptureError> {
        let failed = |source| CaptureError::Reading { interface: self.name.clone(), source };
        let (mut packets, mut dropped) = (Vec::new(), 0);
        let mut buffer = self.buffer();
        let mut ends: Option<Instant> = None;
        loop {
            let over = || ends.is_some_and(|ends| Instant::now() >= ends);
            while let Some((packet, drops)) = self.read(&mut buffer).map_err(failed)? {
                packets.push(packet);
                dropped = drops.unwrap_or(dropped);
                if over() {
                    break; // others send on and on: what was there at the end has been read
                }
            }
            if ends.is_none() {
                if self.wait(Some(pipe)).map_err(failed)? {
                    ends = Some(Instant::now() + LONGEST_WAIT);
                }
            } else if self.interface == Some(LOOPBACK)
                || over()
                || self.wait(None).map_err(failed)?
            {
                // On `lo` a packet is heard before the call that sends it returns: there is no more.
                break;
            }
        }
        let last = ClockReading::now();
        let asked = witness.drops_of(&self.socket).ok().flatten();
        let drops =
            PacketDrops { packets: asked.unwrap_or(u64::from(dropped)), exact: asked.is_some() };
        Ok(Heard { packets, drops, first, last })
    }

    /// Reads until the other end of `pipe` is closed, and keeps nothing.
    fn hand_over(
        self,
        pipe: &PipeReader,
        start: Instant,
        mut sink: impl PacketSink,
    ) -> Result<(), CaptureError> {
        let failed = |source| CaptureError::Reading { interface: self.name.clone(), source };
        let (mut buffer, mut dropped) = (self.buffer(), 0_u32);
        loop {
            let begun = Instant::now();
            while let Some((packet, drops)) = self.read(&mut buffer).map_err(failed)? {
                dropped = drops.unwrap_or(dropped);
                let (now, interface) = (ClockReading::now(), packet.interface);
                let packet = packet.on_run(&ClockLine::between(start, now, now));
                sink.packet(LivePacket { packet, interface, dropped: dropped.into() });
            }
            sink.drained(begun);
            let (socket, end) = (self.socket.as_fd(), pipe.as_fd());
            let mut both =
                [PollFd::new(socket, PollFlags::POLLIN), PollFd::new(end, PollFlags::POLLIN)];
            match poll(&mut both, DRAINED_EVERY) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(failed(errno.into())),
            }
            if both.iter().skip(1).any(|pipe| pipe.any() == Some(true)) {
                return Ok(());
            }
        }
    }

    /// Waits for a packet. Returns true if it is `pipe` that ends the wait or, without one, silence.
    fn wait(&self, pipe: Option<&PipeReader>) -> io::Result<bool> {
        let socket = PollFd::new(self.socket.as_fd(), PollFlags::POLLIN);
        let pipe = pipe.map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN));
        let timeout = pipe.as_ref().map_or(PollTimeout::from(QUIET), |_| PollTimeout::NONE);
        let mut both: Vec<PollFd<'_>> = [Some(socket), pipe].into_iter().flatten().collect();
        match poll(&mut both, timeout) {
            Ok(0) => Ok(true),
            Ok(_) => Ok(both.get(1).is_some_and(|pipe| pipe.any() != Some(false))),
            Err(Errno::EINTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Reads one packet, if there is one; with how many the kernel had dropped before it, where it says
    /// so.
    fn read(&self, buffer: &mut [u8]) -> io::Result<Option<(RawPacket, Option<u32>)>> {
        let mut about = nix::cmsg_space!(TimeSpec, u32);
        let mut into = [IoSliceMut::new(buffer)];
        let fd = self.socket.as_raw_fd();
        // MSG_TRUNC: the length is the packet's, however much of it there is room for.
        let received = loop {
            match recvmsg::<LinkAddr>(fd, &mut into, Some(&mut about), MsgFlags::MSG_TRUNC) {
                Err(Errno::EINTR) => {}
                other => break other,
            }
        };
        let received = match received {
            Err(Errno::EAGAIN) => return Ok(None),
            other => other?,
        };
        let (wire_len, from) = (received.bytes, received.address);
        let (mut since_epoch, mut dropped) = (None, None);
        for message in received.cmsgs()? {
            match message {
                ControlMessageOwned::ScmTimestampns(time) => since_epoch = Some(time.into()),
                ControlMessageOwned::RxqOvfl(drops) => dropped = Some(drops),
                _ => {}
            }
        }
        let since_epoch = since_epoch
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it has no time stamp"))?;
        let outgoing = from.is_some_and(|from| from.pkttype() == OUTGOING);
        let interface =
            from.and_then(|from| u32::try_from(from.ifindex()).ok()).unwrap_or_default();
        let bytes = buffer.get(..wire_len.min(self.keep)).unwrap_or(buffer);
        let packet = RawPacket { since_epoch, outgoing, interface, wire_len, bytes: bytes.into() };
        Ok(Some((packet, dropped)))
    }

    /// Room for what is to be kept of a packet.
    fn buffer(&self) -> Vec<u8> {
        vec![0; self.keep.max(1)]
    }
}

fn attach(socket: &OwnedFd, program: &[SockFilter]) -> io::Result<()> {
    socket2::SockRef::from(socket).attach_filter(program)
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
