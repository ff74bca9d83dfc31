//! A server that has no file descriptor left for another connection. The only test of its file,
//! because the limit is one of the whole process.
#![cfg(unix)]

mod common;

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::time::Duration;

use common::{Client, DEADLINE, Site, answer, bind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::{ACCEPT_BACKOFF, AcceptTrouble};
use socket2::{Domain, Socket, Type};

#[test]
fn clients_wait_while_descriptors_are_out_and_are_served_when_there_are_some() {
    let (sender, trouble) = mpsc::channel();
    let (address, bound) = bind(answer());
    let site = Site::of(
        bound.map(|server| server.trouble_told_to(move |trouble| sender.send(trouble).unwrap())),
    );
    // The clients have theirs beforehand.
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let sockets: Vec<Socket> = (0..23).map(|_| socket()).collect();
    let before = getrlimit(Resource::Nofile);
    let limit = |current| Rlimit { current: Some(current), ..before };
    // The lowest free descriptor: nothing below it is free, so seven connections fit.
    let free = File::open("/dev/null").unwrap().as_raw_fd();
    setrlimit(Resource::Nofile, limit(u64::try_from(free).unwrap() + 7)).unwrap();

    let mut clients: Vec<Client> = Vec::new();
    for socket in sockets {
        socket.connect(&address.into()).unwrap(); // not refused
        clients.push(Client::of(socket.into()));
    }
    let Ok(AcceptTrouble::Began { error }) = trouble.recv_timeout(DEADLINE) else {
        panic!("no trouble")
    };
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::MFILE.raw_os_error()));
    assert_eq!(site.accepted(), 7);
    assert_eq!(clients[0].get("/").text(), "Hello world"); // who is inside is served
    // Time is the subject: a loop without a pause would fail many thousand times meanwhile.
    std::thread::sleep(ACCEPT_BACKOFF * 10);
    assert!(trouble.try_recv().is_err(), "told a second time");

    setrlimit(Resource::Nofile, before).unwrap();
    let Ok(AcceptTrouble::Over { failures, after }) = trouble.recv_timeout(DEADLINE) else {
        panic!("the trouble is not over")
    };
    let pauses = after.div_duration_f64(ACCEPT_BACKOFF).ceil();
    assert!((1.0..=pauses).contains(&(failures as f64)), "{failures} failures in {after:?}");
    assert!(after >= Duration::from_millis(100), "{after:?}");
    for client in &mut clients {
        assert_eq!(client.get("/").text(), "Hello world");
    }
    assert_eq!(site.accepted(), 23);
}
