//! What is said of an exchange that took longer than it was given.

use std::time::Duration;

use evidence::{Failure, FailureKind};

use crate::recorder::ExchangeNotes;

/// The failure of an exchange that was given up after `limit`, in words that say what it waited
/// for, as far as `notes` and the head (`answered`: it was there) tell.
pub(crate) fn given_up(limit: Duration, notes: &ExchangeNotes, answered: bool) -> Failure {
    let waiting = if answered {
        "reading the body"
    } else if notes.first_byte_at.is_some() {
        "waiting for the rest of the response"
    } else if notes.connection.is_some() {
        "waiting for the response"
    } else {
        "waiting for a connection"
    };
    let on = notes.connection.map_or(String::new(), |id| format!(" on connection {id}"));
    let message = format!("gave up after {limit:?} (--timeout) while {waiting}{on}");
    Failure { kind: FailureKind::TimedOut, message }
}
