//! The words of `sock_diag(7)`: what the kernel is asked, and what it answers.
//!
//! Bytes in, values out; the socket that carries them is `linux.rs`'s business. All numbers are in
//! the byte order of this machine, except ports and addresses, which are as on the wire. The
//! layouts are those of `linux/netlink.h`, `linux/sock_diag.h` and `linux/inet_diag.h`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::time::Duration;

use evidence::{Observed, TcpState, Timer, TimerKind};
use thiserror::Error;

/// `NETLINK_SOCK_DIAG`'s one request and answer: `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`: list everything that matches.
const REQUEST_DUMP: u16 = 0x001 | 0x300;
/// `NLM_F_DUMP_INTR`: the table changed under the kernel's hands.
const DUMP_INTERRUPTED: u16 = 0x010;

const NOOP: u16 = 1;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const OVERRUN: u16 = 4;

const HEADER_LEN: usize = 16;
const IPPROTO_TCP: u8 = 6;
/// `INET_DIAG_REQ_BYTECODE`: a filter that the kernel runs on every socket.
const BYTECODE: u16 = 1;

/// An address family of sockets; each is asked for by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// `AF_INET` or `AF_INET6`.
    fn number(self) -> u8 {
        match self {
            Self::V4 => 2,
            Self::V6 => 10,
        }
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
/// No ports stand for every port; so do more than [`MOST_PORTS`], the caller filters then.
pub(crate) fn request(
    family: Family,
    states: &[TcpState],
    ports: &[u16],
    sequence: u32,
) -> Vec<u8> {
    let filter = if ports.len() > MOST_PORTS { Vec::new() } else { port_filter(ports) };

    let mut body = vec![family.number(), IPPROTO_TCP, 0, 0]; // no extensions, padding
    body.extend(state_mask(states).to_ne_bytes());
    body.extend([0; 48]); // struct inet_diag_sockid: ignored in a dump
    if !filter.is_empty() {
        body.extend(length(4 + filter.len()).to_ne_bytes());
        body.extend(BYTECODE.to_ne_bytes());
        body.extend(filter);
    }

    let mut message = Vec::with_capacity(HEADER_LEN + body.len());
    message.extend(u32::from(length(HEADER_LEN + body.len())).to_ne_bytes());
    message.extend(BY_FAMILY.to_ne_bytes());
    message.extend(REQUEST_DUMP.to_ne_bytes());
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

/// `enum` in `net/tcp_states.h`; what has just answered a SYN is kept under two numbers.
fn mask_of(state: TcpState) -> u32 {
    match state {
        TcpState::Established => 1 << 1,
        TcpState::SynSent => 1 << 2,
        TcpState::SynReceived => 1 << 3 | 1 << 12,
        TcpState::FinWait1 => 1 << 4,
        TcpState::FinWait2 => 1 << 5,
        TcpState::TimeWait => 1 << 6,
        TcpState::Closed => 1 << 7,
        TcpState::CloseWait => 1 << 8,
        TcpState::LastAck => 1 << 9,
        TcpState::Listen => 1 << 10,
        TcpState::Closing => 1 << 11,
    }
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

/// One socket, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) state: TcpState,
    pub(crate) timer: Observed<Option<Timer>>,
    pub(crate) recv_queue: u32,
    pub(crate) send_queue: u32,
    /// The number under which processes hold it, 0 if none does.
    pub(crate) inode: u32,
}

/// One message of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The number of the request that it answers.
    pub(crate) sequence: u32,
    /// Whether the table changed while the kernel listed it, so that the list is no list.
    pub(crate) interrupted: bool,
    pub(crate) content: Content,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Socket(Row),
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
pub(crate) struct Malformed(&'static str);

/// The messages of one datagram. Ends after the first that cannot be read.
pub(crate) fn messages(datagram: &[u8]) -> impl Iterator<Item = Result<Message, Malformed>> {
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
fn message(rest: &mut &[u8]) -> Result<Message, Malformed> {
    let mut header = Reader(rest);
    let claimed = header.u32()?;
    let kind = header.u16()?;
    let flags = header.u16()?;
    let sequence = header.u32()?;
    header.u32()?; // who asked

    let end = usize::try_from(claimed).map_err(|_| Malformed("a message is too long"))?;
    let whole = rest.get(..end).ok_or(Malformed("a message is longer than its datagram"))?;
    let body = whole.get(HEADER_LEN..).ok_or(Malformed("a message is shorter than its header"))?;
    *rest = rest.get(end.next_multiple_of(4)..).unwrap_or_default();

    let mut body = Reader(body);
    let content = match kind {
        BY_FAMILY => row(&mut body)?.map_or(Content::Nothing, Content::Socket),
        // The kernel ends every dump with an error number; one that comes without is complete.
        DONE => Content::Done(body.i32().unwrap_or(0)),
        ERROR => match body.i32()? {
            0 => Content::Nothing, // an acknowledgement
            errno => Content::Refused(errno),
        },
        OVERRUN => Content::Lost,
        NOOP => Content::Nothing,
        _ => return Err(Malformed("a message is of an unknown kind")),
    };
    Ok(Message { sequence, interrupted: flags & DUMP_INTERRUPTED != 0, content })
}

/// `struct inet_diag_msg`. `None` for a socket that is bound but neither connects nor listens.
fn row(body: &mut Reader) -> Result<Option<Row>, Malformed> {
    let family = body.u8()?;
    let state = body.u8()?;
    let timer_kind = body.u8()?;
    body.u8()?; // retransmissions so far
    let local_port = body.port()?;
    let peer_port = body.port()?;
    let local = body.array::<16>()?;
    let peer = body.array::<16>()?;
    let interface = body.u32()?;
    body.array::<8>()?; // the cookie
    let expires_ms = body.u32()?;
    let recv_queue = body.u32()?;
    let send_queue = body.u32()?;
    body.u32()?; // the user
    let inode = body.u32()?;

    Ok(state_of(state)?.map(|state| Row {
        local: address(family, local, local_port, interface),
        peer: address(family, peer, peer_port, interface),
        state,
        timer: timer(timer_kind, expires_ms),
        recv_queue,
        send_queue,
        inode,
    }))
}

fn state_of(number: u8) -> Result<Option<TcpState>, Malformed> {
    Ok(Some(match number {
        1 => TcpState::Established,
        2 => TcpState::SynSent,
        3 | 12 => TcpState::SynReceived,
        4 => TcpState::FinWait1,
        5 => TcpState::FinWait2,
        6 => TcpState::TimeWait,
        7 => TcpState::Closed,
        8 => TcpState::CloseWait,
        9 => TcpState::LastAck,
        10 => TcpState::Listen,
        11 => TcpState::Closing,
        13 => return Ok(None), // bound, no more: no end of a connection
        _ => return Err(Malformed("a socket is in an unknown state")),
    }))
}

/// An IPv4 address takes the first 4 of the 16 bytes.
fn address(family: u8, bytes: [u8; 16], port: u16, interface: u32) -> SocketAddr {
    if family == Family::V4.number() {
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
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) =
            self.0.split_first_chunk().ok_or(Malformed("a message is cut short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(u8::from_ne_bytes)
    }

    fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_ne_bytes)
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_ne_bytes)
    }

    /// A port, which is in the order of the wire.
    fn port(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the kernel does with a port filter (`inet_diag_bc_run` in `net/ipv4/inet_diag.c`).
    fn accepts(program: &[u8], local: u16, peer: u16) -> bool {
        let mut at = 0;
        while at < program.len() {
            let word = |at: usize| u16::from_ne_bytes([program[at + 2], program[at + 3]]);
            let holds = match program[at] {
                JUMP => false,
                LOCAL_PORT_IS => local == word(at + 4),
                PEER_PORT_IS => peer == word(at + 4),
                other => panic!("the filter has no use for instruction {other}"),
            };
            at += usize::from(if holds { program[at + 1].into() } else { word(at) });
        }
        at == program.len()
    }

    /// What the kernel demands of a filter (`inet_diag_bc_audit`): every way through it, by `yes`
    /// alone, ends exactly at its end, and every `no` leads to an instruction on that way, to the
    /// end, or 4 bytes past it.
    fn is_well_formed(program: &[u8]) -> bool {
        let mut starts = Vec::new();
        let mut targets = Vec::new();
        let mut at = 0;
        while at < program.len() {
            starts.push(at);
            let no = u16::from_ne_bytes([program[at + 2], program[at + 3]]);
            targets.push(at + usize::from(no));
            at += usize::from(program[at + 1]);
        }
        at == program.len()
            && targets.iter().all(|target| {
                starts.contains(target) || *target == program.len() || *target == program.len() + 4
            })
    }

    /// A synthetic `struct inet_diag_msg` in a netlink message of its own.
    fn encoded(row: &Row, sequence: u32, flags: u16) -> Vec<u8> {
        let state = (1..=12).find(|&n| state_of(n) == Ok(Some(row.state))).unwrap();
        let (kind, left) = match row.timer {
            Observed::Known(None) => (0, Duration::ZERO),
            Observed::Known(Some(timer)) => (
                match timer.kind {
                    TimerKind::Retransmit => 1,
                    TimerKind::KeepAlive => 2,
                    TimerKind::TimeWait => 3,
                    TimerKind::ZeroWindowProbe => 4,
                },
                timer.left,
            ),
            Observed::NotObservable => (99, Duration::ZERO),
        };
        let family = if row.local.is_ipv4() { Family::V4 } else { Family::V6 };
        let mut body = vec![family.number(), state, kind, 0];
        for address in [row.local, row.peer] {
            body.extend(address.port().to_be_bytes());
        }
        for address in [row.local, row.peer] {
            match address.ip() {
                IpAddr::V4(ip) => {
                    body.extend(ip.octets());
                    body.extend([0; 12]);
                }
                IpAddr::V6(ip) => body.extend(ip.octets()),
            }
        }
        let scope = match row.local {
            SocketAddr::V6(address) => address.scope_id(),
            SocketAddr::V4(_) => 0,
        };
        body.extend(scope.to_ne_bytes());
        body.extend([0xff; 8]); // the cookie
        for number in [
            u32::try_from(left.as_millis()).unwrap(),
            row.recv_queue,
            row.send_queue,
            1000, // the user
            row.inode,
        ] {
            body.extend(number.to_ne_bytes());
        }
        wrapped(BY_FAMILY, flags, sequence, &body)
    }

    fn wrapped(kind: u16, flags: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut message = u32::try_from(HEADER_LEN + body.len()).unwrap().to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(sequence.to_ne_bytes());
        message.extend(4711_u32.to_ne_bytes());
        message.extend(body);
        message.resize(message.len().next_multiple_of(4), 0);
        message
    }

    fn contents(datagram: &[u8]) -> Vec<Result<Content, Malformed>> {
        messages(datagram).map(|message| message.map(|message| message.content)).collect()
    }

    fn some_row() -> Row {
        Row {
            local: "127.0.0.1:40210".parse().unwrap(),
            peer: "127.0.0.1:8080".parse().unwrap(),
            state: TcpState::TimeWait,
            timer: Observed::Known(Some(Timer {
                kind: TimerKind::TimeWait,
                left: Duration::from_millis(57_300),
            })),
            recv_queue: 0,
            send_queue: 0,
            inode: 0,
        }
    }

    fn any_row() -> impl Strategy<Value = Row> {
        let link_local = (any::<u64>(), any::<u16>(), any::<u16>(), any::<u32>()).prop_map(
            |(low, local, peer, scope)| {
                let ip = Ipv6Addr::from(u128::from(low) | 0xfe80 << 112);
                let address = |port| SocketAddr::V6(SocketAddrV6::new(ip, port, 0, scope));
                (address(local), address(peer))
            },
        );
        let v4 = (any::<Ipv4Addr>(), any::<u16>(), any::<Ipv4Addr>(), any::<u16>())
            .prop_map(|(a, b, c, d)| (SocketAddr::from((a, b)), SocketAddr::from((c, d))));
        let v6 = (any::<Ipv6Addr>(), any::<u16>(), any::<Ipv6Addr>(), any::<u16>())
            .prop_filter("has no scope", |(a, _, c, _)| {
                !a.is_unicast_link_local() && !c.is_unicast_link_local()
            })
            .prop_map(|(a, b, c, d)| (SocketAddr::from((a, b)), SocketAddr::from((c, d))));
        let timer = prop_oneof![
            Just(Observed::Known(None)),
            Just(Observed::NotObservable),
            (
                prop::sample::select(vec![
                    TimerKind::Retransmit,
                    TimerKind::KeepAlive,
                    TimerKind::TimeWait,
                    TimerKind::ZeroWindowProbe,
                ]),
                any::<u32>(),
            )
                .prop_map(|(kind, ms)| Observed::Known(Some(Timer {
                    kind,
                    left: Duration::from_millis(ms.into()),
                }))),
        ];
        (
            prop_oneof![v4, v6, link_local],
            prop::sample::select(TcpState::ALL.to_vec()),
            timer,
            any::<(u32, u32, u32)>(),
        )
            .prop_map(|((local, peer), state, timer, (recv_queue, send_queue, inode))| {
                Row { local, peer, state, timer, recv_queue, send_queue, inode }
            })
    }

    proptest! {
        #[test]
        fn a_port_filter_accepts_its_ports_at_either_end_and_no_other(
            ports in prop::collection::vec(1_u16..30, 1..40),
            local in 1_u16..60,
            peer in 0_u16..60,
        ) {
            let wanted = ports.contains(&local) || ports.contains(&peer);
            prop_assert_eq!(accepts(&port_filter(&ports), local, peer), wanted);
        }

        #[test]
        fn every_port_filter_has_the_form_the_kernel_demands(
            ports in prop::collection::vec(any::<u16>(), 1..=MOST_PORTS)
        ) {
            let program = port_filter(&ports);
            prop_assert!(is_well_formed(&program));
            // Nothing was cut to fit a length field of 16 bits.
            prop_assert_eq!(program.len(), ports.len() * 24 - 4);
            prop_assert!(program.len() + 4 < usize::from(u16::MAX));
        }

        #[test]
        fn a_row_is_read_back_as_it_was_written(
            rows in prop::collection::vec(any_row(), 1..5),
            sequence in any::<u32>(),
        ) {
            let datagram: Vec<u8> =
                rows.iter().flat_map(|row| encoded(row, sequence, 0)).collect();
            let read: Vec<_> = messages(&datagram).collect();
            let expected: Vec<_> = rows
                .into_iter()
                .map(|row| Ok(Message {
                    sequence,
                    interrupted: false,
                    content: Content::Socket(row),
                }))
                .collect();
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn arbitrary_bytes_are_read_without_a_panic_and_to_an_end(
            bytes in prop::collection::vec(any::<u8>(), 0..600)
        ) {
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER_LEN + 1);
        }

        #[test]
        fn damaged_answers_are_read_without_a_panic(
            row in any_row(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            cut in any::<prop::sample::Index>(),
        ) {
            let mut bytes = encoded(&row, 1, 0);
            bytes.extend(encoded(&row, 1, 0));
            for (at, value) in damage {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            prop_assert!(messages(&bytes).count() <= bytes.len() / HEADER_LEN + 1);
        }
    }

    #[test]
    fn a_request_says_how_long_it_is_and_what_it_asks_for() {
        let asked = request(Family::V6, &[TcpState::Established, TcpState::TimeWait], &[8080], 7);
        assert_eq!(asked[..4], u32::try_from(asked.len()).unwrap().to_ne_bytes());
        assert_eq!(asked[4..6], BY_FAMILY.to_ne_bytes());
        assert_eq!(asked[8..12], 7_u32.to_ne_bytes());
        assert_eq!(asked[16..18], [10, IPPROTO_TCP]);
        assert_eq!(asked[20..24], (1_u32 << 1 | 1 << 6).to_ne_bytes());
        assert_eq!(asked[72..74], 24_u16.to_ne_bytes()); // the attribute: 4 + 20 bytes
        assert_eq!(asked[76..], port_filter(&[8080]));
    }

    #[test]
    fn without_ports_a_request_carries_no_filter() {
        assert_eq!(request(Family::V4, &[], &[], 1).len(), 72);
        assert_eq!(request(Family::V4, &[], &[9; MOST_PORTS + 1], 1).len(), 72);
    }

    #[test]
    fn asking_for_no_state_asks_for_all_of_them_but_bound_sockets() {
        assert_eq!(state_mask(&[]), 0b1_1111_1111_1110);
    }

    #[test]
    fn a_socket_that_is_merely_bound_is_left_out() {
        let mut bytes = encoded(&some_row(), 1, 0);
        bytes[HEADER_LEN + 1] = 13;
        assert_eq!(contents(&bytes), [Ok(Content::Nothing)]);
    }

    #[test]
    fn a_state_without_a_name_is_an_error_and_not_a_missing_row() {
        let mut bytes = encoded(&some_row(), 1, 0);
        bytes[HEADER_LEN + 1] = 77;
        assert_eq!(contents(&bytes), [Err(Malformed("a socket is in an unknown state"))]);
    }

    #[test]
    fn a_list_that_changed_while_it_was_written_says_so() {
        let bytes = encoded(&some_row(), 1, DUMP_INTERRUPTED);
        assert!(messages(&bytes).next().unwrap().unwrap().interrupted);
    }

    #[test]
    fn the_end_of_a_list_tells_whether_it_is_complete() {
        let complete = wrapped(DONE, 0, 1, &0_i32.to_ne_bytes());
        let broken_off = wrapped(DONE, 0, 1, &(-105_i32).to_ne_bytes());
        let bare = wrapped(DONE, 0, 1, &[]);
        assert_eq!(contents(&complete), [Ok(Content::Done(0))]);
        assert_eq!(contents(&broken_off), [Ok(Content::Done(-105))]);
        assert_eq!(contents(&bare), [Ok(Content::Done(0))]);
    }

    #[test]
    fn a_refusal_is_told_from_an_acknowledgement() {
        let refused = wrapped(ERROR, 0, 1, &(-2_i32).to_ne_bytes());
        let acknowledged = wrapped(ERROR, 0, 1, &0_i32.to_ne_bytes());
        assert_eq!(contents(&refused), [Ok(Content::Refused(-2))]);
        assert_eq!(contents(&acknowledged), [Ok(Content::Nothing)]);
        assert_eq!(contents(&wrapped(OVERRUN, 0, 1, &[])), [Ok(Content::Lost)]);
        assert_eq!(contents(&wrapped(NOOP, 0, 1, &[])), [Ok(Content::Nothing)]);
    }

    #[test]
    fn a_message_that_is_longer_than_its_datagram_ends_the_reading() {
        let mut bytes = encoded(&some_row(), 1, 0);
        bytes.truncate(bytes.len() - 4);
        assert_eq!(contents(&bytes), [Err(Malformed("a message is longer than its datagram"))]);
    }
}
