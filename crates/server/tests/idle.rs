//! A server that does not keep idle connections for ever.

mod common;

use std::io::Read;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Bound, Site, answer, bind};
use evidence::ClosedBy;
use server::{Answer, ServerMoment};

const LIMIT: Duration = Duration::from_millis(100);

fn limited(answer: Answer, limit: Duration) -> Bound {
    bind(answer).1.map(|server| server.idle_timeout(Some(limit)))
}

fn requests(site: &Site) -> usize {
    site.count(|moment| matches!(moment, ServerMoment::Request { .. }))
}

fn is_closed_by_server(moment: &ServerMoment) -> bool {
    matches!(moment, ServerMoment::Closed { by: ClosedBy::Server, .. })
}

#[test]
fn the_server_closes_first_once_a_connection_has_been_idle_for_so_long() {
    let site = Site::of(limited(answer(), LIMIT));
    let mut client = site.connect();
    assert_eq!(client.get("/").header("connection"), None, "nothing announces it");
    client.sees_the_close().unwrap();
    site.until_closed(1);
    let events = site.events();
    let done = events.iter().find(|e| matches!(e.moment, ServerMoment::ResponseDone { .. }));
    let closed = events.last().unwrap();
    assert!(is_closed_by_server(&closed.moment), "{closed:?}");
    let idle = closed.at - done.unwrap().at;
    assert!(idle >= LIMIT, "{idle:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_server_holds_time_wait() {
    let site = Site::of(limited(answer(), LIMIT));
    let mut client = site.connect();
    let address = client.stream().local_addr().unwrap();
    client.get("/");
    client.sees_the_close().unwrap();
    drop(client);
    let filter = socket_table::SocketFilter::default().server(site.address.port());
    common::until("TIME_WAIT", || {
        let table = socket_table::snapshot(&filter).unwrap();
        let server_end = table.sockets.iter().find(|socket| socket.peer == address);
        server_end.is_some_and(|end| end.state == evidence::TcpState::TimeWait)
    });
}

#[test]
fn nobody_has_to_observe() {
    let site = Site::unobserved(limited(answer(), LIMIT));
    let mut client = site.connect();
    client.get("/");
    client.sees_the_close().unwrap();
}

#[test]
fn without_a_limit_an_idle_connection_stays() {
    let site = Site::of(bind(answer()).1.map(|server| server.idle_timeout(None)));
    let mut client = site.connect();
    client.get("/");
    sleep(LIMIT * 3);
    assert_eq!(client.get("/").text(), "Hello world");
}

#[test]
fn before_its_first_request_a_connection_is_not_idle() {
    let site = Site::of(limited(answer(), LIMIT));
    let mut client = site.connect();
    sleep(LIMIT * 3);
    assert_eq!(client.get("/").text(), "Hello world");
    client.sees_the_close().unwrap();
}

#[test]
fn half_a_head_ends_the_idle_time() {
    let limit = LIMIT * 4;
    let site = Site::of(limited(answer(), limit));
    let mut client = site.connect();
    client.get("/");
    client.send("G");
    sleep(limit * 2);
    client.send("ET / HTTP/1.1\r\nHost: hello\r\n\r\n");
    assert_eq!(client.response().text(), "Hello world");
    client.sees_the_close().unwrap();
}

#[test]
fn a_response_may_take_longer_than_a_connection_may_be_idle() {
    let site = Site::of(limited(answer(), LIMIT * 4));
    let mut client = site.connect();
    for target in ["/?delay=800ms", "/?pause_before_body=800ms&chunked"] {
        assert_eq!(client.get(target).text(), "Hello world");
    }
    client.sees_the_close().unwrap();
}

#[test]
fn a_client_that_reads_late_gets_the_whole_body() {
    let site = Site::of(limited(Answer { bytes: 10 << 20, ..answer() }, LIMIT));
    let mut client = site.connect();
    client.ask("GET", "/");
    site.until_requests(1);
    sleep(LIMIT * 3);
    assert_eq!(client.response().body.len(), 10 << 20);
    client.sees_the_close().unwrap();
}

#[test]
fn every_response_starts_the_idle_time_anew() {
    let limit = LIMIT * 5;
    let site = Site::of(limited(answer(), limit));
    let mut client = site.connect();
    let start = Instant::now();
    while start.elapsed() < limit * 2 {
        client.get("/");
        sleep(limit / 5);
    }
    client.sees_the_close().unwrap();
    assert_eq!(site.accepted(), 1);
}

#[test]
fn head_and_refusals_are_responses_too() {
    let site = Site::of(limited(answer(), LIMIT));
    for (method, target) in [("HEAD", "/"), ("POST", "/"), ("GET", "/?bytes=many")] {
        let mut client = site.connect();
        client.ask(method, target);
        if method == "HEAD" {
            client.head()
        } else {
            client.response()
        };
        client.sees_the_close().unwrap();
    }
    site.until_closed(3);
    assert_eq!(site.count(is_closed_by_server), 3);
}

/// The client cannot know that the server is about to close. Its request is answered, or it is
/// never read, and the client may send it again elsewhere; half an answer would leave it in doubt.
#[test]
fn a_request_at_the_very_last_moment_is_answered_or_never_read() {
    let limit = Duration::from_millis(20);
    let site = Site::of(limited(answer(), limit));
    let mut answered = 0;
    let clients = 61;
    for turn in 0..clients {
        let mut client = site.connect();
        client.get("/");
        sleep(limit - Duration::from_millis(2) + Duration::from_micros(80) * turn);
        if client.try_send("GET / HTTP/1.1\r\nHost: hello\r\n\r\n").is_err() {
            continue; // closed already
        }
        let mut reply = Vec::new();
        let _ = client.stream().read_to_end(&mut reply); // to the server's close, or a reset
        let reply = String::from_utf8(reply).unwrap();
        if !reply.is_empty() {
            answered += 1;
            assert!(reply.ends_with("\r\n\r\nHello world"), "{reply:?}");
        }
    }
    site.until_closed(clients as usize);
    assert_eq!(requests(&site), clients as usize + answered);
    let complete =
        |moment: &ServerMoment| matches!(moment, ServerMoment::ResponseDone { complete: true, .. });
    assert_eq!(site.count(complete), clients as usize + answered);
}

#[test]
fn a_stop_does_not_wait_for_the_idle_time() {
    let mut site = Site::of(limited(answer(), common::FOREVER));
    let mut client = site.connect();
    client.get("/");
    assert_eq!(site.stop(common::FOREVER), 0);
    client.sees_the_close().unwrap();
}
