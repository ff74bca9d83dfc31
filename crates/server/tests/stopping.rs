//! How a server ends, and what its clients see of that.

mod common;

use std::io::ErrorKind;
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{DEADLINE, FOREVER, Site, answer};
use evidence::ClosedBy;
use server::{Answer, ServerMoment};

fn is_refused(site: &Site) -> bool {
    match TcpStream::connect(site.address) {
        Err(error) => error.kind() == ErrorKind::ConnectionRefused,
        Ok(_) => false,
    }
}

#[test]
fn an_exchange_in_flight_is_finished() {
    for target in
        ["/?delay=200ms", "/?pause_before_body=200ms", "/?pause_before_body=200ms&chunked"]
    {
        let mut site = Site::new(answer());
        let mut client = site.connect();
        client.ask("GET", target);
        site.until_requests(1);
        assert_eq!(site.stop(DEADLINE), 0, "{target}");
        assert_eq!(client.response().text(), "Hello world");
        client.sees_the_close().unwrap();
    }
}

#[test]
fn a_long_body_in_flight_is_finished() {
    let mut site = Site::new(answer());
    let mut client = site.connect();
    client.ask("GET", "/?bytes=10MiB");
    site.until_requests(1);
    // It does not fit into the kernel, so the stop has to wait for this reader.
    let reader = std::thread::spawn(move || {
        let response = client.response();
        client.sees_the_close().unwrap();
        response.body.len()
    });
    assert_eq!(site.stop(DEADLINE), 0);
    assert_eq!(reader.join().unwrap(), 10 << 20);
    let done = ServerMoment::ResponseDone { number: 1, complete: true };
    assert_eq!(site.count(|moment| *moment == done), 1);
}

#[test]
fn an_answer_that_comes_after_the_stop_says_close() {
    let mut site = Site::new(answer());
    let mut client = site.connect();
    client.ask("GET", "/?delay=200ms");
    site.until_requests(1);
    let start = Instant::now();
    site.stop(DEADLINE);
    // A machine that sleeps through the delay answers before the stop: then nothing is shown.
    if start.elapsed() > Duration::from_millis(100) {
        assert_eq!(client.response().header("connection"), Some("close"));
    }
}

#[test]
fn idle_connections_are_closed_at_once() {
    let mut site = Site::new(answer());
    let mut clients: Vec<_> = (0..23).map(|_| site.connect()).collect();
    for client in &mut clients {
        client.get("/");
    }
    let mut silent = site.connect(); // has never asked for anything
    common::until("the last accept", || site.accepted() == 24);
    assert_eq!(site.stop(FOREVER), 0); // who waits for the grace misses the deadline
    for client in &mut clients {
        client.sees_the_close().unwrap();
    }
    silent.sees_the_close().unwrap();
    let by_server =
        |moment: &ServerMoment| matches!(moment, ServerMoment::Closed { by: ClosedBy::Server, .. });
    assert_eq!(site.count(by_server), 24);
}

#[test]
fn what_is_not_done_by_the_end_of_the_grace_is_cut_off_and_counted() {
    let mut site = Site::new(answer());
    let mut idle = site.connect();
    idle.get("/");
    let mut slow: Vec<_> = (0..7).map(|_| site.connect()).collect();
    for client in &mut slow {
        client.ask("GET", "/?delay=1h");
    }
    site.until_requests(8);
    let start = Instant::now();
    assert_eq!(site.stop(Duration::from_millis(70)), 7);
    assert!(start.elapsed() >= Duration::from_millis(70), "{:?}", start.elapsed());
    for client in &mut slow {
        client.sees_the_close().unwrap();
    }
    assert_eq!(site.closed(), 8);
}

/// hyper waits for the other half for ever, Go for five seconds; hello takes it for no request.
#[cfg(target_os = "linux")]
#[test]
fn half_a_head_does_not_hold_up_the_stop() {
    let mut site = Site::new(answer());
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: hel");
    let client_address = client.stream().local_addr().unwrap();
    let filter = socket_table::SocketFilter::default().server(site.address.port());
    common::until("the server to read the half", || {
        let table = socket_table::snapshot(&filter).unwrap();
        let mut sockets = table.sockets.iter();
        let accepted = site.accepted() == 1;
        let server_end = sockets.find(|socket| socket.peer == client_address);
        accepted && server_end.is_some_and(|end| end.recv_queue.known() == Some(0))
    });
    assert_eq!(site.stop(FOREVER), 0); // who waits for the grace misses the deadline
    client.sees_the_close().unwrap();
    let requests = |moment: &ServerMoment| matches!(moment, ServerMoment::Request { .. });
    assert_eq!(site.count(requests), 0);
}

#[test]
fn a_stopped_server_refuses_new_connections() {
    let mut site = Site::new(answer());
    assert_eq!(site.get("/").status, 200);
    assert_eq!(site.stop(DEADLINE), 0);
    assert!(is_refused(&site));
}

#[test]
fn a_stopping_server_refuses_new_connections_while_others_finish() {
    let mut site = Site::new(Answer { delay: FOREVER, ..answer() });
    let mut client = site.connect();
    client.ask("GET", "/");
    site.until_requests(1);
    let address = site.address;
    let (stopping, is_stopping) = mpsc::channel();
    let stop = std::thread::spawn(move || {
        let cut_off = site.stop(Duration::from_secs(1));
        stopping.send(()).unwrap();
        cut_off
    });
    let mut refused_meanwhile = false;
    while is_stopping.try_recv().is_err() {
        refused_meanwhile |= TcpStream::connect(address).is_err();
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(refused_meanwhile);
    assert_eq!(stop.join().unwrap(), 1);
}

#[test]
fn a_server_let_go_of_ends_with_its_connections() {
    let mut site = Site::new(Answer { delay: FOREVER, ..answer() });
    let mut busy = site.connect();
    busy.ask("GET", "/");
    let mut idle = site.connect();
    idle.get("/?delay=0s");
    site.until_requests(2);
    site.drop_server();
    busy.sees_the_close().unwrap();
    idle.sees_the_close().unwrap();
    common::until("refusal", || is_refused(&site));
    site.until_closed(2);
}
