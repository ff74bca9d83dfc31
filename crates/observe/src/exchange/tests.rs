use super::*;

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn read(pieces: &[(Side, &[u8], u64)]) -> ExchangeReader {
    let mut reader = ExchangeReader::new();
    for (from, bytes, ms) in pieces {
        reader.take(*from, StreamPiece::Bytes(bytes), at(*ms));
    }
    reader
}

use Side::{Client, Server};

const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: h:80\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

#[test]
fn two_exchanges_on_a_connection_are_told_apart() {
    let reader = read(&[(Client, GET, 1), (Server, OK, 2), (Client, GET, 5), (Server, OK, 7)]);
    assert_eq!(reader.protocol, SpokenProtocol::Http1);
    assert_eq!(reader.exchanges.len(), 2);
    let second = &reader.exchanges[1];
    assert_eq!((second.request.began, second.ended()), (at(5), Some(at(7))));
    assert_eq!(second.request.host.as_deref(), Some("h:80"));
    assert!(second.response.as_ref().unwrap().keeps_connection());
}

#[test]
fn pieces_cut_anywhere_tell_the_same() {
    let put = b"PUT /x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello";
    let whole = read(&[(Client, put, 1)]);
    for cut in 1..put.len() {
        let (one, two) = put.split_at(cut);
        let reader = read(&[(Client, one, 1), (Client, two, 1)]);
        assert_eq!(reader.exchanges, whole.exchanges, "cut at {cut}");
    }
}

#[test]
fn equal_bodies_have_equal_digests_and_others_do_not() {
    let body = |body: &str| {
        let text = format!("POST / HTTP/1.1\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        read(&[(Client, text.as_bytes(), 0)]).exchanges[0].request.body_digest.unwrap()
    };
    assert_eq!(body("hello"), body("hello"));
    assert_ne!(body("hello"), body("hellp"));
}

#[test]
fn close_is_said_by_a_field_or_by_an_old_version() {
    let says = |request: &str, response: &str| {
        let reader = read(&[(Client, request.as_bytes(), 0), (Server, response.as_bytes(), 1)]);
        let exchange = &reader.exchanges[0];
        (exchange.request.says_close, exchange.response.as_ref().unwrap().keeps_connection())
    };
    let old = "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(says("GET / HTTP/1.1\r\nConnection: Close, x\r\n\r\n", old), (true, false));
    assert_eq!(says("GET / HTTP/1.0\r\n\r\n", old), (true, false));
    let kept = "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(says("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", kept), (false, true));
}

#[test]
fn a_body_without_a_length_ends_with_its_connection() {
    let mut reader = read(&[(Client, GET, 0), (Server, b"HTTP/1.1 200 OK\r\n\r\nabc", 1)]);
    assert_eq!(reader.exchanges[0].ended(), None);
    assert!(!reader.exchanges[0].response.as_ref().unwrap().keeps_connection());
    reader.close(Server, at(9));
    assert_eq!(reader.exchanges[0].ended(), Some(at(9)));
}

#[test]
fn an_interim_response_answers_nothing_and_a_head_has_no_body() {
    let head = b"HEAD / HTTP/1.1\r\n\r\n";
    let reader = read(&[
        (Client, head, 0),
        (Server, b"HTTP/1.1 100 Continue\r\n\r\n", 1),
        (Server, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", 2),
    ]);
    assert_eq!(reader.exchanges[0].ended(), Some(at(2)));
    assert_eq!(reader.unasked, 0);
}

#[test]
fn a_response_that_nobody_asked_for_is_counted_as_such() {
    let reader = read(&[(Client, GET, 0), (Server, OK, 1), (Server, OK, 2)]);
    assert_eq!((reader.exchanges.len(), reader.unasked), (1, 1));
}

#[test]
fn behind_a_handover_no_message_is_looked_for() {
    let upgrade = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n\x81\x05hello";
    let reader = read(&[(Client, GET, 0), (Server, upgrade, 1), (Client, b"\x81\x05GET / ", 2)]);
    assert_eq!(reader.exchanges.len(), 1);
    assert!(!reader.is_lost);
}

#[test]
fn bytes_that_nobody_heard_are_passed_over_in_a_body_and_nowhere_else() {
    let mut reader = ExchangeReader::new();
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n";
    reader.take(Client, StreamPiece::Bytes(GET), at(0));
    reader.take(Server, StreamPiece::Bytes(head), at(1));
    reader.take(Server, StreamPiece::Missing(9000), at(2));
    reader.take(Client, StreamPiece::Bytes(GET), at(3));
    reader.take(Server, StreamPiece::Bytes(OK), at(4));
    assert_eq!(reader.exchanges.len(), 2);
    assert!(!reader.is_lost && reader.exchanges[1].ended().is_some());
    reader.take(Server, StreamPiece::Missing(10), at(5));
    assert!(reader.is_lost);
}

#[test]
fn what_is_no_http_is_not_read_as_such() {
    for (opening, spoken) in [
        (&b"\x16\x03\x01\x02\x00"[..], SpokenProtocol::Tls),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", SpokenProtocol::Http2),
        (b"*1\r\n$4\r\nPING\r\n", SpokenProtocol::Other),
        (b"EHLO me\r\n", SpokenProtocol::Other),
        (b"GET / HTTP/1.0\r\n\r\n", SpokenProtocol::Http1),
        (b"G", SpokenProtocol::Nothing),
    ] {
        assert_eq!(read(&[(Client, opening, 0)]).protocol, spoken, "{opening:?}");
    }
}
