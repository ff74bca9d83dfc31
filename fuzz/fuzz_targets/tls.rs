//! One direction of TLS, in pieces of any size and with bytes that nobody saw: it does not matter where
//! it is cut, and records follow each other.
#![no_main]

use wire::tls::{RecordSplitter, TlsPart};

/// What is told of `stream`, in pieces of `size`.
fn told(stream: &[u8], size: usize) -> Vec<TlsPart> {
    let (mut told, mut splitter) = (Vec::new(), RecordSplitter::default());
    for piece in stream.chunks(size) {
        splitter.feed(piece, |part| told.push(part));
    }
    told
}

/// The same, when nobody saw every third piece.
fn told_with_gaps(stream: &[u8], size: usize) -> Vec<TlsPart> {
    let (mut told, mut splitter) = (Vec::new(), RecordSplitter::default());
    for (number, piece) in stream.chunks(size).enumerate() {
        match number % 3 {
            2 => splitter.skip(piece.len() as u64),
            _ => splitter.feed(piece, |part| told.push(part)),
        }
    }
    told
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [how, stream @ ..] = input else { return };
    let size = usize::from(*how) + 1;
    let whole = told(stream, stream.len().max(1));
    assert_eq!(told(stream, size), whole);
    let mut next = 0;
    for part in &whole {
        match part {
            TlsPart::Record(record) => {
                assert_eq!(record.at, next);
                next = record.end();
            }
            TlsPart::ClientHello { at, .. } | TlsPart::ServerHello { at, .. } => assert!(*at < next),
        }
    }
    // A gap hides, and makes up nothing.
    assert!(told_with_gaps(stream, size).iter().all(|part| whole.contains(part)));
    let _ = wire::tls::client_random(stream);
});
