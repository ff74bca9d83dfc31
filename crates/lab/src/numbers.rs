//! Numbers, and ranges of them, as people write them.

use crate::experiment::RunPrediction;

/// A number as people write it: whole if it is whole, else with at most three significant digits.
#[must_use]
pub(crate) fn number(value: f64) -> String {
    let magnitude = value.abs();
    if (value - value.round()).abs() < 1e-9 && magnitude < 1e15 {
        return format!("{}", value.round() as i64);
    }
    let decimals = match magnitude {
        m if m >= 100.0 => 0,
        m if m >= 10.0 => 1,
        m if m >= 1.0 => 2,
        // Three digits that tell something, wherever they begin.
        m => (2 - m.log10().floor() as i32).clamp(3, 9) as usize,
    };
    let text = format!("{value:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `82`, `10 to 82`, `at least 3`, `at most 5`.
#[must_use]
pub(crate) fn range(prediction: &RunPrediction) -> String {
    range_of(prediction.least, prediction.most)
}

/// The same of two ends, of which one that is open is infinite.
#[must_use]
pub(crate) fn range_of(least: f64, most: f64) -> String {
    match (least.is_finite(), most.is_finite()) {
        (true, true) if least == most => number(least),
        (true, true) => format!("{} to {}", number(least), number(most)),
        (true, false) => format!("at least {}", number(least)),
        (false, true) => format!("at most {}", number(most)),
        (false, false) => "anything".to_owned(),
    }
}

/// Returns what was observed, or that nobody did.
#[must_use]
pub(crate) fn observed(value: Option<f64>) -> String {
    value.map_or_else(|| report::words::NONE.to_owned(), number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_long_as_they_tell_something() {
        for (value, text) in [
            (82.0, "82"),
            (0.0, "0"),
            (0.5134, "0.513"),
            (0.5, "0.5"),
            (0.000_123_4, "0.000123"),
            (0.012_34, "0.0123"),
            (10.03, "10"),
            (59.93, "59.9"),
            (3.1427, "3.14"),
            (1234.56, "1235"),
            (-1.0, "-1"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
