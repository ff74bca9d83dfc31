//! The facts of an outcome that the verdict tells, and from which the next step follows.

use evidence::{CloseReason, NotPooled, Outcome};

/// How few connections could have carried these exchanges.
pub(super) fn enough(outcome: &Outcome) -> usize {
    outcome.setup.workers.min(outcome.exchanges.len())
}

/// The reason for which the client closed most connections before the run was over.
pub(super) fn most_frequent_loss(outcome: &Outcome) -> Option<(&CloseReason, usize)> {
    let mut reasons: Vec<(&CloseReason, usize)> = Vec::new();
    let closes = outcome.connections.iter().filter_map(|connection| connection.close.as_ref());
    for reason in closes.filter_map(|close| close.why.as_ref().known()) {
        let kind = |reason: &CloseReason| match reason {
            CloseReason::NotPooled(refused) => Some((0, std::mem::discriminant(refused))),
            CloseReason::IdleTimeout(_) => {
                Some((1, std::mem::discriminant(&NotPooled::ConnectionBroken)))
            }
            _ => None,
        };
        if kind(reason).is_none() {
            continue;
        }
        match reasons.iter_mut().find(|(known, _)| kind(known) == kind(reason)) {
            Some((_, count)) => *count += 1,
            None => reasons.push((reason, 1)),
        }
    }
    reasons.into_iter().max_by_key(|(_, count)| *count)
}
