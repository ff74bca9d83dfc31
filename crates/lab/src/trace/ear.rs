//! What is heard of requests, until it is told; without secrets, unless they are asked for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use evidence::TraceEvent;

/// Keeps every moment until somebody asks.
pub(super) struct FetchEar {
    heard: Mutex<Vec<TraceEvent>>,
    shows_secrets: bool,
    /// True once a secret was left out of a moment.
    pub(super) has_hidden: AtomicBool,
}

impl FetchEar {
    pub(super) fn new(shows_secrets: bool) -> Self {
        Self { heard: Mutex::default(), shows_secrets, has_hidden: AtomicBool::default() }
    }

    /// Returns what was heard since the last call, in the order of time.
    pub(super) fn take(&self) -> Vec<TraceEvent> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = std::mem::take(&mut *heard);
        drop(heard);
        events.sort_by_key(|event| event.at);
        if !self.shows_secrets {
            for event in &mut events {
                self.has_hidden
                    .fetch_or(transport::hide_in_moment(&mut event.moment), Ordering::Relaxed);
            }
        }
        events
    }
}

impl transport::Listener for FetchEar {
    fn event(&self, event: TraceEvent) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}
