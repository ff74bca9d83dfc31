//! Why a connection ended, for every reason there is.

mod common;

use std::time::Duration;

use evidence::ClosedBy;

use common::{Client, FOREVER, Site, answer, bind};
use server::{Answer, ServerCloseReason, ServerLimits, ServerMoment};

use ServerCloseReason::{
    BadRequest, ClientClosed, ClientReset, ClientSaidClose, Http10, IdleTimeout, ReadHeaderTimeout,
    RequestBodyUnread, ServerSaidClose, Stopping, WriteTimeout,
};

const LIMIT: Duration = Duration::from_millis(70);

fn site(limits: ServerLimits) -> Site {
    Site::of(bind(answer()).1.map(|server| server.limits(limits)))
}

fn why(site: &Site) -> Option<ServerCloseReason> {
    match site.story().last() {
        Some(ServerMoment::Closed { why, .. }) => *why,
        other => panic!("not closed but {other:?}"),
    }
}

/// Why a connection ended on which just this was sent, and the server closed.
fn after(text: &str) -> Option<ServerCloseReason> {
    let site = Site::new(answer());
    let mut client = site.connect();
    client.send(text);
    assert!(client.rest().starts_with(b"HTTP/1."), "{text:?}");
    why(&site)
}

#[test]
fn http_1_0_ends_with_its_response() {
    assert_eq!(after("GET / HTTP/1.0\r\n\r\n"), Some(Http10));
    // Nothing but the close tells where this body ends.
    let open_ended = "GET /?chunked HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    assert_eq!(after(open_ended), Some(Http10));
}

#[test]
fn a_client_may_ask_for_the_close() {
    let request = "GET / HTTP/1.1\r\nHost: hello\r\nConnection: x, Close\r\n\r\n";
    assert_eq!(after(request), Some(ClientSaidClose));
    let request = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let last = "GET / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n";
    assert_eq!(after(&format!("{request}{last}")), Some(ClientSaidClose));
}

#[test]
fn a_server_may_say_the_close() {
    assert_eq!(after("GET /?close HTTP/1.1\r\nHost: hello\r\n\r\n"), Some(ServerSaidClose));
}

#[test]
fn what_is_no_request_ends_the_connection() {
    for text in [
        "What is this?\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: hello\r\n\r\nnonsense\r\n\r\n",
    ] {
        assert_eq!(after(text), Some(BadRequest), "{text:?}");
    }
}

#[test]
fn a_body_nobody_reads_ends_the_connection_unless_it_has_come() {
    let head = "POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 100000\r\n\r\nabc";
    let site = Site::new(answer());
    let mut client = site.connect();
    client.send(head);
    assert_eq!(client.response().status, 405);
    client.sees_the_close().unwrap();
    drop(client);
    assert_eq!(why(&site), Some(RequestBodyUnread));

    let site = Site::new(answer());
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(client.response().status, 405);
    assert_eq!(client.get("/").status, 200);
    drop(client);
    assert_eq!(why(&site), Some(ClientClosed));
}

/// A client that gives up before it has read the answer: its system then resets what lingers.
#[test]
fn the_reason_of_a_close_survives_the_clients_reset_in_answer_to_it() {
    for (request, expected) in [
        ("POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 9\r\n\r\nabc", RequestBodyUnread),
        ("What is this?\r\n\r\n", BadRequest),
    ] {
        let site = Site::new(answer());
        let mut client = site.connect();
        client.send(request);
        client.rest(); // up to the server's FIN
        client.reset();
        let story = site.story();
        let Some(ServerMoment::Closed { by, why, .. }) = story.last() else { panic!("{story:?}") };
        assert_eq!((*by, *why), (ClosedBy::Server, Some(expected)), "{request:?}");
    }
}

#[test]
fn time_ends_it() {
    let some = Some(LIMIT);
    for (limits, sent, expected) in [
        (
            ServerLimits { idle: some, ..ServerLimits::default() },
            "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
            IdleTimeout,
        ),
        (
            ServerLimits { read_header: some, ..ServerLimits::default() },
            "GET / HTTP",
            ReadHeaderTimeout,
        ),
        (
            ServerLimits { write: some, ..ServerLimits::default() },
            "GET /?delay=1h HTTP/1.1\r\nHost: h\r\n\r\n",
            WriteTimeout,
        ),
    ] {
        let site = site(limits);
        let mut client = site.connect();
        client.send(sent);
        client.rest();
        assert_eq!(why(&site), Some(expected));
    }
}

#[test]
fn the_client_may_go_at_any_time() {
    let ways: [fn(&mut Client, &Site); 4] = [
        |_, _| (),
        |client, _| client.send("GET / HTTP"),
        |client, _| drop(client.get("/")),
        |client, site| {
            client.ask("GET", "/?delay=1h");
            site.until_requests(1);
        },
    ];
    for way in ways {
        let site = Site::new(answer());
        let mut client = site.connect();
        way(&mut client, &site);
        drop(client);
        assert_eq!(why(&site), Some(ClientClosed));
    }
    for way in ways {
        let site = Site::new(answer());
        let mut client = site.connect();
        way(&mut client, &site);
        client.reset();
        assert_eq!(why(&site), Some(ClientReset));
    }
}

#[test]
fn a_client_that_goes_before_the_response_is_not_said_to_have_been_closed() {
    let site = Site::new(answer());
    let mut client = site.connect();
    client.ask("GET", "/?delay=1h&close");
    site.until_requests(1);
    drop(client);
    assert_eq!(why(&site), Some(ClientClosed));
}

#[test]
fn a_stop_ends_it_whatever_it_does() {
    for sent in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: hello\r\n\r\n"] {
        let mut site = Site::new(answer());
        let mut client = site.connect();
        client.send(sent);
        common::until("accept", || site.accepted() == 1);
        if sent.ends_with("\r\n\r\n") {
            client.response();
        }
        assert_eq!(site.stop(FOREVER), 0);
        assert_eq!(why(&site), Some(Stopping), "{sent:?}");
    }
    for (grace, target) in [(FOREVER, "/?delay=200ms"), (LIMIT, "/?delay=1h")] {
        let mut site = Site::new(answer());
        let mut client = site.connect();
        client.ask("GET", target);
        site.until_requests(1);
        site.stop(grace);
        assert_eq!(why(&site), Some(Stopping), "{target}");
    }
}

#[test]
fn a_server_let_go_of_cannot_say_more_than_that_the_response_broke_off() {
    let mut site = Site::new(Answer { delay: FOREVER, ..answer() });
    let mut client = site.connect();
    client.ask("GET", "/");
    site.until_requests(1);
    site.drop_server();
    let why = why(&site);
    assert!(matches!(why, Some(ServerCloseReason::Error | Stopping)), "{why:?}");
}
