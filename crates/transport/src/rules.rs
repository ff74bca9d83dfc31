//! The limits, and every decision about a connection as a pure function.
//!
//! This is the file to change in order to see what another rule would do. The numbers are those
//! of Go's `net/http`; where a field means something else by 0 than in Go, it says so.

use std::fmt;
use std::time::Duration;

use evidence::{NotPooled, Preset};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode, Version};

/// How many connections may stay, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Max idle connections over all hosts; the one that has been idle longest goes. `None`: no
    /// limit (in Go: 0). Go's `DefaultTransport`: 100.
    pub max_idle: Option<usize>,
    /// Max idle connections per host; a connection that comes back too many is closed. 0 pools
    /// nothing (in Go: any negative number). Go's default: 2.
    pub max_idle_per_host: usize,
    /// Max connections per host, busy ones included; further requests wait. `None`: no limit
    /// (in Go: 0), which is Go's default.
    pub max_conns_per_host: Option<usize>,
    /// How long a connection may be idle before it is closed. `None`: for ever (in Go: 0). Go's
    /// `DefaultTransport`: 90 s.
    pub idle_timeout: Option<Duration>,
    /// Whether connections are used again at all. If not, requests carry `Connection: close`.
    pub keep_alives: bool,
}

impl Limits {
    /// The limits of Go's `http.DefaultTransport`.
    pub const GO: Self = Self {
        max_idle: Some(100),
        max_idle_per_host: 2,
        max_conns_per_host: None,
        idle_timeout: Some(Duration::from_secs(90)),
        keep_alives: true,
    };

    /// The limits of hyper-util's `Client` as its builder makes it.
    pub const HYPER_UTIL: Self = Self {
        max_idle: None,
        max_idle_per_host: usize::MAX,
        max_conns_per_host: None,
        idle_timeout: Some(Duration::from_secs(90)),
        keep_alives: true,
    };
}

/// What happens to a connection whose body is let go of before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyDrop {
    /// It is closed: Go up to 1.26.
    Close,
    /// The rest of the body is read in the background, and the connection kept if that takes no
    /// more than this: Go since 1.27. A body that announces more is not even tried, however
    /// little of it is left.
    Drain {
        /// At most so many bytes.
        bytes: u64,
        /// At most so long.
        time: Duration,
    },
}

impl EarlyDrop {
    /// Go's rule since 1.27 (golang/go#77370).
    pub const GO_1_27: Self = Self::Drain { bytes: 256 * 1024, time: Duration::from_millis(50) };
}

/// How long a connection whose response has ended may still be busy with its request before it
/// counts as broken (Go's `maxWriteWaitBeforeConnReuse`).
pub(crate) const BUSY_GRACE: Duration = Duration::from_millis(50);

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    /// HTTP/1.1: one exchange at a time. In TLS nothing else is offered.
    Http1,
    /// HTTP/2: any number of exchanges at once. In TLS nothing else is offered; without TLS it is
    /// spoken with prior knowledge (RFC 9113 section 3.3). Only with the cargo feature `http2`.
    Http2,
    /// In TLS what ALPN agrees on (RFC 7301): HTTP/2 if the server speaks it, else HTTP/1.1.
    /// Without TLS HTTP/1.1. Go's `DefaultTransport` does the same. Only with the cargo feature
    /// `http2`.
    Negotiated,
}

impl fmt::Display for HttpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http1 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
            Self::Negotiated => "HTTP/1.1 or HTTP/2",
        })
    }
}

/// Everything that can be asked of a [`Transport`](crate::Transport).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Whose client it is.
    pub preset: Preset,
    /// What it speaks.
    pub version: HttpVersion,
    /// Its limits.
    pub limits: Limits,
    /// Whether a timer closes connections that have been idle for too long. Without one, which is
    /// how hyper-util's builder leaves it, nobody looks at them before the next request to their
    /// host comes, so that they may stay open for ever. Go's rules always have their timers.
    pub pool_timer: bool,
    /// After how much silence TCP keepalive probes start; `None`: never. Not HTTP keep-alive.
    pub tcp_keepalive: Option<Duration>,
    /// How long one dial may take, over all addresses of a name.
    pub dial_timeout: Duration,
    /// How long the body of a request with `Expect: 100-continue` waits for the server's word; then
    /// it is sent all the same. Go's `ExpectContinueTimeout`, which its `DefaultTransport` sets to
    /// 1 s. Zero: it is sent at once. hyper-util's client never waits, whatever is set here.
    pub expect_continue_timeout: Duration,
}

/// Something that the preset's client does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} has no {limit}: {because}", preset.name())]
pub struct Unsupported {
    /// The preset.
    pub preset: Preset,
    /// What it does not have.
    pub limit: &'static str,
    /// Why not.
    pub because: &'static str,
}

impl Config {
    /// What `preset` does when nothing else is asked for. Dial time-out, TCP keepalive (30 s each)
    /// and the time-out of `Expect: 100-continue` (1 s) are those of Go's `DefaultTransport` for
    /// every preset, so that the only difference between two presets is their pool.
    #[must_use]
    pub fn of(preset: Preset) -> Self {
        let limits = match preset {
            Preset::Go | Preset::Go127 => Limits::GO,
            Preset::HyperUtil => Limits::HYPER_UTIL,
        };
        let thirty = Duration::from_secs(30);
        Self {
            preset,
            version: HttpVersion::Http1,
            limits,
            pool_timer: true,
            tcp_keepalive: Some(thirty),
            dial_timeout: thirty,
            expect_continue_timeout: Duration::from_secs(1),
        }
    }

    /// Whether the preset's client has everything that is asked for.
    ///
    /// # Errors
    /// [`Unsupported`] names the first thing that it lacks, and why.
    pub fn check(&self) -> Result<(), Unsupported> {
        self.check_version(cfg!(feature = "http2"))?;
        match self.preset {
            Preset::Go | Preset::Go127 => self.check_go(),
            Preset::HyperUtil => self.check_hyper_util(),
        }
    }

    fn check_version(&self, is_built_with_http2: bool) -> Result<(), Unsupported> {
        if self.version == HttpVersion::Http1 || is_built_with_http2 {
            return Ok(());
        }
        let because = "this build is without the cargo feature `http2` of transport";
        Err(Unsupported { preset: self.preset, limit: "HTTP/2", because })
    }

    fn check_go(&self) -> Result<(), Unsupported> {
        let refuse = |limit, because| Err(Unsupported { preset: self.preset, limit, because });
        if !self.pool_timer {
            return refuse("switch for its pool's timers", "its timers are part of the rules");
        }
        Ok(())
    }

    fn check_hyper_util(&self) -> Result<(), Unsupported> {
        let refuse = |limit, because| Err(Unsupported { preset: self.preset, limit, because });
        if self.limits.max_idle.is_some() {
            return refuse(
                "limit on idle connections in all",
                "its pool counts per host only (hyperium/hyper#2236)",
            );
        }
        if self.limits.max_conns_per_host.is_some() {
            return refuse(
                "limit on connections per host",
                "a request that finds none idle always dials a new one",
            );
        }
        if !self.limits.keep_alives {
            return refuse(
                "switch for keep-alives",
                "the nearest is 0 idle per host, which pools nothing but still asks the server to keep the connection",
            );
        }
        Ok(())
    }

    /// What happens to a connection whose body is let go of early, where the rule is ours.
    pub(crate) fn early_drop(&self) -> EarlyDrop {
        match self.preset {
            Preset::Go127 => EarlyDrop::GO_1_27,
            Preset::Go | Preset::HyperUtil => EarlyDrop::Close,
        }
    }
}

/// What a request says that decides on its connection, kept while it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// It carries `Connection: close`.
    close: bool,
    /// It asks for nothing but a head.
    head_only: bool,
    /// It asks for a tunnel.
    tunnel: bool,
}

impl Asked {
    pub(crate) fn by<B>(request: &Request<B>) -> Self {
        Self {
            close: has_connection_option(request.headers(), "close"),
            head_only: request.method() == Method::HEAD,
            tunnel: request.method() == Method::CONNECT,
        }
    }
}

/// Whether the connection may carry another exchange once this response has been read
/// (RFC 9112 section 9.3). Of several reasons why not, the one that was there first.
pub(crate) fn persistence<B>(
    asked: Asked,
    response: &Response<B>,
    keep_alives: bool,
) -> Result<(), NotPooled> {
    let says = |option| has_connection_option(response.headers(), option);
    let status = response.status();
    if !keep_alives {
        Err(NotPooled::KeepAlivesDisabled)
    } else if status == StatusCode::SWITCHING_PROTOCOLS || (asked.tunnel && status.is_success()) {
        Err(NotPooled::ProtocolSwitched)
    } else if asked.close {
        Err(NotPooled::ClientSaidClose)
    } else if says("close") {
        Err(NotPooled::ServerSaidClose)
    } else if response.version() < Version::HTTP_11 && !says("keep-alive") {
        Err(NotPooled::Http10)
    } else if !asked.head_only && ends_with_its_connection(response) {
        Err(NotPooled::BodyEndsWithConnection)
    } else {
        Ok(())
    }
}

/// Whether nothing but the end of the connection is the end of this response's body (RFC 9112
/// section 6.3).
fn ends_with_its_connection<B>(response: &Response<B>) -> bool {
    let headers = response.headers();
    let is_bare = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status());
    // Only the last coding counts, and only chunked tells where it ends.
    let coding = headers.get_all(TRANSFER_ENCODING).iter().next_back();
    let is_chunked = coding.map(|value| {
        let last = value.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default();
        last.trim_ascii().eq_ignore_ascii_case(b"chunked")
    });
    !is_bare && !is_chunked.unwrap_or_else(|| headers.contains_key(CONTENT_LENGTH))
}

fn has_connection_option(headers: &HeaderMap, option: &str) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case(option))
}

/// Whether the value of an `Expect` field asks for `100 Continue`.
pub(crate) fn is_100_continue(value: &[u8]) -> bool {
    value
        .split(|byte| *byte == b',')
        .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether a body that waits for `100 Continue` is sent although the final response has come, given
/// whether that response lets the connection persist.
///
/// It is: the server counts the bytes that `Content-Length` announces as the body, whether it wants
/// them or not, so without them the connection could not carry another request. A connection that
/// will be closed is spared them. (Go since 1.22.5, golang/go#67555.)
pub(crate) fn sends_body_after_final_response(persistence: Result<(), NotPooled>) -> bool {
    persistence.is_ok()
}

/// Whether a request without a body says `Content-Length: 0` (Go's `shouldSendContentLength`).
pub(crate) fn says_that_there_is_no_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// How an attempt at an exchange failed, as far as the decision to try again goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    /// The connection came out of the pool, so the server may have closed it in the meantime.
    pub(crate) from_pool: bool,
    /// Not a byte of the request was written.
    pub(crate) nothing_written: bool,
    /// A byte of the response came.
    pub(crate) response_started: bool,
    /// Sending the request twice is the same as sending it once.
    pub(crate) replayable: bool,
}

/// Whether a request is silently sent again on another connection (Go's `shouldRetryRequest`).
pub(crate) fn retries(attempt: Attempt) -> bool {
    attempt.from_pool
        && !attempt.response_started
        && (attempt.nothing_written || attempt.replayable)
}

/// Whether Go would replay the request: a safe method, or one that says it is idempotent.
pub(crate) fn is_replayable<B>(request: &Request<B>) -> bool {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
    safe.contains(request.method())
        || ["idempotency-key", "x-idempotency-key"]
            .iter()
            .any(|name| request.headers().contains_key(*name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(version: Version, connection: Option<&str>) -> Response<()> {
        let mut response = Response::new(());
        response.headers_mut().insert(CONTENT_LENGTH, 0.into());
        *response.version_mut() = version;
        if let Some(value) = connection {
            response.headers_mut().insert(CONNECTION, value.parse().unwrap());
        }
        response
    }

    #[test]
    fn http_1_1_persists_unless_told_otherwise_and_http_1_0_the_other_way_round() {
        let close = Err(NotPooled::ServerSaidClose);
        let asked = Asked::by(&Request::new(()));
        for (version, connection, fate) in [
            (Version::HTTP_11, None, Ok(())),
            (Version::HTTP_11, Some("close"), close),
            (Version::HTTP_11, Some("upgrade, Close"), close),
            (Version::HTTP_11, Some("keep-alive"), Ok(())),
            (Version::HTTP_10, None, Err(NotPooled::Http10)),
            (Version::HTTP_10, Some("close"), close),
            (Version::HTTP_10, Some("Keep-Alive"), Ok(())),
        ] {
            let response = response(version, connection);
            assert_eq!(persistence(asked, &response, true), fate, "{version:?} {connection:?}");
            assert_eq!(persistence(asked, &response, false), Err(NotPooled::KeepAlivesDisabled));
        }
    }

    #[test]
    fn a_body_without_a_length_ends_with_its_connection() {
        let asked = Asked::by(&Request::new(()));
        let head = Asked { head_only: true, ..asked };
        let ends = Err(NotPooled::BodyEndsWithConnection);
        for (asked, status, field, fate) in [
            (asked, 200, None, ends),
            (asked, 200, Some(("content-length", "0")), Ok(())),
            (asked, 200, Some(("transfer-encoding", "gzip, Chunked")), Ok(())),
            (asked, 200, Some(("transfer-encoding", "chunked, gzip")), ends),
            (asked, 204, None, Ok(())),
            (asked, 304, None, Ok(())),
            (head, 200, None, Ok(())),
            (asked, 101, None, Err(NotPooled::ProtocolSwitched)),
            (Asked { close: true, ..asked }, 200, None, Err(NotPooled::ClientSaidClose)),
            (Asked { tunnel: true, ..asked }, 200, None, Err(NotPooled::ProtocolSwitched)),
            (Asked { tunnel: true, ..asked }, 404, None, ends),
        ] {
            let mut response = Response::builder().status(status).body(()).unwrap();
            if let Some((name, value)) = field {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            assert_eq!(persistence(asked, &response, true), fate, "{asked:?} {status} {field:?}");
        }
    }

    #[test]
    fn a_request_is_replayed_only_on_a_pooled_connection_that_never_answered() {
        let stale = Attempt {
            from_pool: true,
            nothing_written: false,
            response_started: false,
            replayable: true,
        };
        assert!(retries(stale), "a GET on a stale connection");
        assert!(!retries(Attempt { from_pool: false, ..stale }), "a fresh connection");
        assert!(!retries(Attempt { response_started: true, ..stale }), "half a response");
        assert!(!retries(Attempt { replayable: false, ..stale }), "a POST that was written");
        assert!(
            retries(Attempt { replayable: false, nothing_written: true, ..stale }),
            "a POST of which not a byte was written"
        );
    }

    #[test]
    fn an_expectation_is_found_in_any_case_and_in_a_list() {
        for (value, expected) in
            [("100-continue", true), ("a, 100-Continue ", true), ("100-continued", false)]
        {
            assert_eq!(is_100_continue(value.as_bytes()), expected, "{value}");
        }
    }

    #[test]
    fn what_is_replayable_is_what_go_replays() {
        let mut post = Request::new(());
        *post.method_mut() = Method::POST;
        assert!(!is_replayable(&post));
        post.headers_mut().insert("idempotency-key", "1".parse().unwrap());
        assert!(is_replayable(&post));
        assert!(is_replayable(&Request::new(())));
    }

    #[test]
    fn http_2_is_spoken_if_it_is_built_in() {
        for preset in Preset::ALL {
            for version in [HttpVersion::Http2, HttpVersion::Negotiated] {
                let config = Config { version, ..Config::of(preset) };
                assert_eq!(config.check().is_ok(), cfg!(feature = "http2"));
                assert_eq!(config.check_version(true), Ok(()));
                let told = config.check_version(false).unwrap_err().to_string();
                assert!(told.ends_with("without the cargo feature `http2` of transport"), "{told}");
            }
            assert_eq!(Config::of(preset).check_version(false), Ok(()));
        }
    }

    #[test]
    fn the_timers_of_gos_pool_cannot_be_switched_off() {
        for preset in Preset::ALL {
            let config = Config { pool_timer: false, ..Config::of(preset) };
            assert_eq!(config.check().is_ok(), preset == Preset::HyperUtil, "{}", preset.name());
        }
    }

    #[test]
    fn hyper_utils_client_is_not_asked_for_limits_it_does_not_have() {
        let config = Config::of(Preset::HyperUtil);
        assert_eq!(config.check(), Ok(()));
        for limits in [
            Limits { max_idle: Some(100), ..config.limits },
            Limits { max_conns_per_host: Some(4), ..config.limits },
            Limits { keep_alives: false, ..config.limits },
        ] {
            assert!(Config { limits, ..config }.check().is_err(), "{limits:?}");
            assert!(Config { preset: Preset::Go, limits, ..config }.check().is_ok());
        }
    }
}
