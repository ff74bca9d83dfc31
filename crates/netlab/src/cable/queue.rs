//! Packets under way, in the order in which they arrive.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use super::{CablePlan, HostEnd};

impl CablePlan {
    /// How long it takes to put so many bytes on the cable.
    fn serialization(&self, bytes: usize) -> Duration {
        let Some(rate) = self.bits_per_second else { return Duration::ZERO };
        let bits = u128::try_from(bytes).unwrap_or(u128::MAX).saturating_mul(8);
        let nanos = bits.saturating_mul(1_000_000_000) / u128::from(rate.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// A packet that is under way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Due {
    /// When it arrives.
    pub(crate) at: Instant,
    /// The number of the packet that it came of.
    pub(crate) number: u64,
    pub(crate) to: HostEnd,
    pub(crate) bytes: Vec<u8>,
    /// The order of entry: what left first arrives first, if both are due at the same time.
    order: u64,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The packets under way on one cable.
#[derive(Debug)]
pub(crate) struct DueQueue {
    plan: CablePlan,
    heap: BinaryHeap<Reverse<Due>>,
    /// When the last bit that was put on the cable towards each host has left.
    free_at: [Option<Instant>; 2],
    entered: u64,
}

impl DueQueue {
    pub(crate) fn new(plan: CablePlan) -> Self {
        Self { plan, heap: BinaryHeap::new(), free_at: [None; 2], entered: 0 }
    }

    /// Puts a packet on the cable that leaves at `leaves`.
    pub(crate) fn put(&mut self, number: u64, to: HostEnd, bytes: Vec<u8>, leaves: Instant) {
        let mut at = leaves;
        if self.plan.bits_per_second.is_some() {
            let time = self.plan.serialization(bytes.len());
            let free = &mut self.free_at[to as usize];
            at = later(free.unwrap_or(leaves).max(leaves), time);
            *free = Some(at);
        }
        self.entered += 1;
        let due = Due { at: later(at, self.plan.delay), number, to, bytes, order: self.entered };
        self.heap.push(Reverse(due));
    }

    /// Returns true if a packet that leaves now arrives now, with nothing before it.
    pub(crate) fn is_a_short_cut(&self) -> bool {
        self.heap.is_empty() && self.plan.delay.is_zero() && self.plan.bits_per_second.is_none()
    }

    /// Takes the next packet that has arrived by `now`.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Due> {
        if self.heap.peek()?.0.at > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }

    /// When the next packet arrives.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(due)| due.at)
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

/// A time so far away that the clock cannot hold it never comes, within a day.
fn later(at: Instant, time: Duration) -> Instant {
    at.checked_add(time).unwrap_or(at + Duration::from_secs(86_400))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn arrivals(queue: &mut DueQueue, start: Instant) -> Vec<(u64, Duration)> {
        let end = start + Duration::from_secs(3600);
        std::iter::from_fn(|| queue.take_due(end)).map(|due| (due.number, due.at - start)).collect()
    }

    #[test]
    fn a_packet_that_is_held_is_overtaken() {
        let mut queue = DueQueue::new(CablePlan { delay: 20 * MS, ..CablePlan::default() });
        let start = Instant::now();
        queue.put(1, HostEnd::Server, vec![], start + 5 * MS);
        queue.put(2, HostEnd::Server, vec![], start + MS);
        queue.put(3, HostEnd::Client, vec![], start + MS);
        assert_eq!(queue.next(), Some(start + 21 * MS));
        assert_eq!(arrivals(&mut queue, start), [(2, 21 * MS), (3, 21 * MS), (1, 25 * MS)]);
    }

    #[test]
    fn with_a_rate_a_packet_waits_for_the_one_before_in_its_own_direction() {
        let plan =
            CablePlan { delay: 3 * MS, bits_per_second: Some(8_000), ..CablePlan::default() };
        let mut queue = DueQueue::new(plan);
        let start = Instant::now();
        queue.put(1, HostEnd::Server, vec![0; 2], start);
        queue.put(2, HostEnd::Server, vec![0; 1], start);
        queue.put(3, HostEnd::Client, vec![0; 4], start);
        queue.put(4, HostEnd::Server, vec![0; 1], start + 10 * MS);
        assert_eq!(
            arrivals(&mut queue, start),
            [(1, 5 * MS), (2, 6 * MS), (3, 7 * MS), (4, 14 * MS)]
        );
    }

    #[test]
    fn a_rate_says_how_long_a_packet_takes_to_leave() {
        let plan = CablePlan { bits_per_second: Some(12_000_000), ..CablePlan::default() };
        assert_eq!(plan.serialization(1500), Duration::from_millis(1));
        assert_eq!(CablePlan::default().serialization(1500), Duration::ZERO);
        let still = CablePlan { bits_per_second: Some(0), ..CablePlan::default() };
        assert!(still.serialization(usize::MAX) > Duration::from_secs(1), "no division by zero");
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_nothing_overtakes_that_was_not_held(
            sizes in prop::collection::vec((0..3000_usize, any::<bool>()), 0..60),
            delay in 0..50_u32,
            rate in prop::option::of(1_000..1_000_000_000_u64),
        ) {
            let plan =
                CablePlan { delay: MS * delay, bits_per_second: rate, ..CablePlan::default() };
            let mut queue = DueQueue::new(plan);
            let start = Instant::now();
            for (number, &(size, back)) in (0..).zip(&sizes) {
                let to = if back { HostEnd::Client } else { HostEnd::Server };
                queue.put(number, to, vec![0; size], start);
            }
            prop_assert_eq!(queue.len(), sizes.len());
            let end = start + Duration::from_secs(1 << 20);
            let mut last = [None; 2];
            let mut count = 0;
            while let Some(due) = queue.take_due(end) {
                prop_assert!(last[due.to as usize] < Some(due.number));
                prop_assert!(due.at >= start + MS * delay);
                last[due.to as usize] = Some(due.number);
                count += 1;
            }
            prop_assert_eq!(count, sizes.len());
        }
    }
}
