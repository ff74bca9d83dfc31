use proptest::prelude::*;

use super::super::change::MomentRange;
use super::*;
use TcpState::{Closed, Established, FinWait1, Listen, SynReceived, SynSent};

fn us(moment: u64) -> Duration {
    Duration::from_micros(moment)
}

/// A change of the socket at `place`.
fn change(moment: u64, place: u64, old: TcpState, new: TcpState) -> StateChange {
    StateChange {
        when: MomentRange::at(us(moment)),
        kernel_address: Some(place),
        local: "127.0.0.1:40001".parse().unwrap(),
        peer: "127.0.0.1:8080".parse().unwrap(),
        old,
        new,
        side: None,
        unseen: Vec::new(),
        left: None,
        network: crate::trace::linux::change::SocketNetwork::default(),
    }
}

fn wrote(moment: u64, place: u64, bytes: u64) -> Transfer {
    Transfer { at: us(moment), kernel_address: place, way: TransferWay::Written, bytes }
}

fn read(moment: u64, place: u64, bytes: u64) -> Transfer {
    Transfer { way: TransferWay::Read, ..wrote(moment, place, bytes) }
}

/// Returns what is known of the socket of each change in the end.
fn counted(changes: &[StateChange], transfers: &[Transfer]) -> Vec<Option<EndBytes>> {
    let mut tally = ByteTally::default();
    let told = tally.take(changes.to_vec(), transfers);
    told.iter().map(|(_, life)| tally.bytes(life.as_ref().unwrap(), true)).collect()
}

fn exactly(wrote: u64, read: u64) -> Option<EndBytes> {
    let amount = |least| ByteAmount { least, exact: true };
    Some(EndBytes { wrote: amount(wrote), read: amount(read) })
}

#[test]
fn a_connection_is_charged_with_what_its_own_socket_moved() {
    let changes = [change(10, 7, Closed, SynSent), change(20, 7, Established, FinWait1)];
    let transfers = [wrote(12, 7, 80), wrote(13, 9, 5000), read(14, 7, 11), wrote(15, 7, 3)];
    assert_eq!(counted(&changes, &transfers), [exactly(83, 11); 2]);
}

#[test]
fn a_place_that_is_used_again_belongs_to_another_connection() {
    let changes = [
        change(10, 7, Listen, SynReceived),
        change(20, 7, Established, Closed),
        change(30, 7, Listen, SynReceived),
        change(40, 7, Established, Closed),
    ];
    let transfers = [wrote(12, 7, 83), wrote(32, 7, 11)];
    let [first, second] = [exactly(83, 0), exactly(11, 0)];
    assert_eq!(counted(&changes, &transfers), [first, first, second, second]);
}

#[test]
fn a_call_that_returns_after_a_reset_still_counts() {
    let changes = [change(10, 7, Closed, SynSent), change(20, 7, Established, Closed)];
    assert_eq!(counted(&changes, &[wrote(21, 7, 83)])[1], exactly(83, 0));
}

#[test]
fn a_place_that_somebody_else_has_now_is_no_longer_the_connection_s() {
    let changes = [change(10, 7, Closed, SynSent), change(20, 7, Established, Closed)];
    let begun = |moment| Transfer { way: TransferWay::Begun, ..wrote(moment, 7, 0) };
    // Its own beginning is told by the other instance, too, a little earlier or later.
    let transfers = [begun(11), wrote(12, 7, 83), wrote(21, 7, 2), begun(22), wrote(23, 7, 5000)];
    assert_eq!(counted(&changes, &transfers)[1], exactly(85, 0));
}

#[test]
fn after_a_loss_nothing_counts_that_came_after_the_end() {
    let mut tally = ByteTally::default();
    tally.transfers_lost(us(30));
    let changes = vec![change(10, 7, Closed, SynSent), change(20, 7, Established, Closed)];
    let told = tally.take(changes, &[wrote(12, 7, 83), wrote(21, 7, 5000)]);
    let life = told[1].1.as_ref().unwrap();
    assert_eq!(tally.bytes(life, true), Some(EndBytes::at_least(83, 0)));
}

#[test]
fn of_a_connection_from_before_the_trace_only_the_least_is_known() {
    let changes = [change(20, 7, Established, FinWait1)];
    assert_eq!(
        counted(&changes, &[wrote(12, 7, 83), read(21, 7, 2)]),
        [Some(EndBytes::at_least(83, 2))]
    );
    assert_eq!(counted(&changes, &[]), [Some(EndBytes::at_least(0, 0))]);
}

#[test]
fn after_a_loss_of_transfers_sums_are_the_least_that_was_moved() {
    let mut tally = ByteTally::default();
    let old = tally.take(vec![change(10, 7, Closed, SynSent)], &[wrote(12, 7, 83)]);
    tally.transfers_lost(us(20));
    let fresh = tally.take(vec![change(21, 8, Closed, SynSent)], &[wrote(22, 8, 83)]);
    let known = |told: &[(StateChange, Option<Rc<SocketLife>>)]| {
        tally.bytes(told[0].1.as_ref().unwrap(), true)
    };
    assert_eq!(known(&old), Some(EndBytes::at_least(83, 0)));
    assert_eq!(known(&fresh), exactly(83, 0));
}

#[test]
fn after_a_loss_of_changes_nobody_knows_whose_bytes_they_were() {
    let mut tally = ByteTally::default();
    let old =
        tally.take(vec![change(10, 7, Closed, SynSent)], &[wrote(12, 7, 83), wrote(13, 9, 5)]);
    tally.changes_lost(us(20));
    let later = vec![change(23, 8, Closed, SynSent), change(24, 9, Established, FinWait1)];
    // What was moved before the loss may be somebody else's; what was moved since is not.
    let later = tally.take(later, &[wrote(19, 9, 700), wrote(22, 9, 11)]);
    let known = |(_, life): &(StateChange, Option<Rc<SocketLife>>)| {
        tally.bytes(life.as_ref().unwrap(), true)
    };
    assert_eq!(known(&old[0]), None);
    assert_eq!(known(&later[0]), exactly(0, 0));
    assert_eq!(known(&later[1]), Some(EndBytes::at_least(11, 0)));
}

#[test]
fn what_is_not_settled_may_become_more() {
    let mut tally = ByteTally::default();
    let told = tally.take(vec![change(10, 7, Closed, SynSent)], &[wrote(12, 7, 83)]);
    let life = told[0].1.as_ref().unwrap();
    assert_eq!(tally.bytes(life, false), Some(EndBytes::at_least(83, 0)));
}

#[test]
fn a_flood_of_other_peoples_bytes_takes_no_more_memory_than_is_set_aside() {
    let mut tally = ByteTally::default();
    let flood: Vec<Transfer> = (0..200_000).map(|place| wrote(1, place, 1)).collect();
    tally.take(Vec::new(), &flood);
    assert_eq!(tally.strangers.len(), STRANGERS);
    assert_eq!(tally.lives.len(), 0);
}

#[test]
fn a_socket_that_is_told_to_its_end_is_forgotten_and_its_successor_is_not() {
    let mut tally = ByteTally::default();
    let changes = vec![change(10, 7, Closed, SynSent), change(30, 7, Closed, SynSent)];
    let told = tally.take(changes, &[]);
    let [first, second] = [0, 1].map(|i: usize| told[i].1.clone().unwrap());
    tally.forget(7, &first);
    assert_eq!(tally.lives.len(), 1);
    tally.forget(7, &second);
    assert_eq!(tally.lives.len(), 0);
}

proptest! {
    /// However the records are cut into readings, each connection gets its own bytes.
    #[test]
    fn it_does_not_matter_when_the_buffers_are_read(
        sends in prop::collection::vec((0_u64..1000, 0_u64..3, 1_u64..100), 0..40),
        births in prop::collection::btree_set((0_u64..1000, 0_u64..3), 0..20),
        cuts in prop::collection::btree_set(0_u64..1000, 0..5),
    ) {
        let mut transfers: Vec<_> = sends.iter().map(|&(at, place, bytes)| wrote(at, place, bytes)).collect();
        transfers.sort_by_key(|transfer| transfer.at);
        let births: Vec<_> = births.iter().map(|&(at, place)| change(at, place, Closed, SynSent)).collect();
        let whole = counted(&births, &transfers);
        let mut tally = ByteTally::default();
        let mut told = Vec::new();
        let mut from = 0;
        for to in cuts.iter().copied().chain([2000]) {
            let of_cut = |at: Duration| at >= us(from) && at < us(to);
            let births = births.iter().filter(|birth| of_cut(birth.when.latest)).cloned().collect();
            let transfers: Vec<_> = transfers.iter().filter(|t| of_cut(t.at)).copied().collect();
            told.extend(tally.take(births, &transfers));
            from = to;
        }
        let cut: Vec<_> = told.iter().map(|(_, life)| tally.bytes(life.as_ref().unwrap(), true)).collect();
        prop_assert_eq!(whole, cut);
    }
}
