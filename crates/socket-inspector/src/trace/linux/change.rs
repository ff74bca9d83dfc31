//! The nouns of a trace: when something happened, how long it lasted, what changed.

use std::net::SocketAddr;
use std::time::Duration;

use evidence::{Side, TcpState};

/// A moment, as well as its witness knows it: no earlier than one time, no later than another.
///
/// Both are read from `CLOCK_MONOTONIC`. The tracepoint knows the moment itself; whoever takes
/// samples knows the two samples between which it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MomentRange {
    pub(crate) earliest: Duration,
    pub(crate) latest: Duration,
}

impl MomentRange {
    /// A moment that is known.
    pub(crate) fn at(moment: Duration) -> Self {
        Self { earliest: moment, latest: moment }
    }

    /// A moment between two others, in whichever order they come.
    pub(crate) fn between(one: Duration, other: Duration) -> Self {
        Self { earliest: one.min(other), latest: one.max(other) }
    }

    /// The time from this moment to a later one; never less than nothing.
    pub(crate) fn until(self, later: Self) -> TimeSpan {
        TimeSpan {
            shortest: later.earliest.saturating_sub(self.latest),
            longest: later.latest.saturating_sub(self.earliest),
        }
    }

    /// The same moment, of which is known besides that it lies between `low` and `high`. Bounds
    /// that contradict what is known already say nothing.
    pub(crate) fn within(self, low: Option<MomentRange>, high: Option<MomentRange>) -> Self {
        let earliest = low.map_or(self.earliest, |low| low.earliest.max(self.earliest));
        let latest = high.map_or(self.latest, |high| high.latest.min(self.latest));
        if earliest <= latest { Self { earliest, latest } } else { self }
    }
}

/// How long something lasted, as well as the witness knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeSpan {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

/// The network of a socket, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SocketNetwork {
    /// Tells the networks apart in which the same two addresses are in use; 0 as a rule.
    pub(crate) number: u16,
    /// The thread that was running when the state changed, if the witness tells.
    pub(crate) thread: Option<u32>,
    /// True if it is another network than the one that sock_diag tells of; `None` if nobody knows.
    pub(crate) elsewhere: Option<bool>,
}

/// One end of a connection has left one state for another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateChange {
    pub(crate) when: MomentRange,
    /// Where the kernel keeps the socket, if the witness knows. The only name of a fresh client
    /// socket: its first change comes before it has a port.
    pub(crate) kernel_address: Option<u64>,
    pub(crate) local: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) old: TcpState,
    pub(crate) new: TcpState,
    /// Which end it is, if the witness knows.
    pub(crate) side: Option<Side>,
    /// The states between `old` and `new` that it must have passed through, unseen.
    pub(crate) unseen: Vec<TcpState>,
    /// The rest of `TIME_WAIT`, where `new` is that.
    pub(crate) left: Option<Duration>,
    /// The network that the socket is in.
    pub(crate) network: SocketNetwork,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_time_between_samples_is_a_range() {
        let ms = Duration::from_millis;
        let (first, second) =
            (MomentRange::between(ms(10), ms(12)), MomentRange::between(ms(12), ms(15)));
        assert_eq!(first.until(second), TimeSpan { shortest: ms(0), longest: ms(5) });
        assert_eq!(
            MomentRange::at(ms(3)).until(MomentRange::at(ms(7))),
            TimeSpan { shortest: ms(4), longest: ms(4) }
        );
    }

    proptest! {
        #[test]
        fn no_time_is_negative_and_no_range_is_upside_down(
            [a, b, c, d] in prop::array::uniform4(0_u64..1000)
        ) {
            let [a, b, c, d] = [a, b, c, d].map(Duration::from_nanos);
            let (one, other) = (MomentRange::between(a, b), MomentRange::between(c, d));
            let span = one.until(other);
            prop_assert!(span.shortest <= span.longest);
            let narrowed = one.within(Some(other), Some(other));
            prop_assert!(narrowed.earliest <= narrowed.latest);
        }
    }
}
