//! When to look next.

use std::time::{Duration, Instant};

/// Looks at regular moments; where a look takes longer than the time between two of them, there is
/// a rest as long as the look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    interval: Duration,
    due: Instant,
}

impl Pace {
    /// One look has been taken just now.
    pub(crate) fn new(interval: Duration) -> Self {
        Self { interval, due: Instant::now() + interval }
    }

    /// When the next look is due.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    /// The time until then.
    pub(crate) fn left(&self) -> Duration {
        self.due.saturating_duration_since(Instant::now())
    }

    pub(crate) fn is_due(&self) -> bool {
        self.left().is_zero()
    }

    /// Takes note that the look that was due is over.
    pub(crate) fn looked(&mut self) {
        self.due = next(self.due, self.interval, Instant::now());
    }
}

/// The moment after `due`, if the look that was due then is over `now`.
fn next(due: Instant, interval: Duration, now: Instant) -> Instant {
    let took = now.saturating_duration_since(due);
    if took < interval { due + interval } else { now + took.min(MOST_REST) }
}

/// A machine that slept, or a long pause, is no long look.
const MOST_REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_regular_unless_they_take_too_long() {
        let (due, ms) = (Instant::now(), Duration::from_millis);
        assert_eq!(next(due, ms(100), due + ms(30)), due + ms(100));
        assert_eq!(next(due, ms(100), due + ms(250)), due + ms(500));
        assert_eq!(next(due, ms(100), due + ms(60_000)), due + ms(61_000));
    }
}
