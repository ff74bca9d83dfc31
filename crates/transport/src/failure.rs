//! What can go wrong in an exchange, when, and what it means.
//!
//! | idea | file |
//! |---|---|
//! | what can go wrong | `error.rs` |
//! | what was under way | `phase.rs` |
//! | what hyper's errors mean | `meaning.rs`, and for HTTP/2 `http2_words.rs`, `http2_failure.rs` |

pub(crate) mod error;
pub(crate) mod http2_failure;
#[cfg(feature = "http2")]
pub(crate) mod http2_words;
#[cfg(not(feature = "http2"))]
pub(crate) mod http2_words {
    //! Nobody speaks HTTP/2, so nothing is said in it.

    use super::http2_failure::Http2Failure;

    pub(crate) fn failure(_: &hyper::Error) -> Option<Http2Failure> {
        None
    }

    pub(crate) fn is_goodbye(_: &hyper::Error) -> bool {
        false
    }
}
pub(crate) mod meaning;
pub(crate) mod phase;
