use std::time::Duration;

use evidence::{Observed, PassageFate, TlsBytes};
use proptest::prelude::*;
use wire::tls::hello_example;

use super::*;

const CLIENT: u32 = u32::MAX - 700;
const SERVER: u32 = 7000;

fn segment(from: Side, flags: &str, seq: u32, payload: usize) -> Segment {
    let (client, server) = ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:443".parse().unwrap());
    let (source, destination) =
        if from == Side::Client { (client, server) } else { (server, client) };
    Segment {
        at: Duration::ZERO,
        source,
        destination,
        seq,
        ack: 0,
        flags: flags.to_owned().try_into().unwrap(),
        window: 0,
        urgent: 0,
        options: Vec::new(),
        payload_bytes: payload as u32,
        tcp_header_bytes: 32,
        ip_header_bytes: 20,
    }
}

/// A log in the making.
struct Scene {
    log: TlsLog,
    passages: Vec<Passage>,
    sent: [u32; 2],
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self { log: TlsLog::default(), passages: Vec::new(), sent: [0; 2] };
        scene.packet(Side::Client, "S", CLIENT, &[], 0);
        scene.packet(Side::Server, "S.", SERVER, &[], 0);
        scene
    }

    fn packet(&mut self, from: Side, flags: &str, seq: u32, kept: &[u8], payload: usize) {
        let segment = segment(from, flags, seq, payload);
        self.log.heard(self.passages.len(), from, &segment, kept);
        let (fate, arrived) = (PassageFate::Passed, Observed::NotObservable);
        let number = self.passages.len() as u64 + 1;
        self.passages.push(Passage {
            number,
            from,
            segment,
            begins: None,
            tls: None,
            fate,
            arrived,
        });
    }

    /// The next bytes of an end, in segments of this size, of which so much was kept.
    fn says(mut self, from: Side, bytes: &[u8], size: usize, keep: usize) -> Self {
        let (place, first) = if from == Side::Client { (0, CLIENT) } else { (1, SERVER) };
        for piece in bytes.chunks(size) {
            let seq = first.wrapping_add(1 + self.sent[place]);
            self.packet(from, "P.", seq, &piece[..keep.min(piece.len())], piece.len());
            self.sent[place] += piece.len() as u32;
        }
        self
    }

    fn told(self) -> Vec<Passage> {
        let Self { log, mut passages, .. } = self;
        log.tell(&mut passages);
        passages
    }
}

fn record(kind: u8, body: usize) -> Vec<u8> {
    [&[kind, 3, 3], &(body as u16).to_be_bytes()[..], &vec![7; body]].concat()
}

/// A server's hello that chooses this version and suite.
fn server_hello(version: u16, suite: u16) -> Vec<u8> {
    let [high, low] = version.to_be_bytes();
    let chosen = if version > 0x0303 { vec![0, 6, 0, 43, 0, 2, high, low] } else { vec![] };
    let body = [&[3, 3][..], &[9; 32], &[0], &suite.to_be_bytes(), &[0], &chosen].concat();
    let message = [&[2, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 3, 0, message.len() as u8][..], &message].concat()
}

fn hello() -> Vec<u8> {
    hello_example("example.com", &["h2", "http/1.1"])
}

/// TLS 1.3 with a suite whose `Finished` has 53 bytes: one exchange, a session ticket, a goodbye.
fn tls13(size: usize, keep: usize) -> Vec<Passage> {
    let half = [server_hello(0x0304, 0x1301), record(20, 1), record(23, 700)].concat();
    let request = [record(20, 1), record(23, 53), record(23, 77 + 17)].concat();
    let response = [record(23, 200), record(23, 128 + 17)].concat();
    Scene::new()
        .says(Side::Client, &hello(), size, keep)
        .says(Side::Server, &half, size, keep)
        .says(Side::Client, &request, size, keep)
        .says(Side::Server, &response, size, keep)
        .says(Side::Client, &record(23, 2 + 17), size, keep)
        .told()
}

fn sum(passages: &[Passage], from: Side) -> TlsBytes {
    let told = passages.iter().filter(|it| it.from == from).filter_map(|it| it.tls.as_ref());
    told.fold(TlsBytes::default(), |sum, tls| sum.with(tls.bytes))
}

fn begins(passages: &[Passage]) -> Vec<String> {
    let told = passages.iter().filter_map(|it| it.tls.as_ref());
    let words = |tls: &SegmentTls| {
        tls.begins.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    told.map(words).collect()
}

#[test]
fn what_begins_in_each_segment_of_tls_1_3_is_told_by_its_place() {
    assert_eq!(
        begins(&tls13(1448, 1448)),
        [
            "ClientHello example.com h2,http/1.1",
            "ServerHello TLS 1.3, handshake",
            "handshake, application data",
            "application data",
            "application data",
        ]
    );
}

#[test]
fn the_bytes_of_tls_1_3_are_handshake_what_records_add_and_what_they_carry() {
    let passages = tls13(1448, 1448);
    let hello = hello().len() as u64;
    let expected = TlsBytes { handshake: hello + 6 + 58, records: 44, data: 79, unknown: 0 };
    assert_eq!(sum(&passages, Side::Client), expected);
    let half = server_hello(0x0304, 0x1301).len() as u64 + 6 + 705;
    let expected = TlsBytes { handshake: half, records: 44, data: 183 + 128, unknown: 0 };
    assert_eq!(sum(&passages, Side::Server), expected);
}

#[test]
fn in_tls_1_2_records_say_what_they_are() {
    let half = [server_hello(0x0303, 0xc02b), record(22, 500)].concat();
    let finished = [record(22, 70), record(20, 1), record(22, 40)].concat();
    let passages = Scene::new()
        .says(Side::Client, &hello(), 1448, 1448)
        .says(Side::Server, &half, 1448, 1448)
        .says(Side::Client, &finished, 1448, 1448)
        .says(Side::Server, &[record(20, 1), record(22, 40)].concat(), 1448, 1448)
        .says(Side::Client, &record(23, 77 + 24), 1448, 1448)
        .says(Side::Server, &[record(23, 128 + 24), record(21, 26)].concat(), 1448, 1448)
        .told();
    assert_eq!(
        begins(&passages)[1..],
        [
            "ServerHello TLS 1.2, handshake",
            "handshake",
            "handshake",
            "application data",
            "application data, alert"
        ]
    );
    let client = sum(&passages, Side::Client);
    assert_eq!((client.records, client.data, client.unknown), (29, 77, 0));
    let server = sum(&passages, Side::Server);
    assert_eq!((server.records, server.data, server.unknown), (29 + 31, 128, 0));
}

#[test]
fn what_nobody_can_tell_without_keys_is_told_as_unknown() {
    // A suite whose padding has any length; and a client that shows a certificate of its own.
    for (version, suite, first) in [(0x0303, 0xc013, 53), (0x0304, 0x1301, 900)] {
        let passages = Scene::new()
            .says(Side::Client, &hello(), 1448, 1448)
            .says(Side::Server, &server_hello(version, suite), 1448, 1448)
            .says(Side::Client, &[record(23, first), record(23, 94)].concat(), 1448, 1448)
            .told();
        let client = sum(&passages, Side::Client);
        assert_eq!((client.data, client.records), (0, 10));
        assert_eq!(client.unknown, first as u64 + 94);
    }
}

#[test]
fn a_segment_that_is_sent_again_says_the_same_and_a_new_connection_begins_anew() {
    let mut scene = Scene::new().says(Side::Client, &hello(), 1448, 1448);
    scene.packet(Side::Client, "P.", CLIENT.wrapping_add(1), &hello(), hello().len());
    scene.packet(Side::Client, "S", 5, &[], 0);
    scene.packet(Side::Client, "P.", 6, b"GET / HTTP/1.1\r\n\r\n", 18);
    let passages = scene.told();
    let tls: Vec<_> = passages[2..].iter().map(|it| it.tls.clone()).collect();
    assert!(tls[0].is_some() && tls[0] == tls[1]);
    assert_eq!(tls[2..], [None, None]);
}

proptest! {
    #[test]
    fn it_does_not_matter_how_the_bytes_are_cut_into_segments(size in 1_usize..1500) {
        let (whole, pieces) = (tls13(1448, 1448), tls13(size, size));
        for from in [Side::Client, Side::Server] {
            prop_assert_eq!(sum(&whole, from), sum(&pieces, from));
        }
    }

    #[test]
    fn bytes_that_were_not_kept_are_unknown_or_known_by_their_records(
        size in 1_usize..1500,
        keep in 0_usize..200,
    ) {
        for passage in tls13(size, keep) {
            if let Some(tls) = &passage.tls {
                let TlsBytes { handshake, records, data, unknown } = tls.bytes;
                let all = handshake + records + data + unknown;
                prop_assert_eq!(all, u64::from(passage.segment.payload_bytes));
            }
        }
    }
}
