//! How many sockets were in which state, over time.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use evidence::{Socket, TcpState};

/// What one bar stands for: the most at any look in this time.
pub(crate) const BAR: Duration = Duration::from_secs(1);
/// As many bars are kept.
const MOST_BARS: usize = 300;

const STATES: usize = TcpState::ALL.len();

/// The tally at the latest look, and how it came to that.
#[derive(Debug)]
pub(crate) struct Tallies {
    begun: Instant,
    now: [u64; STATES],
    most: [u64; STATES],
    /// The most in each [`BAR`], the latest last; with the number of the bar since the beginning.
    bars: VecDeque<(u64, [u64; STATES])>,
}

impl Tallies {
    pub(crate) fn new(begun: Instant) -> Self {
        Self { begun, now: [0; STATES], most: [0; STATES], bars: VecDeque::new() }
    }

    /// Takes in a look.
    pub(crate) fn record<'a>(
        &mut self,
        sockets: impl IntoIterator<Item = &'a Socket>,
        at: Instant,
    ) {
        self.now = [0; STATES];
        for socket in sockets {
            if let Some(count) = self.now.get_mut(place(socket.state)) {
                *count += 1;
            }
        }
        raise(&mut self.most, &self.now);
        let bar = at.saturating_duration_since(self.begun).as_secs() / BAR.as_secs().max(1);
        match self.bars.back_mut() {
            Some((number, highest)) if *number == bar => raise(highest, &self.now),
            _ => self.bars.push_back((bar, self.now)),
        }
        if self.bars.len() > MOST_BARS {
            self.bars.pop_front();
        }
    }

    /// The states that were ever seen, but for `LISTEN`, in the order of a connection's life; of
    /// more than `room`, those in which there were most.
    pub(crate) fn states(&self, room: usize) -> Vec<TcpState> {
        let seen = |state: &TcpState| self.most(*state) > 0 && *state != TcpState::Listen;
        let mut states: Vec<TcpState> = TcpState::ALL.into_iter().filter(seen).collect();
        states.sort_by_key(|state| Reverse(self.most(*state)));
        states.truncate(room);
        states.sort();
        states
    }

    /// How many are in `state` now.
    pub(crate) fn now(&self, state: TcpState) -> u64 {
        self.now.get(place(state)).copied().unwrap_or_default()
    }

    /// The most that were in `state` at any look.
    pub(crate) fn most(&self, state: TcpState) -> u64 {
        self.most.get(place(state)).copied().unwrap_or_default()
    }

    /// The last `width` bars of `state`, the latest last. A time without a look repeats the bar
    /// before it: nobody knows better.
    pub(crate) fn bars(&self, state: TcpState, width: usize) -> Vec<u64> {
        let mut bars: Vec<u64> = Vec::new();
        let mut next = None;
        for (number, highest) in &self.bars {
            let missed = number.saturating_sub(next.unwrap_or(*number));
            let before = bars.last().copied().unwrap_or_default();
            bars.extend(std::iter::repeat_n(
                before,
                usize::try_from(missed).unwrap_or(0).min(width),
            ));
            bars.push(highest.get(place(state)).copied().unwrap_or_default());
            next = Some(number + 1);
        }
        let surplus = bars.len().saturating_sub(width);
        bars.split_off(surplus)
    }
}

fn place(state: TcpState) -> usize {
    TcpState::ALL.iter().position(|known| *known == state).unwrap_or_default()
}

fn raise(highest: &mut [u64; STATES], now: &[u64; STATES]) {
    for (highest, now) in highest.iter_mut().zip(now) {
        *highest = (*highest).max(*now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use super::super::samples::client;
    use TcpState::{Established, TimeWait};

    #[test]
    fn a_bar_is_the_most_of_its_second() {
        let begun = Instant::now();
        let mut tallies = Tallies::new(begun);
        for (ms, open) in [(0, 1), (100, 3), (900, 2), (1000, 5), (3500, 0)] {
            let sockets: Vec<Socket> = (0..open).map(|port| client(port, Established)).collect();
            tallies.record(&sockets, begun + Duration::from_millis(ms));
        }
        assert_eq!(tallies.bars(Established, 10), [3, 5, 5, 0], "no look between 2 s and 3 s");
        assert_eq!(tallies.bars(Established, 2), [5, 0]);
        assert_eq!((tallies.now(Established), tallies.most(Established)), (0, 5));
        assert_eq!(tallies.states(9), [Established]);
        assert_eq!(tallies.most(TimeWait), 0);
        tallies.record(&[client(1, TimeWait)], begun + Duration::from_secs(4));
        assert_eq!(tallies.states(9), [Established, TimeWait]);
        assert_eq!(tallies.states(1), [Established], "of which there were more");
    }
}
