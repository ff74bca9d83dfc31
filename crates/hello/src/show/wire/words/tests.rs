use evidence::{ClientAddr, Segment};
use packets::LiveTalk;
use server::AcceptedId;

use super::*;

type Packet = (Side, &'static str, u32, u32, u32);

const OPEN: [Packet; 3] =
    [(Side::Client, "S", 0, 0, 0), (Side::Server, "S.", 0, 1, 0), (Side::Client, ".", 1, 1, 0)];
const CLIENT_FIRST: [Packet; 3] =
    [(Side::Client, "F.", 1, 1, 0), (Side::Server, "F.", 1, 2, 0), (Side::Client, ".", 2, 2, 0)];

fn end(packets: &[Packet], by: ClosedBy) -> WireEnd {
    let mut talk = LiveTalk::default();
    for (from, flags, seq, ack, payload_bytes) in packets {
        let ends = ["127.0.0.1:40000", "127.0.0.1:8080"].map(|end| end.parse().unwrap());
        let [source, destination] = if *from == Side::Client { ends } else { [ends[1], ends[0]] };
        let segment = Segment {
            at: Duration::ZERO,
            source,
            destination,
            seq: *seq,
            ack: *ack,
            flags: (*flags).to_owned().try_into().unwrap(),
            window: 0,
            urgent: 0,
            options: Vec::new(),
            payload_bytes: *payload_bytes,
            tcp_header_bytes: 20,
            ip_header_bytes: 20,
        };
        talk.hear(*from, &segment, 1);
    }
    WireEnd {
        connection: AcceptedId(1),
        client: ClientAddr::new("127.0.0.1:40000".parse().unwrap()),
        talk,
        by,
        last: None,
        dropped: 0,
        is_read: true,
    }
}

fn told(packets: &[Packet], by: ClosedBy) -> String {
    let lines = lines(&end(&[&OPEN[..], packets].concat(), by));
    assert!(lines.iter().all(|line| line.len() <= 54), "{lines:#?}");
    lines.join("\n")
}

#[test]
fn a_close_that_both_witnesses_saw_alike_is_told_once() {
    insta::assert_snapshot!(told(&CLIENT_FIRST, ClosedBy::Client), @r"
    FIN of the client first, as the server saw it
    then FIN of the server
    4 packets in, 2 out; nothing sent again
    ");
}

#[test]
fn a_close_that_the_server_saw_otherwise_is_told_aloud() {
    insta::assert_snapshot!(told(&CLIENT_FIRST, ClosedBy::Server), @r"
    FIN of the client first
    then FIN of the server
    DIFFERS from what the server saw: the server first
    4 packets in, 2 out; nothing sent again
    ");
    insta::assert_snapshot!(told(&CLIENT_FIRST, ClosedBy::Reset), @r"
    FIN of the client first
    then FIN of the server
    DIFFERS from what the server saw: reset by the client
    4 packets in, 2 out; nothing sent again
    ");
    insta::assert_snapshot!(told(&[], ClosedBy::Client), @r"
    neither FIN nor RST was heard
    DIFFERS from what the server saw: the client first
    2 packets in, 1 out; nothing sent again
    ");
}

#[test]
fn a_reset_by_either_end_is_told_and_so_is_what_was_sent_again() {
    let packets = [
        (Side::Client, "P.", 1, 1, 10),
        (Side::Client, "P.", 1, 1, 10),
        (Side::Client, "P.", 21, 1, 10),
        (Side::Client, "P.", 11, 1, 10),
        (Side::Server, "R.", 1, 31, 0),
    ];
    insta::assert_snapshot!(told(&packets, ClosedBy::Server), @r"
    RST of the server first, as the server saw it
    6 packets in, 2 out
    sent again: 1 by the client
    1 in came late: sent again, or overtaken
    ");
    let packets = [(Side::Server, "F.", 1, 1, 0), (Side::Client, "R.", 1, 2, 0)];
    insta::assert_snapshot!(told(&packets, ClosedBy::Server), @r"
    FIN of the server first, as the server saw it
    then RST of the client
    3 packets in, 2 out; nothing sent again
    ");
}

#[test]
fn an_end_that_stays_open_contradicts_nobody() {
    let packets = [(Side::Server, "F.", 1, 1, 0), (Side::Client, ".", 1, 2, 0)];
    insta::assert_snapshot!(told(&packets, ClosedBy::Client), @r"
    FIN of the server first
    no FIN of the client by now
    3 packets in, 2 out; nothing sent again
    ");
}

#[test]
fn packets_that_were_not_all_heard_contradict_nobody() {
    let dropped = WireEnd { dropped: 3, ..end(&CLIENT_FIRST, ClosedBy::Server) };
    insta::assert_snapshot!(lines(&dropped).join("\n"), @r"
    FIN of the client first
    then FIN of the server
    2 packets in, 1 out; nothing sent again
    its beginning was not heard
    3 packets not heard, of any connection
    ");
    let unread = WireEnd { is_read: false, ..end(&[], ClosedBy::Client) };
    insta::assert_snapshot!(lines(&unread).join("\n"), @r"
    none of its packets was heard
    not all was read: this stopped before
    ");
}

#[test]
fn the_object_has_the_same_facts() {
    let object =
        object(&end(&[&OPEN[..], &CLIENT_FIRST].concat(), ClosedBy::Client), Duration::ZERO);
    assert_eq!((&object["first"], &object["first_by"]), (&"fin".into(), &"client".into()));
    assert_eq!(object["agrees_with_server"], true);
    assert_eq!((&object["client_packets"], &object["server_fin"]), (&4.into(), &true.into()));
}
