//! Very many sockets, in a network that has no others.
//!
//! [`private_network`] comes first, while the process has one thread; [`Crowd::gather`] may then
//! take as many as it likes.
#![allow(dead_code, unreachable_pub, reason = "each program uses its own part")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use evidence::{Socket, TcpState};
use netlab::NetworkSettings;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a socket is known by: this end, the other end, the state.
pub type Line = (SocketAddr, SocketAddr, TcpState);

/// The line of a row that was read.
pub fn line(socket: &Socket) -> Line {
    (socket.local, socket.peer, socket.state)
}

/// How many sockets there are to be.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Client ends in `TIME_WAIT`, whose server ends are gone.
    pub time_wait: usize,
    /// Connections that stay open, each with both of its ends on this machine.
    pub open: usize,
}

/// Each has a server on a port of its own. One is of IPv6.
const SERVERS: u8 = 8;
const FIRST_SERVER_PORT: u16 = 8001;
/// Enough ports for `TIME_WAIT` towards each of the servers, and none of theirs.
const LOCAL_PORTS: (u16, u16) = (10_000, 65_000);
/// Two processors are common; more threads would stand in each other's way.
const THREADS: usize = 2;
/// What a program has open besides its connections.
const OTHER_DESCRIPTORS: usize = 200;

/// Enters a network of its own that has room for `size`; the reason if there is none to be had.
pub fn private_network(size: Size) -> Result<netlab::PrivateNetwork, String> {
    allow_descriptors(2 * size.open + OTHER_DESCRIPTORS)?;
    let most = u32::try_from(2 * size.time_wait).unwrap();
    let settings = NetworkSettings {
        local_ports: Some(LOCAL_PORTS),
        tcp_tw_reuse: Some(0), // a connection in TIME_WAIT must not make way for another
        tcp_max_tw_buckets: Some(most),
        ..NetworkSettings::default()
    };
    let network = netlab::enter(&settings).map_err(|error| error.to_string())?;
    let told = network.settings().map_err(|error| error.to_string())?.tcp_max_tw_buckets;
    if told != Some(most) {
        return Err(format!("net.ipv4.tcp_max_tw_buckets is {told:?} where {most} is needed"));
    }
    Ok(network)
}

/// Raises the limit of open files to as much as this process may.
fn allow_descriptors(needed: usize) -> Result<(), String> {
    let needed = u64::try_from(needed).unwrap();
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Some(maximum) = maximum.filter(|&maximum| maximum < needed) {
        return Err(format!("no more than {maximum} open files are allowed, {needed} are needed"));
    }
    let raised = Rlimit { current: maximum.or(Some(needed)), maximum };
    setrlimit(Resource::Nofile, raised).map_err(|error| error.to_string())
}

/// A server's address: 127.0.0.1 to 127.0.0.7, and `::1` where there is one.
fn server(number: u8) -> TcpListener {
    let port = FIRST_SERVER_PORT + u16::from(number);
    let v4 = IpAddr::V4(Ipv4Addr::new(127, 0, 0, number + 1));
    if number == 0
        && let Ok(listener) = TcpListener::bind((Ipv6Addr::LOCALHOST, port))
    {
        return listener;
    }
    TcpListener::bind((v4, port)).unwrap()
}

/// Sockets that stand still: each is as long as the crowd lives, but for `TIME_WAIT`, which ends
/// a minute after [`Crowd::began`] at the earliest.
pub struct Crowd {
    /// When the first connection was made.
    pub began: Instant,
    /// What a whole reading of the table shows, in the order of the lines.
    pub lines: Vec<Line>,
    listeners: Vec<TcpListener>,
    open: Vec<(TcpStream, TcpStream)>,
}

impl Crowd {
    /// Makes as many sockets as `size` says, besides one that listens for each server.
    pub fn gather(size: Size) -> Self {
        let began = Instant::now();
        let listeners: Vec<TcpListener> = (0..SERVERS).map(server).collect();
        let share = |all: usize, number: usize| {
            let servers = usize::from(SERVERS);
            all / servers + usize::from(number < all % servers)
        };
        let parts: Vec<Part> = thread::scope(|scope| {
            let workers = (0..THREADS).map(|worker| {
                let mine = listeners.iter().enumerate().skip(worker).step_by(THREADS);
                let part = move |(number, listener)| {
                    Part::of(listener, share(size.time_wait, number), share(size.open, number))
                };
                scope.spawn(move || mine.map(part).collect::<Vec<Part>>())
            });
            let workers: Vec<_> = workers.collect();
            workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
        });
        let mut crowd = Self { began, lines: Vec::new(), listeners, open: Vec::new() };
        for part in parts {
            crowd.lines.extend(part.lines);
            crowd.open.extend(part.open);
        }
        crowd.lines.sort_unstable();
        crowd
    }

    /// A server's port, which some eighth of the crowd has at one end.
    pub fn port(&self) -> u16 {
        FIRST_SERVER_PORT
    }

    /// The lines in `state`.
    pub fn in_state(&self, state: TcpState) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.2 == state)
    }
}

/// One server's part of the crowd.
struct Part {
    lines: Vec<Line>,
    open: Vec<(TcpStream, TcpStream)>,
}

impl Part {
    fn of(listener: &TcpListener, time_wait: usize, open: usize) -> Self {
        let server = listener.local_addr().unwrap();
        let unspecified: IpAddr = match server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let nobody = SocketAddr::new(unspecified, 0);
        let mut part = Self { lines: vec![(server, nobody, TcpState::Listen)], open: Vec::new() };
        for _ in 0..open {
            let (ends, client) = connect(listener, server);
            part.lines.push((client, server, TcpState::Established));
            part.lines.push((server, client, TcpState::Established));
            part.open.push(ends);
        }
        for _ in 0..time_wait {
            let ((client_end, server_end), client) = connect(listener, server);
            drop(client_end); // who closes first holds TIME_WAIT
            drop(server_end);
            part.lines.push((client, server, TcpState::TimeWait));
        }
        part
    }
}

/// A connection, the client's end first, and the client's address.
fn connect(listener: &TcpListener, server: SocketAddr) -> ((TcpStream, TcpStream), SocketAddr) {
    let client_end = TcpStream::connect(server).unwrap();
    let (server_end, client) = listener.accept().unwrap();
    ((client_end, server_end), client)
}
