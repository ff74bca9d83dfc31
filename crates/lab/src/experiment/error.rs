//! The faults that an experiment can have.

/// A fault in an experiment, and its place.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExperimentError {
    /// It is no TOML, or not of this shape.
    #[error("{file}: {}", cause.to_string().trim_end())]
    NotAnExperiment {
        /// The file.
        file: String,
        /// Line, column and what is allowed there. Not a `source`: it is all in the message.
        cause: Box<toml::de::Error>,
    },
    /// It has the shape, but makes no sense.
    #[error("{file}{}: {what}", line.map_or(String::new(), |line| format!(", line {line}")))]
    NoSense {
        /// The file.
        file: String,
        /// The line, if one is to blame.
        line: Option<usize>,
        /// The fault.
        what: String,
    },
    /// `--set` is no setting.
    #[error("--set {text}: {what}")]
    BadOverride {
        /// The text that was typed.
        text: String,
        /// The fault in it.
        what: String,
    },
}
