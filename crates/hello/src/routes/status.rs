//! `/status/N`: any final status.

use http::header::{ALLOW, LOCATION, PROXY_AUTHENTICATE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use super::call::{RouteCall, RouteRefusal, RouteResult};
use server::{whole, words};

pub(super) async fn respond(call: RouteCall<'_>) -> RouteResult {
    // Rust would take a sign, and any number of zeros.
    let digits = Some(call.parameter()).filter(|it| it.len() == 3 && !it.starts_with('+'));
    let status = match digits.unwrap_or_default().parse() {
        Ok(number @ 200..=599) => StatusCode::from_u16(number).ok(),
        Ok(number @ 100..=199) => {
            let words = format_args!(
                "{number} is informational: a final response must follow it (RFC 9110 section \
                 15.2). /early-hints sends a 103"
            );
            return Err(RouteRefusal::new(StatusCode::BAD_REQUEST, words));
        }
        _ => None,
    };
    let Some(status) = status else {
        let words = format_args!("`{}` is no status, as in 200 or 404", call.parameter());
        return Err(RouteRefusal::new(StatusCode::BAD_REQUEST, words));
    };
    let mut response = match status {
        // They end with their head (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5).
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED => {
            Response::new(whole(""))
        }
        _ => words(status, format!("{status}\n")),
    };
    *response.status_mut() = status;
    // What a status must be accompanied by, or means nothing without.
    let field = match status {
        StatusCode::NOT_MODIFIED => None,
        _ if status.is_redirection() => Some((LOCATION, "/")),
        StatusCode::UNAUTHORIZED => Some((WWW_AUTHENTICATE, "Basic realm=\"hello\"")),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Some((PROXY_AUTHENTICATE, "Basic realm=\"hello\""))
        }
        StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, "")),
        _ => None,
    };
    if let Some((name, value)) = field {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}
