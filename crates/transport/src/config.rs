//! What can be asked of a [`Transport`](crate::Transport): its limits, and all else.
//!
//! The numbers are those of Go's `net/http`; where a field means something else by 0 than in Go, it
//! says so.

use std::fmt;
use std::time::Duration;

use evidence::Preset;

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
    /// True if connections are used again at all. If not, requests carry `Connection: close`.
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

/// The version of HTTP that is spoken on a connection.
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
    /// The version that it speaks.
    pub version: HttpVersion,
    /// Its limits.
    pub limits: Limits,
    /// True if a timer closes connections that have been idle for too long. Without one, which is
    /// how hyper-util's builder leaves it, nobody looks at them before the next request to their
    /// host comes, so that they may stay open for ever. Go's rules always have their timers.
    pub pool_timer: bool,
    /// After how much silence TCP keepalive probes start; `None`: never. Not HTTP keep-alive.
    pub tcp_keepalive: Option<Duration>,
    /// How long data may stay unacknowledged before the kernel gives the connection up
    /// (`TCP_USER_TIMEOUT`, RFC 5482), in whole milliseconds. `None`: as long as the kernel's own
    /// patience lasts, as in Go and hyper-util. Linux alone has it; elsewhere nothing happens.
    pub tcp_user_timeout: Option<Duration>,
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
    /// The thing that it does not have.
    pub limit: &'static str,
    /// Why not.
    pub because: &'static str,
}

impl Config {
    /// Returns what `preset` does when nothing else is asked for. Dial time-out, TCP keepalive (30
    /// s each) and the time-out of `Expect: 100-continue` (1 s) are those of Go's
    /// `DefaultTransport` for every preset, so that the only difference between two presets is
    /// their pool.
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
            tcp_user_timeout: None,
            dial_timeout: thirty,
            expect_continue_timeout: Duration::from_secs(1),
        }
    }

    /// Decides whether the preset's client has everything that is asked for.
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
}

#[cfg(test)]
mod tests {
    use super::*;

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
