//! Both directions of a connection, in pieces of any size: what is told is the beginning of what
//! came, byte for byte, and it does not matter where it is cut.
#![no_main]

use wire::http1::{AnsweredMethod, Direction, MessagePart, MessageSplitter};

/// What is told of `stream`, in pieces of `size`, and how many messages ended.
fn told(direction: Direction, stream: &[u8], size: usize, answers: AnsweredMethod) -> (Vec<u8>, u64) {
    let (mut told, mut ended) = (Vec::new(), 0);
    let mut splitter = MessageSplitter::new(direction);
    let mut keep = |part: MessagePart<'_>| match part {
        MessagePart::Line(line) => told.extend_from_slice(line.bytes),
        MessagePart::Body(bytes) => told.extend_from_slice(bytes),
        MessagePart::Head(_) => {}
        MessagePart::End(_) => ended += 1,
    };
    for piece in stream.chunks(size) {
        splitter.feed(piece, || answers, &mut keep);
    }
    splitter.close(&mut keep);
    (told, ended)
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [how, stream @ ..] = input else { return };
    let answers = match how % 3 {
        0 => AnsweredMethod::Other,
        1 => AnsweredMethod::Head,
        _ => AnsweredMethod::Connect,
    };
    let size = usize::from(how / 3) + 1;
    for direction in [Direction::Requests, Direction::Responses] {
        let (whole, ended) = told(direction, stream, stream.len().max(1), answers);
        let (pieces, ended_in_pieces) = told(direction, stream, size, answers);
        assert!(stream.starts_with(&whole));
        assert_eq!(whole, pieces);
        assert_eq!(ended, ended_in_pieces);
    }
    let lines: Vec<u8> = wire::http1::head_lines(stream).flat_map(|line| line.bytes).copied().collect();
    assert_eq!(lines, stream);
    let _ = wire::http1::RequestLine::of(stream);
});
