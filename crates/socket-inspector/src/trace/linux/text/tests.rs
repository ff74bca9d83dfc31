use super::*;
use crate::trace::linux::change::SocketNetwork;
use crate::trace::linux::change::StateChange;
use crate::trace::linux::story::ConnectionStory;

/// Returns what a story comes to on paper, without colours.
fn written(changes: &[StateChange]) -> String {
    let mut story = ConnectionStory::new(&[8080]);
    for change in changes {
        story.change(change.clone());
    }
    let mut bytes = Vec::new();
    for told in story.take() {
        super::told(&told, None, Duration::ZERO, &mut bytes).unwrap();
    }
    plain(&bytes)
}

fn plain(bytes: &[u8]) -> String {
    anstream::adapter::strip_str(std::str::from_utf8(bytes).unwrap()).to_string()
}

fn ms(moment: u64) -> Duration {
    Duration::from_micros(moment * 100)
}

fn client(when: MomentRange, old: TcpState, new: TcpState) -> StateChange {
    let (local, peer) = ("192.168.100.100:40001", "192.168.100.200:8080");
    let [local, peer] = [local, peer].map(|address| address.parse().unwrap());
    let (kernel_address, side, unseen, left) = (None, None, Vec::new(), None);
    StateChange {
        when,
        kernel_address,
        local,
        peer,
        old,
        new,
        side,
        unseen,
        left,
        network: SocketNetwork::default(),
    }
}

#[test]
fn a_connection_is_a_line_for_each_change_and_one_for_its_end() {
    use TcpState::{Closed, Established, FinWait1, FinWait2, SynSent, TimeWait};
    let at = |moment| MomentRange::at(ms(moment));
    let written = written(&[
        client(at(10), Closed, SynSent),
        client(at(11), SynSent, Established),
        client(at(60), Established, FinWait1),
        client(at(61), FinWait1, FinWait2),
        StateChange {
            left: Some(Duration::from_secs(60)),
            ..client(MomentRange::between(ms(80), ms(90)), FinWait2, TimeWait)
        },
    ]);
    insta::assert_snapshot!(written, @r"
       0.001000  #1     client 192.168.100.100:40001  CLOSED → SYN_SENT
       0.001100  #1     client 192.168.100.100:40001  SYN_SENT → ESTABLISHED    0.100 ms
       0.006000  #1     client 192.168.100.100:40001  ESTABLISHED → FIN_WAIT_1  4.90 ms
       0.006100  #1     client 192.168.100.100:40001  FIN_WAIT_1 → FIN_WAIT_2   0.100 ms
        ≤ 0.009  #1     client 192.168.100.100:40001  FIN_WAIT_2 → TIME_WAIT    1.90 to 2.90 ms
    #1   192.168.100.100:40001 → 192.168.100.200:8080
         client closed first after 4.90 ms, over after 6.90 to 7.90 ms, TIME_WAIT 60.00 s
    ");
}

#[test]
fn samples_are_told_as_ranges_with_what_they_must_have_missed() {
    use TcpState::{Closed, Established, FinWait1, SynSent, TimeWait};
    let written = written(&[
        StateChange {
            unseen: vec![SynSent],
            ..client(MomentRange::between(ms(10), ms(30)), Closed, Established)
        },
        StateChange {
            unseen: vec![FinWait1],
            ..client(MomentRange::between(ms(90), ms(110)), Established, TimeWait)
        },
    ]);
    insta::assert_snapshot!(written, @r"
        ≤ 0.003  #1     client 192.168.100.100:40001  CLOSED → ESTABLISHED
                                                      (by SYN_SENT: < 2.00 ms)
        ≤ 0.011  #1     client 192.168.100.100:40001  ESTABLISHED → TIME_WAIT   6.00 to 10.0 ms
                                                      (by FIN_WAIT_1: < 2.00 ms)
    #1   192.168.100.100:40001 → 192.168.100.200:8080
         client closed first after 6.00 to 10.0 ms, TIME_WAIT
    ");
}

#[test]
fn the_witness_is_named_with_what_it_cannot_see() {
    let mut bytes = Vec::new();
    let why = "sock:sock_send_length cannot be enabled (it takes Linux 6.3): No such file";
    for no_bytes in [None, Some(why.to_owned())] {
        witness(&TraceWitness::Tracepoint { no_bytes }, Ok(false), &[8080], &mut bytes).unwrap();
    }
    let instead = Some("tracefs cannot be reached (it takes root): Permission denied".to_owned());
    witness(&TraceWitness::Sampling { instead }, Ok(false), &[], &mut bytes).unwrap();
    lost(17, &mut bytes).unwrap();
    for lost in [Some(17), None] {
        let total = TraceTotal {
            changes: 12,
            connections: 2,
            ended: 1,
            lost,
            lost_transfers: lost,
            packets: None,
        };
        end_of_all(&total, &mut bytes).unwrap();
    }
    insta::assert_snapshot!(plain(&bytes), @r"
    Witness: tracepoint sock:inet_sock_set_state, port 8080
    It tells every change, those of containers too; how TIME_WAIT begins and ends is told by sock_diag,
    of this network namespace alone.
    Bytes are what processes wrote to a socket and read from it.

           TIME  #      END    ADDRESS                CHANGE                    AFTER
    Witness: tracepoint sock:inet_sock_set_state, port 8080
    It tells every change, those of containers too; how TIME_WAIT begins and ends is told by sock_diag,
    of this network namespace alone.
    No bytes: sock:sock_send_length cannot be enabled (it takes Linux 6.3): No such file.

           TIME  #      END    ADDRESS                CHANGE                    AFTER
    Witness: sampling of sock_diag, every port
    No tracepoint: tracefs cannot be reached (it takes root): Permission denied. What is shorter than
    the time between two readings is not seen: times are ranges, bytes are the least that there were,
    and what is in brackets is inferred.

           TIME  #      END    ADDRESS                CHANGE                    AFTER
    17 changes lost before this line: the buffer was full

    12 changes of 2 connections, 1 of them ended; 17 changes lost
    17 records of bytes lost: numbers with ≥ are the least that there were

    12 changes of 2 connections, 1 of them ended, as far as samples show
    ");
}

#[test]
fn no_line_about_a_long_address_is_wider_than_the_terminal() {
    use TcpState::{Closed, SynSent};
    let long = "[2001:db8:1234:5678:9abc:def0:1234:5678]:40001".parse().unwrap();
    let peer = "[2001:db8:1234:5678:9abc:def0:1234:5679]:8080".parse().unwrap();
    let first = client(MomentRange::at(ms(1)), Closed, SynSent);
    let last = client(MomentRange::at(ms(2)), SynSent, Closed);
    let changes = [first, last].map(|change| StateChange { local: long, peer, ..change });
    let written = written(&changes);
    assert!(written.contains("…]:40001"), "{written}");
    assert!(written.lines().all(|line| line.chars().count() <= WIDTH), "{written}");
}

#[test]
fn with_two_witnesses_each_line_says_whose_it_is() {
    use crate::trace::linux::wire_story::WireStory;
    use TcpState::{Established, FinWait1, FinWait2, TimeWait};
    let mut story = ConnectionStory::new(&[8080]);
    let at = |moment| MomentRange::at(ms(moment));
    for change in [
        client(at(10), TcpState::SynSent, Established),
        client(at(60), Established, FinWait1),
        client(MomentRange::between(ms(80), ms(90)), FinWait2, TimeWait),
    ] {
        story.change(change);
    }
    let told = story.take();
    let mut wire = WireStory::default();
    wire.hear(crate::trace::linux::wire_story::closing_of_tests(), 0);
    told.iter().for_each(|event| wire.note(event));
    let mut bytes = Vec::new();
    witness(&TraceWitness::Tracepoint { no_bytes: None }, Ok(true), &[8080], &mut bytes).unwrap();
    let letter = ChangeWitness::Tracepoint;
    for event in &told {
        super::told(event, Some(letter), Duration::ZERO, &mut bytes).unwrap();
    }
    for event in wire.take(Duration::MAX, true) {
        super::wire(&event, letter, Duration::ZERO, &mut bytes).unwrap();
    }
    let packets = Some(crate::trace::linux::witness::PacketTotal { opened: 1, missed: 0 });
    let (lost, lost_transfers) = (Some(0), Some(0));
    let total = TraceTotal { changes: 3, connections: 1, ended: 1, lost, lost_transfers, packets };
    end_of_all(&total, &mut bytes).unwrap();
    let written = plain(&bytes);
    assert!(written.lines().all(|line| line.chars().count() <= WIDTH), "{written}");
    insta::assert_snapshot!(written, @r"
    Witness: tracepoint sock:inet_sock_set_state, and packets, port 8080
    It tells every change, those of containers too; how TIME_WAIT begins and ends is told by sock_diag,
    of this network namespace alone.
    Bytes are what processes wrote to a socket and read from it.
    BY tells who saw it: T the tracepoint, D sock_diag, P the packets of this network namespace.

           TIME  BY #      END    ADDRESS                CHANGE                    AFTER
       0.001000  T  #1     client 192.168.100.100:40001  SYN_SENT → ESTABLISHED    ? a change is missing
       0.006000  T  #1     client 192.168.100.100:40001  ESTABLISHED → FIN_WAIT_1  5.00 ms
        ≤ 0.009  D  #1     client 192.168.100.100:40001  FIN_WAIT_2 → TIME_WAIT    ? a change is missing
    #1   192.168.100.100:40001 → 192.168.100.200:8080  client closed first, age unknown, TIME_WAIT
       0.000040  P  #1     client 192.168.100.100:40001  [F.] sent, the first to end it
       0.000050  P  #1     server 192.168.100.200:8080   [F.] sent
    #1   packets: FIN of the client first, as the tracepoint saw it; then FIN of the server

    3 changes of 1 connection, 1 of them ended; no change was lost
    packets: 1 connection begun; no packet was missed
    ");
}
