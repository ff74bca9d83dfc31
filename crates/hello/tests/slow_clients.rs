//! Clients that take up connections by being slow: slow heads, slow bodies, slow reading. Once with
//! plain sockets, once with slowhttptest, which is skipped aloud where it is not installed.
mod common;

use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use common::{Client, Site, answer, bind, until};
use server::{ServerCloseReason, ServerLimits, ServerMoment};
use socket2::{Domain, Socket, Type};

const ATTACKERS: usize = 97;

/// How many answers the good client wants while the others are slow.
const WANTED: usize = 53;

#[derive(Clone, Copy, Debug)]
enum Slow {
    Head,
    Body,
    Reading,
}

use Slow::{Body, Head, Reading};

impl Slow {
    /// Why a server with limits closes such a connection.
    fn reason(self) -> ServerCloseReason {
        match self {
            Head => ServerCloseReason::ReadHeaderTimeout,
            Body => ServerCloseReason::ReadTimeout,
            Reading => ServerCloseReason::WriteTimeout,
        }
    }

    /// What slowhttptest calls it.
    fn arguments(self, site: &Site) -> Vec<String> {
        let (mode, path) = match self {
            Head => ("-H -i 1", "/"),
            Body => ("-B -i 1 -s 8192 -x 7", "/upload"),
            Reading => ("-X -w 512 -y 1024 -n 1 -z 32", "/?bytes=8MiB"),
        };
        let url = format!("http://{}{path}", site.address);
        format!("{mode} -c 199 -r 199 -l 3 -p 3 -u {url}").split(' ').map(str::to_owned).collect()
    }
}

fn site(limit: Option<Duration>) -> Site {
    allow_descriptors();
    // The reason why a body ends is told apart from that of a head.
    let limits =
        ServerLimits { read_header: limit, read: limit, write: limit, ..ServerLimits::default() };
    Site::of(bind(answer()).1.map(|server| server.limits(limits)))
}

/// Both ends of every connection live in this process.
fn allow_descriptors() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
        setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    }
}

/// One that has begun, and will not go on.
fn attacker(site: &Site, slow: Slow) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(&site.address.into()).unwrap();
    let mut stream = TcpStream::from(socket);
    let begun = match slow {
        Head => "GET / HTTP/1.1\r\nHost: hello\r\nX-a: ",
        Body => "POST /upload HTTP/1.1\r\nHost: hello\r\nContent-Length: 8192\r\n\r\nab",
        Reading => "GET /?bytes=8MiB HTTP/1.1\r\nHost: hello\r\n\r\n",
    };
    stream.write_all(begun.as_bytes()).unwrap();
    stream
}

/// A good client gets all its answers, each on a connection of its own and on one for all.
fn good_client_is_served(site: &Site) {
    let mut steady = site.connect();
    for _ in 0..WANTED {
        assert_eq!(site.get("/").text(), "Hello world");
        assert_eq!(steady.get("/?bytes=5").text(), "Hello");
    }
}

/// How many connections were closed for this reason.
fn closed_for(site: &Site, reason: ServerCloseReason) -> usize {
    let reason = Some(reason);
    site.count(|moment| matches!(moment, ServerMoment::Closed { why, .. } if *why == reason))
}

fn slow_ones_are_let_in_for_ever(slow: Slow) {
    let site = site(None);
    let attackers: Vec<TcpStream> = (0..ATTACKERS).map(|_| attacker(&site, slow)).collect();
    good_client_is_served(&site);
    assert_eq!(closed_for(&site, slow.reason()), 0);
    drop(attackers);
    until("the attackers' end", || site.closed() > ATTACKERS + WANTED);
    assert_eq!(site.get("/").text(), "Hello world");
}

fn slow_ones_are_closed(slow: Slow) {
    // Long enough for a good client on a busy machine.
    let site = site(Some(Duration::from_secs(1)));
    let attackers: Vec<TcpStream> = (0..ATTACKERS).map(|_| attacker(&site, slow)).collect();
    good_client_is_served(&site);
    until("the attackers' end", || closed_for(&site, slow.reason()) == ATTACKERS);
    if let Body = slow {
        // Who did not send is told so.
        for stream in attackers {
            assert_eq!(Client::of(stream).response().status, 408);
        }
    }
    assert_eq!(site.get("/").text(), "Hello world");
}

#[test]
fn slow_heads_stay_where_there_are_no_limits_and_hold_up_nobody() {
    slow_ones_are_let_in_for_ever(Head);
}

#[test]
fn slow_bodies_stay_where_there_are_no_limits_and_hold_up_nobody() {
    slow_ones_are_let_in_for_ever(Body);
}

#[test]
fn slow_readers_stay_where_there_are_no_limits_and_hold_up_nobody() {
    slow_ones_are_let_in_for_ever(Reading);
}

#[test]
fn slow_heads_are_closed_for_their_heads() {
    slow_ones_are_closed(Head);
}

#[test]
fn slow_bodies_are_answered_408_and_closed() {
    slow_ones_are_closed(Body);
}

#[test]
fn slow_readers_are_dropped_for_the_responses_they_do_not_take() {
    slow_ones_are_closed(Reading);
}

/// Lets slowhttptest attack, and a good client ask until it has ended. Returns whether it could.
fn attacked(site: &Site, slow: Slow) -> bool {
    let attack = Command::new("slowhttptest")
        .args(slow.arguments(site))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut attack = match attack {
        Ok(attack) => attack,
        Err(error) => {
            eprintln!("SKIPPED: slowhttptest cannot be started here: {error}");
            return false;
        }
    };
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            until("the end of the attack", || attack.try_wait().unwrap().is_some());
            is_over.store(true, Ordering::Relaxed);
        });
        until("many connections", || is_over.load(Ordering::Relaxed) || site.accepted() >= 100);
        good_client_is_served(site);
        while !is_over.load(Ordering::Relaxed) {
            assert_eq!(site.get("/").text(), "Hello world");
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    assert_eq!(site.get("/").text(), "Hello world"); // afterwards, too
    true
}

#[test]
fn slowhttptest_holds_up_nobody_where_there_are_no_limits() {
    for slow in [Head, Body, Reading] {
        let site = site(None);
        if attacked(&site, slow) {
            assert_eq!(closed_for(&site, slow.reason()), 0, "{slow:?}");
        }
    }
}

#[test]
fn slowhttptest_is_closed_by_the_limit_that_it_strains() {
    for slow in [Head, Body, Reading] {
        let site = site(Some(Duration::from_secs(1)));
        if attacked(&site, slow) {
            let closed = || closed_for(&site, slow.reason());
            // How many of its connections it brings about is its own matter.
            until("closed connections", || closed() >= 53);
            eprintln!("{slow:?}: {} of {} closed by the limit", closed(), site.accepted());
        }
    }
}
