//! A packet behind any link's header, whole or its beginning alone: headers that are told were there.
#![no_main]

use std::time::Duration;

use packets::{LinkLayer, SequenceBase, decode, line};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [how, bytes @ ..] = input else { return };
    let link = match how % 3 {
        0 => LinkLayer::Raw,
        1 => LinkLayer::Ethernet,
        _ => LinkLayer::LinuxCooked,
    };
    let wire_len = bytes.len() + usize::from(how / 3);
    let Ok(segment) = decode(Duration::ZERO, link, bytes, wire_len) else { return };
    let headers = segment.tcp_header_bytes + segment.ip_header_bytes;
    assert!(segment.tcp_header_bytes >= 20 && usize::from(headers) <= bytes.len());
    assert!(line(&segment, SequenceBase::default()).ends_with(&format!("length {}", segment.payload_bytes)));
});
