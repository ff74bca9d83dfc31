//! Packets behind any link's header, whole or their beginnings alone: headers that are told were there,
//! and the states of both ends follow each other.
#![no_main]

use std::collections::HashMap;
use std::time::Duration;

use evidence::{HeardAt, STATE_EDGES, TcpStory};
use packets::{LinkLayer, SequenceBase, decode, line};

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let [how, rest @ ..] = input else { return };
    let link = match how % 3 {
        0 => LinkLayer::Raw,
        1 => LinkLayer::Ethernet,
        _ => LinkLayer::LinuxCooked,
    };
    let (mut story, mut states) = (None, HashMap::new());
    for bytes in rest.chunks(120) {
        let wire_len = bytes.len() + usize::from(how / 3);
        let Ok(segment) = decode(Duration::ZERO, link, bytes, wire_len) else { continue };
        let headers = segment.tcp_header_bytes + segment.ip_header_bytes;
        assert!(segment.tcp_header_bytes >= 20 && usize::from(headers) <= bytes.len());
        let text = line(&segment, SequenceBase::default());
        assert!(text.ends_with(&format!("length {}", segment.payload_bytes)));
        let ends = (segment.source, segment.destination);
        let story = story.get_or_insert_with(|| TcpStory::between(ends.0, ends.1));
        for change in story.hear(&segment, HeardAt::Both) {
            assert!(STATE_EDGES.iter().any(|edge| (edge.from, edge.to) == (change.from, change.to)));
            let before = states.insert(change.end, change.to);
            assert!(before.is_none_or(|before| before == change.from));
        }
    }
});
