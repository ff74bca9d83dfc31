use super::*;
use crate::trace::linux::change::{SocketNetwork, StateChange};
use crate::trace::linux::story::ConnectionStory;
use evidence::TcpState;

const CLIENT: &str = "192.168.100.100:40001";
const SERVER: &str = "192.168.100.200:8080";

type Told = (Side, &'static str, u32, u32);

/// A handshake, and a close by the client, in tenths of a millisecond.
const CLOSING: [Told; 6] = [
    (Side::Client, "S", 0, 0),
    (Side::Server, "S.", 0, 1),
    (Side::Client, ".", 1, 1),
    (Side::Client, "F.", 1, 1),
    (Side::Server, "F.", 1, 2),
    (Side::Client, ".", 2, 2),
];

pub(crate) fn closing() -> Vec<WirePacket> {
    packets(&CLOSING, 0)
}

fn packets(told: &[Told], first: u32) -> Vec<WirePacket> {
    let packet = |(number, (from, flags, seq, ack)): (u32, &Told)| {
        let ends = [CLIENT, SERVER].map(|end| end.parse().unwrap());
        let [source, destination] = if *from == Side::Client { ends } else { [ends[1], ends[0]] };
        let at = Duration::from_micros(u64::from(first + number * 10));
        let segment = Segment {
            at,
            source,
            destination,
            seq: first + seq,
            ack: first + ack,
            flags: (*flags).to_owned().try_into().unwrap(),
            window: 0,
            urgent: 0,
            options: Vec::new(),
            payload_bytes: 0,
            tcp_header_bytes: 20,
            ip_header_bytes: 20,
        };
        WirePacket { at, segment, interface: 1 }
    };
    (1..).zip(told).map(packet).collect()
}

fn change(old: TcpState, new: TcpState) -> StateChange {
    let (kernel_address, side, unseen, left) = (None, None, Vec::new(), None);
    StateChange {
        when: MomentRange::at(Duration::ZERO),
        kernel_address,
        local: CLIENT.parse().unwrap(),
        peer: SERVER.parse().unwrap(),
        old,
        new,
        side,
        unseen,
        left,
        network: SocketNetwork::default(),
    }
}

/// The other witness: the client closes first, or the server.
fn events(client_first: bool) -> Vec<StoryEvent> {
    use TcpState::{
        CloseWait, Closed, Established, FinWait1, FinWait2, LastAck, SynSent, TimeWait,
    };
    let states = match client_first {
        true => [SynSent, Established, FinWait1, FinWait2, TimeWait],
        false => [SynSent, Established, CloseWait, LastAck, Closed],
    };
    let mut story = ConnectionStory::new(&[8080]);
    let mut old = Closed;
    for new in states {
        story.change(change(old, new));
        old = new;
    }
    story.take()
}

fn summaries(told: Vec<WireEvent>) -> Vec<WireSummary> {
    let summary = |event| match event {
        WireEvent::Ended(summary) => Some(*summary),
        WireEvent::Packet(_) => None,
    };
    told.into_iter().filter_map(summary).collect()
}

fn all(wire: &mut WireStory) -> Vec<WireEvent> {
    wire.take(Duration::MAX, true)
}

#[test]
fn the_first_fin_is_told_as_such_and_the_end_is_held_against_the_other_witness() {
    for (client_first, agrees) in [(true, Some(true)), (false, Some(false))] {
        let mut wire = WireStory::default();
        wire.hear(closing(), 0);
        events(client_first).iter().for_each(|event| wire.note(event));
        let told = all(&mut wire);
        let lines: Vec<_> = told
            .iter()
            .filter_map(|event| match event {
                WireEvent::Packet(it) => {
                    Some((it.connection, it.side, it.flags.to_string(), it.first))
                }
                WireEvent::Ended(_) => None,
            })
            .collect();
        let (client, server) = (Some(Side::Client), Some(Side::Server));
        assert_eq!(
            lines,
            [(Some(1), client, "F.".into(), true), (Some(1), server, "F.".into(), false)]
        );
        let ended = summaries(told);
        assert_eq!(ended.len(), 1);
        assert_eq!((ended[0].connection, ended[0].agrees), (Some(1), agrees));
        assert!(wire.lives.is_empty() && wire.over.is_empty());
    }
}

#[test]
fn packets_that_were_not_all_heard_contradict_nobody() {
    let mut wire = WireStory::default();
    wire.hear(packets(&CLOSING[..1], 0), 0);
    wire.take(Duration::MAX, false);
    wire.hear(packets(&CLOSING[1..], 0), 3);
    events(false).iter().for_each(|event| wire.note(event));
    assert_eq!(summaries(all(&mut wire))[0].agrees, None);
}

#[test]
fn a_connection_that_no_other_witness_saw_is_told_without_a_number() {
    let mut wire = WireStory::default();
    wire.hear(closing(), 0);
    let told = summaries(all(&mut wire));
    assert_eq!((told[0].connection, told[0].agrees), (None, None));
    assert_eq!((told[0].client, wire.opened()), (CLIENT.parse().unwrap(), 1));
}

#[test]
fn ports_that_are_in_use_again_are_another_connection() {
    let mut wire = WireStory::default();
    wire.hear(packets(&CLOSING, 0), 0);
    wire.hear(packets(&CLOSING, 5000), 0);
    assert_eq!(summaries(all(&mut wire)).len(), 2);
    assert_eq!(wire.opened(), 2);
    // What is said once more after the end begins nothing.
    wire.hear(packets(&CLOSING[4..], 5000), 0);
    assert!(all(&mut wire).is_empty());
}

#[test]
fn what_is_in_another_network_is_never_taken_for_what_is_heard_here() {
    let mut story = ConnectionStory::new(&[8080]);
    let network = SocketNetwork { number: 1, thread: None, elsewhere: Some(true) };
    let change = change(TcpState::Closed, TcpState::SynSent);
    story.change(StateChange { network, ..change });
    let mut wire = WireStory::default();
    story.take().iter().for_each(|event| wire.note(event));
    assert!(wire.lives.is_empty());
}
