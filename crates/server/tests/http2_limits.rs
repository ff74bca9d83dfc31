//! What the time limits do in HTTP/2.
mod common;

use std::io::Read;
use std::time::{Duration, Instant};

use common::{Client, FOREVER, Site, answer, bind};
use server::{ServerCloseReason, ServerLimits, ServerMoment};

const LIMIT: Duration = Duration::from_millis(100);
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
/// `GET http://…/` on stream 1 and on stream 3, in the words of HPACK's static table.
const GETS: [u8; 24] = [
    0, 0, 3, 1, 0x5, 0, 0, 0, 1, 0x82, 0x86, 0x84, //
    0, 0, 3, 1, 0x5, 0, 0, 0, 3, 0x82, 0x86, 0x84,
];
const HEADERS: u8 = 1;
const GOAWAY: u8 = 7;

fn limited(limits: ServerLimits) -> Site {
    let slow = server::Answer { delay: FOREVER, ..answer() };
    Site::of(bind(slow).1.map(|server| server.limits(limits)))
}

/// A client that has said hello, but answers to nothing.
fn connect(site: &Site) -> Client {
    let mut client = site.connect();
    client.send(PREFACE);
    client.send_bytes(&SETTINGS);
    client
}

/// Reads the payload of the next frame of this type.
fn frame(client: &Client, wanted: u8) -> Vec<u8> {
    let mut stream = client.stream();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).unwrap();
        let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
        stream.read_exact(&mut payload).unwrap();
        if head[3] == wanted {
            return payload;
        }
    }
}

fn why(site: &Site) -> Option<ServerCloseReason> {
    match site.story().last() {
        Some(ServerMoment::Closed { why, .. }) => *why,
        other => panic!("not closed but {other:?}"),
    }
}

#[test]
fn a_first_request_that_does_not_come_ends_the_connection() {
    let start = Instant::now();
    let site = limited(ServerLimits { read_header: Some(LIMIT), ..ServerLimits::default() });
    let _client = connect(&site);
    assert_eq!(why(&site), Some(ServerCloseReason::ReadHeaderTimeout));
    assert!(start.elapsed() >= LIMIT, "{:?}", start.elapsed());
}

#[test]
fn the_handler_limit_answers_every_stream_503() {
    let site = limited(ServerLimits { handler: Some(LIMIT), ..ServerLimits::default() });
    let mut client = connect(&site);
    client.send_bytes(&GETS);
    let fields = frame(&client, HEADERS);
    // HPACK has a number for `:status: 200` (0x88), but must spell 503 out after `:status` (0x48).
    assert_eq!(fields.first(), Some(&0x48), "{fields:?}");
    let done = ServerMoment::ResponseDone { number: 2, complete: true };
    common::until("both answers", || site.count(|moment| *moment == done) == 1);
    assert_eq!(site.closed(), 0);
}

/// SETTINGS with `SETTINGS_INITIAL_WINDOW_SIZE` 0: no byte of a body may be sent.
const NO_WINDOW: [u8; 15] = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];

#[test]
fn a_client_whose_window_stays_shut_is_dropped_by_the_write_limit() {
    let limits = ServerLimits { write: Some(LIMIT), ..ServerLimits::default() };
    let site = Site::of(bind(answer()).1.map(|server| server.limits(limits)));
    let mut client = site.connect();
    client.send(PREFACE);
    client.send_bytes(&NO_WINDOW);
    let start = Instant::now();
    client.send_bytes(&GETS);
    assert_eq!(why(&site), Some(ServerCloseReason::WriteTimeout));
    assert!(start.elapsed() >= LIMIT, "{:?}", start.elapsed());
}

#[test]
fn a_client_that_reads_nothing_is_dropped_though_its_windows_are_open() {
    let limits = ServerLimits { write: Some(LIMIT), ..ServerLimits::default() };
    let large = server::Answer { bytes: 1 << 28, ..answer() };
    let site = Site::of(bind(large).1.map(|server| server.limits(limits)));
    let mut client = site.connect();
    client.send(PREFACE);
    // The largest windows that there are, for the streams and for the connection.
    client.send_bytes(&[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff]);
    client.send_bytes(&[0, 0, 4, 8, 0, 0, 0, 0, 0, 0x7f, 0xff, 0, 0]);
    client.send_bytes(&GETS);
    assert_eq!(why(&site), Some(ServerCloseReason::WriteTimeout));
}

#[test]
fn a_write_limit_leaves_those_alone_that_are_answered_in_time() {
    // Long enough for an answer on a busy machine.
    let limit = Duration::from_secs(1);
    let limits = ServerLimits { write: Some(limit), ..ServerLimits::default() };
    let site = Site::of(bind(answer()).1.map(|server| server.limits(limits)));
    let mut client = connect(&site);
    client.send_bytes(&GETS);
    frame(&client, HEADERS);
    std::thread::sleep(limit * 3 / 2);
    assert_eq!(site.closed(), 0);
}

#[test]
fn an_idle_connection_is_told_goaway_and_the_reason_is_idleness() {
    let limits =
        ServerLimits { idle: Some(LIMIT), handler: Some(LIMIT), ..ServerLimits::default() };
    let site = limited(limits);
    let mut client = connect(&site);
    client.send_bytes(&GETS);
    frame(&client, GOAWAY);
    drop(client);
    let why = why(&site);
    // A client that goes away without reading resets.
    assert!(
        matches!(why, Some(ServerCloseReason::IdleTimeout | ServerCloseReason::ClientReset)),
        "{why:?}"
    );
}

#[test]
fn a_stop_is_the_reason_when_it_ends_a_connection() {
    let mut site =
        limited(ServerLimits { handler: Some(Duration::ZERO), ..ServerLimits::default() });
    let mut client = connect(&site);
    client.send_bytes(&GETS);
    site.until_requests(2);
    site.stop(LIMIT);
    let why = why(&site);
    assert_eq!(why, Some(ServerCloseReason::Stopping), "{why:?}");
}

#[test]
fn a_breach_of_the_rules_is_the_reason_when_it_ends_a_connection() {
    let site = limited(ServerLimits::default());
    let mut client = connect(&site);
    client.send_bytes(&[0; 9]); // DATA on no stream (RFC 9113 section 6.1)
    frame(&client, GOAWAY);
    assert_eq!(why(&site), Some(ServerCloseReason::BadRequest));
}

#[test]
fn a_stream_that_is_given_up_is_no_reason_for_the_end_of_the_connection() {
    let site = limited(ServerLimits { handler: Some(LIMIT), ..ServerLimits::default() });
    let mut client = connect(&site);
    client.send_bytes(&GETS);
    // RST_STREAM for stream 1, CANCEL
    client.send_bytes(&[0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8]);
    frame(&client, HEADERS); // the answer on stream 3
    client.stream().shutdown(std::net::Shutdown::Write).unwrap();
    let _ = client.stream().read_to_end(&mut Vec::new());
    assert_eq!(why(&site), Some(ServerCloseReason::ClientClosed));
}
