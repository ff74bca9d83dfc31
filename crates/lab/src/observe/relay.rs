//! The way out: connections to the real network, each relayed byte for byte, its ends as they came.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use netlab::{CableInjector, CablePlan, Host};
use observe::{
    DialledPair, KeptPacket, ObservedGround, OutsideChannel, OutsideReply, OutsideRequest,
    RelayDials, RelayLaw, RelayWish, serve_outside,
};
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinHandle;

use super::near_names::{self, QuestionerAddr};

/// The hidden command by which this program becomes the process outside.
pub(crate) const OUTSIDE: &str = "outside";
/// The address by which the machine's own loopback is reached: that of `host.lab.internal`.
const MACHINE: Ipv4Addr = Ipv4Addr::new(10, 127, 0, 1);
/// Its name as it stands in a question (RFC 1035 section 3.1).
const MACHINE_NAME: &[u8] = b"\x04host\x03lab\x08internal\x00";
/// Bytes that are carried at once.
const PIECE: usize = 64 * 1024;

/// The process outside, which lives as long as this one.
#[derive(Debug)]
pub(super) struct OutsideProcess {
    channel: OutsideChannel,
    /// Its number.
    pub(super) pid: u32,
}

impl OutsideProcess {
    /// Starts it, while this process is still outside, too.
    pub(super) fn start() -> anyhow::Result<Self> {
        let starting = "cannot start a child that stays outside";
        let (channel, other) = OutsideChannel::pair().context(starting)?;
        let this = std::env::current_exe().context(starting)?;
        let child = Command::new(this)
            .args([OUTSIDE, &std::process::id().to_string()])
            .stdin(Stdio::from(other.into_socket()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context(starting)?;
        Ok(Self { channel, pid: child.id() })
    }
}

/// What the process outside does, until `parent` is gone.
///
/// # Errors
/// If it cannot hear what it is asked for.
pub(crate) fn main(parent: u32) -> anyhow::Result<()> {
    netlab::die_with(parent)?;
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    Ok(serve_outside(OutsideChannel::of(socket))?)
}

/// Makes the far host, on which every connection is accepted that was dialled outside.
pub(super) fn start(outside: OutsideProcess, ground: &mut ObservedGround) -> anyhow::Result<()> {
    let (tell, told) = unbounded_channel();
    let dials = RelayDials::default();
    let (wishes, near) = (tell.clone(), tell.clone());
    let asker = Box::new(move |wish| drop(wishes.send(RelayNews::Wish(wish))));
    let law = Box::new(RelayLaw::new(dials.clone(), asker));
    let host = ground.second_host(CablePlan::default(), law)?;
    let cable = ground.injector().context("there is no cable")?;
    let channel = Arc::new(outside.channel);
    let hearing = Arc::clone(&channel);
    let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
    thread("outside")
        .spawn(move || {
            while let Ok(Some((reply, socket))) = hearing.receive::<OutsideReply>() {
                if tell.send(RelayNews::Reply(reply, socket)).is_err() {
                    return;
                }
            }
        })
        .context("cannot start the thread that hears the process outside")?;
    near_names::answer_here(move |question, server, back| {
        let question = question.to_owned();
        drop(near.send(RelayNews::Near { question, server, back }));
    });
    let relay = Relay {
        channel,
        host,
        cable,
        dials,
        waiting: HashMap::new(),
        listeners: HashMap::new(),
        dialled: Arc::default(),
        next: 0,
    };
    thread("relay")
        .spawn(move || relay.work(told))
        .context("cannot start the thread of the relay")?;
    Ok(())
}

/// Something that the relay has to do with.
enum RelayNews {
    Wish(RelayWish),
    Reply(OutsideReply, Option<std::os::fd::OwnedFd>),
    /// A question for a name that did not pass the cable.
    Near {
        question: Vec<u8>,
        server: SocketAddr,
        back: QuestionerAddr,
    },
}

/// Something that waits for an answer from outside.
enum RelayWaiting {
    Dial(DialledPair, KeptPacket),
    Ask(KeptPacket),
    Near(QuestionerAddr),
}

/// Connections that were dialled outside, and that nobody has accepted inside.
type DialledOutside = Arc<Mutex<HashMap<DialledPair, std::net::TcpStream>>>;

struct Relay {
    channel: Arc<OutsideChannel>,
    host: Arc<Host>,
    cable: CableInjector,
    dials: RelayDials,
    waiting: HashMap<u64, RelayWaiting>,
    listeners: HashMap<SocketAddr, JoinHandle<()>>,
    dialled: DialledOutside,
    next: u64,
}

impl Relay {
    fn work(mut self, mut told: UnboundedReceiver<RelayNews>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            while let Some(news) = told.recv().await {
                match news {
                    RelayNews::Wish(wish) => self.wish(wish),
                    RelayNews::Near { question, server, back } => self.near(question, server, back),
                    RelayNews::Reply(reply, socket) => self.reply(reply, socket).await,
                }
            }
        });
    }

    fn wish(&mut self, wish: RelayWish) {
        let id = self.next;
        self.next += 1;
        let (request, waiting) = match wish {
            RelayWish::Dial { pair, syn } => {
                let to = outside(pair.1);
                (OutsideRequest::Dial { id, to }, RelayWaiting::Dial(pair, syn))
            }
            RelayWish::Ask { server, question, datagram } => {
                if let Some(answer) = machine(&question) {
                    datagram.is_answered(&answer, &self.cable);
                    return;
                }
                (OutsideRequest::Ask { id, to: server, question }, RelayWaiting::Ask(datagram))
            }
        };
        // Where nobody is left outside, nothing is answered, and the program sees silence.
        if self.channel.send(&request, None).is_ok() {
            self.waiting.insert(id, waiting);
        }
    }

    fn near(&mut self, question: Vec<u8>, server: SocketAddr, back: QuestionerAddr) {
        if let Some(answer) = machine(&question) {
            back.answer(&answer);
            return;
        }
        let id = self.next;
        self.next += 1;
        let request = OutsideRequest::Ask { id, to: server, question };
        if self.channel.send(&request, None).is_ok() {
            self.waiting.insert(id, RelayWaiting::Near(back));
        }
    }

    async fn reply(&mut self, reply: OutsideReply, socket: Option<std::os::fd::OwnedFd>) {
        let id = match &reply {
            OutsideReply::Dialled { id }
            | OutsideReply::Failed { id, .. }
            | OutsideReply::Answered { id, .. } => *id,
        };
        match (reply, self.waiting.remove(&id), socket) {
            (OutsideReply::Dialled { .. }, Some(RelayWaiting::Dial(pair, syn)), Some(socket)) => {
                self.listen(pair.1);
                let stream = std::net::TcpStream::from(socket);
                self.dialled.lock().unwrap_or_else(PoisonError::into_inner).insert(pair, stream);
                self.dials.is_over(pair);
                syn.go_on(&self.cable);
            }
            (OutsideReply::Failed { errno, .. }, Some(RelayWaiting::Dial(pair, syn)), _) => {
                self.failed(errno, pair, syn).await;
            }
            (OutsideReply::Answered { answer, .. }, Some(RelayWaiting::Ask(datagram)), _) => {
                datagram.is_answered(&answer, &self.cable);
            }
            (OutsideReply::Answered { answer, .. }, Some(RelayWaiting::Near(back)), _) => {
                back.answer(&answer);
            }
            _ => {}
        }
    }

    /// A dial outside has failed: the program is to see the same.
    async fn failed(&mut self, errno: i32, pair: DialledPair, syn: KeptPacket) {
        let errno = Errno::from_raw_os_error(errno);
        if errno == Errno::CONNREFUSED || errno == Errno::CONNRESET {
            if let Some(listener) = self.listeners.remove(&pair.1) {
                listener.abort();
                let _ = listener.await; // an error says that it was aborted
            }
            // Nobody listens, so the kernel of the far host refuses.
            self.dials.is_over(pair);
            syn.go_on(&self.cable);
        } else if errno != Errno::TIMEDOUT {
            syn.has_no_way(&self.cable);
        }
        self.dials.forget(pair);
    }

    /// Listens at an address of the far host, if nobody does.
    fn listen(&mut self, address: SocketAddr) {
        if self.listeners.contains_key(&address) {
            return;
        }
        let bound = self.host.run(move || std::net::TcpListener::bind(address));
        let Ok(Ok(listener)) = bound else { return };
        let prepared =
            listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        let Ok(listener) = prepared else { return };
        let (dials, dialled) = (self.dials.clone(), Arc::clone(&self.dialled));
        let task = tokio::spawn(async move {
            loop {
                let Ok((inside, client)) = listener.accept().await else { continue };
                let pair = (client, address);
                let found = dialled.lock().unwrap_or_else(PoisonError::into_inner).remove(&pair);
                dials.forget(pair);
                let prepared = found.and_then(|stream| {
                    stream.set_nonblocking(true).ok()?;
                    TcpStream::from_std(stream).ok()
                });
                if let Some(outside) = prepared {
                    let _ = inside.set_nodelay(true);
                    tokio::spawn(relay(inside, outside));
                }
            }
        });
        self.listeners.insert(address, task);
    }
}

/// The address outside that an address inside stands for.
fn outside(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(MACHINE) => (Ipv4Addr::LOCALHOST, address.port()).into(),
        _ => address,
    }
}

/// The answer to a question for the machine's own name; `None` for any other.
fn machine(question: &[u8]) -> Option<Vec<u8>> {
    let name = question.get(12..12 + MACHINE_NAME.len())?;
    if !name.eq_ignore_ascii_case(MACHINE_NAME) {
        return None;
    }
    let end = 12 + MACHINE_NAME.len() + 4;
    let asks_address = question.get(end - 4..end)? == [0, 1, 0, 1];
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([
        0x80 | (question.get(2)? & 1),
        0x80,
        0,
        1,
        0,
        u8::from(asks_address),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(question.get(12..end)?);
    if asks_address {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        answer.extend(MACHINE.octets());
    }
    Some(answer)
}

/// Carries bytes both ways: a FIN is followed by a FIN, a reset by a reset.
async fn relay(inside: TcpStream, outside: TcpStream) {
    let both = tokio::try_join!(carry(&inside, &outside), carry(&outside, &inside));
    if both.is_err() {
        // Closed with nothing to linger for, a connection is reset.
        let _ = inside.set_zero_linger();
        let _ = outside.set_zero_linger();
    }
}

async fn carry(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        from.readable().await?;
        let length = match from.try_read(&mut piece) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        if length == 0 {
            return Ok(rustix::net::shutdown(to, rustix::net::Shutdown::Write)?);
        }
        let mut rest = piece.get(..length).unwrap_or_default();
        while !rest.is_empty() {
            to.writable().await?;
            match to.try_write(rest) {
                Ok(taken) => rest = rest.get(taken..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}
