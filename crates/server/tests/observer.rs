//! What the server tells of a connection, for each way in which one can end.

mod common;

use std::time::Duration;

use common::{FOREVER, Site, answer};
use evidence::{ClientAddr, ClosedBy};
use server::{Answer, ServerMoment};

use ServerMoment::{Accepted, Request, ResponseDone};

/// A moment without what only the clock decides.
#[derive(Debug, PartialEq)]
enum Told {
    Accepted,
    Request(u64),
    Done(u64),
    GivenUp(u64),
    Closed { by: ClosedBy, requests: u64 },
}

use Told::{Closed, Done, GivenUp};

fn told(moments: &[ServerMoment]) -> Vec<Told> {
    let told = |moment: &ServerMoment| match *moment {
        Accepted => Told::Accepted,
        Request { number } => Told::Request(number),
        ResponseDone { number, complete: true } => Done(number),
        ResponseDone { number, complete: false } => GivenUp(number),
        ServerMoment::Closed { by, requests, .. } => Closed { by, requests },
        ref other => panic!("nobody asked for {other:?}"),
    };
    moments.iter().map(told).collect()
}

/// The bytes that lay unread when the connection was closed.
fn unread(moments: &[ServerMoment]) -> u64 {
    match moments.last() {
        Some(ServerMoment::Closed { unread, .. }) => *unread,
        other => panic!("not closed but {other:?}"),
    }
}

#[test]
fn a_client_that_closes_idle_closed_first() {
    let site = Site::new(answer());
    let mut client = site.connect();
    for _ in 0..3 {
        client.get("/");
    }
    drop(client);
    let story = site.story();
    assert_eq!(
        told(&story),
        [
            Told::Accepted,
            Told::Request(1),
            Done(1),
            Told::Request(2),
            Done(2),
            Told::Request(3),
            Done(3),
            Closed { by: ClosedBy::Client, requests: 3 },
        ]
    );
    assert_eq!(unread(&story), 0);
}

#[test]
fn a_client_that_never_asks_is_told_of_all_the_same() {
    let site = Site::new(answer());
    drop(site.connect());
    let closed = Closed { by: ClosedBy::Client, requests: 0 };
    assert_eq!(told(&site.story()), [Told::Accepted, closed]);
}

#[test]
fn a_server_that_says_close_closes_first() {
    let site = Site::new(Answer { close: true, ..answer() });
    let mut client = site.connect();
    client.get("/");
    client.sees_the_close().unwrap();
    let closed = Closed { by: ClosedBy::Server, requests: 1 };
    assert_eq!(told(&site.story()), [Told::Accepted, Told::Request(1), Done(1), closed]);
}

#[test]
fn bytes_nobody_read_are_counted_at_the_close() {
    let site = Site::new(answer());
    let mut client = site.connect();
    client.ask("GET", "/?close&delay=300ms");
    site.until_requests(1);
    client.send(&"x".repeat(100_000)); // in the kernel long before the delay is over
    let story = site.story();
    let closed = Closed { by: ClosedBy::Server, requests: 1 };
    assert_eq!(told(&story), [Told::Accepted, Told::Request(1), Done(1), closed]);
    assert!(unread(&story) > 0, "{story:?}");
}

#[test]
fn a_client_that_vanishes_in_the_middle_of_a_body_leaves_it_incomplete() {
    let site = Site::new(answer());
    let mut client = site.connect();
    client.ask("GET", "/?bytes=10MiB");
    client.head();
    drop(client); // with bytes unread: the kernel resets
    let closed = Closed { by: ClosedBy::Reset, requests: 1 };
    assert_eq!(told(&site.story()), [Told::Accepted, Told::Request(1), GivenUp(1), closed]);
}

#[test]
fn a_client_that_does_not_wait_for_the_head_leaves_the_response_incomplete() {
    let site = Site::new(Answer { delay: FOREVER, ..answer() });
    let mut client = site.connect();
    client.ask("GET", "/");
    site.until_requests(1);
    drop(client);
    let closed = Closed { by: ClosedBy::Client, requests: 1 };
    assert_eq!(told(&site.story()), [Told::Accepted, Told::Request(1), GivenUp(1), closed]);
}

#[test]
fn a_client_that_vanishes_in_the_pause_leaves_the_body_incomplete() {
    let site = Site::new(Answer { pause_before_body: FOREVER, ..answer() });
    let mut client = site.connect();
    client.ask("GET", "/");
    client.head();
    drop(client);
    let closed = Closed { by: ClosedBy::Client, requests: 1 };
    assert_eq!(told(&site.story()), [Told::Accepted, Told::Request(1), GivenUp(1), closed]);
}

#[test]
fn a_reset_is_told_from_a_close() {
    let site = Site::new(answer());
    let mut client = site.connect();
    client.get("/");
    client.reset();
    let closed = Closed { by: ClosedBy::Reset, requests: 1 };
    assert_eq!(told(&site.story()), [Told::Accepted, Told::Request(1), Done(1), closed]);
}

#[test]
fn half_a_head_is_no_request() {
    let site = Site::new(answer());
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: hel");
    drop(client);
    let closed = Closed { by: ClosedBy::Client, requests: 0 };
    assert_eq!(told(&site.story()), [Told::Accepted, closed]);
}

#[test]
fn a_stopping_server_closes_first() {
    let mut site = Site::new(answer());
    let mut client = site.connect();
    client.get("/");
    assert_eq!(site.stop(FOREVER), 0);
    let closed = Closed { by: ClosedBy::Server, requests: 1 };
    assert_eq!(told(&site.story()), [Told::Accepted, Told::Request(1), Done(1), closed]);
}

#[test]
fn an_exchange_cut_off_is_given_up_before_its_connection_is_closed() {
    let mut site = Site::new(Answer { delay: FOREVER, ..answer() });
    let mut client = site.connect();
    client.ask("GET", "/");
    site.until_requests(1);
    assert_eq!(site.stop(Duration::from_millis(50)), 1);
    let closed = Closed { by: ClosedBy::Server, requests: 1 };
    assert_eq!(told(&site.story()), [Told::Accepted, Told::Request(1), GivenUp(1), closed]);
}

#[test]
fn answers_without_a_body_are_complete() {
    let site = Site::new(answer());
    let mut client = site.connect();
    client.ask("HEAD", "/");
    client.head();
    client.get("/?bytes=0");
    client.get("/?bytes=0&chunked");
    client.ask("POST", "/");
    assert_eq!(client.response().status, 405);
    assert_eq!(client.get("/?bytes=many").status, 400);
    drop(client);
    let exchanges = (1..=5).flat_map(|number| [Told::Request(number), Done(number)]);
    let closed = Closed { by: ClosedBy::Client, requests: 5 };
    let expected: Vec<Told> =
        std::iter::once(Told::Accepted).chain(exchanges).chain([closed]).collect();
    assert_eq!(told(&site.story()), expected);
}

#[test]
fn connections_are_numbered_as_accepted_and_known_by_the_clients_address() {
    let site = Site::new(answer());
    let mut clients = Vec::new();
    for number in 1..=7 {
        let mut client = site.connect();
        client.get("/");
        let events = site.events();
        let accepted = events.iter().rfind(|event| event.moment == Accepted).unwrap();
        assert_eq!(accepted.connection, server::AcceptedId(number));
        let address = client.stream().local_addr().unwrap();
        assert_eq!(accepted.peer, ClientAddr::new(address));
        clients.push(client);
    }
}

#[test]
fn the_clock_of_the_events_runs_forward_and_the_age_is_that_of_the_connection() {
    let site = Site::new(answer());
    let mut client = site.connect();
    client.get("/?delay=30ms");
    drop(client);
    site.until_closed(1);
    let events = site.events();
    assert!(events.is_sorted_by_key(|event| event.at), "{events:?}");
    let ServerMoment::Closed { age, .. } = events.last().unwrap().moment else {
        panic!("{events:?}")
    };
    assert!(age >= Duration::from_millis(30), "{age:?}");
}
