//! What the server promises from the moment it listens.

mod common;

use common::{Client, Site, answer, bind, until};

#[test]
fn a_client_is_never_refused_however_early_it_comes() {
    for _ in 0..101 {
        let (address, bound) = bind(answer());
        let mut client = Client::connect(address); // nobody accepts yet
        client.ask("GET", "/");
        let site = Site::of(bound);
        assert_eq!(client.response().text(), "Hello world");
        drop(site);
    }
}

#[test]
fn port_0_is_told_as_the_port_it_became() {
    let (first, _first) = bind(answer());
    let (second, _second) = bind(answer());
    assert_ne!(first.port(), 0);
    assert_ne!(first.port(), second.port());
}

#[test]
fn a_port_in_use_is_told_with_who_uses_it() {
    let (address, _bound) = bind(answer());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let again = runtime.block_on(async { server::Server::bind(address, answer()) });
    let Err(server::Error::PortInUse { address: told, owners, .. }) = again else {
        panic!("two servers on {address}")
    };
    assert_eq!(told, address);
    if cfg!(target_os = "linux") {
        let pids: Vec<u32> = owners.iter().map(|owner| owner.pid).collect();
        assert_eq!(pids, [std::process::id()]);
    }
}

#[test]
fn a_port_is_free_again_while_its_past_is_in_time_wait() {
    let mut site = Site::new(answer());
    let mut client = site.connect();
    client.get("/?close");
    client.sees_the_close().unwrap(); // closed by the server, which holds TIME_WAIT
    drop(client);
    site.until_closed(1);
    site.stop(common::DEADLINE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { server::Server::bind(site.address, answer()) }).unwrap();
}

#[cfg(unix)]
#[test]
fn a_thousand_connections_at_once_are_all_accepted() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const CLIENTS: usize = 1009;

    // Both ends live in this process.
    let needed = Some(2 * CLIENTS as u64 + 100);
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if maximum.is_some() && maximum < needed {
        return eprintln!("skipped: no more than {maximum:?} file descriptors here");
    }
    if current.is_some() && current < needed {
        setrlimit(Resource::Nofile, Rlimit { current: needed, maximum }).unwrap();
    }
    if somaxconn().is_some_and(|most| (most as usize) < CLIENTS) {
        return eprintln!("skipped: the kernel caps backlogs at {:?}", somaxconn());
    }

    let (address, bound) = bind(answer());
    // All of them fit into the backlog.
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(address)).collect();
    let site = Site::of(bound);
    for client in &mut clients {
        client.ask("GET", "/");
    }
    for client in &mut clients {
        assert_eq!(client.response().text(), "Hello world");
    }
    assert_eq!(site.accepted(), CLIENTS);
    assert_eq!(site.closed(), 0);
    drop(clients);
    until("closes", || site.closed() == CLIENTS);
}

/// The kernel's cap on backlogs, where it can be read.
fn somaxconn() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}

#[cfg(target_os = "linux")]
#[test]
fn the_backlog_is_as_long_as_the_kernel_allows() {
    let (address, _bound) = bind(answer());
    let listener = socket_table::listener(address.port()).unwrap().unwrap();
    let expected = server::BACKLOG.min(somaxconn().unwrap());
    assert_eq!(listener.send_queue, evidence::Observed::Known(expected));
}

/// The accepted end lives inside the server; the kernel hands out another descriptor of it.
#[cfg(target_os = "linux")]
#[test]
fn an_accepted_connection_sends_at_once_and_probes_a_silent_client() {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    use socket2::SockRef;
    use std::time::Duration;

    let site = Site::new(answer());
    let mut client = site.connect();
    client.get("/"); // it is accepted by now
    let client = client.stream().local_addr().unwrap();
    let this = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let mut found = 0;
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let number = entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
        let fd = match pidfd_getfd(&this, number, PidfdGetfdFlags::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::BADF) => continue, // closed by another test meanwhile
            Err(error) => return eprintln!("skipped: pidfd_getfd is refused here: {error}"),
        };
        let socket = SockRef::from(&fd);
        let (local, peer) = (socket.local_addr(), socket.peer_addr());
        // Both: another test's client may have the same port towards another server.
        let ends = [local, peer].map(|address| address.ok().and_then(|a| a.as_socket()));
        if ends == [Some(site.address), Some(client)] {
            found += 1;
            assert!(socket.tcp_nodelay().unwrap());
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(15));
        }
    }
    assert_eq!(found, 1);
}
