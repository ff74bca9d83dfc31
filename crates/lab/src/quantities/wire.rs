//! What the packets of a run show, as numbers with names.

use std::collections::HashSet;

use evidence::{
    Conversation, PassageTally, Segment, SegmentFlags, Side, TcpState, TlsBytes, TlsStart,
    WireLife, WireRecord,
};

use crate::formula::Names;

/// The first parts of the names that packets tell: `wire` counts all of them, `packet` has the
/// numbers of single ones.
pub(crate) const WIRE_GROUPS: [&str; 2] = ["wire", "packet"];

/// The quantities of what each end has sent: `wire.client.syn`.
const COUNTS: [(&str, &str); 10] = [
    ("packets", "TCP segments"),
    ("bytes", "bytes of TCP segments, IP headers included"),
    ("syn", "segments with SYN"),
    ("fin", "segments with FIN"),
    ("rst", "segments with RST"),
    ("data", "segments that carry data"),
    ("payload", "bytes of data"),
    ("ack", "segments that acknowledge and do nothing else"),
    ("again", "segments of which all had been sent before"),
    ("lost", "segments that the cable let get lost"),
];

/// The packets of which single numbers are told, of each end, on the connection that began first:
/// `packet.client.fin.seq`. The first with SYN, that is an ACK alone, with data, with FIN, with RST,
/// and the last of all.
const KINDS: [&str; 6] = ["syn", "ack", "data", "fin", "rst", "last"];

/// The numbers of such a packet.
const NUMBERS: [&str; 4] = ["seq", "ack", "bytes", "payload"];

const PACKET_MEANING: &str = "a number of one segment that this end sent on the connection that \
    began first: of the first with syn, data, fin, rst, of the first that is an ack and nothing \
    else, or of the last of all. seq and ack are counted from the SYN of each end; bytes are the \
    whole IP packet, payload its data";

/// The quantities of TLS, of both ends; what was sent again counts once.
const TLS: [(&str, &str); 4] = [
    ("hello", "handshakes of TLS that a client began, by its ClientHello"),
    ("handshake", "bytes of TLS's handshakes, headers of records and all"),
    ("records", "bytes that TLS's records add to what they carry behind the handshake"),
    ("data", "bytes that TLS's records carry behind the handshake"),
];

const STATE_MEANING: &str = "ends that have been in this state, as their packets tell it";

const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// Gives every name some value.
pub(super) fn vocabulary(names: &mut Names) {
    for (what, _) in COUNTS {
        names.set(format!("wire.{what}"), 1.0);
    }
    for (what, _) in TLS {
        names.set(format!("wire.tls.{what}"), 1.0);
    }
    for side in SIDES.map(Side::name) {
        for (what, _) in COUNTS {
            names.set(format!("wire.{side}.{what}"), 1.0);
        }
        for state in TcpState::ALL {
            names.set(format!("wire.{side}.{}", state_name(state)), 1.0);
        }
        for kind in KINDS {
            for number in NUMBERS {
                names.set(format!("packet.{side}.{kind}.{number}"), 1.0);
            }
        }
    }
}

fn state_name(state: TcpState) -> String {
    state.name().to_ascii_lowercase()
}

/// Tells all numbers of `heard`.
pub(super) fn tell(heard: &WireRecord, names: &mut Names) {
    counts(heard, names);
    // Where not every packet is kept one by one, nobody knows what the others did.
    if heard.untold == 0 {
        let all = heard.conversations();
        states(&all, heard, names);
        tls(&all, names);
        if let Some(first) = all.first() {
            SIDES.into_iter().for_each(|side| single(first, side, names));
        }
    }
}

fn counts(heard: &WireRecord, names: &mut Names) {
    let told = |tally: &PassageTally| {
        let PassageTally { packets, bytes, syn, fin, rst, data, payload_bytes, ack, again, lost } =
            *tally;
        [packets, bytes, syn, fin, rst, data, payload_bytes, ack, again, lost]
    };
    let (client, server) = (told(&heard.client), told(&heard.server));
    for (((what, _), client), server) in COUNTS.into_iter().zip(client).zip(server) {
        names.set(format!("wire.client.{what}"), client as f64);
        names.set(format!("wire.server.{what}"), server as f64);
        names.set(format!("wire.{what}"), (client + server) as f64);
    }
}

/// The TLS of all connections.
fn tls(all: &[Conversation<'_>], names: &mut Names) {
    let (mut hellos, mut sum) = (0_u32, TlsBytes::default());
    for conversation in all {
        let mut seen = HashSet::new();
        for passage in &conversation.passages {
            let Some(tls) = &passage.tls else { continue };
            if seen.insert((passage.from, passage.segment.seq)) {
                let is_hello = |start: &TlsStart| matches!(start, TlsStart::ClientHello { .. });
                hellos += u32::from(tls.begins.iter().any(is_hello));
                sum = sum.with(tls.bytes);
            }
        }
    }
    let bytes = [sum.handshake, sum.records, sum.data].map(|bytes| bytes as f64);
    let told = [f64::from(hellos)].into_iter().chain(bytes);
    for ((what, _), value) in TLS.into_iter().zip(told) {
        names.set(format!("wire.tls.{what}"), value);
    }
}

/// How many ends of each side have been in each state.
fn states(all: &[Conversation<'_>], heard: &WireRecord, names: &mut Names) {
    let lives: Vec<WireLife<'_>> = all.iter().map(|one| WireLife::of(one, heard)).collect();
    for side in SIDES {
        for state in TcpState::ALL {
            let ends = lives.iter().filter(|life| life.has_been(side, state)).count();
            names.set(format!("wire.{}.{}", side.name(), state_name(state)), ends as f64);
        }
    }
}

/// The numbers of the single packets that one end has sent.
fn single(conversation: &Conversation<'_>, side: Side, names: &mut Names) {
    let first = |is: fn(&&Segment) -> bool| conversation.sent_by(side).find(is);
    let found = [
        first(|it| it.has(SegmentFlags::SYN)),
        first(|it| {
            it.has(SegmentFlags::ACK) && !it.has(SegmentFlags::RST) && it.sequence_len() == 0
        }),
        first(|it| it.payload_bytes > 0),
        first(|it| it.has(SegmentFlags::FIN)),
        first(|it| it.has(SegmentFlags::RST)),
        conversation.sent_by(side).last(),
    ];
    let [own, other] = [side, side.opposite()].map(|side| origin(conversation, side));
    for (kind, segment) in KINDS.into_iter().zip(found) {
        let Some(segment) = segment else { continue };
        let acknowledges = segment.has(SegmentFlags::ACK);
        let told = [
            own.map(|own| segment.seq.wrapping_sub(own)),
            other.filter(|_| acknowledges).map(|other| segment.ack.wrapping_sub(other)),
            Some(segment.ip_bytes()),
            Some(segment.payload_bytes),
        ];
        for (number, value) in NUMBERS.into_iter().zip(told) {
            if let Some(value) = value {
                names.set(format!("packet.{}.{kind}.{number}", side.name()), f64::from(value));
            }
        }
    }
}

/// The number of an end's first SYN; `None` if it was not heard.
fn origin(conversation: &Conversation<'_>, side: Side) -> Option<u32> {
    conversation.sent_by(side).find(|it| it.has(SegmentFlags::SYN)).map(|it| it.seq)
}

/// Returns what a name of one of [`WIRE_GROUPS`] means, under the name that many of a kind share.
pub(super) fn meaning(name: &str) -> Option<(&str, String)> {
    let counted = |word: &str| COUNTS.iter().find(|(it, _)| *it == word).map(|(_, what)| *what);
    Some(match *name.split('.').collect::<Vec<_>>() {
        ["packet", ..] => ("packet.END.WHICH.NUMBER", PACKET_MEANING.to_owned()),
        ["wire", "tls", what] => {
            let (_, what) = TLS.iter().find(|(it, _)| *it == what)?;
            (name, format!("{what}, as they were heard"))
        }
        ["wire", side, what] => match counted(what) {
            Some(what) => (name, format!("{what}, as they were heard from the {side}'s end")),
            None => ("wire.END.STATE", STATE_MEANING.to_owned()),
        },
        ["wire", what] => (name, format!("{}, as they were heard from either end", counted(what)?)),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use evidence::{Observed, Passage, PassageFate, WirePlace};

    use super::*;

    /// Who, flags, first number, acknowledged number, bytes of data.
    type Told = (Side, &'static str, u32, u32, u32);

    use Side::{Client, Server};

    /// A request of 40 bytes and a response of 128; the client closes first.
    const WHOLE: [Told; 10] = [
        (Client, "S", 0, 0, 0),
        (Server, "S.", 0, 1, 0),
        (Client, ".", 1, 1, 0),
        (Client, "P.", 1, 1, 40),
        (Server, ".", 1, 41, 0),
        (Server, "P.", 1, 41, 128),
        (Client, ".", 41, 129, 0),
        (Client, "F.", 41, 129, 0),
        (Server, "F.", 129, 42, 0),
        (Client, ".", 42, 130, 0),
    ];

    fn told(packets: &[Told]) -> Names {
        let mut record = WireRecord::of(WirePlace::Loopback);
        // Sequence numbers come round.
        let (starts, ends) = ([u32::MAX - 7, 5], ["127.0.0.1:40000", "127.0.0.1:8080"]);
        for (number, &(from, flags, seq, ack, payload_bytes)) in (1..).zip(packets) {
            let (own, other) = if from == Client { (0, 1) } else { (1, 0) };
            let segment = Segment {
                at: Duration::from_micros(number),
                source: ends[own].parse().unwrap(),
                destination: ends[other].parse().unwrap(),
                seq: starts[own].wrapping_add(seq),
                ack: starts[other].wrapping_add(ack),
                flags: flags.to_owned().try_into().unwrap(),
                window: 0,
                urgent: 0,
                options: Vec::new(),
                payload_bytes,
                tcp_header_bytes: 32,
                ip_header_bytes: 20,
            };
            let (fate, arrived) = (PassageFate::Passed, Observed::NotObservable);
            record.passages.push(Passage {
                number,
                from,
                segment,
                begins: None,
                tls: None,
                fate,
                arrived,
            });
        }
        let mut names = Names::default();
        tell(&record, &mut names);
        names
    }

    fn value(names: &Names, name: &str) -> Option<f64> {
        names.iter().find(|(it, _)| *it == name).map(|(_, value)| value)
    }

    #[test]
    fn single_packets_tell_their_numbers_counted_from_the_syn_of_each_end() {
        let names = told(&WHOLE);
        for (name, expected) in [
            ("packet.client.syn.seq", 0.0),
            ("packet.server.syn.ack", 1.0),
            ("packet.client.ack.ack", 1.0),
            ("packet.client.data.seq", 1.0),
            ("packet.client.data.bytes", 92.0),
            ("packet.server.data.ack", 41.0),
            ("packet.server.data.payload", 128.0),
            ("packet.client.fin.seq", 41.0),
            ("packet.server.fin.ack", 42.0),
            ("packet.client.last.ack", 130.0),
        ] {
            assert_eq!(value(&names, name), Some(expected), "{name}");
        }
        for unseen in ["packet.client.syn.ack", "packet.server.rst.seq"] {
            assert_eq!(value(&names, unseen), None, "{unseen}");
        }
    }

    #[test]
    fn states_are_counted_by_the_ends_that_went_through_them() {
        let names = told(&WHOLE);
        for (state, client, server) in [
            ("established", 1.0, 1.0),
            ("fin_wait_1", 1.0, 0.0),
            ("fin_wait_2", 1.0, 0.0),
            ("time_wait", 1.0, 0.0),
            ("close_wait", 0.0, 1.0),
            ("last_ack", 0.0, 1.0),
            ("closing", 0.0, 0.0),
        ] {
            assert_eq!(value(&names, &format!("wire.client.{state}")), Some(client), "{state}");
            assert_eq!(value(&names, &format!("wire.server.{state}")), Some(server), "{state}");
        }
    }

    #[test]
    fn every_name_that_packets_tell_has_a_meaning() {
        let mut names = Names::default();
        vocabulary(&mut names);
        for name in names.names() {
            assert!(meaning(name).is_some(), "{name}");
        }
        for (name, shared) in [
            ("wire.syn", "wire.syn"),
            ("wire.client.closing", "wire.END.STATE"),
            ("packet.server.fin.ack", "packet.END.WHICH.NUMBER"),
        ] {
            assert_eq!(meaning(name).map(|(shared, _)| shared), Some(shared));
        }
    }
}
