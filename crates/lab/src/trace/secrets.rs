//! Credentials in header fields, which are sent and received but not shown. Pure.
//!
//! A trace is made to be passed on: pasted into a report, attached as HAR. So the values of these
//! fields are left out of whatever is written, unless somebody asks for them.

use http::{HeaderMap, HeaderValue};
use transport::{NOT_SHOWN, hide_in_field};

use super::FetchedExchange;

/// Leaves secrets out of what was asked and answered. Returns true if there were any.
pub(crate) fn hide_in_exchange(traced: &mut FetchedExchange) -> bool {
    let mut hidden = hide_in_headers(&mut traced.asked.headers);
    if let Some(answered) = &mut traced.answered {
        hidden |= hide_in_headers(&mut answered.headers);
    }
    hidden
}

fn hide_in_headers(headers: &mut HeaderMap) -> bool {
    let mut hidden = false;
    for (name, value) in headers.iter_mut() {
        let mut text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        if hide_in_field(name.as_str(), &mut text) {
            *value = shown_value(&text);
            hidden = true;
        }
    }
    hidden
}

/// What does not fit into a field any more is left out whole.
fn shown_value(text: &str) -> HeaderValue {
    HeaderValue::from_bytes(text.as_bytes()).unwrap_or(HeaderValue::from_static(NOT_SHOWN))
}
