use proptest::prelude::*;

use super::*;
use crate::TcpState::{
    CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived,
    SynSent, TimeWait,
};

const CLIENT: &str = "10.0.0.1:40000";
const SERVER: &str = "10.0.0.2:80";
/// The numbers of their SYNs. The server's go round soon.
const C: u32 = 1000;
const S: u32 = u32::MAX - 1;

fn client() -> SocketAddr {
    CLIENT.parse().unwrap()
}

fn server() -> SocketAddr {
    SERVER.parse().unwrap()
}

fn segment(from_client: bool, letters: &str, seq: u32, ack: u32, payload: u32) -> Segment {
    let (source, destination) =
        if from_client { (client(), server()) } else { (server(), client()) };
    Segment {
        at: Duration::ZERO,
        source,
        destination,
        seq,
        ack,
        flags: SegmentFlags::try_from(letters.to_owned()).unwrap(),
        window: 512,
        urgent: 0,
        options: Vec::new(),
        payload_bytes: payload,
        tcp_header_bytes: 20,
        ip_header_bytes: 20,
    }
}

/// A segment of the client's; its numbers count from both SYNs.
fn c(letters: &str, seq: u32, ack: u32) -> Segment {
    segment(true, letters, C.wrapping_add(seq), S.wrapping_add(ack), 0)
}

/// A segment of the server's.
fn s(letters: &str, seq: u32, ack: u32) -> Segment {
    segment(false, letters, S.wrapping_add(seq), C.wrapping_add(ack), 0)
}

struct Told {
    story: TcpStory,
    changes: Vec<StateChange>,
}

impl Told {
    /// A connection that is open.
    fn open() -> Self {
        let mut told = Self { story: TcpStory::between(client(), server()), changes: Vec::new() };
        told.hear(&[c("S", 0, 0), s("S.", 0, 1), c(".", 1, 1)]);
        assert_eq!(told.states(), (Some(Established), Some(Established)));
        told.changes.clear();
        told
    }

    fn hear<const N: usize>(&mut self, segments: &[Segment; N]) -> &mut Self {
        self.hear_at(HeardAt::Both, segments)
    }

    fn hear_at<const N: usize>(&mut self, at: HeardAt, segments: &[Segment; N]) -> &mut Self {
        segments.iter().for_each(|one| self.changes.extend(self.story.hear(one, at)));
        self
    }

    fn states(&self) -> (Option<TcpState>, Option<TcpState>) {
        (self.story.state(client()), self.story.state(server()))
    }

    /// The states that an end has been in, the first included.
    fn path(&self, end: SocketAddr) -> Vec<TcpState> {
        let changes: Vec<_> = self.changes.iter().filter(|change| change.end == end).collect();
        let first = changes.first().map(|change| change.from);
        first.into_iter().chain(changes.iter().map(|change| change.to)).collect()
    }
}

#[test]
fn a_handshake_takes_the_client_from_closed_and_the_server_from_listen() {
    let mut story = TcpStory::between(client(), server());
    let changes = story.hear(&c("S", 0, 0), HeardAt::Both);
    assert_eq!(changes.len(), 1, "no packet has told yet that the server listens");
    let mut told = Told { story, changes };
    told.hear(&[s("S.", 0, 1), c(".", 1, 1)]);
    assert_eq!(told.path(client()), [Closed, SynSent, Established]);
    assert_eq!(told.path(server()), [Listen, SynReceived, Established]);
}

#[test]
fn the_end_that_closes_first_goes_through_fin_wait_into_time_wait() {
    let mut told = Told::open();
    told.hear(&[c("F.", 1, 1), s(".", 1, 2)]);
    assert_eq!(told.states(), (Some(FinWait2), Some(CloseWait)));
    told.hear(&[s("F.", 1, 2), c(".", 2, 2)]);
    assert_eq!(told.path(client()), [Established, FinWait1, FinWait2, TimeWait]);
    assert_eq!(told.path(server()), [Established, CloseWait, LastAck, Closed]);
    let untold = told.story.untold();
    assert!(untold.contains(&(client(), Untold::TimeWaitEnd)), "{untold:?}");
    assert!(untold.contains(&(server(), Untold::WhoClosed)), "{untold:?}");
}

#[test]
fn a_fin_that_acknowledges_the_other_s_fin_ends_it_in_three_segments() {
    let mut told = Told::open();
    told.hear(&[s("F.", 1, 1), c("F.", 1, 2), s(".", 2, 2)]);
    assert_eq!(told.path(server()), [Established, FinWait1, FinWait2, TimeWait]);
    assert_eq!(told.path(client()), [Established, CloseWait, LastAck, Closed]);
}

#[test]
fn two_fins_that_cross_take_both_ends_through_closing() {
    let mut told = Told::open();
    told.hear(&[c("F.", 1, 1), s("F.", 1, 1), c(".", 2, 2), s(".", 2, 2)]);
    let both = [Established, FinWait1, Closing, TimeWait];
    assert_eq!(told.path(client()), both);
    assert_eq!(told.path(server()), both);
}

#[test]
fn two_ends_that_dial_each_other_are_one_connection() {
    let mut told = Told { story: TcpStory::between(client(), server()), changes: Vec::new() };
    told.hear(&[c("S", 0, 0), s("S", 0, 0), c("S.", 0, 1), s("S.", 0, 1)]);
    let both = [Closed, SynSent, SynReceived, Established];
    assert_eq!(told.path(client()), both);
    // The client's SYN,ACK has come before the server sent its own.
    assert_eq!(told.path(server())[..3], both[..3]);
    told.hear(&[c(".", 1, 1)]);
    assert_eq!(told.path(server()), both);
}

#[test]
fn a_socket_that_is_connected_to_itself_is_both_ends() {
    let mut story = TcpStory::between(client(), client());
    let mut path = vec![Closed];
    let own = |letters: &str, seq: u32, ack: u32| Segment {
        destination: client(),
        ..segment(true, letters, C.wrapping_add(seq), C.wrapping_add(ack), 0)
    };
    for one in [own("S", 0, 0), own("S.", 0, 1), own(".", 1, 1), own("F.", 1, 1), own(".", 2, 2)] {
        path.extend(story.hear(&one, HeardAt::Both).iter().map(|change| change.to));
    }
    assert_eq!(path, [Closed, SynSent, SynReceived, Established, FinWait1, Closing, TimeWait]);
}

#[test]
fn nobody_listens_where_a_syn_is_answered_by_a_reset() {
    let mut told = Told { story: TcpStory::between(client(), server()), changes: Vec::new() };
    let refusal = segment(false, "R.", 0, C + 1, 0);
    told.hear(&[c("S", 0, 0), refusal]);
    assert_eq!(told.path(client()), [Closed, SynSent, Closed]);
    assert_eq!(told.story.state(server()), None);
}

#[test]
fn a_reset_ends_every_state_of_both_ends() {
    let paths: [&[Segment]; 5] = [
        &[],
        &[c("F.", 1, 1)],
        &[c("F.", 1, 1), s(".", 1, 2)],
        &[c("F.", 1, 1), s("F.", 1, 1)],
        &[c("F.", 1, 1), s(".", 1, 2), s("F.", 1, 2)],
    ];
    for path in paths {
        for reset_by_server in [true, false] {
            let mut told = Told::open();
            path.iter().for_each(|one| drop(told.story.hear(one, HeardAt::Both)));
            let [client_next, server_next] = told.story.ends.clone().map(|end| end_of(&end));
            let reset = if reset_by_server {
                segment(false, "R", server_next, 0, 0)
            } else {
                segment(true, "R", client_next, 0, 0)
            };
            // What was sent is to have come, or the reset does not fit.
            let settled = segment(reset_by_server, ".", client_next, server_next, 0);
            told.story.hear(&settled, HeardAt::Both);
            told.story.hear(&reset, HeardAt::Both);
            assert_eq!(told.states(), (Some(Closed), Some(Closed)), "{path:?} {reset:?}");
        }
    }
}

/// The number behind the last that an end has sent.
fn end_of(end: &StoryEnd) -> u32 {
    end.next_number()
}

#[test]
fn a_reset_with_a_number_that_is_not_expected_changes_only_its_sender() {
    let mut told = Told::open();
    told.hear(&[c("R", 500, 0)]);
    assert_eq!(told.states(), (Some(Closed), Some(Established)));
    told.hear(&[s(".", 1, 1), c("R", 1, 0)]);
    assert_eq!(told.states(), (Some(Closed), Some(Closed)), "the challenge is answered");
}

#[test]
fn a_reset_before_the_handshake_is_over_takes_the_server_back_to_listen() {
    let mut told = Told { story: TcpStory::between(client(), server()), changes: Vec::new() };
    told.hear(&[c("S", 0, 0), s("S.", 0, 1), c("R", 1, 0)]);
    assert_eq!(told.path(server()), [Listen, SynReceived, Listen]);
    assert_eq!(told.path(client()), [Closed, SynSent], "what it was to answer, nobody heard");
}

#[test]
fn what_is_sent_again_changes_nothing() {
    let mut told = Told::open();
    told.hear(&[c("S", 0, 0), s("S.", 0, 1), c(".", 1, 1)]);
    assert_eq!(told.changes, []);
    assert!(told.story.untold().contains(&(server(), Untold::HandshakeAgain)));
    told.hear(&[segment(false, "P.", S.wrapping_add(1), C + 1, 3)]);
    assert!(!told.story.untold().contains(&(server(), Untold::HandshakeAgain)), "it has gone on");
    told.hear(&[c("F.", 1, 4), c("F.", 1, 4), s(".", 4, 2), s(".", 4, 2)]);
    assert_eq!(told.path(client()), [Established, FinWait1, FinWait2]);
    told.hear(&[s("F.", 4, 2), s("F.", 4, 2), c(".", 2, 5), s("F.", 4, 2), c(".", 2, 5)]);
    assert_eq!(told.path(client()), [Established, FinWait1, FinWait2, TimeWait]);
    assert_eq!(told.path(server()), [Established, CloseWait, LastAck, Closed]);
}

#[test]
fn a_fin_behind_a_gap_counts_when_the_gap_is_filled() {
    let mut told = Told::open();
    // Five bytes are lost on their way; the FIN behind them comes.
    told.hear_at(HeardAt::Sender, &[segment(true, "P.", C + 1, S.wrapping_add(1), 5)]);
    told.hear(&[c("F.", 6, 1), s(".", 1, 1)]);
    assert_eq!(told.states(), (Some(FinWait1), Some(Established)));
    told.hear(&[segment(true, "P.", C + 1, S.wrapping_add(1), 5), s(".", 1, 7)]);
    assert_eq!(told.states(), (Some(FinWait2), Some(CloseWait)));
}

#[test]
fn one_end_may_stay_half_closed_and_the_other_go_on_sending() {
    let mut told = Told::open();
    told.hear(&[c("F.", 1, 1), s(".", 1, 2)]);
    let data = |seq| segment(false, "P.", S.wrapping_add(seq), C + 2, 10);
    told.hear(&[data(1), c(".", 2, 11), data(11), c(".", 2, 21)]);
    assert_eq!(told.states(), (Some(FinWait2), Some(CloseWait)));
    assert!(told.story.untold().contains(&(client(), Untold::FinWait2End)));
}

#[test]
fn an_ack_that_was_not_heard_arriving_changes_nothing_at_its_end() {
    let mut told = Told::open();
    told.hear(&[c("F.", 1, 1), s(".", 1, 2), s("F.", 1, 2)]);
    told.hear_at(HeardAt::Sender, &[c(".", 2, 2)]);
    assert_eq!(told.states(), (Some(TimeWait), Some(LastAck)), "the last ACK is under way");
    told.hear_at(HeardAt::Sender, &[s("F.", 1, 2)]);
    told.hear_at(HeardAt::Sender, &[c(".", 2, 2)]);
    told.hear_at(HeardAt::Receiver, &[c(".", 2, 2)]);
    assert_eq!(told.states(), (Some(TimeWait), Some(Closed)));
}

#[test]
fn what_is_heard_only_where_it_arrives_tells_of_its_sender_too() {
    let mut told = Told { story: TcpStory::between(client(), server()), changes: Vec::new() };
    told.hear_at(HeardAt::Receiver, &[c("S", 0, 0)]);
    told.hear_at(HeardAt::Sender, &[s("S.", 0, 1)]);
    told.hear_at(HeardAt::Receiver, &[c(".", 1, 1)]);
    assert_eq!(told.states(), (Some(Established), Some(Established)));
}

#[test]
fn a_second_connection_between_the_same_addresses_ends_time_wait_unseen() {
    let mut told = Told::open();
    told.hear(&[s("F.", 1, 1), c(".", 1, 2), c("F.", 1, 2), s(".", 2, 2)]);
    assert_eq!(told.states(), (Some(Closed), Some(TimeWait)));
    told.changes.clear();
    let later = 1 << 24;
    told.hear(&[c("S", later, 0), s("S.", later, later + 1), c(".", later + 1, later + 1)]);
    assert_eq!(told.path(client()), [Closed, SynSent, Established]);
    assert_eq!(told.path(server()), [TimeWait, Closed, Listen, SynReceived, Established]);
    assert_eq!(told.changes[1].cause, ChangeCause::Unseen);
    // An old duplicate of the first connection's FIN comes late.
    told.changes.clear();
    told.hear(&[c("F.", 1, 2), c("S", 0, 0)]);
    assert_eq!(told.changes, []);
}

#[test]
fn of_a_connection_met_midway_no_state_is_made_up() {
    let mut story = TcpStory::between(client(), server());
    for one in [c("P.", 100, 50), s(".", 50, 101), c("F.", 101, 50), s("F.", 50, 102)] {
        assert_eq!(story.hear(&one, HeardAt::Both), []);
    }
    assert_eq!(story.state(client()), None);
    assert!(story.untold().contains(&(server(), Untold::Beginning)));
    let elsewhere = Segment { source: "10.0.0.3:1".parse().unwrap(), ..c("S", 0, 0) };
    assert_eq!(story.hear(&elsewhere, HeardAt::Both), []);
}

#[test]
fn a_change_travels_as_json() {
    let mut story = TcpStory::between(client(), server());
    let change = story.hear(&c("S", 0, 0), HeardAt::Both)[0];
    let json = serde_json::to_string(&change).unwrap();
    assert_eq!(
        json,
        r#"{"at_us":0,"end":"10.0.0.1:40000","from":"CLOSED","to":"SYN_SENT","cause":{"sent":"S"}}"#
    );
    assert_eq!(serde_json::from_str::<StateChange>(&json).unwrap(), change);
}

/// Any segment at all, or one whose numbers are near those of a real connection.
fn any_segment() -> impl Strategy<Value = (Segment, HeardAt)> {
    let near = |from: u32| prop_oneof![9 => (0..5_u32).prop_map(move |n| from.wrapping_add(n)), 1 => any::<u32>()];
    let heard = prop_oneof![
        4 => Just(HeardAt::Both),
        1 => Just(HeardAt::Sender),
        1 => Just(HeardAt::Receiver)
    ];
    let flags = prop_oneof![
        6 => proptest::sample::select(vec![0x02_u16, 0x12, 0x10, 0x11, 0x04, 0x14, 0x18]),
        1 => any::<u16>()
    ];
    (any::<bool>(), flags, near(C), near(S), 0..3_u32, heard).prop_map(
        |(from_client, bits, own, other, payload, heard)| {
            let (seq, ack) = if from_client { (own, other) } else { (other, own) };
            let mut one = segment(from_client, "none", seq, ack, payload);
            one.flags = SegmentFlags::from_bits(bits);
            (one, heard)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_segments_make_a_change_that_rfc_9293_does_not_know(
        segments in proptest::collection::vec(any_segment(), 0..40),
        itself: bool,
    ) {
        let other = if itself { client() } else { server() };
        let mut story = TcpStory::between(client(), other);
        let mut known = std::collections::HashMap::new();
        for (mut segment, heard) in segments {
            if itself {
                (segment.source, segment.destination) = (client(), client());
            }
            for change in story.hear(&segment, heard) {
                let edge = STATE_EDGES.iter().find(|edge| {
                    (edge.from, edge.to) == (change.from, change.to)
                });
                prop_assert!(edge.is_some(), "{change:?}");
                if let Some(before) = known.insert(change.end, change.to) {
                    prop_assert_eq!(before, change.from, "a state was passed over");
                }
            }
            for (end, state) in &known {
                prop_assert_eq!(story.state(*end), Some(*state));
            }
        }
    }
}
