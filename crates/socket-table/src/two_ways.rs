//! Two ways of reading one table, held against each other: the kernel by `sock_diag.rs`, and the
//! netstat2 crate. Their types are private, so this is no integration test.

use std::collections::BTreeSet;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use evidence::{Socket, TcpState};

use crate::{linux, portable};

type ListedSocket = (SocketAddr, SocketAddr, TcpState);

/// The sockets with `port` at either end, in one way of writing them.
fn lines(sockets: impl IntoIterator<Item = Socket>, port: u16) -> BTreeSet<ListedSocket> {
    let has_port = |socket: &Socket| [socket.local, socket.peer].iter().any(|a| a.port() == port);
    let line = |socket: Socket| (socket.local, socket.peer, socket.state);
    sockets.into_iter().filter(has_port).map(line).collect()
}

/// A listener that has connections in several states, each with both of its ends.
struct Scene {
    port: u16,
    _kept: (TcpListener, Vec<TcpStream>),
}

impl Scene {
    fn new(address: &str) -> Option<Self> {
        let listener = unhaunted_listener(address)?;
        let address = listener.local_addr().unwrap();
        let mut kept = Vec::new();
        let connect = || {
            let client = TcpStream::connect(address).unwrap();
            (client, listener.accept().unwrap().0)
        };
        let open = connect();
        let half_closed = connect();
        half_closed.0.shutdown(Shutdown::Write).unwrap();
        drop(connect()); // the client's end closes first: TIME_WAIT
        kept.extend([open.0, open.1, half_closed.0, half_closed.1]);
        Some(Self { port: address.port(), _kept: (listener, kept) })
    }
}

/// A listener on a port that no connection of the past still has; `None` where there is no such
/// address.
fn unhaunted_listener(address: &str) -> Option<TcpListener> {
    let mut haunted = Vec::new();
    loop {
        let listener = TcpListener::bind(address).ok()?;
        let port = listener.local_addr().unwrap().port();
        if linux::read(&[port], &[]).unwrap().len() == 1 {
            return Some(listener);
        }
        haunted.push(listener); // keeps the system from picking it again
        assert!(haunted.len() < 1000, "no port without a past");
    }
}

/// Repeats `check` until it holds; both readings are of a table that moves on.
fn eventually(mut check: impl FnMut() -> Result<(), String>) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(reason) = check() {
        assert!(Instant::now() < deadline, "{reason}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn netstat2_lists_the_same_sockets_in_the_same_states() {
    let scenes: Vec<Scene> =
        ["127.0.0.1:0", "[::1]:0"].into_iter().filter_map(Scene::new).collect();
    if scenes.len() < 2 {
        {
            eprintln!("skipped for IPv6: this machine has no ::1");
        }
    }
    for scene in scenes {
        eventually(|| {
            let ours = linux::read(&[scene.port], &[]).unwrap().into_iter().map(|row| row.socket);
            let theirs = portable::read(&[], &[]).unwrap().into_iter().map(|row| row.socket);
            let (ours, theirs) = (lines(ours, scene.port), lines(theirs, scene.port));
            let states: BTreeSet<TcpState> = ours.iter().map(|line| line.2).collect();
            let expected = BTreeSet::from([
                TcpState::Listen,
                TcpState::Established,
                TcpState::FinWait2,
                TcpState::CloseWait,
                TcpState::TimeWait,
            ]);
            if ours == theirs && states == expected && ours.len() == 6 {
                return Ok(());
            }
            Err(format!("ours {ours:#?}\ntheirs {theirs:#?}"))
        });
    }
}

#[test]
fn the_kernel_itself_leaves_out_what_the_filter_does_not_ask_for() {
    let wanted: Vec<Scene> = (0..3).filter_map(|_| Scene::new("127.0.0.1:0")).collect();
    let _unwanted = Scene::new("127.0.0.1:0").unwrap();
    let ports: Vec<u16> = wanted.iter().map(|scene| scene.port).collect();

    let rows = linux::read(&ports, &[]).unwrap();
    let of_port = |row: &linux::TableRow| {
        ports.contains(&row.socket.local.port()) || ports.contains(&row.socket.peer.port())
    };
    assert!(rows.len() >= 3 * 5);
    assert!(rows.iter().all(of_port));

    let listening = linux::read(&ports, &[TcpState::Listen]).unwrap();
    assert_eq!(listening.len(), 3);
    assert!(listening.iter().all(|row| row.socket.state == TcpState::Listen));
}
