//! Credentials in header fields, which are sent and received but not shown. Pure.

use std::borrow::Cow;

use evidence::Moment;
use http::{HeaderName, header};

use crate::dial::target::shown_url;

/// The fields whose values are for the two ends alone.
const SECRET_FIELDS: [HeaderName; 4] =
    [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE, header::SET_COOKIE];

/// Stands for a value that is not shown.
pub const NOT_SHOWN: &str = "[not shown]";

/// Leaves secrets out of a moment. Returns true if it had one.
pub fn hide_in_moment(moment: &mut Moment) -> bool {
    match moment {
        Moment::WroteHeaderField { name, value } => hide_in_field(name, value),
        Moment::Got1xxResponse { headers, .. } => headers
            .iter_mut()
            .fold(false, |hidden, (name, value)| hide_in_field(name, value) || hidden),
        _ => false,
    }
}

/// Leaves the secret out of a field: of credentials the scheme stays, of a cookie its name and
/// attributes, of a URL all but a user's name and password. Returns true if there was one.
pub fn hide_in_field(name: &str, value: &mut String) -> bool {
    let is = |field: &HeaderName| name.eq_ignore_ascii_case(field.as_str());
    let shown: Cow<'_, str> = if is(&header::SET_COOKIE) {
        let (cookie, attributes) = value.split_at(value.find(';').unwrap_or(value.len()));
        format!("{}{attributes}", hidden_cookie(cookie)).into()
    } else if is(&header::COOKIE) {
        value.split(';').map(hidden_cookie).collect::<Vec<_>>().join("; ").into()
    } else if SECRET_FIELDS.iter().any(is) {
        match value.split_once(' ') {
            Some((scheme, _)) => format!("{scheme} {NOT_SHOWN}").into(),
            None => NOT_SHOWN.into(),
        }
    } else if is(&header::LOCATION) {
        shown_url(value).into()
    } else {
        return false;
    };
    let hidden = shown != value.as_str();
    *value = shown.into_owned();
    hidden
}

fn hidden_cookie(cookie: &str) -> String {
    match cookie.split_once('=') {
        Some((name, _)) => format!("{}={NOT_SHOWN}", name.trim()),
        None => NOT_SHOWN.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_of_a_field_has_no_secret() {
        for (name, value, shown) in [
            ("Authorization", "Basic dTpw", "Basic [not shown]"),
            ("proxy-authorization", "secret", "[not shown]"),
            ("authorization", "Digest username=u, response=r", "Digest [not shown]"),
            ("cookie", "a=1; b=2", "a=[not shown]; b=[not shown]"),
            ("cookie", "secret", "[not shown]"),
            ("set-cookie", "a=1; Path=/; HttpOnly", "a=[not shown]; Path=/; HttpOnly"),
            ("location", "http://u:p@h/a", "http://h/a"),
            ("location", "/a@b", "/a@b"),
            ("x-other", "a=1", "a=1"),
        ] {
            let mut text = value.to_owned();
            assert_eq!(hide_in_field(name, &mut text), value != shown, "{name}");
            assert_eq!(text, shown, "{name}");
        }
    }
}
