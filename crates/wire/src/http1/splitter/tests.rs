use proptest::prelude::*;

use super::*;
use crate::http1::LineKind;

/// A part as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kept {
    Head(u64),
    End(u64, u64),
}

/// Returns what a splitter makes of a stream that comes in pieces of `size` bytes, and the bytes
/// that it has told of.
fn split(
    direction: Direction,
    stream: &[u8],
    size: usize,
    answers: AnsweredMethod,
) -> (Vec<Kept>, Vec<u8>, MessageSplitter) {
    let (mut parts, mut told) = (Vec::new(), Vec::new());
    let mut splitter = MessageSplitter::new(direction);
    let mut keep = |part: MessagePart<'_>| match part {
        MessagePart::Line(line) => told.extend_from_slice(line.bytes),
        MessagePart::Body(bytes) => told.extend_from_slice(bytes),
        MessagePart::Head(facts) => parts.push(Kept::Head(facts.bytes)),
        MessagePart::End(body) => parts.push(Kept::End(body.bytes, body.content_bytes)),
    };
    for piece in stream.chunks(size) {
        splitter.feed(piece, || answers, &mut keep);
    }
    let before_close = splitter.heads_begun();
    splitter.close(&mut keep);
    assert!(splitter.heads_begun() <= before_close);
    (parts, told, splitter)
}

fn requests(stream: &[u8], size: usize) -> Vec<Kept> {
    split(Direction::Requests, stream, size, AnsweredMethod::Other).0
}

fn responses(stream: &[u8], size: usize, answers: AnsweredMethod) -> Vec<Kept> {
    split(Direction::Responses, stream, size, answers).0
}

fn read(text: &str) -> MessageSplitter {
    let mut splitter = MessageSplitter::new(Direction::Requests);
    splitter.feed(text.as_bytes(), AnsweredMethod::default, |_| {});
    splitter
}

const REQUESTS: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\
    POST / HTTP/1.1\r\ncontent-length: 7\r\n\r\nabcdefg\
    \r\nPOST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n\
    5;x=y\r\nabcde\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n\
    GET /last HTTP/1.1\n\n";

#[test]
fn messages_are_told_apart_however_their_bytes_come() {
    let expected = [
        Kept::Head(27),
        Kept::End(0, 0),
        Kept::Head(38),
        Kept::End(7, 7),
        Kept::Head(49),
        Kept::End(46, 15),
        Kept::Head(20),
        Kept::End(0, 0),
    ];
    for size in 1..=REQUESTS.len() {
        assert_eq!(requests(REQUESTS, size), expected, "in pieces of {size}");
    }
}

#[test]
fn a_response_to_head_has_no_body_and_one_without_length_ends_with_the_connection() {
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n";
    assert_eq!(responses(head, 5, AnsweredMethod::Head), [Kept::Head(39), Kept::End(0, 0)]);
    let endless = b"HTTP/1.0 200 OK\r\n\r\nHello world";
    assert_eq!(responses(endless, 5, AnsweredMethod::Other), [Kept::Head(19), Kept::End(11, 11)]);
    for status in [204, 304] {
        let head =
            format!("HTTP/1.1 {status} x\r\n\r\nHTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n");
        let parts = responses(head.as_bytes(), 7, AnsweredMethod::Other);
        assert_eq!(parts.len(), 4, "{parts:?}");
    }
}

#[test]
fn an_interim_response_is_a_head_alone() {
    let stream = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let parts = responses(stream, 3, AnsweredMethod::Other);
    assert_eq!(parts, [Kept::Head(25), Kept::Head(38), Kept::End(2, 2)]);
}

#[test]
fn behind_a_tunnel_or_another_protocol_there_are_no_messages() {
    let connect = b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n";
    let (parts, _, splitter) = split(Direction::Responses, connect, 9, AnsweredMethod::Connect);
    assert_eq!(parts, [Kept::Head(19)]);
    assert!(splitter.is_lost());
    let refused = b"HTTP/1.1 403 x\r\nContent-Length: 2\r\n\r\nno";
    assert_eq!(responses(refused, 9, AnsweredMethod::Connect).len(), 2, "no tunnel");
    let upgrade = b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x05Hello";
    assert_eq!(responses(upgrade, 4, AnsweredMethod::Other).len(), 1);
}

#[test]
fn what_looks_like_a_head_in_a_body_is_none() {
    let inner = "GET / HTTP/1.1\r\n\r\n";
    let post = format!("POST / HTTP/1.1\r\nContent-Length: 18\r\n\r\n{inner}");
    assert_eq!(inner.len(), 18);
    assert_eq!(read(&format!("{post}{post}")).heads_begun(), 2);
    let chunked = format!(
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n12;x=y\r\n{inner}\r\n0\r\nT: 1\r\n\r\n"
    );
    let splitter = read(&format!("{chunked}\r\n{inner}"));
    assert_eq!(splitter.heads_begun(), 2);
    assert!(!splitter.is_within_a_body() && !splitter.is_lost());
}

#[test]
fn half_a_head_has_begun_and_half_an_empty_line_has_not() {
    for (text, begun) in [("", 0), ("\r", 0), ("\r\n", 0), ("\r\nG", 1), ("GET / HTTP/1.1\r\n", 1)]
    {
        assert_eq!(read(text).heads_begun(), begun, "{text:?}");
    }
}

#[test]
fn one_head_alone_is_told_from_whatever_else_may_end_like_it() {
    for (text, is_one) in [
        ("GET / HTTP/1.1\r\nHost: c\r\n\r\n", true),
        ("GET / HTTP/1.1\r\n\r\n", true),
        ("GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n", false),
        ("GET / HTTP/1.1\n\nGET / HTTP/1.1\r\n\r\n", false),
        ("GET / HTTP/1.1\r\ncontent-length: 5\r\n\r\n", false),
        ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false),
        ("\r\n\r\n", false),
    ] {
        assert_eq!(is_one_bodyless_head(text.as_bytes()), is_one, "{text:?}");
    }
    let mut splitter = read("\r");
    assert!(!splitter.skip_bodyless_head(), "something came before it");
}

#[test]
fn two_lengths_for_one_body_are_seen_in_either_order_and_nothing_after_them_is_read() {
    for fields in [
        "Content-Length: 5\r\ntransfer-encoding: chunked",
        "TRANSFER-ENCODING:chunked\r\nX: y\r\ncontent-length:   5",
        "Content-Length: x\r\nTransfer-Encoding: chunked",
    ] {
        let text = format!("GET / HTTP/1.1\r\n\r\nPOST / HTTP/1.1\r\n{fields}\r\n\r\n");
        let splitter = read(&format!("{text}0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"));
        assert_eq!(splitter.fault(), Some((2, RequestFault::TwoLengths)), "{fields}");
        assert_eq!(splitter.heads_begun(), 2, "{fields}");
        assert!(splitter.is_lost() && splitter.is_within_a_body());
    }
}

#[test]
fn what_two_readers_might_frame_in_two_ways_is_not_read_on() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999999",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: x",
    ] {
        let splitter = read(&format!("POST / HTTP/1.1\r\n{fields}\r\n\r\nGET / HTTP/1.1\r\n\r\n"));
        assert!(splitter.is_lost(), "{fields}");
        assert_eq!(splitter.heads_begun(), 1, "{fields}");
    }
    for chunk in ["x\r\n", "-1\r\n", "5\r\nHelloX\r\n", "11111111111111111\r\n", "\r\n"] {
        let text = format!("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
        assert!(read(&text).is_lost(), "{chunk:?}");
    }
}

#[test]
fn a_head_without_an_end_is_given_up() {
    let mut splitter = MessageSplitter::new(Direction::Requests);
    let piece = [b"x: ".as_slice(), &[b'y'; 1021], b"\r\n"].concat();
    for _ in 0..2000 {
        splitter.feed(&piece, AnsweredMethod::default, |_| {});
    }
    assert!(splitter.is_lost(), "2 MiB of fields");
    let mut splitter = MessageSplitter::new(Direction::Requests);
    for _ in 0..2000 {
        splitter.feed(&[b'x'; 1024], AnsweredMethod::default, |_| {});
    }
    assert!(splitter.is_lost(), "2 MiB of a line");
}

#[test]
fn a_field_that_tells_the_end_in_a_way_of_its_own_is_not_believed() {
    for (fields, is_lost) in [
        ("Content-Length: 1\r\n 0", true),
        ("Content-Length:\r\n 5", true),
        ("Content-Length: 5\r\n\t", true),
        ("X: y\r\n Content-Length: 5", true),
        (" Transfer-Encoding: chunked", true),
        ("Transfer-Encoding:\r\n chunked", true),
        ("Content-Length : 5", true),
        ("Transfer-Encoding\t: chunked", true),
        ("Transfer-Encoding: \x0bchunked", true),
        ("Transfer-Encoding: \x0cchunked", true),
        ("Transfer-Encoding: chunked\0", true),
        ("Content-Length: 5\0", true),
        ("Content-Length: 5\r", true),
        ("Content-Length: \u{ff15}", true),
        ("X: y\r\n folded", false),
        ("X: \0", false),
        ("Content-Length:\t0 ", false),
    ] {
        let request = format!("POST / HTTP/1.1\r\n{fields}\r\n\r\n");
        assert_eq!(read(&request).is_lost(), is_lost, "{fields:?}");
        assert!(!is_one_bodyless_head(request.as_bytes()) || !is_lost, "{fields:?}");
    }
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n 0\r\n\r\n0";
    assert_eq!(responses(response, 9, AnsweredMethod::Other), [Kept::Head(42)]);
    assert_eq!(responses(response, 9, AnsweredMethod::Head)[1], Kept::End(0, 0), "no body at all");
}

#[test]
fn chunks_are_of_http_1_1_alone() {
    let chunked = "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for (minor, count) in [(0, 1), (1, 2)] {
        let request = format!("POST / HTTP/1.{minor}\r\n{chunked}");
        assert_eq!(requests(request.as_bytes(), 9).len(), count);
        let response = format!("HTTP/1.{minor} 200 OK\r\n{chunked}");
        assert_eq!(responses(response.as_bytes(), 9, AnsweredMethod::Other).len(), count);
    }
}

#[test]
fn a_chunk_is_framed_by_whole_line_ends_alone() {
    let is_lost = |body: &str| {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        read(&format!("{head}{body}")).is_lost()
    };
    assert!(!is_lost("3 ;x\r\nabc\r\n0\r\nT: 1\r\n\r\n"));
    for body in
        ["3\nabc\r\n", "3;x\ny\r\nabc\r\n", "3\r\nabc\n", "0\r\nT: 1\n\r\n", "0\r\n\n", "3\0\r\n"]
    {
        assert!(is_lost(body), "{body:?}");
    }
}

#[test]
fn a_number_may_have_any_number_of_zeros_before_it() {
    let zeros = "0".repeat(58);
    for body in [
        format!("Content-Length: {zeros}19\r\n\r\nGET / HTTP/1.1\r\n\r\n\n"),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n{zeros}13\r\nGET / HTTP/1.1\r\n\r\n\n\r\n0\r\n\r\n"
        ),
    ] {
        let stream = format!("POST / HTTP/1.1\r\n{body}GET /2 HTTP/1.1\r\n\r\n");
        for size in 1..stream.len() {
            assert_eq!(requests(stream.as_bytes(), size).len(), 4, "{body:?} in pieces of {size}");
        }
    }
}

#[test]
fn a_chunk_that_is_against_the_grammar_is_a_fault_of_its_request() {
    let good = "GET / HTTP/1.1\r\n\r\n";
    for body in [
        "5;\r\n",
        "5; \r\n",
        "5;a=\"\r\n",
        "5;\0\r\n",
        "5;=\r\n",
        "5;a b\r\n",
        "5 \r\n",
        "5\t\r\n",
        " 5\r\n",
        "5;a\rb\r\n",
        "0\r\na: b\n\nGET / HTTP/1.1\nX: \r\n\r\n",
        "0\r\nno field\r\n\r\n",
        "0\r\na b: c\r\n\r\n",
        "0\r\na: \x01\r\n\r\n",
    ] {
        let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let splitter = read(&format!("{good}{head}{body}"));
        assert_eq!(splitter.fault(), Some((2, RequestFault::Framing)), "{body:?}");
    }
    assert_eq!(
        read(&format!("{good}{good}GET #f HTTP/1.1\r\n\r\n")).fault().map(|it| it.0),
        Some(3)
    );
}

/// Where a response ends is what hyper, which reads it, takes for its end.
#[test]
fn a_line_feed_in_a_trailer_of_a_response_is_a_part_of_it() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = "5;\r\nabcde\r\n0 \r\na: b\n\r\nc\n\n: d\r\n\r\n";
    let stream = format!("{head}{body}HTTP/1.1 204 No Content\r\n\r\n");
    for size in 1..stream.len() {
        let parts = responses(stream.as_bytes(), size, AnsweredMethod::Other);
        assert_eq!(parts[1], Kept::End(body.len() as u64, 5), "in pieces of {size}");
        assert_eq!(parts.len(), 4);
    }
}

#[test]
fn what_begins_without_a_status_line_is_no_response() {
    for start in ["220 mail.example ESMTP", "HTTP/2 200", "HTTP/1.1 2000 x", "HTTP/1.1", "\0"] {
        let stream = format!("{start}\r\n\r\nbytes");
        assert_eq!(responses(stream.as_bytes(), 4, AnsweredMethod::Other).len(), 1, "{start}");
    }
    let no_reason = b"HTTP/1.1 204\r\n\r\n";
    assert_eq!(responses(no_reason, 4, AnsweredMethod::Other).len(), 2);
}

#[test]
fn the_longest_line_and_the_longest_head_are_as_long_in_one_piece_as_in_many() {
    const MOST: usize = 1024 * 1024;
    const START: &[u8] = b"GET / HTTP/1.1\r\n";
    let line = |length: usize| [b"X:".as_slice(), &vec![b'y'; length - 4], b"\r\n"].concat();
    for (length, is_read) in [(MOST, true), (MOST + 1, false)] {
        let fields = length - START.len() - 2;
        let one = [START, &line(fields), b"\r\n"].concat();
        let two = [START, &line(fields / 2), &line(fields - fields / 2), b"\r\n"].concat();
        for stream in [one, two] {
            assert_eq!(stream.len(), length);
            for size in [1, 4096, length - 1, length] {
                assert_eq!(!requests(&stream, size).is_empty(), is_read, "{length}, {size}");
            }
        }
    }
    let head = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice();
    let stream = [head, b"3;", &vec![b'x'; MOST], b"\r\nabc"].concat();
    for size in [1, 4096, stream.len()] {
        let (_, told, _) = split(Direction::Requests, &stream, size, AnsweredMethod::Other);
        assert_eq!(told.len(), head.len() + MOST, "in pieces of {size}");
    }
}

/// A message without its first line.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let fixed = prop::collection::vec(any::<u8>(), 0..40).prop_map(|content| {
        [format!("Content-Length: {}\r\n\r\n", content.len()).as_bytes(), &content].concat()
    });
    let chunks = prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..4);
    let chunked = (chunks, "(;[a-z]{1,9}(=[a-z]{1,9})?)?", "(T: [a-z]{0,9}\r\n){0,2}").prop_map(
        |(chunks, extension, trailers)| {
            let mut message = b"Transfer-Encoding: chunked\r\n\r\n".to_vec();
            for chunk in chunks {
                message.extend(format!("{:x}{extension}\r\n", chunk.len()).into_bytes());
                message.extend([chunk.as_slice(), b"\r\n"].concat());
            }
            message.extend(format!("0{extension}\r\n{trailers}\r\n").into_bytes());
            message
        },
    );
    prop_oneof![fixed, chunked]
}

/// Bytes that are likely to mean something.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just(&b"GET / HTTP/1.1\r\n"[..]),
        Just(&b"HTTP/1.1 200 OK\r\n"[..]),
        Just(&b"Content-Length: 3\r\n"[..]),
        Just(&b"Transfer-Encoding: chunked\r\n"[..]),
        Just(&b"\r\n"[..]),
        Just(&b"\n"[..]),
        Just(&b"3\r\nabc\r\n"[..]),
        Just(&b"0\r\n\r\n"[..]),
        Just(&b"\0\xff"[..]),
    ];
    let noise = prop::collection::vec(any::<u8>(), 0..9);
    let pieces = prop_oneof![4 => word.prop_map(<[u8]>::to_vec), 1 => noise];
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn it_does_not_matter_where_the_bytes_are_cut(stream in stream(), size in 1_usize..50) {
        for direction in [Direction::Requests, Direction::Responses] {
            for answers in [AnsweredMethod::Other, AnsweredMethod::Head, AnsweredMethod::Connect] {
                let whole = split(direction, &stream, stream.len().max(1), answers);
                let pieces = split(direction, &stream, size, answers);
                prop_assert_eq!(&whole.0, &pieces.0);
                prop_assert_eq!(&whole.1, &pieces.1);
                prop_assert_eq!(whole.2.fault(), pieces.2.fault());
            }
        }
    }

    #[test]
    fn what_is_told_is_the_beginning_of_the_stream_byte_for_byte(
        stream in stream(), size in 1_usize..50,
    ) {
        for direction in [Direction::Requests, Direction::Responses] {
            let (_, told, _) = split(direction, &stream, size, AnsweredMethod::Other);
            prop_assert!(stream.starts_with(&told));
        }
    }

    #[test]
    fn of_messages_that_make_sense_every_byte_is_told(
        messages in prop::collection::vec(message(), 0..8), size in 1_usize..50,
    ) {
        for direction in [Direction::Requests, Direction::Responses] {
            let start: &[u8] = match direction {
                Direction::Requests => b"POST / HTTP/1.1\r\n",
                Direction::Responses => b"HTTP/1.1 200 OK\r\n",
            };
            let stream: Vec<u8> = messages.iter().flat_map(|rest| [start, rest].concat()).collect();
            let (parts, told, _) = split(direction, &stream, size, AnsweredMethod::Other);
            prop_assert_eq!(parts.len(), 2 * messages.len());
            prop_assert_eq!(told, stream);
        }
    }

    #[test]
    fn the_lines_of_a_head_are_of_the_kinds_that_they_look_like(name in "[A-Za-z-]{1,20}") {
        let head = format!("\r\nGET / HTTP/1.1\r\n{name}: v\r\nno colon\r\n\r\n");
        let mut kinds = Vec::new();
        MessageSplitter::new(Direction::Requests).feed(head.as_bytes(), Default::default, |part| {
            if let MessagePart::Line(line) = part {
                kinds.push(match line.kind {
                    LineKind::Field { name, value } => format!("{}={}",
                        String::from_utf8_lossy(name), String::from_utf8_lossy(value)),
                    other => format!("{other:?}"),
                });
            }
        });
        let field = format!("{name}=v");
        prop_assume!(!["content-length", "transfer-encoding"].contains(&&*name.to_lowercase()));
        prop_assert_eq!(kinds, ["Blank", "Start", &field, "Other", "End"]);
    }
}
