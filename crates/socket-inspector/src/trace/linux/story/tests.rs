use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::trace::linux::change::SocketNetwork;
use TcpState::{
    CloseWait, Closed, Closing, Established, FinWait1, FinWait2, LastAck, Listen, SynReceived,
    SynSent, TimeWait,
};

fn client() -> SocketAddr {
    "127.0.0.1:40001".parse().unwrap()
}

fn server() -> SocketAddr {
    "127.0.0.1:8080".parse().unwrap()
}

fn us(moment: u64) -> MomentRange {
    MomentRange::at(Duration::from_micros(moment))
}

fn change(moment: u64, local: SocketAddr, old: TcpState, new: TcpState) -> StateChange {
    let peer = if local == client() { server() } else { client() };
    StateChange {
        when: us(moment),
        kernel_address: None,
        local,
        peer,
        old,
        new,
        side: None,
        unseen: Vec::new(),
        left: None,
        network: SocketNetwork::default(),
    }
}

/// The changes of one end after another, told by a tracepoint.
fn told(changes: &[(u64, SocketAddr, TcpState, TcpState)]) -> Vec<StoryEvent> {
    let mut story = ConnectionStory::new(&[8080]);
    for &(moment, local, old, new) in changes {
        story.change(change(moment, local, old, new));
    }
    story.take()
}

fn summaries(told: &[StoryEvent]) -> Vec<&ConnectionSummary> {
    told.iter()
        .filter_map(|told| match told {
            StoryEvent::Ended(summary) => Some(summary),
            StoryEvent::Change(_) => None,
        })
        .collect()
}

fn opened() -> Vec<(u64, SocketAddr, TcpState, TcpState)> {
    vec![
        (0, client(), Closed, SynSent),
        (10, client(), SynSent, Established),
        (11, server(), Listen, SynReceived),
        (12, server(), SynReceived, Established),
    ]
}

#[test]
fn the_end_that_closes_first_is_named_and_holds_time_wait() {
    let mut changes = opened();
    changes.extend([
        (20, client(), Established, FinWait1),
        (21, server(), Established, CloseWait),
        (22, client(), FinWait1, FinWait2),
        (50, server(), CloseWait, LastAck),
        (52, server(), LastAck, Closed),
        (51, client(), FinWait2, TimeWait),
    ]);
    let told = told(&changes);
    let summaries = summaries(&told);
    assert_eq!(summaries.len(), 1);
    assert_eq!(summaries[0].ending, ConnectionEnding::ClosedFirst(Some(Side::Client)));
    assert_eq!(summaries[0].time_wait, [Some(Side::Client)]);
    assert_eq!((summaries[0].client, summaries[0].server), (client(), server()));
    let age = Duration::from_micros(42);
    assert_eq!(summaries[0].age, Some(TimeSpan { shortest: age, longest: age }));
}

#[test]
fn two_fins_that_cross_are_nobody_s_first() {
    let mut changes = opened();
    changes.extend([
        (20, client(), Established, FinWait1),
        (20, server(), Established, FinWait1),
        (30, client(), FinWait1, Closing),
        (31, server(), FinWait1, Closing),
        (40, client(), Closing, TimeWait),
        (41, server(), Closing, TimeWait),
    ]);
    let told = told(&changes);
    assert_eq!(summaries(&told)[0].ending, ConnectionEnding::Both);
    assert_eq!(summaries(&told)[0].time_wait.len(), 2);
}

#[test]
fn a_reset_leaves_no_time_wait_and_a_refusal_no_connection() {
    let mut changes = opened();
    changes.extend([(20, server(), Established, Closed), (21, client(), Established, Closed)]);
    let reset = told(&changes);
    assert_eq!(summaries(&reset)[0].ending, ConnectionEnding::Aborted(Some(Side::Server)));
    assert!(summaries(&reset)[0].time_wait.is_empty());

    let refused = told(&[(0, client(), Closed, SynSent), (9, client(), SynSent, Closed)]);
    assert_eq!(summaries(&refused)[0].ending, ConnectionEnding::NeverOpen);
    assert_eq!(summaries(&refused)[0].age, None);
}

#[test]
fn a_moment_that_was_not_seen_lies_between_two_that_were() {
    let mut story = ConnectionStory::new(&[8080]);
    for (moment, local, old, new) in [
        (20, client(), Established, FinWait1),
        (21, server(), Established, CloseWait),
        (50, server(), CloseWait, LastAck),
        (52, server(), LastAck, Closed),
    ] {
        story.change(change(moment, local, old, new));
    }
    let looked = MomentRange { earliest: us(22).earliest, latest: us(9000).latest };
    story.change(StateChange { when: looked, ..change(0, client(), FinWait2, TimeWait) });
    let narrowed = MomentRange { earliest: us(50).earliest, latest: us(52).latest };
    assert!(story.take().iter().any(|told| told.when() == narrowed));
}

#[test]
fn a_fresh_client_s_first_change_is_told_with_the_port_that_it_got_later() {
    let mut story = ConnectionStory::new(&[8080]);
    let nowhere = SocketAddr::new(client().ip(), 0);
    let first = StateChange {
        kernel_address: Some(7),
        local: nowhere,
        peer: server(),
        ..change(0, client(), Closed, SynSent)
    };
    story.change(first.clone());
    assert_eq!(story.take(), []);
    story.change(StateChange {
        kernel_address: Some(7),
        ..change(5, client(), SynSent, Established)
    });
    let told = story.take();
    let [StoryEvent::Change(first), StoryEvent::Change(second)] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!((first.local, first.when), (client(), us(0)));
    let lasted = Duration::from_micros(5);
    assert_eq!(second.lasted, Some(TimeSpan { shortest: lasted, longest: lasted }));
}

#[test]
fn a_fresh_client_that_waits_is_told_before_it_has_a_port_and_once() {
    let mut story = ConnectionStory::new(&[8080]);
    let nowhere = SocketAddr::new(client().ip(), 0);
    story.change(StateChange {
        kernel_address: Some(7),
        local: nowhere,
        ..change(0, client(), Closed, SynSent)
    });
    story.tick(Duration::from_secs(1));
    story.tick(Duration::from_secs(2));
    assert_eq!(story.take().len(), 1);
    story.change(StateChange {
        kernel_address: Some(7),
        ..change(3_000_000, client(), SynSent, Established)
    });
    let told = story.take();
    let [StoryEvent::Change(line)] = told.as_slice() else { panic!("{told:?}") };
    let lasted = Duration::from_secs(3);
    assert_eq!(
        (line.gap, line.lasted),
        (false, Some(TimeSpan { shortest: lasted, longest: lasted }))
    );
}

#[test]
fn a_state_that_is_announced_once_more_goes_on() {
    let told = told(&[
        (0, client(), SynSent, Established),
        (10, client(), Established, FinWait1),
        (30, client(), FinWait1, FinWait1),
        (40, client(), FinWait1, FinWait2),
    ]);
    assert_eq!(told.len(), 3);
    let Some(StoryEvent::Change(line)) = told.last() else { panic!("{told:?}") };
    let lasted = Duration::from_micros(30);
    assert_eq!(line.lasted, Some(TimeSpan { shortest: lasted, longest: lasted }));
}

#[test]
fn a_lost_change_is_told_as_a_gap_without_a_duration() {
    let told = told(&[(0, client(), Closed, SynSent), (9, client(), FinWait1, FinWait2)]);
    let StoryEvent::Change(line) = &told[1] else { panic!("{told:?}") };
    assert_eq!((line.gap, line.lasted), (true, None));
}

#[test]
fn the_end_of_time_wait_is_told_of_the_connection_it_belonged_to() {
    let mut changes = opened();
    changes.extend([
        (20, server(), Established, FinWait1),
        (21, server(), FinWait1, TimeWait),
        (22, client(), Established, Closed),
        (60_000_021, server(), TimeWait, Closed),
    ]);
    let told = told(&changes);
    let Some(StoryEvent::Change(last)) = told.last() else { panic!("{told:?}") };
    assert_eq!((last.old, last.connection, last.side), (TimeWait, Some(1), Some(Side::Server)));
    let minute = Duration::from_secs(60);
    assert_eq!(last.lasted, Some(TimeSpan { shortest: minute, longest: minute }));
}

#[test]
fn an_end_that_is_first_seen_closing_is_an_end_of_the_connection_of_the_other() {
    let mut story = ConnectionStory::new(&[8080]);
    story.reading(vec![
        change(5, server(), Closed, TimeWait),
        change(5, client(), Closed, CloseWait),
    ]);
    assert_eq!(summaries(&story.take()), [] as [&ConnectionSummary; 0]);
    story.reading(vec![change(9, client(), CloseWait, Closed)]);
    let told = story.take();
    assert_eq!((summaries(&told).len(), story.connections()), (1, 1));
    assert_eq!(summaries(&told)[0].ending, ConnectionEnding::ClosedFirst(Some(Side::Server)));
    assert_eq!(summaries(&told)[0].time_wait, [Some(Side::Server)]);
}

#[test]
fn an_end_that_is_seen_a_reading_later_is_told_under_the_same_number_and_ends_nothing_twice() {
    let mut story = ConnectionStory::new(&[8080]);
    story.reading(vec![change(5, server(), Closed, TimeWait)]);
    assert_eq!(summaries(&story.take()).len(), 1);
    story.reading(vec![change(9, client(), Closed, LastAck)]);
    story.reading(vec![change(12, client(), LastAck, Closed)]);
    let told = story.take();
    assert_eq!((told.len(), summaries(&told).len(), story.connections()), (2, 0, 1));
    // The same addresses once more.
    story.reading(vec![
        change(20, client(), Closed, Established),
        change(20, server(), TimeWait, Closed),
        change(20, server(), Closed, Established),
    ]);
    assert_eq!(story.connections(), 2);
}

#[test]
fn what_is_told_of_a_close_is_the_time_to_the_first_one() {
    let mut changes = opened();
    changes.extend([
        (1_000_010, server(), Established, FinWait1),
        (1_000_020, client(), Established, CloseWait),
        (1_000_030, server(), FinWait1, FinWait2),
        (3_000_000, client(), CloseWait, LastAck),
        (3_000_009, client(), LastAck, Closed),
        (3_000_010, server(), FinWait2, TimeWait),
    ]);
    let told = told(&changes);
    let us = |us| Duration::from_micros(us);
    let exactly = |time| Some(TimeSpan { shortest: time, longest: time });
    assert_eq!(summaries(&told)[0].closed_after, exactly(us(1_000_000)));
    assert_eq!(summaries(&told)[0].age.map(|age| age.longest), Some(us(3_000_000)));
    // A FIN of which nobody has seen the beginning has no time.
    let lost: Vec<_> = changes.into_iter().filter(|(.., new)| *new != FinWait1).collect();
    let told = self::told(&lost);
    assert_eq!(summaries(&told)[0].closed_after, None);
}

/// What both ends of a connection go through one after another if the server closes first.
const STEPS: [(TcpState, TcpState); 10] = [
    (SynSent, Closed),
    (SynSent, SynReceived),
    (Established, SynReceived),
    (Established, Established),
    (Established, FinWait1),
    (CloseWait, FinWait1),
    (CloseWait, FinWait2),
    (LastAck, FinWait2),
    (LastAck, TimeWait),
    (Closed, TimeWait),
];

/// A time for each step, and one until the same addresses are used again.
type StepTimes = [u8; STEPS.len()];

/// The two ends at a moment, each with the number that the kernel gives its socket.
fn ends_at(lives: &[StepTimes], moment: u32) -> [(TcpState, u64); 2] {
    let mut begun = 0;
    let mut now = [(Closed, 0); 2];
    for (life, times) in (1_u64..).zip(lives) {
        begun += 7; // the addresses are at rest, for longer than a reading takes
        for ((client, server), time) in STEPS.into_iter().zip(times) {
            if begun > moment {
                return now;
            }
            now[0] = (client, life);
            // What is left of the connection before goes where another takes its addresses.
            if server != Closed || client != SynSent {
                now[1] = (server, if server == TimeWait { life + 1000 } else { life });
            }
            begun += u32::from(*time);
        }
    }
    now
}

proptest! {
    /// However long each state lasts, however rarely anybody looks, and whichever end a reading
    /// comes to first; as long as no addresses are used again while one reading is made.
    #[test]
    fn samples_never_tell_more_connections_than_there_were(
        lives in prop::collection::vec(prop::array::uniform10(1_u8..5), 1..6),
        (every, late) in (1_u32..25, [0_u32..7, 0_u32..7]),
    ) {
        use crate::trace::linux::sampling::TableSamples;
        let mut story = ConnectionStory::new(&[8080]);
        let mut samples = TableSamples::new(&[], Duration::ZERO);
        let total: u32 = lives.iter().flatten().map(|time| u32::from(*time) + 7).sum();
        for moment in (0..total + 2 * every).step_by(usize::try_from(every).unwrap()) {
            let ends = [client(), server()].into_iter().zip([server(), client()]);
            let rows = ends.zip(0..).zip(late).filter_map(|((ends, end), late)| {
                let (state, cookie) = ends_at(&lives, moment + late)[end];
                let seen = change(0, ends.0, state, state);
                let cookie = evidence::Observed::Known(cookie);
                (state != Closed).then(|| evidence::Socket { cookie, ..socket(&seen) })
            });
            let rows: Vec<_> = rows.collect();
            story.reading(samples.next(&rows, Duration::from_millis(moment.into())));
        }
        let ended = summaries(&story.take()).len();
        prop_assert!(story.connections() <= u64::try_from(lives.len()).unwrap());
        prop_assert!(ended <= lives.len());
    }
}

/// Changes of a few sockets in any order: some follow from each other, most do not.
fn anything() -> impl Strategy<Value = StateChange> {
    let state = || prop::sample::select(TcpState::ALL.to_vec());
    let port = || prop::sample::select(vec![0_u16, 8080, 40001, 40002]);
    let sides = prop::sample::select(vec![None, Some(Side::Client), Some(Side::Server)]);
    let kernel_address = prop::option::of(0_u64..4);
    let unseen = prop::collection::vec(state(), 0..3);
    (
        (0_u64..10_000, 0_u64..10_000),
        (port(), port()),
        (state(), state()),
        sides,
        kernel_address,
        unseen,
    )
        .prop_map(|((one, other), (local, peer), (old, new), side, kernel_address, unseen)| {
            let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
            let when =
                MomentRange::between(Duration::from_micros(one), Duration::from_micros(other));
            let (local, peer) = (at(local), at(peer));
            StateChange {
                when,
                kernel_address,
                local,
                peer,
                old,
                new,
                side,
                unseen,
                left: None,
                network: SocketNetwork::default(),
            }
        })
}

proptest! {
    #[test]
    fn changes_in_any_order_upset_nobody_and_last_no_negative_time(
        changes in prop::collection::vec(anything(), 0..60),
        seeds in prop::collection::vec(anything(), 0..5),
    ) {
        let mut story = ConnectionStory::new(&[8080]);
        for seed in &seeds {
            story.seed(&socket(seed), seed.when.latest);
        }
        let mut told = Vec::new();
        for change in &changes {
            story.change(change.clone());
            story.tick(change.when.latest);
            told.extend(story.take());
        }
        let mut changes_told = 0;
        for told in &told {
            let span = match told {
                StoryEvent::Change(line) => {
                    changes_told += 1;
                    line.lasted
                }
                StoryEvent::Ended(summary) => summary.age,
            };
            prop_assert!(span.is_none_or(|span| span.shortest <= span.longest));
        }
        prop_assert!(changes_told <= changes.len());
    }

    /// Whatever is lost of one connection's changes, and in whichever order the two ends are told,
    /// no duration is told that did not happen.
    #[test]
    fn no_duration_is_made_up_for_lost_changes(kept in prop::collection::vec(any::<bool>(), 10)) {
        let mut all = opened();
        all.extend([
            (20, client(), Established, FinWait1),
            (21, server(), Established, CloseWait),
            (22, client(), FinWait1, FinWait2),
            (50, server(), CloseWait, LastAck),
            (51, client(), FinWait2, TimeWait),
            (52, server(), LastAck, Closed),
        ]);
        let mut entered = HashMap::new();
        let mut real = HashMap::new();
        for &(moment, local, old, new) in &all {
            if let Some(since) = entered.insert((local, new), moment).and(None::<u64>)
                .or(entered.get(&(local, old)).copied())
            {
                real.insert((local, old), Duration::from_micros(moment - since));
            }
        }
        let kept: Vec<_> = all.iter().zip(&kept).filter(|(_, kept)| **kept).map(|(c, _)| *c).collect();
        for told in told(&kept) {
            if let StoryEvent::Change(line) = told
                && let Some(lasted) = line.lasted
            {
                prop_assert_eq!(Some(&lasted.longest), real.get(&(line.local, line.old)));
            }
        }
    }
}

fn socket(change: &StateChange) -> evidence::Socket {
    use evidence::Observed;
    evidence::Socket {
        local: change.local,
        peer: change.peer,
        state: change.old,
        side: change.side,
        recv_queue: Observed::NotObservable,
        send_queue: Observed::NotObservable,
        timer: Observed::NotObservable,
        cookie: Observed::NotObservable,
        owners: Observed::NotObservable,
    }
}
