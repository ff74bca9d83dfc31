//! A server whose last file descriptor went to the last client. The only test of its file, because
//! the limit is one of the whole process.
#![cfg(unix)]

mod common;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::mpsc;

use common::{Client, DEADLINE, Site, answer, bind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::AcceptTrouble;
use socket2::{Domain, Socket, Type};

/// The system refuses a descriptor before it looks whether anybody waits, so `accept` fails though
/// nobody does. When a client leaves there is nobody to accept either: that is the end of trouble.
#[test]
fn trouble_in_which_nobody_waits_is_over_when_one_client_leaves() {
    let (sender, trouble) = mpsc::channel();
    let (address, bound) = bind(answer());
    let site = Site::of(
        bound.map(|server| server.trouble_told_to(move |trouble| sender.send(trouble).unwrap())),
    );
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let sockets: Vec<Socket> = (0..7).map(|_| socket()).collect();
    let before = getrlimit(Resource::Nofile);
    let limit = |current| Rlimit { current: Some(current), ..before };
    let free = File::open("/dev/null").unwrap().as_raw_fd();
    setrlimit(Resource::Nofile, limit(u64::try_from(free).unwrap() + 7)).unwrap();

    let mut clients: Vec<Client> = Vec::new();
    for socket in sockets {
        socket.connect(&address.into()).unwrap();
        clients.push(Client::of(socket.into()));
    }
    let began = trouble.recv_timeout(DEADLINE);
    assert!(matches!(began, Ok(AcceptTrouble::Began { .. })), "{began:?}");
    assert_eq!(site.accepted(), 7);
    clients.pop();
    let over = trouble.recv_timeout(DEADLINE);
    assert!(matches!(over, Ok(AcceptTrouble::Over { .. })), "{over:?}");
    setrlimit(Resource::Nofile, before).unwrap();
}
