//! `/early-hints`: 103 Early Hints (RFC 8297), then the response it hints at.

use std::time::Duration;

use http::header::LINK;
use http::{HeaderMap, HeaderValue, StatusCode, Version};

use super::call::{RouteCall, RouteResult};
use server::words;

/// The things that the page will need, so that a client may ask for it while the page is being
/// made.
const LINKS: [&str; 2] =
    ["</style.css>; rel=preload; as=style", "</script.js>; rel=preload; as=script"];

pub(super) async fn respond(call: RouteCall<'_>) -> RouteResult {
    let time = call.time("for", Duration::from_millis(100))?;
    let links: HeaderMap =
        LINKS.iter().map(|link| (LINK, HeaderValue::from_static(link))).collect();
    let text = match (call.request.version(), call.interim) {
        (Version::HTTP_11, Some(interim)) => {
            interim.send(StatusCode::EARLY_HINTS, &links).await;
            "103 Early Hints came before this response\n"
        }
        (Version::HTTP_2, _) => "no 103 Early Hints: hyper's HTTP/2 server cannot send them\n",
        _ => "no 103 Early Hints: HTTP/1.0 knows no such responses (RFC 9110 section 15.2)\n",
    };
    tokio::time::sleep(time).await;
    let mut response = words(StatusCode::OK, text);
    response.headers_mut().extend(links);
    Ok(response)
}
