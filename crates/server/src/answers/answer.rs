//! What is asked of an answer: by flag for a whole server, by query for one request.

use std::time::Duration;

use evidence::ByteCount;
use program::args::time;

use super::HELLO;

/// How the server answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The size of the body in bytes.
    pub bytes: u64,
    /// The time between the request and the head of the response.
    pub delay: Duration,
    /// The time between head and body. The head is on the wire before it starts.
    pub pause_before_body: Duration,
    /// True if the response carries `Connection: close`, so ends the connection. Changes nothing in
    /// HTTP/2, which has no such header.
    pub close: bool,
    /// True if the body is sent chunked (RFC 9112 section 7.1), so without announcing its length.
    /// In HTTP/2 every body comes in frames; there it is only the length that is not announced.
    pub chunked: bool,
}

impl Default for Answer {
    /// `Hello world`, at once, on a persistent connection.
    fn default() -> Self {
        Self {
            bytes: HELLO.len() as u64,
            delay: Duration::ZERO,
            pause_before_body: Duration::ZERO,
            close: false,
            chunked: false,
        }
    }
}

/// A query that asks for something impossible.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the query asks for {key}={value}: {cause}")]
pub struct BadQuery {
    key: String,
    value: String,
    cause: String,
}

impl BadQuery {
    /// The query asks for `value` of `key`, which cannot be for this `cause`.
    pub fn new(key: &str, value: &str, cause: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into(), cause: cause.into() }
    }
}

impl Answer {
    /// The keys a query may hold.
    pub const KEYS: [&str; 5] = ["bytes", "delay", "pause_before_body", "close", "chunked"];

    /// This answer, changed as the query of one request asks for, such as
    /// `bytes=64KiB&delay=20ms&close`. Keys it does not know are left to others.
    ///
    /// # Errors
    /// [`BadQuery`] if the value of a known key cannot be read.
    pub fn with_query(&self, query: &str) -> Result<Self, BadQuery> {
        let mut answer = self.clone();
        for pair in query.split('&') {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let bad = |cause: String| BadQuery::new(key, value, cause);
            match key {
                "bytes" => {
                    let ByteCount(bytes) =
                        value.parse().map_err(|e: evidence::NoByteCount| bad(e.to_string()))?;
                    answer.bytes = bytes;
                }
                "delay" => answer.delay = time(value).map_err(bad)?,
                "pause_before_body" => {
                    answer.pause_before_body = time(value).map_err(bad)?;
                }
                "close" => answer.close = parse_switch(value).map_err(bad)?,
                "chunked" => answer.chunked = parse_switch(value).map_err(bad)?,
                _ => {}
            }
        }
        Ok(answer)
    }
}

/// A key alone switches on.
fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "" | "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err("neither true nor false".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_changes_just_what_it_names() {
        let asked = Answer::default()
            .with_query("bytes=64KiB&delay=20ms&pause_before_body=1s&close&chunked=no&x=1")
            .unwrap();
        assert_eq!(
            asked,
            Answer {
                bytes: 65_536,
                delay: Duration::from_millis(20),
                pause_before_body: Duration::from_secs(1),
                close: true,
                chunked: false,
            }
        );
        assert_eq!(Answer::default().with_query("").unwrap(), Answer::default());
    }

    #[test]
    fn a_query_that_asks_for_nonsense_is_told_what_and_why() {
        let told = |query| Answer::default().with_query(query).unwrap_err().to_string();
        assert_eq!(
            told("bytes=many"),
            "the query asks for bytes=many: `many` is no number of bytes, as in 11, 64KiB or 1MiB"
        );
        assert!(told("delay=20").contains("as in 20ms, 1s or 2m"), "{}", told("delay=20"));
        assert!(told("close=perhaps").contains("neither true nor false"));
    }
}
