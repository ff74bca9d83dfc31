//! The eleven states of TCP, each made with real sockets and no privilege, for IPv4, IPv6 and IPv4
//! on dual-stack sockets; held against `/proc/net/tcp`, `/proc/net/tcp6` and `ss`.
//!
//! Ten of them have a row. The eleventh, `CLOSED`, has none: RFC 9293 section 3.3.2 calls it
//! fictional, as there is no connection. Linux has sockets in it all the same, and tells of those
//! that have a port if it is asked in a way of its own.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use evidence::TcpState;
use rustix::buffer::spare_capacity;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};
use socket_table::{SocketFilter, snapshot};
use socket2::{Domain, SockFilter, Socket, Type};

/// A row as all three tell it; addresses in their shortest form.
type TableRow = (SocketAddr, SocketAddr, TcpState);

/// What is kept open, so that the states last.
#[derive(Default)]
struct Scene {
    listeners: Vec<Socket>,
    streams: Vec<TcpStream>,
    sockets: Vec<Socket>,
    ports: Vec<u16>,
}

/// Where a server listens, and where its clients connect to.
#[derive(Clone, Copy)]
struct AddressPair {
    listen: IpAddr,
    connect: IpAddr,
}

impl Scene {
    /// A listener that lets `backlog` connections wait, on a port without a past; `None` where
    /// there is no such address.
    fn listener(&mut self, place: AddressPair, backlog: i32) -> Option<(Socket, SocketAddr)> {
        let mut haunted = Vec::new();
        loop {
            let domain = if place.listen.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
            let socket = Socket::new(domain, Type::STREAM, None).ok()?;
            socket.bind(&SocketAddr::new(place.listen, 0).into()).ok()?;
            let port = socket.local_addr().unwrap().as_socket().unwrap().port();
            if snapshot(&SocketFilter::default().port(port)).unwrap().sockets.is_empty() {
                socket.listen(backlog).unwrap();
                self.ports.push(port);
                return Some((socket, SocketAddr::new(place.connect, port)));
            }
            haunted.push(socket);
        }
    }

    /// The client's end and the server's; `None` where clients cannot get there.
    fn connection(&mut self, place: AddressPair) -> Option<(TcpStream, TcpStream)> {
        let (listener, address) = self.listener(place, 8)?;
        let client = TcpStream::connect(address).ok()?;
        let server = TcpListener::from(listener.try_clone().unwrap()).accept().unwrap().0;
        self.listeners.push(listener);
        Some((client, server))
    }

    fn keep(&mut self, (client, server): (TcpStream, TcpStream)) {
        self.streams.extend([client, server]);
    }
}

/// Writes until the receiver, who does not read, takes no more.
fn fill(stream: &TcpStream) {
    let mut stream = stream.try_clone().unwrap();
    stream.set_nonblocking(true).unwrap();
    let mut refused = 0;
    while refused < 20 {
        if stream.write_all(&[b'x'; 65536]).is_err() {
            refused += 1;
            std::thread::sleep(Duration::from_millis(2)); // what is on its way may make room
        }
    }
    stream.set_nonblocking(false).unwrap();
}

/// A socket filter (classic BPF): load the byte of TCP's flags; if SYN is set, take the whole
/// packet, else nothing.
const SYNS_ALONE: [(u16, u8, u8, u32); 4] =
    [(0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, u32::MAX), (0x06, 0, 0, 0)];

/// Every state that can be made, with what it takes.
fn scene(place: AddressPair) -> Option<Scene> {
    let mut scene = Scene::default();

    // LISTEN and ESTABLISHED.
    let open = scene.connection(place)?;
    scene.keep(open);

    // SYN_SENT: who listens has no room, and lets the SYN go unanswered.
    let (full, address) = scene.listener(place, 0)?;
    let waiting = TcpStream::connect(address).unwrap();
    scene.streams.push(waiting);
    let domain = if address.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let knocking = Socket::new(domain, Type::STREAM, None).unwrap();
    knocking.set_nonblocking(true).unwrap();
    let _ = knocking.connect(&address.into()); // in progress
    scene.sockets.push(knocking);
    scene.listeners.push(full);

    // SYN_RECV: who listens hears SYNs alone, and so never the last ACK of a handshake.
    let (deaf, address) = scene.listener(place, 8)?;
    deaf.attach_filter(&SYNS_ALONE.map(|(code, yes, no, k)| SockFilter::new(code, yes, no, k)))
        .unwrap();
    scene.streams.push(TcpStream::connect(address).unwrap());
    scene.listeners.push(deaf);

    // FIN_WAIT_1: the FIN waits behind bytes for which the peer has no room.
    let (client, server) = scene.connection(place)?;
    fill(&client);
    client.shutdown(Shutdown::Write).unwrap();
    scene.keep((client, server));

    // FIN_WAIT_2 and CLOSE_WAIT.
    let (client, server) = scene.connection(place)?;
    client.shutdown(Shutdown::Write).unwrap();
    scene.keep((client, server));

    // LAST_ACK: closed second, and the FIN waits behind bytes.
    let (mut client, server) = scene.connection(place)?;
    fill(&client);
    server.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    client.shutdown(Shutdown::Write).unwrap();
    scene.keep((client, server));

    // CLOSING: both close, and the FIN of one waits behind bytes.
    let (client, server) = scene.connection(place)?;
    fill(&client);
    client.shutdown(Shutdown::Write).unwrap();
    server.shutdown(Shutdown::Write).unwrap();
    scene.keep((client, server));

    // TIME_WAIT.
    let (client, mut server) = scene.connection(place)?;
    drop(client);
    assert_eq!(server.read(&mut [0]).unwrap(), 0);
    drop(server);

    // CLOSED: a socket that is bound, and neither listens nor connects.
    let bound = Socket::new(domain, Type::STREAM, None).unwrap();
    bound.bind(&SocketAddr::new(place.connect, 0).into()).unwrap();
    scene.sockets.push(bound);
    Some(scene)
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn wanted(ports: &[u16], rows: impl IntoIterator<Item = TableRow>) -> BTreeSet<TableRow> {
    let has = |address: SocketAddr| ports.contains(&address.port());
    let rows = rows.into_iter().filter(|(local, peer, _)| has(*local) || has(*peer));
    rows.map(|(local, peer, state)| (canonical(local), canonical(peer), state)).collect()
}

fn ours(ports: &[u16]) -> BTreeSet<TableRow> {
    let filter = ports.iter().fold(SocketFilter::default(), |filter, port| filter.port(*port));
    let sockets = snapshot(&filter).unwrap().sockets;
    wanted(ports, sockets.into_iter().map(|socket| (socket.local, socket.peer, socket.state)))
}

/// `/proc/net/tcp` and `/proc/net/tcp6`: addresses in hexadecimal, words in this machine's order.
fn proc_net_tcp(ports: &[u16]) -> BTreeSet<TableRow> {
    fn address(field: &str) -> SocketAddr {
        let (ip, port) = field.split_once(':').unwrap();
        let word = |n: usize| u32::from_str_radix(&ip[n * 8..][..8], 16).unwrap().to_ne_bytes();
        let ip = if ip.len() == 8 {
            IpAddr::V4(Ipv4Addr::from(word(0)))
        } else {
            let words = [word(0), word(1), word(2), word(3)].concat();
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words).unwrap()))
        };
        SocketAddr::new(ip, u16::from_str_radix(port, 16).unwrap())
    }
    fn state(number: &str) -> TcpState {
        match number {
            "01" => TcpState::Established,
            "02" => TcpState::SynSent,
            "03" | "0C" => TcpState::SynReceived,
            "04" => TcpState::FinWait1,
            "05" => TcpState::FinWait2,
            "06" => TcpState::TimeWait,
            "07" => TcpState::Closed,
            "08" => TcpState::CloseWait,
            "09" => TcpState::LastAck,
            "0A" => TcpState::Listen,
            "0B" => TcpState::Closing,
            other => panic!("no state has the number {other}"),
        }
    }
    let text = |file| std::fs::read_to_string(file).unwrap_or_default();
    let text = text("/proc/net/tcp") + &text("/proc/net/tcp6");
    let lines = text.lines().filter(|line| !line.contains("local_address"));
    let fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    wanted(ports, fields.map(|f| (address(f[1]), address(f[2]), state(f[3]))))
}

/// `ss -tanH`; `None` where it is not installed.
fn ss(ports: &[u16]) -> Option<BTreeSet<TableRow>> {
    fn address(text: &str, like: IpAddr) -> SocketAddr {
        let (ip, port) = text.rsplit_once(':').unwrap();
        let ip = ip.trim_matches(['[', ']']);
        let any: IpAddr = if like.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        let ip = if ip == "*" { any } else { ip.split('%').next().unwrap().parse().unwrap() };
        SocketAddr::new(ip, port.parse().unwrap_or(0))
    }
    let output = Command::new("ss").arg("-tanH").output().ok()?;
    let text = String::from_utf8(output.stdout).unwrap();
    let row = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let state = match fields[0] {
            "ESTAB" => TcpState::Established,
            "UNCONN" => TcpState::Closed,
            other => other.parse().unwrap(),
        };
        let v6 = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let local = address(fields[3], v6);
        (local, address(fields[4], local.ip()), state)
    };
    Some(wanted(ports, text.lines().map(row)))
}

/// The numbers of the states in which `sock_diag(7)` tells of sockets at `local`, if it is asked for
/// sockets in the states with the numbers `asked`, whatever this crate asks for.
fn sock_diag(local: SocketAddr, asked: &[u32]) -> Vec<u8> {
    let family = if local.is_ipv4() { 2 } else { 10 };
    let states = asked.iter().fold(0_u32, |states, number| states | 1 << number);
    let mut request = Vec::new();
    request.extend(72_u32.to_ne_bytes());
    request.extend(20_u16.to_ne_bytes()); // SOCK_DIAG_BY_FAMILY
    request.extend(0x301_u16.to_ne_bytes()); // NLM_F_REQUEST | NLM_F_DUMP
    request.extend([0; 8]); // sequence and sender
    request.extend([family, 6, 0, 0]); // IPPROTO_TCP, no extensions
    request.extend(states.to_ne_bytes());
    request.extend([0; 48]); // whatever their addresses
    let protocol = Some(netlink::SOCK_DIAG);
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, protocol).unwrap();
    rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0)).unwrap();
    rustix::net::send(&socket, &request, SendFlags::empty()).unwrap();
    let mut found = Vec::new();
    loop {
        let mut datagram = Vec::with_capacity(64 * 1024);
        rustix::net::recv(&socket, spare_capacity(&mut datagram), RecvFlags::empty()).unwrap();
        let mut rest = datagram.as_slice();
        while !rest.is_empty() {
            let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
            if u16::from_ne_bytes(rest[4..6].try_into().unwrap()) != 20 {
                return found; // the end of the list
            }
            let port = u16::from_be_bytes(rest[20..22].try_into().unwrap());
            if port == local.port() {
                found.push(rest[17]);
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
}

/// The states, with how many sockets of the scene are in each.
fn counts(rows: &BTreeSet<TableRow>) -> BTreeMap<TcpState, usize> {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|(_, _, state)| *counts.entry(*state).or_default() += 1);
    counts
}

/// Ten states have a row; a closed socket has none, unless one asks for it in Linux's own way.
fn every_state_is_listed_as_it_is(place: AddressPair) {
    let Some(scene) = scene(place) else {
        return eprintln!("SKIPPED: no connection from {} to {}", place.connect, place.listen);
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // The table moves on: what is compared has to stand still from before until after.
        let before = ours(&scene.ports);
        let (proc, ss) = (proc_net_tcp(&scene.ports), ss(&scene.ports));
        let after = ours(&scene.ports);
        let states: Vec<TcpState> = counts(&before).into_keys().collect();
        let all: Vec<TcpState> =
            TcpState::ALL.into_iter().filter(|state| *state != TcpState::Closed).collect();
        if ss.is_none() {
            eprintln!("SKIPPED: no ss to compare with");
        }
        let agree = before == proc && ss.as_ref().is_none_or(|ss| *ss == before);
        if before == after && agree && BTreeSet::from_iter(states) == BTreeSet::from_iter(all) {
            break;
        }
        let told = [Some(&before), Some(&proc), ss.as_ref()].map(|rows| rows.map(counts));
        assert!(
            Instant::now() < deadline,
            "here, in /proc and by ss: {told:#?}\n{before:#?}\n{ss:#?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let bound = scene.sockets.last().unwrap().local_addr().unwrap().as_socket().unwrap();
    closed_is_not_listed(bound);
    drop(scene.listeners);
    drop(scene.streams);
}

/// A socket that is bound and no more is `CLOSED` to Linux (7, `TCP_CLOSE`). It is in none of the
/// lists, even if they ask for that state by its number, as [`snapshot`] does. Since Linux 6.8 it is
/// told to who asks for 13, `TCP_BOUND_INACTIVE`: a number to ask with, as the answer says 7.
fn closed_is_not_listed(bound: SocketAddr) {
    let at = |rows: BTreeSet<TableRow>| {
        let here = rows.into_iter().filter(|(local, _, _)| *local == canonical(bound));
        here.map(|(_, _, state)| state).collect::<Vec<_>>()
    };
    let port = [bound.port()];
    assert_eq!(at(ours(&port)), []);
    let asked = snapshot(&SocketFilter::default().state(TcpState::Closed)).unwrap();
    assert_eq!(asked.sockets, []);
    assert_eq!(at(proc_net_tcp(&port)), []);
    // From 6.8 on `ss --bound-inactive` asks for it, too; `ss -a` need not.
    let told = ss(&port).map(at).unwrap_or_default();
    assert!(told.iter().all(|state| *state == TcpState::Closed), "{told:?}");

    let all_eleven: Vec<u32> = (1..=12).collect();
    assert_eq!(sock_diag(bound, &all_eleven), []);
    match sock_diag(bound, &[13])[..] {
        [] => eprintln!("SKIPPED: before Linux 6.8 nothing tells of a socket that is only bound"),
        [number] => assert_eq!(TcpState::from_linux(number), Some(TcpState::Closed)),
        ref several => panic!("one socket is bound, {several:?} are told"),
    }
}

#[test]
fn every_state_is_listed_as_it_is_for_ipv4() {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    every_state_is_listed_as_it_is(AddressPair { listen: loopback, connect: loopback });
}

#[test]
fn every_state_is_listed_as_it_is_for_ipv6() {
    let loopback = IpAddr::V6(Ipv6Addr::LOCALHOST);
    every_state_is_listed_as_it_is(AddressPair { listen: loopback, connect: loopback });
}

#[test]
fn every_state_is_listed_as_it_is_for_ipv4_on_dual_stack_sockets() {
    let listen = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    every_state_is_listed_as_it_is(AddressPair {
        listen,
        connect: IpAddr::V4(Ipv4Addr::LOCALHOST),
    });
}
