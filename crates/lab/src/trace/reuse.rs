//! What a connection that was there already has saved. Pure.

use std::time::Duration;

use evidence::{Moment, Observed};

use super::phases::FetchPhase;
use super::{FetchSession, FetchedExchange};

/// Two requests to one place, and whether the later one could do with the earlier one's connection.
#[derive(Clone, Debug)]
pub(crate) struct Reuse<'a> {
    /// The first request that needed a connection of its own and was answered.
    pub(crate) first: &'a FetchedExchange,
    /// The next one to the same scheme, host and port.
    pub(crate) second: &'a FetchedExchange,
    /// Why the second one needed its own, too; `None` if it did not.
    pub(crate) missed: Option<MissedReuse>,
}

/// Why a connection was not used again.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum MissedReuse {
    /// It was used, but broke before anything was answered.
    Broke,
    /// It was not used, for this reason if it is known.
    NotUsed(Option<String>),
}

/// Compares two requests of `session`: the first that was answered on a connection of its own with
/// the next to the same place that was answered, too. `None` without such two.
#[must_use]
pub(crate) fn reuse(session: &FetchSession) -> Option<Reuse<'_>> {
    let answered = |traced: &&FetchedExchange| traced.error.is_none() && traced.answered.is_some();
    let mut exchanges = session.exchanges.iter();
    let first = exchanges.by_ref().filter(answered).find(|traced| !traced.phases.reused)?;
    let origin = first.asked.url.origin();
    let second = exchanges.filter(answered).find(|traced| traced.asked.url.origin() == origin)?;
    let missed = if second.phases.broke.is_some() && second.phases.broke == first.connection() {
        Some(MissedReuse::Broke)
    } else if second.phases.reused {
        None
    } else {
        Some(MissedReuse::NotUsed(why_not(session, first, second)))
    };
    Some(Reuse { first, second, missed })
}

/// Returns what was told of the first one's connection until the second one had its own.
fn why_not(
    session: &FetchSession,
    first: &FetchedExchange,
    second: &FetchedExchange,
) -> Option<String> {
    let until = second.over_at;
    let of_first = session
        .events
        .iter()
        .filter(|event| event.connection == first.connection() && event.at <= until);
    let refused = of_first.clone().find_map(|event| match event.moment {
        Moment::PutIdleConn { refused } => refused.map(|refused| refused.to_string()),
        _ => None,
    });
    let closed = of_first.clone().find_map(|event| match &event.moment {
        Moment::ConnectionClosed { why: Observed::Known(why), .. } => Some(why.to_string()),
        _ => None,
    });
    let is_held = || {
        let held = first.answered.as_ref().is_some_and(|a| a.body_policy.name() == "hold");
        held.then(|| "the first one's body is still held".to_owned())
    };
    refused.or(closed).or_else(is_held)
}

impl Reuse<'_> {
    /// Returns what the second request was spared.
    #[must_use]
    pub(crate) fn saved(&self) -> Option<Duration> {
        self.missed.is_none().then(|| self.first.phases.set_up())
    }

    /// The same as a share of what the first one took, from 0 to 1.
    #[must_use]
    pub(crate) fn share(&self) -> Option<f64> {
        let total = self.first.took().as_secs_f64().max(f64::MIN_POSITIVE);
        Some(self.saved()?.as_secs_f64() / total)
    }

    /// All of it in words.
    #[must_use]
    pub(crate) fn sentence(&self) -> String {
        let Self { first, second, missed } = self;
        let (one, other) = (first.number, second.number);
        let own = second.connection().map_or(String::new(), |id| format!(", {id}"));
        let Some(missed) = missed else { return self.saving() };
        match missed {
            MissedReuse::Broke => format!(
                "Request {other} took the connection of request {one}, but the server had closed \
                 it: it was sent again on one of its own{own}, and reuse saved nothing."
            ),
            MissedReuse::NotUsed(why) => {
                let why = why.as_ref().map_or(String::new(), |why| format!(" ({why})"));
                format!(
                    "Request {other} could not use the connection of request {one}{why}: it paid \
                     for one of its own{own}, and reuse saved nothing."
                )
            }
        }
    }

    fn saving(&self) -> String {
        let Self { first, second, .. } = self;
        let parts: Vec<String> = FetchPhase::SET_UP
            .into_iter()
            .filter_map(|phase| {
                Some(format!("{} {} ms", phase.name(), ms(first.phases.get(phase)?)))
            })
            .collect();
        let split =
            if parts.is_empty() { String::new() } else { format!(": {}", parts.join(", ")) };
        let in_vain = second.phases.dialled_in_vain.map_or(String::new(), |id| {
            format!(" It had begun to dial one of its own ({id}) before the other came free.")
        });
        format!(
            "Reuse saved request {} what request {} paid for its connection, {} ms of its {} ms \
             ({:.0} %){split}.{in_vain}",
            second.number,
            first.number,
            ms(self.saved().unwrap_or_default()),
            ms(first.took()),
            self.share().unwrap_or_default() * 100.0,
        )
    }
}

/// `1.234`: milliseconds to the microsecond.
#[must_use]
pub(crate) fn ms(time: Duration) -> String {
    format!("{:.3}", time.as_secs_f64() * 1e3)
}
