//! The probes that come with the lab.

use super::probe::{Probe, ProbeError};

macro_rules! built_in {
    ($($name:literal,)*) => {
        &[$(($name, include_str!(concat!("../../../../passport/", $name, ".toml"))),)*]
    };
}

/// The name and the text of each.
const BUILT_IN: &[(&str, &str)] = built_in![
    "01-reuse",
    "02-close-announced",
    "03-http-1-0",
    "04-http-1-0-keep-alive",
    "05-closed-at-once",
    "06-closed-meanwhile",
    "07-reset-meanwhile",
    "08-no-answer-new",
    "09-no-answer-used",
    "10-reset-for-an-answer",
    "11-half-an-answer",
    "12-body-too-short",
    "13-chunks-cut",
    "14-length-and-chunks",
    "15-two-lengths",
    "16-unasked-answer",
    "17-unasked-408",
    "18-408",
    "19-503-retry-after",
    "20-redirect",
    "21-early-hints",
    "22-unasked-100",
    "23-body-behind-204",
    "24-upgrade-offered",
    "25-trailers",
    "26-until-close",
    "27-idle-close",
    "28-keep-alive-timeout",
    "29-no-100",
    "30-early-413",
];

/// The probe whose server does all as one would wish.
///
/// # Errors
/// As [`battery`].
pub(crate) fn plain() -> Result<Probe, ProbeError> {
    Probe::read("01-reuse", include_str!("../../../../passport/01-reuse.toml"))
}

/// The probes that come with the lab, in the order of their numbers.
///
/// # Errors
/// [`ProbeError`]: none that a test has not seen.
pub(crate) fn battery() -> Result<Vec<Probe>, ProbeError> {
    BUILT_IN.iter().map(|(name, source)| Probe::read(name, source)).collect()
}
