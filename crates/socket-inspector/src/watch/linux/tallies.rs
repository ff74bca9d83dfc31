//! How many sockets were in which state, over time.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

use evidence::{Socket, TcpState};

/// The time that one bar stands for: the most at any look in this time, or in the time between two
/// looks if that is longer.
const BAR: Duration = Duration::from_secs(1);
/// As many bars are kept and shown: `TIME_WAIT` lasts for 60 of them.
pub(crate) const MOST_BARS: usize = 60;

const STATES: usize = TcpState::ALL.len();

/// The tally at the latest look, and how it came to that.
#[derive(Debug)]
pub(crate) struct StateTallies {
    begun: Instant,
    pub(crate) bar: Duration,
    now: [u64; STATES],
    most: [u64; STATES],
    /// The most in each bar, the latest last; with the number of the bar since the beginning.
    bars: VecDeque<(u64, [u64; STATES])>,
}

impl StateTallies {
    pub(crate) fn new(begun: Instant, interval: Duration) -> Self {
        let (now, most) = ([0; STATES], [0; STATES]);
        Self { begun, bar: BAR.max(interval), now, most, bars: VecDeque::new() }
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
        let time = at.saturating_duration_since(self.begun);
        let bar = (time.as_secs_f64() / self.bar.as_secs_f64()) as u64;
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

    /// The last `width` bars of `state`, the latest last; `None` for a time in which nobody looked.
    pub(crate) fn bars(&self, state: TcpState, width: usize) -> Vec<Option<u64>> {
        let mut bars = Vec::new();
        let mut next = None;
        for (number, highest) in &self.bars {
            let missed = number.saturating_sub(next.unwrap_or(*number));
            bars.extend((0..missed.min(width as u64)).map(|_| None));
            bars.push(highest.get(place(state)).copied());
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
        let mut tallies = StateTallies::new(begun, Duration::from_millis(100));
        for (ms, open) in [(0, 1), (100, 3), (900, 2), (1000, 5), (3500, 0)] {
            let sockets: Vec<Socket> = (0..open).map(|port| client(port, Established)).collect();
            tallies.record(&sockets, begun + Duration::from_millis(ms));
        }
        let bars = [Some(3), Some(5), None, Some(0)];
        assert_eq!(tallies.bars(Established, 10), bars, "no look between 2 s and 3 s");
        assert_eq!(tallies.bars(Established, 2), bars[2..]);
        assert_eq!((tallies.now(Established), tallies.most(Established)), (0, 5));
        assert_eq!(tallies.states(9), [Established]);
        assert_eq!(tallies.most(TimeWait), 0);
        tallies.record(&[client(1, TimeWait)], begun + Duration::from_secs(4));
        assert_eq!(tallies.states(9), [Established, TimeWait]);
        assert_eq!(tallies.states(1), [Established], "of which there were more");
    }
}
