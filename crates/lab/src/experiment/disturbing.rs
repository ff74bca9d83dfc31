//! Texts of an experiment's file that would command a terminal. Pure.

use report::words;

/// A text or a key that would disturb a terminal. `is_sent`: it goes over the wire.
pub(super) fn disturbing(value: &toml::Value, is_sent: bool) -> Option<String> {
    let disturbs = |text: &str| {
        text.chars().any(|c| {
            let is_wanted = c == '\n' || (is_sent && c.is_control());
            words::disturbs(c) && !is_wanted
        })
    };
    match value {
        toml::Value::String(text) => disturbs(text).then(|| text.clone()),
        toml::Value::Array(values) => values.iter().find_map(|value| disturbing(value, is_sent)),
        toml::Value::Table(table) => table.iter().find_map(|(key, value)| {
            let is_sent = ["send", "post"].contains(&key.as_str());
            if disturbs(key) { Some(key.clone()) } else { disturbing(value, is_sent) }
        }),
        _ => None,
    }
}
