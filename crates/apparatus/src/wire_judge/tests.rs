use std::net::SocketAddr;
use std::time::Duration;

use evidence::{
    ClientAddr, Close, CloseReason, ConnectionId, Observed, Passage, PassageFate, Segment,
    ServerAddr, WirePlace,
};

use super::*;

const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 80);

fn client(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn ends(port: u16) -> Ends {
    Ends { client: ClientAddr::new(client(port)), server: ServerAddr::new(SERVER) }
}

fn connection(port: u16, by: ClosedBy) -> Connection {
    let close = Close {
        by,
        why: Observed::Known(CloseReason::TransportClosed),
        at: Duration::ZERO,
        unread: 0,
        idle: Observed::NotObservable,
    };
    Connection {
        id: ConnectionId(u64::from(port)),
        ends: ends(port),
        exchanges: 1,
        close: Some(close),
    }
}

/// Flags, first number, acknowledged number.
type Told = (Side, &'static str, u32, u32);

const OPEN: [Told; 3] =
    [(Side::Client, "S", 0, 0), (Side::Server, "S.", 0, 1), (Side::Client, ".", 1, 1)];
const CLIENT_CLOSES: [Told; 3] =
    [(Side::Client, "F.", 1, 1), (Side::Server, "F.", 1, 2), (Side::Client, ".", 2, 2)];

fn record(of: &[(u16, &[Told])]) -> WireRecord {
    let mut record = WireRecord::of(WirePlace::Loopback);
    for &(port, packets) in of {
        for &(from, flags, seq, ack) in packets {
            let (source, destination) =
                if from == Side::Client { (client(port), SERVER) } else { (SERVER, client(port)) };
            let segment = Segment {
                at: Duration::ZERO,
                source,
                destination,
                seq,
                ack,
                flags: flags.to_owned().try_into().unwrap(),
                window: 0,
                urgent: 0,
                options: Vec::new(),
                payload_bytes: 0,
                tcp_header_bytes: 20,
                ip_header_bytes: 20,
            };
            let number = record.passages.len() as u64 + 1;
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
    }
    record
}

#[test]
fn packets_that_tell_the_same_contradict_nobody() {
    let whole = [&OPEN[..], &CLIENT_CLOSES].concat();
    let wire = record(&[(1, &whole), (2, &whole), (1, &[(Side::Client, "S", 9, 0)])]);
    let connections = [connection(1, ClosedBy::Client), connection(2, ClosedBy::Client)];
    let told = disagreements(&wire, &connections, Some(&[ends(1), ends(2)]));
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_connection_without_a_handshake_is_a_disagreement_unless_packets_were_missed() {
    let mut wire = record(&[(1, &OPEN), (2, &OPEN[..2])]);
    let connections = [connection(1, ClosedBy::Client), connection(2, ClosedBy::Client)];
    let told = disagreements(&wire, &connections, Some(&[ends(1)]));
    assert_eq!(
        told,
        ["connections: the client's trace opened 2, but the packets show the handshake of 1 alone"]
    );
    wire.missed = 1;
    assert!(disagreements(&wire, &connections, None).is_empty());
}

#[test]
fn a_fin_that_had_come_before_the_others_contradicts_who_is_said_to_have_closed_first() {
    let whole = [&OPEN[..], &CLIENT_CLOSES].concat();
    let wire = record(&[(1, &whole), (2, &whole), (3, &whole)]);
    let connections = [
        connection(1, ClosedBy::Server),
        connection(2, ClosedBy::Reset),
        connection(3, ClosedBy::Server),
    ];
    let told = disagreements(&wire, &connections, None);
    assert_eq!(
        told,
        [
            "closes: to the other witnesses 2 connections ended closed first by the server, but \
             the packets show the client's FIN first, and the server's after that had come",
            "closes: to the other witnesses 1 connection ended reset, but the packets show no RST",
        ]
    );
}

#[test]
fn fins_that_cross_contradict_nobody() {
    let crossed = [(Side::Server, "F.", 1, 1), (Side::Client, "F.", 1, 1)];
    let wire = record(&[(1, &[&OPEN[..], &crossed].concat())]);
    for by in [ClosedBy::Client, ClosedBy::Server] {
        assert!(disagreements(&wire, &[connection(1, by)], None).is_empty());
    }
}
