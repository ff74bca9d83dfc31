//! Findings about real sockets of this machine. Every test asks for port 0, and takes a port that
//! no connection of the past still has in the table, so that it sees its own sockets alone. Queues
//! and timers, and the 60 s of `TIME_WAIT`, are Linux's.
#![cfg(target_os = "linux")]

mod common;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::unhaunted_listener_at;
use evidence::{Observed, Side, Socket, SocketTable, TcpState, TimerKind};
use socket_table::{SocketFilter, find, listener, snapshot, snapshot_with_owners};

/// A listener, and connections to it with both of their ends.
struct Server(TcpListener);

impl Server {
    fn new() -> Self {
        Self::at("127.0.0.1:0").unwrap()
    }

    /// A listener on a port that no other socket has; `None` where there is no such address.
    fn at(address: &str) -> Option<Self> {
        unhaunted_listener_at(address).map(Self)
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    fn port(&self) -> u16 {
        self.address().port()
    }

    fn filter(&self) -> SocketFilter {
        SocketFilter::default().port(self.port())
    }

    /// The client's end and the server's.
    fn connection(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.address()).unwrap();
        (client, self.0.accept().unwrap().0)
    }

    fn table(&self) -> SocketTable {
        snapshot(&self.filter()).unwrap()
    }

    /// The table, as soon as it shows one socket of `side` in `state`.
    fn table_with(&self, side: Side, state: TcpState) -> (SocketTable, Socket) {
        self.table_where(|socket| socket.side == Some(side) && socket.state == state)
    }

    /// The table, as soon as it shows a socket like `wanted`.
    fn table_where(&self, wanted: impl Fn(&Socket) -> bool) -> (SocketTable, Socket) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let table = snapshot_with_owners(&self.filter()).unwrap();
            if let Some(socket) = table.sockets.iter().find(|socket| wanted(socket)).cloned() {
                return (table, socket);
            }
            assert!(Instant::now() < deadline, "never seen in {table:#?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn an_open_connection_shows_both_of_its_ends() {
    let server = Server::new();
    let (client, accepted) = server.connection();
    let table = server.table();
    assert_eq!(table.count(Side::Client, TcpState::Established), 1);
    assert_eq!(table.count(Side::Server, TcpState::Established), 1);

    let pairs = table.pairs();
    assert_eq!(pairs.len(), 1);
    assert_eq!(pairs[0].ends.client.socket_addr(), client.local_addr().unwrap());
    assert_eq!(pairs[0].ends.server.socket_addr(), accepted.local_addr().unwrap());
    let client = pairs[0].client.as_ref().unwrap();
    assert_eq!((client.recv_queue, client.send_queue), (Observed::Known(0), Observed::Known(0)));
}

#[test]
fn a_listening_socket_is_no_end_of_a_connection() {
    let server = Server::new();
    let table = server.table();
    assert_eq!(table.sockets.len(), 1);
    assert_eq!(table.sockets[0].state, TcpState::Listen);
    assert_eq!(table.sockets[0].side, None);
    assert_eq!(table.pairs(), []);
}

#[test]
fn connections_wait_at_the_listening_socket_until_they_are_accepted() {
    let server = Server::new();
    let _clients: Vec<TcpStream> =
        (0..3).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    server.table_where(|s| s.state == TcpState::Listen && s.recv_queue == Observed::Known(3));
}

#[test]
fn after_a_half_close_one_end_waits_for_the_peer_and_the_other_for_its_process() {
    let server = Server::new();
    let (client, _accepted) = server.connection();
    client.shutdown(Shutdown::Write).unwrap();
    let (table, _) = server.table_with(Side::Client, TcpState::FinWait2);
    assert_eq!(table.count(Side::Server, TcpState::CloseWait), 1);
}

#[test]
fn time_wait_has_no_owner() {
    let server = Server::new();
    let (client, accepted) = server.connection();
    drop(client);
    drop(accepted);
    let (_, left) = server.table_with(Side::Client, TcpState::TimeWait);
    assert_eq!(left.owners, Observed::Known([].into()));
}

#[test]
fn time_wait_is_over_after_60_seconds_at_most() {
    let server = Server::new();
    let (client, accepted) = server.connection();
    drop(accepted);
    drop(client);
    let (_, left) = server.table_with(Side::Server, TcpState::TimeWait);
    let timer = left.timer.known().unwrap().expect("TIME_WAIT without a timer");
    assert_eq!(timer.kind, TimerKind::TimeWait);
    assert!(timer.left <= Duration::from_secs(60), "{:?}", timer.left);
}

#[test]
fn unread_bytes_lie_in_the_receive_queue() {
    let server = Server::new();
    let (_client, mut accepted) = server.connection();
    accepted.write_all(&[b'x'; 57]).unwrap();
    let unread = |s: &Socket| s.side == Some(Side::Client) && s.recv_queue == Observed::Known(57);
    server.table_where(unread);
}

#[test]
fn the_kernel_counts_a_fin_among_unread_bytes_until_the_end_is_read() {
    let server = Server::new();
    let (mut client, mut accepted) = server.connection();
    accepted.write_all(&[b'x'; 57]).unwrap();
    drop(accepted);
    let closed = || server.table_with(Side::Client, TcpState::CloseWait).1;
    let numbers = |socket: Socket| (socket.recv_queue.known(), socket.unread().known());
    assert_eq!(numbers(closed()), (Some(58), Some(57)));
    client.read_to_end(&mut Vec::new()).unwrap();
    assert_eq!(numbers(closed()), (Some(0), Some(0)));
    drop(client);

    let (_client, accepted) = server.connection();
    drop(accepted);
    let alone = |s: &Socket| s.state == TcpState::CloseWait && s.recv_queue == Observed::Known(1);
    assert_eq!(server.table_where(alone).1.unread(), Observed::Known(0));
}

#[test]
fn what_a_full_receiver_does_not_take_stays_in_the_sender_s_queue_under_a_timer() {
    let server = Server::new();
    let (_client, mut accepted) = server.connection();
    accepted.set_nonblocking(true).unwrap();
    while accepted.write(&[b'x'; 65536]).is_ok() {}
    let (_, sender) = server.table_where(|socket| {
        socket.side == Some(Side::Server)
            && socket.send_queue.known().is_some_and(|bytes| bytes > 0)
            && socket.timer.known().flatten().is_some()
    });
    let kind = sender.timer.known().flatten().unwrap().kind;
    assert!(matches!(kind, TimerKind::ZeroWindowProbe | TimerKind::Retransmit), "{kind:?}");
}

#[test]
fn tcp_keepalive_shows_as_a_timer_of_its_own() {
    let server = Server::new();
    let (client, _accepted) = server.connection();
    let every = socket2::TcpKeepalive::new().with_time(Duration::from_secs(77));
    socket2::SockRef::from(&client).set_tcp_keepalive(&every).unwrap();
    let (_, client) = server.table_where(|s| s.timer.known().flatten().is_some());
    let timer = client.timer.known().flatten().unwrap();
    assert_eq!((client.side, timer.kind), (Some(Side::Client), TimerKind::KeepAlive));
    assert!(timer.left <= Duration::from_secs(77), "{:?}", timer.left);
}

#[test]
fn ipv6_sockets_are_listed_too() {
    let Some(server) = Server::at("[::1]:0") else {
        return eprintln!("skipped: this machine has no ::1");
    };
    let (client, _accepted) = server.connection();
    let table = server.table();
    assert_eq!(table.count(Side::Client, TcpState::Established), 1);
    assert_eq!(table.count(Side::Server, TcpState::Established), 1);
    assert_eq!(table.pairs()[0].ends.client.socket_addr(), client.local_addr().unwrap());
}

#[test]
fn an_ipv4_client_pairs_with_the_mapped_address_of_a_dual_stack_server() {
    let Some(server) = Server::at("[::]:0") else {
        return eprintln!("skipped: this machine has no IPv6");
    };
    let Ok(client) = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port())) else {
        return eprintln!("skipped: IPv6 sockets do not take IPv4 here (bindv6only)");
    };
    let _accepted = server.0.accept().unwrap();

    let table = server.table();
    let pairs = table.pairs();
    assert_eq!(pairs.len(), 1);
    assert_eq!(pairs[0].ends.client.socket_addr(), client.local_addr().unwrap());
    let mapped = IpAddr::V6(Ipv4Addr::LOCALHOST.to_ipv6_mapped());
    assert_eq!(pairs[0].server.as_ref().unwrap().local.ip(), mapped);
}

#[test]
fn a_port_filter_finds_what_a_look_through_the_whole_table_finds() {
    let servers = [Server::new(), Server::new()];
    let _connections: Vec<_> = servers.iter().map(Server::connection).collect();
    let filter = SocketFilter::default().port(servers[0].port()).port(servers[1].port());
    let found = |table: SocketTable| -> BTreeSet<_> {
        let wanted = table.sockets.into_iter().filter(|socket| filter.selects(socket));
        wanted.map(|socket| (socket.local, socket.peer, socket.state, socket.side)).collect()
    };
    let by_kernel = found(snapshot(&filter).unwrap());
    assert_eq!(by_kernel.len(), 6);
    assert_eq!(by_kernel, found(snapshot(&SocketFilter::default()).unwrap()));

    // More ports than the kernel is asked to compare.
    let many = (1..=1000).fold(filter.clone(), SocketFilter::port);
    assert!(found(snapshot(&many).unwrap()).is_superset(&by_kernel));
    assert!(snapshot(&many).unwrap().sockets.iter().all(|socket| many.selects(socket)));
}

#[test]
fn a_state_filter_still_tells_the_sides() {
    let server = Server::new();
    let _connection = server.connection();
    let established = snapshot(&server.filter().state(TcpState::Established)).unwrap();
    assert_eq!(established.sockets.len(), 2);
    assert_eq!(established.count(Side::Client, TcpState::Established), 1);
    assert_eq!(established.count(Side::Server, TcpState::Established), 1);
}

#[test]
fn a_declared_server_keeps_its_side_when_nobody_listens_any_more() {
    // Without `SO_REUSEADDR`, nobody else can listen on the port while the connection is open.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    socket.listen(1).unwrap();
    let server = Server(socket.into());
    let (client, _accepted) = server.connection();
    let server_port = server.port();
    drop(server);
    let (client_addr, server_addr) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    let side = |filter: &SocketFilter, local, peer| {
        let sockets = snapshot(filter).unwrap().sockets;
        sockets.iter().find(|s| (s.local, s.peer) == (local, peer)).unwrap().side
    };
    // Both ports are ephemeral: the one that is asked for passes for the server's ...
    let asked = SocketFilter::default().port(client_addr.port());
    assert_eq!(side(&asked, client_addr, server_addr), Some(Side::Server));
    // ... unless the caller knows better.
    let told = asked.server(server_port);
    assert_eq!(side(&told, client_addr, server_addr), Some(Side::Client));
    assert_eq!(side(&told, server_addr, client_addr), Some(Side::Server));
}

#[test]
fn the_owner_is_the_process_that_holds_the_socket() {
    let server = Server::new();
    let _connection = server.connection();
    let table = snapshot_with_owners(&server.filter()).unwrap();
    assert_eq!(table.sockets.len(), 3);
    for socket in &table.sockets {
        let Observed::Known(owners) = &socket.owners else { panic!("no owner: {socket:?}") };
        assert_eq!(owners.len(), 1);
        assert_eq!(owners[0].pid, std::process::id());
        assert!(owners[0].process.starts_with("kernel-"), "{}", owners[0].process);
    }
}

#[test]
fn a_cheap_snapshot_says_that_it_has_not_looked_for_owners() {
    let server = Server::new();
    assert_eq!(server.table().sockets[0].owners, Observed::NotObservable);
}

#[test]
fn who_listens_on_a_port_can_be_asked_for() {
    let server = Server::new();
    let found = listener(server.port()).unwrap().unwrap();
    assert_eq!(found.local, server.address());
    let Observed::Known(owners) = found.owners else { panic!("no owner") };
    assert_eq!(owners[0].pid, std::process::id());

    let bound = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    bound.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    let port = bound.local_addr().unwrap().as_socket().unwrap().port();
    assert_eq!(listener(port).unwrap(), None, "bound, but nobody listens");
}

#[test]
fn proc_net_tcp_lists_the_same_sockets() {
    /// `0100007F:1F90` is 127.0.0.1:8080, the address in the byte order of this machine.
    fn address(field: &str) -> SocketAddr {
        let (ip, port) = field.split_once(':').unwrap();
        let ip = Ipv4Addr::from(u32::from_str_radix(ip, 16).unwrap().to_ne_bytes());
        SocketAddr::from((ip, u16::from_str_radix(port, 16).unwrap()))
    }
    let server = Server::new();
    let _open = server.connection();
    let half_closed = server.connection();
    half_closed.1.shutdown(Shutdown::Write).unwrap();
    drop(server.connection());
    server.table_with(Side::Server, TcpState::FinWait2);
    let (table, _) = server.table_with(Side::Client, TcpState::TimeWait);

    let text = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let theirs: BTreeSet<_> = text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .map(|fields| (address(fields[1]), address(fields[2]), fields[3].to_owned()))
        .filter(|(local, peer, _)| local.port() == server.port() || peer.port() == server.port())
        .collect();
    let number = |state| match state {
        TcpState::Established => "01",
        TcpState::FinWait2 => "05",
        TcpState::TimeWait => "06",
        TcpState::CloseWait => "08",
        TcpState::Listen => "0A",
        other => panic!("no connection of this test is in {other}"),
    };
    let ours: BTreeSet<_> =
        table.sockets.iter().map(|s| (s.local, s.peer, number(s.state).to_owned())).collect();
    assert_eq!(ours, theirs);
}

#[test]
fn one_end_is_found_in_the_state_that_the_table_tells() {
    for at in ["127.0.0.1:0", "[::1]:0"] {
        let Some(server) = Server::at(at) else {
            eprintln!("SKIPPED: this machine has no {at}");
            continue;
        };
        let (client, accepted) = server.connection();
        let (here, there) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let state = |local, peer| find(local, peer).unwrap().map(|socket| socket.state);
        // The other end acknowledges in its own time.
        let becomes = |local, peer, expected: Option<TcpState>| {
            let deadline = Instant::now() + Duration::from_secs(20);
            while state(local, peer) != expected {
                assert!(Instant::now() < deadline, "{:?}, not {expected:?}", state(local, peer));
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        assert_eq!(state(here, there), Some(TcpState::Established));
        assert_eq!(state(there, here), Some(TcpState::Established));
        let found = find(here, there).unwrap().unwrap();
        assert_eq!((found.local, found.peer), (here, there));
        client.shutdown(Shutdown::Write).unwrap();
        becomes(here, there, Some(TcpState::FinWait2));
        becomes(there, here, Some(TcpState::CloseWait));
        drop(accepted);
        becomes(here, there, Some(TcpState::TimeWait));
        becomes(there, here, None);
        // Not the listener, though it has this local address.
        let nobody = SocketAddr::new(here.ip(), 1);
        assert_eq!(state(server.address(), nobody), None);
    }
}

#[test]
fn a_port_that_is_only_bound_is_told_apart_from_every_connection() {
    let (domain, kind) = (socket2::Domain::IPV4, socket2::Type::STREAM);
    let socket = socket2::Socket::new(domain, kind, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let listed = socket_table::snapshot(&SocketFilter::default().port(address.port())).unwrap();
    assert!(listed.sockets.iter().all(|other| other.local != address));
    let bound = socket_table::bound().unwrap();
    if bound.is_empty() {
        return eprintln!("SKIPPED: this kernel does not tell what is bound and no more");
    }
    assert!(bound.contains(&address), "{bound:?}");
}
