//! Every decision about a connection, as a pure function: this is the file to change in order to
//! see what another rule would do. The rest of the crate carries out what is decided here.
//!
//! | question | function |
//! |---|---|
//! | which idle connection does a request get? | [`which_idle`] |
//! | is it too old to be used? | [`is_too_old`] |
//! | may a request that finds none dial? | [`may_dial`] |
//! | how much of a response is read before anybody asks for its body? | [`READ_AHEAD`] |
//! | may the connection carry another exchange after this response? | [`persistence`] |
//! | what becomes of it if the reader lets go of the body? | [`early_drop`], [`on_dropped_body`] |
//! | may it go back at all? | [`returns`] |
//! | who gets it, if somebody waits? | [`which_waiting`] |
//! | is it kept idle? | [`keeps`] |
//! | which one goes if there are too many in all? | [`which_evicted`] |
//! | how long is a final response waited for, if interim ones come? | [`too_much_interim`] |
//! | is a failed request sent again? | [`retries`], [`is_replayable`] |
//! | does HTTP/2 take another stream on a connection? | [`takes_stream`], [`serves_all_who_wait`] |
//! | is a body sent that waited for `100 Continue`? | [`sends_body_after_final_response`] |
//!
//! The rules are Go's; hyper-util's client has its own, which nobody can change from outside. Once a
//! rule here is no longer Go's, every run says so: see `go_judge.rs`.

use std::time::Duration;

use evidence::{ByteCount, NotPooled, Preset};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode, Version};

use wire::http1::AnsweredMethod;

use crate::config::Limits;

/// The rule for a connection whose body is let go of before its end.
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

/// The most bytes of a response that are read at once, and before anybody asks for its body: the
/// size of the buffer through which Go reads (`Transport.ReadBufferSize`, 4 KiB by default).
pub(crate) const READ_AHEAD: usize = 4096;

/// The time for which a connection whose response has ended may still be busy with its request
/// before it counts as broken (Go's `maxWriteWaitBeforeConnReuse`).
pub(crate) const BUSY_GRACE: Duration = Duration::from_millis(50);

/// The most bytes that the heads of one exchange may have in all, those of interim responses
/// included: Go's default since 1.24 (`Transport.MaxResponseHeaderBytes`).
pub(crate) const MOST_HEAD_BYTES: u64 = 10 << 20;

/// The most interim responses of one exchange where somebody hears of each. Go up to 1.23 took 5;
/// since 1.24 it leaves the number to whoever hears of them, and this is ours.
pub(crate) const MOST_INTERIM_HEARD: u64 = 1000;

/// Tells what happens to a connection whose body is let go of early, where the rule is ours.
pub(crate) fn early_drop(preset: Preset) -> EarlyDrop {
    match preset {
        Preset::Go127 => EarlyDrop::GO_1_27,
        Preset::Go | Preset::HyperUtil => EarlyDrop::Close,
    }
}

/// The fate of a connection whose reader has let go of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DroppedBody {
    /// Every byte was read; the connection goes back as if the end had been waited for.
    WasRead,
    /// The rest is read in the background, so much of it and for so long.
    Drain { bytes: u64, time: Duration },
    /// The connection is closed.
    Close,
}

/// Decides on a connection whose reader lets go of a body that announces `announced` bytes, if it
/// announces any. `is_read`: its last byte was read, but nobody has waited for the end.
pub(crate) fn on_dropped_body(
    rule: EarlyDrop,
    is_read: bool,
    announced: Option<u64>,
) -> DroppedBody {
    match rule {
        _ if is_read => DroppedBody::WasRead,
        EarlyDrop::Drain { bytes, time } if announced.is_none_or(|length| length <= bytes) => {
            DroppedBody::Drain { bytes, time }
        }
        EarlyDrop::Drain { .. } | EarlyDrop::Close => DroppedBody::Close,
    }
}

// The pool: which connection a request gets, and which one stays.

/// Chooses the idle connection that a request gets. `idle_for` holds for each idle connection to
/// the request's host how long it has been idle, the one that came back first at the front. `None`
/// is none of them.
///
/// The most recently used one: it is the least likely to have been closed by the server meanwhile,
/// and those that are not needed grow old enough to be closed.
pub(crate) fn which_idle(idle_for: &[Duration]) -> Option<usize> {
    idle_for.len().checked_sub(1)
}

/// Decides whether a connection that was idle for so long is closed instead of being used.
pub(crate) fn is_too_old(idle_for: Duration, limits: &Limits) -> bool {
    limits.idle_timeout.is_some_and(|limit| idle_for > limit)
}

/// Decides whether a request that finds no connection may dial, if its host has so many, busy ones
/// and dials under way included. Otherwise it waits.
pub(crate) fn may_dial(connections: usize, limits: &Limits) -> bool {
    limits.max_conns_per_host.is_none_or(|most| connections < most)
}

/// Decides whether a connection whose exchange is done may be used again at all. It comes before
/// the requests that wait: a connection that may not is for one exchange only.
///
/// # Errors
/// The reason for which it is closed.
pub(crate) fn returns(is_closed: bool, limits: &Limits) -> Result<(), NotPooled> {
    let per_host = limits.max_idle_per_host;
    if !limits.keep_alives {
        Err(NotPooled::KeepAlivesDisabled)
    } else if per_host == 0 {
        Err(NotPooled::IdleCapReached { per_host })
    } else if is_closed {
        Err(NotPooled::TransportClosed)
    } else {
        Ok(())
    }
}

/// Chooses who gets a connection that comes back, or that was dialled in vain, out of so many
/// requests to its host that wait for one, in the order in which they came. `None`: nobody, so it
/// becomes idle.
///
/// "Late binding": such a request dials for itself as well, and takes whatever comes first. A dial
/// that comes too late for its request is treated like a connection that comes back.
pub(crate) fn which_waiting(waiting: usize) -> Option<usize> {
    (waiting > 0).then_some(0)
}

/// Decides whether a connection that comes back, and for which nobody waits, is kept, if so many
/// to its host are idle already.
///
/// # Errors
/// The reason for which it is closed.
pub(crate) fn keeps(idle: usize, limits: &Limits) -> Result<(), NotPooled> {
    let per_host = limits.max_idle_per_host;
    if idle < per_host { Ok(()) } else { Err(NotPooled::IdleCapReached { per_host }) }
}

/// Chooses the idle connection that is closed because there are too many over all hosts. `idle_for`
/// holds for each of them how long it has been idle, in any order. `None`: there are not.
///
/// The one that has been idle longest, even if that is the one that has just come back.
pub(crate) fn which_evicted(idle_for: &[Duration], limits: &Limits) -> Option<usize> {
    let most = limits.max_idle?;
    if idle_for.len() <= most {
        return None;
    }
    // The first of those that are equally old.
    let longest = idle_for.iter().max()?;
    idle_for.iter().position(|age| age == longest)
}

/// Decides whether a connection of HTTP/2 takes another stream, if so many are open and its server
/// takes `most` at once. `must`: no other connection may be dialled, so the stream waits its turn.
pub(crate) fn takes_stream(open: usize, most: usize, must: bool) -> bool {
    must || open < most
}

/// Decides whether everybody who waits gets a stream on a new connection of HTTP/2. Go pools
/// nothing if no idle connection is kept; then whoever waits finds the connection after its own
/// dial.
pub(crate) fn serves_all_who_wait(limits: &Limits) -> bool {
    limits.max_idle_per_host > 0
}

// The exchange: what request and response decide, and what a failure does.

/// The words of a request that decide on its connection, kept while it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RequestSays {
    /// It carries `Connection: close`.
    close: bool,
    /// It asks for nothing but a head.
    head_only: bool,
    /// It asks for a tunnel.
    tunnel: bool,
}

impl RequestSays {
    pub(crate) fn by<B>(request: &Request<B>) -> Self {
        Self {
            close: has_connection_option(request.headers(), "close"),
            head_only: request.method() == Method::HEAD,
            tunnel: request.method() == Method::CONNECT,
        }
    }

    /// The method, as far as the end of the response depends on it.
    pub(crate) fn answered_method(self) -> AnsweredMethod {
        match self {
            Self { head_only: true, .. } => AnsweredMethod::Head,
            Self { tunnel: true, .. } => AnsweredMethod::Connect,
            _ => AnsweredMethod::Other,
        }
    }
}

/// Decides whether the connection may carry another exchange once this response has been read
/// (RFC 9112 section 9.3). Of several reasons why not, the one that was there first.
pub(crate) fn persistence<B>(
    asked: RequestSays,
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

/// Returns true if nothing but the end of the connection is the end of this response's body (RFC
/// 9112 section 6.3).
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

/// Decides whether a body that waits for `100 Continue` is sent although the final response has
/// come, given whether that response lets the connection persist.
///
/// It is: the server counts the bytes that `Content-Length` announces as the body, whether it wants
/// them or not, so without them the connection could not carry another request. A connection that
/// will be closed is spared them. (Go since 1.22.5, golang/go#67555.)
pub(crate) fn sends_body_after_final_response(persistence: Result<(), NotPooled>) -> bool {
    persistence.is_ok()
}

/// Decides whether a request without a body says `Content-Length: 0` (Go's
/// `shouldSendContentLength`).
pub(crate) fn says_that_there_is_no_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

/// Decides whether a final response is given up on, after so many interim ones (1xx, RFC 9110
/// section 15.2) and so many bytes of the answer. `is_heard`: somebody hears of each. Returns what
/// there was too much of, in words.
///
/// hyper takes any number of them, so this holds for its client, too. In HTTP/2 hyper does not tell
/// of them, and only a limit of time ends them.
pub(crate) fn too_much_interim(responses: u64, bytes: u64, is_heard: bool) -> Option<String> {
    if is_heard && responses > MOST_INTERIM_HEARD {
        Some(format!("more than {MOST_INTERIM_HEARD} interim responses (1xx)"))
    } else if bytes > MOST_HEAD_BYTES {
        Some(format!("interim responses (1xx) of more than {}", ByteCount(MOST_HEAD_BYTES)))
    } else {
        None
    }
}

/// An attempt at an exchange that failed, as far as the decision to try again goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExchangeAttempt {
    /// The connection came out of the pool, so the server may have closed it in the meantime.
    pub(crate) from_pool: bool,
    /// Not a byte of the request was written.
    pub(crate) nothing_written: bool,
    /// A byte of the response came.
    pub(crate) response_started: bool,
    /// Sending the request twice is the same as sending it once.
    pub(crate) replayable: bool,
}

/// Decides whether a request is silently sent again on another connection (Go's
/// `shouldRetryRequest`).
pub(crate) fn retries(attempt: ExchangeAttempt) -> bool {
    attempt.from_pool
        && !attempt.response_started
        && (attempt.nothing_written || attempt.replayable)
}

/// Decides whether Go would replay the request: a safe method, or one that says it is idempotent.
pub(crate) fn is_replayable<B>(request: &Request<B>) -> bool {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE];
    safe.contains(request.method())
        || ["idempotency-key", "x-idempotency-key"]
            .iter()
            .any(|name| request.headers().contains_key(*name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
    fn interim_responses_are_bounded_in_number_where_they_are_heard_and_in_bytes() {
        let bound = |responses, is_heard| too_much_interim(responses, 50_000, is_heard);
        assert_eq!(bound(MOST_INTERIM_HEARD, true), None);
        assert!(bound(MOST_INTERIM_HEARD + 1, true).is_some());
        assert_eq!(bound(MOST_INTERIM_HEARD + 1, false), None);
        for is_heard in [false, true] {
            assert_eq!(too_much_interim(1, MOST_HEAD_BYTES, is_heard), None);
            assert_eq!(
                too_much_interim(1, MOST_HEAD_BYTES + 1, is_heard).unwrap(),
                "interim responses (1xx) of more than 10 MiB"
            );
        }
    }

    #[test]
    fn http_1_1_persists_unless_told_otherwise_and_http_1_0_the_other_way_round() {
        let close = Err(NotPooled::ServerSaidClose);
        let asked = RequestSays::by(&Request::new(()));
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
        let asked = RequestSays::by(&Request::new(()));
        let head = RequestSays { head_only: true, ..asked };
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
            (RequestSays { close: true, ..asked }, 200, None, Err(NotPooled::ClientSaidClose)),
            (RequestSays { tunnel: true, ..asked }, 200, None, Err(NotPooled::ProtocolSwitched)),
            (RequestSays { tunnel: true, ..asked }, 404, None, ends),
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
        let stale = ExchangeAttempt {
            from_pool: true,
            nothing_written: false,
            response_started: false,
            replayable: true,
        };
        assert!(retries(stale), "a GET on a stale connection");
        assert!(!retries(ExchangeAttempt { from_pool: false, ..stale }), "a fresh connection");
        assert!(!retries(ExchangeAttempt { response_started: true, ..stale }), "half a response");
        assert!(
            !retries(ExchangeAttempt { replayable: false, ..stale }),
            "a POST that was written"
        );
        assert!(
            retries(ExchangeAttempt { replayable: false, nothing_written: true, ..stale }),
            "a POST of which not a byte was written"
        );
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

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_most_recently_used_connection_is_taken_first() {
        assert_eq!(which_idle(&[]), None);
        assert_eq!(which_idle(&[3 * SECOND, 2 * SECOND, SECOND]), Some(2));
    }

    #[test]
    fn a_connection_is_too_old_beyond_its_time_and_not_at_it() {
        assert!(!is_too_old(90 * SECOND, &Limits::GO));
        assert!(is_too_old(90 * SECOND + Duration::from_nanos(1), &Limits::GO));
        assert!(!is_too_old(Duration::MAX, &Limits { idle_timeout: None, ..Limits::GO }));
    }

    #[test]
    fn who_has_waited_longest_is_served_first() {
        assert_eq!(which_waiting(0), None);
        assert_eq!(which_waiting(7), Some(0));
    }

    #[test]
    fn a_body_let_go_of_is_drained_only_if_all_of_it_is_short_enough() {
        let EarlyDrop::Drain { bytes, time } = EarlyDrop::GO_1_27 else { panic!("no drain") };
        let drain = DroppedBody::Drain { bytes, time };
        for (rule, is_read, announced, fate) in [
            (EarlyDrop::Close, false, Some(11), DroppedBody::Close),
            (EarlyDrop::Close, true, Some(11), DroppedBody::WasRead),
            (EarlyDrop::GO_1_27, false, Some(bytes), drain),
            (EarlyDrop::GO_1_27, false, Some(bytes + 1), DroppedBody::Close),
            (EarlyDrop::GO_1_27, false, None, drain),
        ] {
            assert_eq!(on_dropped_body(rule, is_read, announced), fate, "{rule:?} {announced:?}");
        }
    }

    #[test]
    fn no_idle_connection_means_none_shared_either() {
        assert!(serves_all_who_wait(&Limits::GO));
        assert!(!serves_all_who_wait(&Limits { max_idle_per_host: 0, ..Limits::GO }));
        assert!(takes_stream(99, 100, false) && !takes_stream(100, 100, false));
        assert!(takes_stream(100, 100, true), "it waits its turn");
    }

    /// A pool of ages alone, driven by the rules: what happens to connections that come back.
    #[derive(Default)]
    struct AgesOnly {
        /// By host, since when each is idle; the one that came back first at the front.
        hosts: std::collections::BTreeMap<u8, Vec<u32>>,
        clock: u32,
    }

    impl AgesOnly {
        fn ages(&self, host: u8) -> Vec<Duration> {
            let since = self.hosts.get(&host).into_iter().flatten();
            since.map(|since| SECOND * (self.clock - since)).collect()
        }

        fn come_back(&mut self, host: u8, limits: &Limits) {
            self.clock += 1;
            let idle = self.hosts.entry(host).or_default();
            if returns(false, limits).is_err() || keeps(idle.len(), limits).is_err() {
                return;
            }
            idle.push(self.clock);
            let all: Vec<(u8, usize)> = self
                .hosts
                .iter()
                .flat_map(|(host, idle)| (0..idle.len()).map(|place| (*host, place)))
                .collect();
            let ages: Vec<Duration> =
                all.iter().map(|(host, place)| self.ages(*host)[*place]).collect();
            if let Some(evicted) = which_evicted(&ages, limits) {
                assert_eq!(ages[evicted], *ages.iter().max().unwrap(), "the longest idle goes");
                let (host, place) = all[evicted];
                self.hosts.get_mut(&host).unwrap().remove(place);
            }
        }
    }

    proptest! {
        #[test]
        fn a_pool_never_keeps_more_than_its_limits_and_hands_out_the_youngest(
            steps in prop::collection::vec((0_u8..4, any::<bool>()), 0..200),
            max_idle in prop::option::of(0_usize..6),
            max_idle_per_host in 0_usize..4,
        ) {
            let limits = Limits { max_idle, max_idle_per_host, ..Limits::GO };
            let mut pool = AgesOnly::default();
            for (host, takes) in steps {
                if takes {
                    let ages = pool.ages(host);
                    let taken = which_idle(&ages);
                    prop_assert_eq!(taken.is_some(), !ages.is_empty());
                    if let Some(place) = taken {
                        prop_assert_eq!(ages.get(place), ages.iter().min());
                        pool.hosts.get_mut(&host).unwrap().remove(place);
                    }
                } else {
                    pool.come_back(host, &limits);
                }
                let idle: Vec<usize> = pool.hosts.values().map(Vec::len).collect();
                prop_assert!(idle.iter().all(|idle| *idle <= max_idle_per_host));
                prop_assert!(max_idle.is_none_or(|most| idle.iter().sum::<usize>() <= most));
            }
        }

        #[test]
        fn a_host_has_never_more_connections_than_it_may(
            most in prop::option::of(1_usize..9), asks in 0_usize..40,
        ) {
            let limits = Limits { max_conns_per_host: most, ..Limits::GO };
            let mut connections = 0;
            for _ in 0..asks {
                connections += usize::from(may_dial(connections, &limits));
            }
            prop_assert_eq!(connections, most.map_or(asks, |most| asks.min(most)));
        }
    }
}
