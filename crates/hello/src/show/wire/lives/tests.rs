use super::*;

const SERVER: &str = "127.0.0.1:8080";
const CLIENT: &str = "127.0.0.1:40000";

fn segment(from: Side, client: &str, flags: &str, seq: u32, ack: u32) -> Segment {
    let ends = [client, SERVER].map(|end| end.parse().unwrap());
    let [source, destination] = if from == Side::Client { ends } else { [ends[1], ends[0]] };
    Segment {
        at: Duration::from_millis(u64::from(seq % 1000)),
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
    }
}

fn lives() -> WireLives {
    WireLives::of(ServerAddr::new(SERVER.parse().unwrap()))
}

fn client(address: &str) -> ClientAddr {
    ClientAddr::new(address.parse().unwrap())
}

/// The client's port dials with this first number; both ends close, the client first.
fn hear_all(lives: &mut WireLives, first: u32) {
    hear(lives, &[(Side::Client, "S", first, 0), (Side::Server, "S.", 7, first + 1)]);
    hear(lives, &[(Side::Client, "F.", first + 1, 8), (Side::Server, "F.", 8, first + 2)]);
    hear(lives, &[(Side::Client, ".", first + 2, 9)]);
}

fn hear(lives: &mut WireLives, packets: &[(Side, &str, u32, u32)]) {
    for (from, flags, seq, ack) in packets {
        lives.packet(&segment(*from, CLIENT, flags, *seq, *ack), 1, 0);
    }
}

fn close(lives: &mut WireLives, number: u64) {
    lives.closed(AcceptedId(number), client(CLIENT), ClosedBy::Client, Instant::now());
    lives.shown(AcceptedId(number));
}

#[test]
fn a_connection_that_is_over_is_told_once_and_nothing_of_it_is_kept() {
    let mut lives = lives();
    lives.accepted(AcceptedId(1), client(CLIENT));
    hear_all(&mut lives, 100);
    assert!(lives.ended(false).is_empty(), "the server has not closed it yet");
    close(&mut lives, 1);
    let ended = lives.ended(false);
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].talk.end(Side::Client).packets, 3);
    assert!(ended[0].is_read, "no further packet was to come");
    assert!(!lives.has_closed() && lives.peers.is_empty());
    hear(&mut lives, &[(Side::Client, ".", 102, 9)]);
    assert!(lives.peers.is_empty(), "what comes later begins nothing");
}

#[test]
fn two_connections_of_one_port_are_told_apart_also_when_packets_are_read_late() {
    let mut lives = lives();
    for number in [1, 2] {
        lives.accepted(AcceptedId(number), client(CLIENT));
        close(&mut lives, number);
    }
    hear_all(&mut lives, 100);
    hear_all(&mut lives, 5000);
    let ended = lives.ended(false);
    let packets: Vec<_> =
        ended.iter().map(|end| (end.connection.0, end.talk.end(Side::Client).packets)).collect();
    assert_eq!(packets, [(1, 3), (2, 3)]);
    assert!(ended.iter().all(|end| end.talk.end(Side::Client).again == 0));
}

#[test]
fn an_end_that_does_not_close_is_waited_for_until_packets_have_been_read_for_a_second() {
    let mut lives = lives();
    lives.accepted(AcceptedId(1), client(CLIENT));
    hear(&mut lives, &[(Side::Client, "S", 1, 0), (Side::Server, "F.", 8, 2)]);
    close(&mut lives, 1);
    lives.drained(Instant::now());
    assert!(lives.ended(false).is_empty());
    lives.drained(Instant::now() + PATIENCE);
    assert_eq!(lives.ended(false).len(), 1);
}

#[test]
fn whoever_hears_nothing_any_more_is_not_waited_for() {
    let mut lives = lives();
    lives.accepted(AcceptedId(1), client(CLIENT));
    lives.deaf();
    close(&mut lives, 1);
    let ended = lives.ended(false);
    assert_eq!((ended.len(), ended[0].is_read), (1, false));
}

#[test]
fn handshakes_that_nobody_accepts_take_bounded_room() {
    let mut lives = lives();
    lives.accepted(AcceptedId(1), client(CLIENT));
    for number in 0..3 * MOST_UNACCEPTED {
        let address =
            format!("10.0.{}.{}:{}", number / 256 % 256, number % 256, 1024 + number / 65_536);
        lives.packet(&segment(Side::Client, &address, "S", 1, 0), 1, 0);
    }
    assert!(lives.peers.len() <= MOST_UNACCEPTED + 1, "{}", lives.peers.len());
    assert!(lives.peers.contains_key(&client(CLIENT)), "an open connection is kept");
}

#[test]
fn packets_of_another_server_with_the_same_port_are_none_of_its_own() {
    let mut lives = lives();
    let mut elsewhere = segment(Side::Client, CLIENT, "S", 1, 0);
    elsewhere.destination = "127.0.0.2:8080".parse().unwrap();
    lives.packet(&elsewhere, 1, 0);
    assert!(lives.peers.is_empty());
}
