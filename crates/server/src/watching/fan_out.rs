//! Several observers in the place of one.

use std::sync::Arc;

use crate::watching::observer::{Observer, ObserverWants, ServerEvent};

/// Tells each of them what it wants, in the order in which they came.
pub(crate) struct FanOut(Vec<Arc<dyn Observer>>);

impl FanOut {
    /// `newcomer` beside whoever observed so far. One observer alone costs no detour.
    pub(crate) fn add(
        so_far: Option<Arc<dyn Observer>>,
        newcomer: Arc<dyn Observer>,
    ) -> Arc<dyn Observer> {
        match so_far {
            None => newcomer,
            Some(first) => Arc::new(Self(vec![first, newcomer])),
        }
    }
}

impl Observer for FanOut {
    fn event(&self, event: ServerEvent) {
        for observer in &self.0 {
            if observer.wants().covers(&event.moment) {
                observer.event(event.clone());
            }
        }
    }

    fn wants(&self) -> ObserverWants {
        self.0.iter().fold(ObserverWants::default(), |all, observer| all.or(observer.wants()))
    }
}
