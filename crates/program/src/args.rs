//! Times and limits, as they are typed; for clap's `value_parser`.

use std::time::Duration;

/// Nobody waits longer; and clocks overflow, in our libraries too.
pub const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// The least time between two looks at something.
const SHORTEST_LOOK: Duration = Duration::from_millis(1);

/// A limit, or none: typed as `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit<T>(pub Option<T>);

/// Reads a time with its unit, such as `20ms`, `1s` or `2m`, of a day at the most.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text)
        .map_err(|cause| format!("{cause}; a time has a unit, as in 20ms, 1s or 2m"))?;
    if time > LONGEST { Err("longer than a day".into()) } else { Ok(time) }
}

/// Reads a time between one thing and the next, as every `--interval` does: a number of seconds, such
/// as `2` or `0.5`, or a time with its unit; of a day at the most.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn interval(text: &str) -> Result<Duration, String> {
    seconds_or_time(text).filter(|time| *time <= LONGEST).ok_or_else(|| {
        "a time of up to 1day is meant, such as 2, 0.5, 100ms or 1min; 0 for none".to_owned()
    })
}

/// Reads [`interval`], or a time to look for: from 1 ms.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn look_time(text: &str) -> Result<Duration, String> {
    seconds_or_time(text)
        .filter(|time| (SHORTEST_LOOK..=LONGEST).contains(time))
        .ok_or_else(|| "a time from 1ms to 1day is meant, such as 2, 0.5, 100ms or 1min".to_owned())
}

fn seconds_or_time(text: &str) -> Option<Duration> {
    let text = text.trim();
    let seconds = text.parse::<f64>().ok().and_then(|s| Duration::try_from_secs_f64(s).ok());
    seconds.or_else(|| humantime::parse_duration(text).ok())
}

/// Reads [`time`], or `none`.
///
/// # Errors
/// As [`time`].
pub fn time_limit(text: &str) -> Result<Limit<Duration>, String> {
    match text {
        "none" => Ok(Limit(None)),
        _ => time(text)
            .map(|time| Limit(Some(time)))
            .map_err(|cause| format!("neither `none` nor a time: {cause}")),
    }
}

/// Reads a number of connections.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "not a number of connections, which is 0 or more".to_owned())
}

/// Reads [`count`], or `none`.
///
/// # Errors
/// A sentence for the person who typed it.
pub fn count_limit(text: &str) -> Result<Limit<usize>, String> {
    match text {
        "none" => Ok(Limit(None)),
        _ => count(text)
            .map(|count| Limit(Some(count)))
            .map_err(|_| "neither `none` nor a number of connections, which is 0 or more".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_is_no_longer_than_a_day() {
        assert_eq!(time("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(time("1day"), Ok(LONGEST));
        assert!(time("20").unwrap_err().contains("a time has a unit"));
        assert_eq!(time("25h"), Err("longer than a day".to_owned()));
    }

    #[test]
    fn looks_may_be_a_number_of_seconds_apart() {
        assert_eq!(look_time("0.5"), Ok(Duration::from_millis(500)));
        assert_eq!(look_time(" 100ms "), Ok(Duration::from_millis(100)));
        for text in ["0", "-1", "86401", "NaN", "inf", "1e30", "soon", ""] {
            assert!(look_time(text).unwrap_err().contains("from 1ms to 1day"), "{text}");
        }
    }

    #[test]
    fn every_interval_may_be_a_number_of_seconds() {
        for text in ["1", "0.5", "100ms", "1day"] {
            assert_eq!(interval(text), look_time(text), "{text}");
        }
        assert_eq!(interval("0"), Ok(Duration::ZERO), "exchanges may follow at once, looks not");
        for text in ["-1", "86401", "NaN", "soon", ""] {
            assert!(interval(text).unwrap_err().contains("up to 1day"), "{text}");
        }
    }

    #[test]
    fn none_is_no_limit() {
        assert_eq!(time_limit("none"), Ok(Limit(None)));
        assert_eq!(count_limit("none"), Ok(Limit(None)));
        assert_eq!(count_limit("7"), Ok(Limit(Some(7))));
        assert!(count_limit("-1").unwrap_err().contains("neither `none`"));
        assert!(count("none").unwrap_err().contains("not a number"));
    }
}
