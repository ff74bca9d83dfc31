//! A fact, or the honest admission that nobody could see it.

use serde::{Deserialize, Serialize};

/// The word of a witness on something it may not be able to see.
///
/// hyper-util's client, for one, does not tell whether a connection it hands out had been idle.
/// Such a fact is [`Observed::NotObservable`]; the lab never fills the gap with a guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observed<T> {
    /// The witness saw it.
    Known(T),
    /// The witness has no means to see it.
    NotObservable,
}

impl<T> Observed<T> {
    /// The fact, if somebody saw it.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(fact) => Some(fact),
            Self::NotObservable => None,
        }
    }

    /// The same witness, and what follows from the fact.
    pub fn map<U>(self, follow: impl FnOnce(T) -> U) -> Observed<U> {
        match self {
            Self::Known(fact) => Observed::Known(follow(fact)),
            Self::NotObservable => Observed::NotObservable,
        }
    }

    /// The same witness, looking at a borrowed fact.
    pub fn as_ref(&self) -> Observed<&T> {
        match self {
            Self::Known(fact) => Observed::Known(fact),
            Self::NotObservable => Observed::NotObservable,
        }
    }
}
