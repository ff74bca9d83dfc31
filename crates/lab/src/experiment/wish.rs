//! The wishes for an experiment, which are not in its file.

use evidence::Preset;

use super::error::ExperimentError;
use crate::real_go::RealGo;
use crate::settings::Settings;

/// The text that was typed after `--set`, such as `client.per_host=5`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Override {
    pub(super) text: String,
    pub(super) settings: Settings,
}

impl Override {
    /// Reads `key=value`. A value that is no TOML is taken as a text: `20ms` for `"20ms"`.
    ///
    /// # Errors
    /// [`ExperimentError::BadOverride`] with the allowed keys.
    pub(crate) fn parse(text: &str) -> Result<Self, ExperimentError> {
        let bad = |what: String| ExperimentError::BadOverride { text: text.to_owned(), what };
        let (key, value) =
            text.split_once('=').ok_or_else(|| bad("not of the form KEY=VALUE".into()))?;
        let (key, value) = (key.trim(), value.trim());
        if !key.contains('.') {
            return Err(bad("a key has its section, as in client.per_host".into()));
        }
        let as_toml = format!("{key} = {value}");
        let as_text = format!("{key} = {value:?}");
        let is_toml = as_toml.parse::<toml::Table>().is_ok();
        let settings = toml::from_str(if is_toml { &as_toml } else { &as_text });
        let settings =
            settings.map_err(|error: toml::de::Error| bad(error.message().to_owned()))?;
        Ok(Self { text: text.to_owned(), settings })
    }
}

/// The wishes for an experiment, beside what its file says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ExperimentWish {
    /// Settings to lay over it.
    pub(crate) overrides: Vec<Override>,
    /// Only these transports; all of them if there is none, and no [`Self::real_go`] either.
    pub(crate) transports: Vec<Preset>,
    /// Go's own transport, too.
    pub(crate) real_go: Option<RealGo>,
}
