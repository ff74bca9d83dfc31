//! Times as they travel: whole microseconds, under a key that ends in `_us`.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Observed;

/// Something that holds a time, or may, or several.
pub(crate) trait InMicros: Sized {
    /// The same with a number in the place of the time.
    type Number: Serialize + DeserializeOwned;

    fn to_micros(&self) -> Self::Number;

    fn from_micros(number: Self::Number) -> Self;
}

impl InMicros for Duration {
    type Number = u64;

    fn to_micros(&self) -> u64 {
        u64::try_from(self.as_micros()).unwrap_or(u64::MAX)
    }

    fn from_micros(number: u64) -> Self {
        Self::from_micros(number)
    }
}

impl<T: InMicros> InMicros for Option<T> {
    type Number = Option<T::Number>;

    fn to_micros(&self) -> Self::Number {
        self.as_ref().map(T::to_micros)
    }

    fn from_micros(number: Self::Number) -> Self {
        number.map(T::from_micros)
    }
}

impl<T: InMicros> InMicros for Vec<T> {
    type Number = Vec<T::Number>;

    fn to_micros(&self) -> Self::Number {
        self.iter().map(T::to_micros).collect()
    }

    fn from_micros(numbers: Self::Number) -> Self {
        numbers.into_iter().map(T::from_micros).collect()
    }
}

impl<T: InMicros> InMicros for Observed<T> {
    type Number = Observed<T::Number>;

    fn to_micros(&self) -> Self::Number {
        self.as_ref().map(T::to_micros)
    }

    fn from_micros(number: Self::Number) -> Self {
        number.map(T::from_micros)
    }
}

pub(crate) fn serialize<T: InMicros, S: Serializer>(time: &T, to: S) -> Result<S::Ok, S::Error> {
    time.to_micros().serialize(to)
}

pub(crate) fn deserialize<'de, T: InMicros, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    T::Number::deserialize(from).map(T::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Times {
        #[serde(rename = "took_us", with = "super")]
        took: Duration,
        #[serde(rename = "idle_us", with = "super")]
        idle: Observed<Option<Duration>>,
    }

    #[test]
    fn a_time_is_whole_microseconds_and_what_nobody_saw_is_no_time() {
        let us = Duration::from_micros;
        for (idle, json) in [
            (Observed::Known(Some(us(7))), r#"{"known":7}"#),
            (Observed::Known(None), r#"{"known":null}"#),
            (Observed::NotObservable, r#""not_observable""#),
        ] {
            let times = Times { took: us(11), idle };
            let text = serde_json::to_string(&times).unwrap();
            assert_eq!(text, format!(r#"{{"took_us":11,"idle_us":{json}}}"#));
            assert_eq!(serde_json::from_str::<Times>(&text).unwrap(), times);
        }
    }
}
