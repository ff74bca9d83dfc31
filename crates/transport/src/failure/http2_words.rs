//! What is said in HTTP/2: resets of streams, goodbyes, breaches of its rules.

use std::error::Error as _;

use super::http2_failure::Http2Failure;

/// Returns what HTTP/2's library says, if it is about the protocol: not about bytes that do not
/// come.
pub(crate) fn failure(error: &hyper::Error) -> Option<Http2Failure> {
    let within = within_http2(error)?;
    let reason = within.reason().filter(|reason| *reason != h2::Reason::NO_ERROR)?;
    let code = code_name(reason);
    match () {
        () if within.is_remote() && within.is_reset() => Some(Http2Failure::StreamReset(code)),
        () if within.is_remote() && within.is_go_away() => Some(Http2Failure::GoAway(code)),
        () if within.is_library() => Some(Http2Failure::Malformed(code)),
        () => None,
    }
}

fn within_http2(error: &hyper::Error) -> Option<&h2::Error> {
    error.source().and_then(|within| within.downcast_ref())
}

/// Returns an error code under its name in RFC 9113 section 7.
fn code_name(reason: h2::Reason) -> String {
    const NAMES: [&str; 14] = [
        "NO_ERROR",
        "PROTOCOL_ERROR",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "SETTINGS_TIMEOUT",
        "STREAM_CLOSED",
        "FRAME_SIZE_ERROR",
        "REFUSED_STREAM",
        "CANCEL",
        "COMPRESSION_ERROR",
        "CONNECT_ERROR",
        "ENHANCE_YOUR_CALM",
        "INADEQUATE_SECURITY",
        "HTTP_1_1_REQUIRED",
    ];
    let code = u32::from(reason);
    let name = usize::try_from(code).ok().and_then(|place| NAMES.get(place));
    name.map_or_else(|| format!("error code {code:#x}"), ToString::to_string)
}

/// Returns true if the server of HTTP/2 has announced to close, and not taken this request.
pub(crate) fn is_goodbye(error: &hyper::Error) -> bool {
    within_http2(error).is_some_and(|within| {
        within.is_go_away() && within.is_remote() && within.reason() == Some(h2::Reason::NO_ERROR)
    })
}

/// Returns true if the server of HTTP/2 says that it has done nothing about a request.
pub(crate) fn is_unprocessed(error: &hyper::Error) -> bool {
    is_goodbye(error)
        || within_http2(error).is_some_and(|within| {
            within.is_reset()
                && within.is_remote()
                && within.reason() == Some(h2::Reason::REFUSED_STREAM)
        })
}
