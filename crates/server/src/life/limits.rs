//! The time limits of a server, with Go's meaning.

use std::time::Duration;

/// How long a server waits for what. `None` is no limit, as everything is by default. As in Go, but
/// that 0 is no way to switch a limit off.
///
/// | limit | Go | begins | ends | what happens then |
/// |---|---|---|---|---|
/// | `read_header` | `ReadHeaderTimeout` | accept, or a next request's first byte | the head is read | closed without a word |
/// | `read` | `ReadTimeout` | the same | the body is read | who reads the body gets an error |
/// | `write` | `WriteTimeout` | the head is read | the last byte is handed to the socket | dropped |
/// | `idle` | `IdleTimeout` | the end of a response | a next request's first byte | closed |
/// | `handler` | `TimeoutHandler` | the head is read | the response's head is made | answered 503 |
///
/// Two differences to Go. A Go server that has passed its write limit does not notice before it
/// writes; this one drops the connection at once. And Go's `TimeoutHandler` holds the body back
/// until it is whole; here the limit ends when the body begins.
///
/// In HTTP/2 the preface and the first request's head have `read_header`, a request's body has
/// `read` from the moment its head was read, `handler` is as in HTTP/1.1, and `idle` counts while
/// no request is being answered. `write` counts for each response until the connection has taken
/// all of it, which it does only as fast as the client's windows let it; one that takes longer
/// drops the connection with all its streams (Go resets the one stream).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerLimits {
    /// For the head of a request; `None` falls back to `read`, which then is the reason told, too.
    /// Where both are given, this alone limits the head.
    pub read_header: Option<Duration>,
    /// For a whole request, head and body. Nothing happens to a body that nobody reads.
    pub read: Option<Duration>,
    /// For a whole response, the work on it included: a 503 that comes after it is never sent.
    pub write: Option<Duration>,
    /// Between two exchanges; `None` falls back to `read`. Before its first request a connection is
    /// not idle.
    pub idle: Option<Duration>,
    /// For the work on a response.
    pub handler: Option<Duration>,
}

impl ServerLimits {
    /// For the head of a request.
    pub(crate) fn head(&self) -> Option<Duration> {
        self.read_header.or(self.read)
    }

    /// Between two exchanges.
    pub(crate) fn between(&self) -> Option<Duration> {
        self.idle.or(self.read)
    }

    /// Returns true if a connection has to be timed at all. The limit on the work is the work's own
    /// matter.
    pub(crate) fn need_a_clock(&self) -> bool {
        self.head().is_some() || self.write.is_some() || self.between().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_read_limit_stands_in_for_those_that_are_not_given() {
        let second = Duration::from_secs;
        let read = ServerLimits { read: Some(second(3)), ..ServerLimits::default() };
        assert_eq!((read.head(), read.between()), (Some(second(3)), Some(second(3))));
        let all = ServerLimits { read_header: Some(second(5)), idle: Some(second(7)), ..read };
        assert_eq!((all.head(), all.between()), (Some(second(5)), Some(second(7))));
        assert!(
            !ServerLimits { handler: Some(second(1)), ..ServerLimits::default() }.need_a_clock()
        );
    }
}
