//! When to look next.

use std::time::{Duration, Instant};

/// The time between two looks, if nobody asks for another.
pub(crate) const USUAL: Duration = Duration::from_millis(100);
/// Of all time, looks take no more than one part in so many, unless somebody asks for a pace: with
/// what it takes to draw, a tenth of a processor.
const SHARE: u32 = 12;
/// A machine that slept, or a process that was stopped, is no long look.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

/// Looks at regular moments, as long as they are cheap enough. A witness must not become the main
/// event: where a table is so long that looks would take more than their [`SHARE`] of the time,
/// they become rarer; and at a pace that somebody has asked for there is a rest at least as long as
/// a look that takes longer than the time between two.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LookPace {
    interval: Duration,
    is_asked_for: bool,
    due: Instant,
}

impl LookPace {
    /// The pace that somebody has `asked` for; else the usual one.
    pub(crate) fn new(asked: Option<Duration>) -> Self {
        let interval = asked.unwrap_or(USUAL);
        Self { interval, is_asked_for: asked.is_some(), due: Instant::now() }
    }

    /// The time between two looks, if they are cheap enough.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
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

    /// Takes note of a look that was begun then and is over now.
    pub(crate) fn looked(&mut self, begun: Instant) {
        self.due = self.next(begun, Instant::now());
    }

    fn next(&self, begun: Instant, now: Instant) -> Instant {
        let took = now.saturating_duration_since(begun).min(LONGEST_LOOK);
        let parts = if self.is_asked_for { 2 } else { SHARE };
        let regular = self.due + self.interval;
        regular.max(now + took * (parts - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_are_regular_as_long_as_they_are_cheap() {
        let (due, ms) = (Instant::now(), Duration::from_millis);
        let after = |asked, took| {
            let pace = LookPace { due, ..LookPace::new(asked) };
            pace.next(due, due + ms(took)) - due
        };
        assert_eq!(after(None, 2), ms(100));
        assert_eq!(after(None, 20), ms(240), "a twelfth of the time");
        assert_eq!(after(Some(ms(50)), 20), ms(50), "as asked for");
        assert_eq!(after(Some(ms(50)), 80), ms(160), "a rest as long as the look");
        assert_eq!(after(Some(ms(50)), 60_000), ms(61_000), "the machine slept");
    }
}
