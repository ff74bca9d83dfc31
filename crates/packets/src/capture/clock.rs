//! The kernel's time of the day on the clock of a run, which never jumps.

use std::time::{Duration, Instant, SystemTime};

use super::ClockFit;

/// How often both clocks are read; the reading that took the shortest counts.
const ATTEMPTS: usize = 7;

/// Both clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockReading {
    run: Instant,
    /// Since 1970 began.
    day: Duration,
    took: Duration,
}

impl ClockReading {
    /// Reads both clocks.
    pub(crate) fn now() -> Self {
        let read = |_| {
            let before = Instant::now();
            let day = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let took = before.elapsed();
            Self { run: before + took / 2, day, took }
        };
        (1..ATTEMPTS).map(read).fold(
            read(0),
            |best, next| {
                if next.took < best.took { next } else { best }
            },
        )
    }

    /// The day's clock less the run's, in nanoseconds.
    fn ahead_of(self, start: Instant) -> i128 {
        nanos(self.day) - since(start, self.run)
    }
}

/// Puts times of the day on the clock of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockLine {
    begun: Duration,
    ahead: i128,
    ahead_later: i128,
    span: i128,
    uncertainty: Duration,
}

impl ClockLine {
    pub(crate) fn between(start: Instant, first: ClockReading, last: ClockReading) -> Self {
        Self {
            begun: first.day,
            ahead: first.ahead_of(start),
            ahead_later: last.ahead_of(start),
            span: since(first.run, last.run),
            uncertainty: first.took.max(last.took),
        }
    }

    /// The time of the run at which it was `day` on the machine's clock; zero for what lies before
    /// the run.
    pub(crate) fn on_run(&self, day: Duration) -> Duration {
        let passed = (nanos(day) - nanos(self.begun)).clamp(0, self.span.max(0));
        let shift = self.ahead_later - self.ahead;
        let ahead = self.ahead + if self.span > 0 { shift * passed / self.span } else { 0 };
        let at = (nanos(day) - ahead).max(0);
        Duration::from_nanos(u64::try_from(at).unwrap_or(u64::MAX))
    }

    pub(crate) fn fit(&self) -> ClockFit {
        let shift = u64::try_from((self.ahead_later - self.ahead).abs()).unwrap_or(u64::MAX);
        ClockFit { shift: Duration::from_nanos(shift), uncertainty: self.uncertainty }
    }
}

fn nanos(time: Duration) -> i128 {
    i128::try_from(time.as_nanos()).unwrap_or(i128::MAX)
}

/// The time from `start` to `moment`, in nanoseconds; less than zero if it came before.
fn since(start: Instant, moment: Instant) -> i128 {
    nanos(moment.saturating_duration_since(start)) - nanos(start.saturating_duration_since(moment))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const DAY: Duration = Duration::from_secs(1_000_000);

    /// A capture of a second that began 100 ms after the run, and how far the day's clock was put on
    /// meanwhile.
    fn line(put_on: Duration) -> ClockLine {
        let start = Instant::now();
        let reading = |after: Duration, more: Duration| ClockReading {
            run: start + after,
            day: DAY + after + more,
            took: MS / 1000,
        };
        ClockLine::between(start, reading(100 * MS, Duration::ZERO), reading(1100 * MS, put_on))
    }

    #[test]
    fn a_clock_that_goes_on_evenly_is_moved_by_one_offset() {
        let line = line(Duration::ZERO);
        assert_eq!(line.on_run(DAY + 300 * MS), 300 * MS);
        assert_eq!(line.on_run(DAY), Duration::ZERO);
        assert_eq!(line.on_run(DAY - MS), Duration::ZERO, "before the run");
        assert_eq!(line.fit(), ClockFit { shift: Duration::ZERO, uncertainty: MS / 1000 });
    }

    #[test]
    fn a_clock_that_was_put_on_meanwhile_is_followed_and_told() {
        let line = line(10 * MS);
        assert_eq!(line.on_run(DAY + 1110 * MS), 1100 * MS, "at the end");
        let halfway = line.on_run(DAY + 605 * MS);
        assert!(halfway > 599 * MS && halfway < 601 * MS, "{halfway:?}");
        assert_eq!(line.fit().shift, 10 * MS);
    }

    #[test]
    fn a_capture_of_no_length_divides_by_nothing() {
        let now = ClockReading::now();
        let line = ClockLine::between(now.run, now, now);
        assert_eq!(line.on_run(now.day + MS), MS);
    }
}
