//! What hyper's errors mean: its words, and what was seen on the wire, told apart.

use std::error::Error as StdError;
use std::io;

use wire::FirstClose;

use crate::config::HttpVersion;
use crate::failure::error::{Cause, Error};
use crate::failure::http2_failure::Http2Failure;
use crate::failure::http2_words;
use crate::failure::phase::Phase;
use crate::seen::record::{ConnectionInfo, Record};

impl Error {
    /// Returns what hyper's error means when it comes instead of a response's head: a function that
    /// makes an [`Error`] of it, or of whatever error wraps it.
    pub(crate) fn meaning_before_head(
        record: &Record,
        error: &hyper::Error,
    ) -> impl FnOnce(Cause) -> Self + use<> {
        let info = record.info;
        let (connection, server) = (info.id, info.ends.server);
        let version = record.version();
        let during = record.phase();
        let reset = is_reset(record, error);
        // Without the words of whoever wraps it.
        let says_what = error.is_parse() && version != HttpVersion::Http2;
        let words = says_what.then(|| error.to_string());
        let spoke_first = record.server_speaks_something_else();
        let unasked = spoke_first.then(|| "it answered before it was asked".to_owned());
        let broken_rule = words.clone().or(unasked).filter(|_| record.answers_in_http1());
        let too_much = error.is_parse_too_large().then(|| record.too_much_in_head());
        let words = record.speaks().or(words).map(Cause::from);
        let not_http = error.is_parse() || spoke_first;
        let cut_short = error.is_incomplete_message() && during == Phase::Head;
        let closed =
            error.is_canceled() || is_early_end(record, error) || http2_words::is_goodbye(error);
        let tls_ended = record.tls_ended().map(str::to_owned);
        let http2 = http2_words::failure(error);
        let no_final = record.gave_up_on_final().map(str::to_owned);
        move |cause| match (tls_ended, http2) {
            _ if no_final.is_some() => {
                let because = no_final.unwrap_or_default();
                Self::NoFinalResponse { connection, server, because, cause }
            }
            // It is HTTP, but more of it than hyper takes.
            _ if too_much.is_some() => {
                let source = too_much.flatten().map_or(cause, Cause::from);
                Self::Exchange { connection, server, during, source }
            }
            (Some(because), _) => {
                // Nothing was answered, so the server refuses the handshake.
                let during = if during < Phase::Head { Phase::Handshake } else { during };
                Self::TlsEnded { connection, server, during, because, cause }
            }
            _ if broken_rule.is_some() => {
                let because = broken_rule.unwrap_or_default();
                Self::Malformed { version, connection, server, during, because, cause }
            }
            _ if not_http => Self::NotHttp { version, connection, server, during, source: words },
            (_, Some(http2)) => http2.error(info, during, cause),
            _ if reset => Self::Reset { connection, server, during, cause },
            _ if cut_short => Self::HeadCutShort { connection, server, cause },
            _ if closed => Self::ClosedBeforeResponse { connection, server, during, cause },
            _ => Self::Exchange { connection, server, during, source: cause },
        }
    }

    /// The same for hyper's error itself.
    pub(crate) fn before_head(record: &Record, error: hyper::Error) -> Self {
        Self::meaning_before_head(record, &error)(error.into())
    }

    /// Returns what hyper's error means when it comes inside a body of which `received` bytes came.
    pub(crate) fn inside_body(
        record: &Record,
        received: u64,
        announced: Option<u64>,
        error: hyper::Error,
    ) -> Self {
        let info = record.info;
        let (connection, server) = (info.id, info.ends.server);
        let (version, during) = (record.version(), Phase::Body);
        let (reset, early_end) = (is_reset(record, &error), is_early_end(record, &error));
        let (http2, broken_rule) = (http2_words::failure(&error), broken_rule(&error));
        let cause = error.into();
        if let Some(because) = record.tls_ended().map(str::to_owned) {
            Self::TlsEnded { connection, server, during, because, cause }
        } else if let Some(http2) = http2 {
            http2.error(info, during, cause)
        } else if reset {
            Self::Reset { connection, server, during, cause }
        } else if early_end {
            Self::BodyCutShort { connection, server, received, announced, cause }
        } else if let Some(because) = broken_rule {
            Self::Malformed { version, connection, server, during, because, cause }
        } else {
            Self::Exchange { connection, server, during, source: cause }
        }
    }
}

impl Http2Failure {
    fn error(self, info: ConnectionInfo, during: Phase, cause: Cause) -> Error {
        let (connection, server) = (info.id, info.ends.server);
        let version = HttpVersion::Http2;
        match self {
            Self::StreamReset(code) => {
                Error::StreamReset { connection, server, during, code, cause }
            }
            Self::GoAway(code) => Error::GoAway { connection, server, during, code, cause },
            Self::Malformed(because) => {
                Error::Malformed { version, connection, server, during, because, cause }
            }
        }
    }
}

/// Returns true if hyper gave up a connection for what the peer sent, rather than for its going
/// away.
pub(crate) fn is_the_peers_fault(error: &hyper::Error) -> bool {
    let gone = error.is_incomplete_message() || error.is_canceled() || error.is_closed();
    !gone && io_causes(error).next().is_none()
}

/// The rule that a body has broken, if that is what hyper says: it tells so as an input error.
fn broken_rule(error: &hyper::Error) -> Option<String> {
    use io::ErrorKind::{InvalidData, InvalidInput};
    let cause = io_causes(error).find(|e| matches!(e.kind(), InvalidData | InvalidInput))?;
    Some(cause.to_string().to_lowercase())
}

fn io_causes<'a>(error: &'a hyper::Error) -> impl Iterator<Item = &'a io::Error> {
    let first: &'a (dyn StdError + 'static) = error;
    std::iter::successors(Some(first), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
}

/// HTTP/2's library tells a close and a reset alike, as a broken pipe: there the wire decides.
fn is_reset(record: &Record, error: &hyper::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
    match record.version() {
        HttpVersion::Http1 | HttpVersion::Negotiated => io_causes(error)
            .any(|cause| matches!(cause.kind(), ConnectionReset | BrokenPipe | ConnectionAborted)),
        HttpVersion::Http2 => record.peer_left() == Some(FirstClose::Reset),
    }
}

fn is_early_end(record: &Record, error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_closed()
        || match record.version() {
            HttpVersion::Http1 | HttpVersion::Negotiated => {
                io_causes(error).any(|cause| cause.kind() == io::ErrorKind::UnexpectedEof)
            }
            HttpVersion::Http2 => record.peer_left() == Some(FirstClose::There),
        }
}
