//! The words of `sock_diag(7)`: what the kernel is asked, and what it answers.
//!
//! Bytes in, values out; the socket that carries them is `linux.rs`'s business. All numbers are in
//! the byte order of this machine, except ports and addresses, which are as on the wire. The
//! layouts are those of `linux/netlink.h`, `linux/sock_diag.h` and `linux/inet_diag.h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use evidence::{Observed, Socket, TcpInfo, TcpState, Timer, TimerKind};
use thiserror::Error;

mod attributes;

/// `NETLINK_SOCK_DIAG`'s one request and answer: `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`: tell of the one socket that is named.
const REQUEST_ONE: u16 = 0x001;
/// `NLM_F_REQUEST | NLM_F_DUMP`: list everything that matches.
const REQUEST_DUMP: u16 = REQUEST_ONE | 0x300;
/// `NLM_F_DUMP_INTR`: the table changed under the kernel's hands.
const DUMP_INTERRUPTED: u16 = 0x010;

const NOOP: u16 = 1;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const OVERRUN: u16 = 4;

/// `TCP_BOUND_INACTIVE`: bound, and no more.
const BOUND: u8 = 13;

const HEADER_LEN: usize = 16;
const IPPROTO_TCP: u8 = 6;
/// `1 << (INET_DIAG_INFO - 1)`: tell `struct tcp_info`, too.
const TELL_TCP_INFO: u8 = 1 << 1;
/// `INET_DIAG_REQ_BYTECODE`: a filter that the kernel runs on every socket.
const BYTECODE: u16 = 1;

/// An address family of sockets; each is asked for by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IpFamily {
    V4,
    V6,
}

impl IpFamily {
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// `AF_INET` or `AF_INET6`.
    fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
    }

    pub(crate) fn of(address: SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// More ports than this are not worth a filter: the kernel would run it on every socket.
const MOST_PORTS: usize = 256;

/// Asks for the TCP sockets of `family` in one of `states` with one of `ports` at either end.
///
/// No ports stand for every port; so do more than [`MOST_PORTS`], the caller filters then. In
/// depth, each row carries `struct tcp_info`, which makes the answer three times as long.
pub(crate) fn request(
    family: IpFamily,
    states: &[TcpState],
    ports: &[u16],
    in_depth: bool,
    sequence: u32,
) -> Vec<u8> {
    let filter = if ports.len() > MOST_PORTS { Vec::new() } else { port_filter(ports) };

    let extensions = if in_depth { TELL_TCP_INFO } else { 0 };
    let mut body = dump(family, extensions, state_mask(states));
    if !filter.is_empty() {
        body.extend(length(4 + filter.len()).to_ne_bytes());
        body.extend(BYTECODE.to_ne_bytes());
        body.extend(filter);
    }
    framed(&body, REQUEST_DUMP, sequence)
}

/// Asks for the TCP sockets of `family` that are bound to a port, and no more. A kernel before Linux
/// 6.8 has none to tell.
pub(crate) fn request_bound(family: IpFamily, sequence: u32) -> Vec<u8> {
    framed(&dump(family, 0, 1 << BOUND), REQUEST_DUMP, sequence)
}

/// `struct inet_diag_req_v2` for a list.
fn dump(family: IpFamily, extensions: u8, states: u32) -> Vec<u8> {
    let mut body = vec![family.number(), IPPROTO_TCP, extensions, 0]; // padding
    body.extend(states.to_ne_bytes());
    body.extend([0; 48]); // struct inet_diag_sockid: ignored in a dump
    body
}

/// Asks for the one TCP socket between these addresses. If there is none, the kernel may answer
/// with the socket that listens at `local`.
pub(crate) fn request_one(local: SocketAddr, peer: SocketAddr, sequence: u32) -> Vec<u8> {
    let family = IpFamily::of(local);
    let mut body = vec![family.number(), IPPROTO_TCP, 0, 0]; // no extensions, padding
    body.extend(state_mask(&[]).to_ne_bytes());
    // struct inet_diag_sockid
    for address in [local, peer] {
        body.extend(address.port().to_be_bytes());
    }
    for address in [local, peer] {
        let mut bytes = [0; 16];
        match address.ip() {
            IpAddr::V4(ip) => bytes[..4].copy_from_slice(&ip.octets()),
            IpAddr::V6(ip) => bytes = ip.octets(),
        }
        body.extend(bytes);
    }
    let interface = match local {
        SocketAddr::V6(address) => address.scope_id(),
        SocketAddr::V4(_) => 0,
    };
    body.extend(interface.to_ne_bytes());
    body.extend([0xff; 8]); // INET_DIAG_NOCOOKIE: whichever socket that is
    framed(&body, REQUEST_ONE, sequence)
}

/// A request with its header.
fn framed(body: &[u8], flags: u16, sequence: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(HEADER_LEN + body.len());
    message.extend(u32::from(length(HEADER_LEN + body.len())).to_ne_bytes());
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(sequence.to_ne_bytes());
    message.extend(0_u32.to_ne_bytes()); // the kernel fills in who asks
    message.extend(body);
    message
}

/// A length that fits because [`MOST_PORTS`] bounds the filter.
fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).unwrap_or(u16::MAX)
}

/// One bit for each state, at the kernel's number for it. No states stand for all of them.
fn state_mask(states: &[TcpState]) -> u32 {
    let states = if states.is_empty() { &TcpState::ALL } else { states };
    states.iter().map(|&state| mask_of(state)).fold(0, |mask, bits| mask | bits)
}

fn mask_of(state: TcpState) -> u32 {
    let numbers = (1..=12).filter(|number| TcpState::from_linux(*number) == Some(state));
    numbers.fold(0, |mask, number| mask | 1 << number)
}

const JUMP: u8 = 1;
const LOCAL_PORT_IS: u8 = 11;
const PEER_PORT_IS: u8 = 12;
/// One comparison (an instruction and its argument) and the jump that follows it.
const BLOCK_LEN: u16 = 8 + 4;

/// The filter "one of `ports` at either end", as the kernel's bytecode: a row of comparisons.
///
/// Each instruction says how far to go on if it holds and how far if it does not. The program
/// accepts a socket by arriving exactly at its end, and rejects it by overshooting by 4 bytes.
///
/// ```text
///  0  local port is 80?   yes: +8   no: +12 ──┐
///  8  jump to the end  ───────────────────────┼──┐
/// 12  peer port is 80?    yes: +8   no: +12 ◄─┘  │  ── overshoots: rejected
/// 20  the end: accepted ◄────────────────────────┘
/// ```
fn port_filter(ports: &[u16]) -> Vec<u8> {
    let comparisons: Vec<(u8, u16)> =
        ports.iter().flat_map(|&port| [(LOCAL_PORT_IS, port), (PEER_PORT_IS, port)]).collect();
    let mut program = Vec::new();
    for ((code, port), following) in comparisons.iter().zip((0..length(comparisons.len())).rev()) {
        instruction(&mut program, *code, 8, BLOCK_LEN);
        instruction(&mut program, 0, 0, *port); // the argument has an instruction's shape
        if following > 0 {
            instruction(&mut program, JUMP, 4, BLOCK_LEN.saturating_mul(following));
        }
    }
    program
}

/// `struct inet_diag_bc_op`.
fn instruction(program: &mut Vec<u8>, code: u8, yes: u8, no: u16) {
    program.extend([code, yes]);
    program.extend(no.to_ne_bytes());
}

/// One socket, as the kernel tells it, with what leads to the processes that hold it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableRow {
    /// Without a side, and without owners.
    pub(crate) socket: Socket,
    /// The number by which `/proc/PID/fd` names it; 0 if no process holds it.
    pub(crate) inode: u32,
    /// The memory of TCP, if it was asked for and there is such a memory.
    pub(crate) info: Option<Box<TcpInfo>>,
    /// The number of its control group, where the kernel has them.
    pub(crate) cgroup: Option<u64>,
}

impl TableRow {
    /// The kernel's number for the socket.
    pub(crate) fn cookie(&self) -> u64 {
        self.socket.cookie.known().unwrap_or_default()
    }

    /// The number by which processes hold it; 0 if none does.
    pub(crate) fn handle(&self) -> Option<u32> {
        Some(self.inode)
    }

    /// The socket, what TCP remembers of it, and the number of its control group.
    pub(crate) fn in_depth(self) -> (Socket, TcpInfo, Option<u64>) {
        (self.socket, self.info.map_or(TcpInfo::UNSEEN, |info| *info), self.cgroup)
    }
}

/// One message of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetlinkMessage<'a> {
    /// The number of the request that it answers.
    pub(crate) sequence: u32,
    /// True if the table changed while the kernel listed it, so that the list is no list.
    pub(crate) interrupted: bool,
    pub(crate) content: MessageContent<'a>,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MessageContent<'a> {
    /// A socket, still in the kernel's words, for [`row`] to read. In a long list each row is then
    /// written once, where it stays.
    Socket(&'a [u8]),
    /// The list is complete; or, with an error number, as far as it got.
    Done(i32),
    /// The kernel does not answer; the error number says why.
    Refused(i32),
    /// Messages were lost.
    Lost,
    /// Nothing of interest.
    Nothing,
}

/// An answer that does not have the kernel's own layout; the words say where it departs from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub(crate) struct MalformedAnswer(&'static str);

/// The messages of one datagram. Ends after the first that cannot be read.
pub(crate) fn messages(
    datagram: &[u8],
) -> impl Iterator<Item = Result<NetlinkMessage<'_>, MalformedAnswer>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let next = message(&mut rest);
        if next.is_err() {
            rest = &[];
        }
        Some(next)
    })
}

/// Takes the first message off `rest`.
fn message<'a>(rest: &mut &'a [u8]) -> Result<NetlinkMessage<'a>, MalformedAnswer> {
    let mut header = FieldReader(rest);
    let claimed = header.u32()?;
    let kind = header.u16()?;
    let flags = header.u16()?;
    let sequence = header.u32()?;
    header.u32()?; // who asked

    let end = usize::try_from(claimed).map_err(|_| MalformedAnswer("a message is too long"))?;
    let whole = rest.get(..end).ok_or(MalformedAnswer("a message is longer than its datagram"))?;
    let body =
        whole.get(HEADER_LEN..).ok_or(MalformedAnswer("a message is shorter than its header"))?;
    *rest = rest.get(end.next_multiple_of(4)..).unwrap_or_default();

    let content = match kind {
        BY_FAMILY => MessageContent::Socket(body),
        // The kernel ends every dump with an error number; one that comes without is complete.
        DONE => MessageContent::Done(FieldReader(body).i32().unwrap_or(0)),
        ERROR => match FieldReader(body).i32()? {
            0 => MessageContent::Nothing, // an acknowledgement
            errno => MessageContent::Refused(errno),
        },
        OVERRUN => MessageContent::Lost,
        NOOP => MessageContent::Nothing,
        _ => return Err(MalformedAnswer("a message is of an unknown kind")),
    };
    Ok(NetlinkMessage { sequence, interrupted: flags & DUMP_INTERRUPTED != 0, content })
}

/// Reads a `struct inet_diag_msg`. `None` for a socket that is bound but neither connects nor
/// listens.
pub(crate) fn row(words: &[u8]) -> Result<Option<TableRow>, MalformedAnswer> {
    let is_bound = words.get(1) == Some(&BOUND);
    Ok(Some(bound_or_row(words)?).filter(|_| !is_bound))
}

/// The same; a socket that is only bound is [`TcpState::Closed`].
pub(crate) fn bound_or_row(words: &[u8]) -> Result<TableRow, MalformedAnswer> {
    let body = &mut FieldReader(words);
    let family = body.u8()?;
    let state = body.u8()?;
    let timer_kind = body.u8()?;
    body.u8()?; // retransmissions so far
    let local_port = body.port()?;
    let peer_port = body.port()?;
    let local = body.array::<16>()?;
    let peer = body.array::<16>()?;
    let interface = body.u32()?;
    let cookie = body.u64()?;
    let expires_ms = body.u32()?;
    let recv_queue = body.u32()?;
    let send_queue = body.u32()?;
    body.u32()?; // the user
    let inode = body.u32()?;
    let attributes = attributes::read(body)?;

    let state = state_of(state)?.unwrap_or(TcpState::Closed);
    Ok(TableRow {
        socket: Socket {
            local: address(family, local, local_port, interface),
            peer: address(family, peer, peer_port, interface),
            state,
            side: None,
            recv_queue: Observed::Known(recv_queue),
            send_queue: Observed::Known(send_queue),
            timer: timer(timer_kind, expires_ms),
            cookie: Observed::Known(cookie),
            owners: Observed::NotObservable,
        },
        inode,
        // A socket that listens carries numbers of another meaning in the same places.
        info: attributes.info.filter(|_| state != TcpState::Listen),
        cgroup: attributes.cgroup,
    })
}

fn state_of(number: u8) -> Result<Option<TcpState>, MalformedAnswer> {
    match (number, TcpState::from_linux(number)) {
        (_, Some(state)) => Ok(Some(state)),
        (BOUND, None) => Ok(None), // no end of a connection
        (_, None) => Err(MalformedAnswer("a socket is in an unknown state")),
    }
}

/// An IPv4 address takes the first 4 of the 16 bytes.
fn address(family: u8, bytes: [u8; 16], port: u16, interface: u32) -> SocketAddr {
    if family == IpFamily::V4.number() {
        let [a, b, c, d, ..] = bytes;
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), port);
    }
    let ip = Ipv6Addr::from(bytes);
    // A link-local address means nothing without the interface that its link hangs on.
    let scope = if ip.is_unicast_link_local() { interface } else { 0 };
    SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope))
}

fn timer(kind: u8, expires_ms: u32) -> Observed<Option<Timer>> {
    let kind = match kind {
        0 => return Observed::Known(None),
        1 => TimerKind::Retransmit,
        2 => TimerKind::KeepAlive,
        3 => TimerKind::TimeWait,
        4 => TimerKind::ZeroWindowProbe,
        _ => return Observed::NotObservable, // a timer that this program has no name for
    };
    Observed::Known(Some(Timer { kind, left: Duration::from_millis(expires_ms.into()) }))
}

/// Takes values off the front of a message.
struct FieldReader<'a>(&'a [u8]);

impl FieldReader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], MalformedAnswer> {
        let (taken, rest) =
            self.0.split_first_chunk().ok_or(MalformedAnswer("a message is cut short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, MalformedAnswer> {
        self.array().map(u8::from_ne_bytes)
    }

    fn u16(&mut self) -> Result<u16, MalformedAnswer> {
        self.array().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Result<u32, MalformedAnswer> {
        self.array().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Result<u64, MalformedAnswer> {
        self.array().map(u64::from_ne_bytes)
    }

    fn i32(&mut self) -> Result<i32, MalformedAnswer> {
        self.array().map(i32::from_ne_bytes)
    }

    /// A port, which is in the order of the wire.
    fn port(&mut self) -> Result<u16, MalformedAnswer> {
        self.array().map(u16::from_be_bytes)
    }
}

#[cfg(test)]
mod mutated;
#[cfg(test)]
pub(crate) mod tests;
