//! The cases. What stands here at the right hand is Go's, and not to be changed: a rule that
//! differs is to be told, not to be made right by another answer.

use std::time::Duration;

use evidence::{ByteCount, NotPooled, Preset};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{Method, Request, Response, Version};

use super::{GoldenCase, RuleSet};
use crate::config::Limits;
use crate::rules::{DroppedBody, EarlyDrop, ExchangeAttempt, RequestSays};

const SECOND: Duration = Duration::from_secs(1);

/// The limits of Go's `http.DefaultTransport`, whatever those of this build are.
const LIMITS: Limits = Limits {
    max_idle: Some(100),
    max_idle_per_host: 2,
    max_conns_per_host: None,
    idle_timeout: Some(Duration::from_secs(90)),
    keep_alives: true,
};

/// Go's rule for bodies that are let go of, since 1.27.
const DRAIN: EarlyDrop = EarlyDrop::Drain { bytes: 256 * 1024, time: Duration::from_millis(50) };

/// Every case.
pub(super) fn all(preset: Preset, rules: &RuleSet) -> Vec<GoldenCase> {
    let mut cases = limits(&rules.limits);
    cases.extend(bodies(preset, rules));
    cases.extend(pool(rules));
    cases.extend(caps(rules));
    cases.extend(http2(rules));
    cases.extend(persistence(rules));
    cases.extend(requests(rules));
    cases.extend(retries(rules));
    cases
}

fn case(rule: &'static str, go: impl Into<String>, here: impl Into<String>) -> GoldenCase {
    GoldenCase { rule, go: go.into(), here: here.into() }
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

fn number(limit: Option<usize>) -> String {
    limit.map_or("any number".to_owned(), |limit| limit.to_string())
}

/// `90 s`, `50 ms`.
fn time(time: Duration) -> String {
    match time.subsec_nanos() {
        0 => format!("{} s", time.as_secs()),
        _ => format!("{} ms", time.as_secs_f64() * 1e3),
    }
}

/// Which of these: the place counts from 0.
fn place(place: Option<usize>, first: &str, last: usize, is_last: &str) -> String {
    match place {
        None => "none".to_owned(),
        Some(0) => first.to_owned(),
        Some(place) if place == last => is_last.to_owned(),
        Some(place) => format!("number {} of {}", place + 1, last + 1),
    }
}

fn fate(fate: Result<(), NotPooled>) -> String {
    match fate {
        Ok(()) => "kept".to_owned(),
        Err(why) => format!("closed, {why}"),
    }
}

fn limits(limits: &Limits) -> Vec<GoldenCase> {
    let idle = limits.idle_timeout.map_or("for ever".to_owned(), time);
    vec![
        case(
            "idle connections kept per host, by default",
            "2",
            limits.max_idle_per_host.to_string(),
        ),
        case("idle connections kept in all, by default", "100", number(limits.max_idle)),
        case(
            "connections open to a host, by default",
            "any number",
            number(limits.max_conns_per_host),
        ),
        case("how long a connection is kept idle, by default", "90 s", idle),
        case("connections are used again, by default", "yes", yes(limits.keep_alives)),
    ]
}

fn early_drop(rule: EarlyDrop) -> String {
    match rule {
        EarlyDrop::Close => "not drained, closed".to_owned(),
        EarlyDrop::Drain { bytes, time: at_most } => {
            format!("drained, up to {} in {}", ByteCount(bytes), time(at_most))
        }
    }
}

fn bodies(preset: Preset, rules: &RuleSet) -> Vec<GoldenCase> {
    let go = match preset {
        Preset::Go127 => "drained, up to 256 KiB in 50 ms",
        Preset::Go | Preset::HyperUtil => "not drained, closed",
    };
    let dropped = |rule, is_read, announced| match (rules.on_dropped_body)(rule, is_read, announced)
    {
        DroppedBody::WasRead => "kept".to_owned(),
        DroppedBody::Close => "closed".to_owned(),
        DroppedBody::Drain { bytes, time } => early_drop(EarlyDrop::Drain { bytes, time }),
    };
    let drained = early_drop(DRAIN);
    let close = EarlyDrop::Close;
    vec![
        case("a body that is let go of", go, early_drop((rules.early_drop)(preset))),
        case(
            "what is read of a response before anybody asks for its body",
            "4 KiB",
            ByteCount(rules.read_ahead as u64).to_string(),
        ),
        case(
            "how long a connection may still be busy after its response",
            "50 ms",
            time(rules.busy_grace),
        ),
        case(
            "a body let go of unread, if none are drained",
            "closed",
            dropped(close, false, Some(11)),
        ),
        case("a body let go of when it was read", "kept", dropped(close, true, Some(11))),
        case(
            "a body that is small enough to be drained",
            &drained,
            dropped(DRAIN, false, Some(262_144)),
        ),
        case(
            "a body that is larger than what is drained",
            "closed",
            dropped(DRAIN, false, Some(262_145)),
        ),
        case("a body without a length, if some are drained", &drained, dropped(DRAIN, false, None)),
    ]
}

fn pool(rules: &RuleSet) -> Vec<GoldenCase> {
    let idle = |seconds: &[u32]| {
        let ages: Vec<Duration> = seconds.iter().map(|age| SECOND * *age).collect();
        let chosen = (rules.which_idle)(&ages);
        place(chosen, "the one idle longest", ages.len().saturating_sub(1), "the one used last")
    };
    let waiting = |requests: usize| {
        let chosen = (rules.which_waiting)(requests);
        place(chosen, "who came first", requests.saturating_sub(1), "who came last")
    };
    let evicted = |seconds: &[u32], max_idle| {
        let ages: Vec<Duration> = seconds.iter().map(|age| SECOND * *age).collect();
        match (rules.which_evicted)(&ages, &Limits { max_idle, ..LIMITS }) {
            None => "none".to_owned(),
            Some(place) => seconds
                .get(place)
                .map_or("none of them".to_owned(), |age| format!("the one idle for {age} s")),
        }
    };
    let old = |idle: Duration, idle_timeout| {
        yes((rules.is_too_old)(idle, &Limits { idle_timeout, ..LIMITS }))
    };
    let nanosecond = Duration::from_nanos(1);
    vec![
        case(
            "which of several idle connections a request gets",
            "the one used last",
            idle(&[3, 2, 1]),
        ),
        case(
            "which of several idle connections a request gets",
            "the one used last",
            idle(&[80, 70]),
        ),
        case("which idle connection, if there is none", "none", idle(&[])),
        case(
            "which of three requests gets a connection that comes back",
            "who came first",
            waiting(3),
        ),
        case("which request gets it, if none waits", "none", waiting(0)),
        case("too old at its idle timeout", "no", old(90 * SECOND, LIMITS.idle_timeout)),
        case(
            "too old beyond its idle timeout",
            "yes",
            old(90 * SECOND + nanosecond, LIMITS.idle_timeout),
        ),
        case("too old without an idle timeout", "no", old(Duration::MAX, None)),
        case(
            "which idle connection goes if there are too many in all",
            "the one idle for 9 s",
            evicted(&[5, 9, 7], Some(2)),
        ),
        case("which goes if there are not", "none", evicted(&[5, 9, 7], Some(3))),
        case("which goes if any number is kept", "none", evicted(&[5, 9, 7], None)),
    ]
}

fn caps(rules: &RuleSet) -> Vec<GoldenCase> {
    let dial = |connections, max_conns_per_host| {
        yes((rules.may_dial)(connections, &Limits { max_conns_per_host, ..LIMITS }))
    };
    let returns = |is_closed, limits: Limits| fate((rules.returns)(is_closed, &limits));
    let keeps = |idle, max_idle_per_host| {
        fate((rules.keeps)(idle, &Limits { max_idle_per_host, ..LIMITS }))
    };
    let closed = |why| fate(Err(why));
    let cap = |per_host| closed(NotPooled::IdleCapReached { per_host });
    let disabled = closed(NotPooled::KeepAlivesDisabled);
    let nothing = Limits { max_idle_per_host: 0, ..LIMITS };
    let without = Limits { keep_alives: false, ..LIMITS };
    vec![
        case("a dial beside 1000 connections, without a limit", "yes", dial(1000, None)),
        case("a dial below the limit on connections", "yes", dial(3, Some(4))),
        case("a dial at the limit on connections", "no", dial(4, Some(4))),
        case("a connection that comes back", "kept", returns(false, LIMITS)),
        case(
            "one that comes back to a closed client",
            closed(NotPooled::TransportClosed),
            returns(true, LIMITS),
        ),
        case("one that comes back without keep-alives", disabled, returns(false, without)),
        case("one that comes back to a pool that keeps none", cap(0), returns(false, nothing)),
        case("one that comes back below the cap per host", "kept", keeps(1, 2)),
        case("one that comes back at the cap per host", cap(2), keeps(2, 2)),
    ]
}

fn http2(rules: &RuleSet) -> Vec<GoldenCase> {
    let takes = |open, must| yes((rules.takes_stream)(open, 100, must));
    let serves = |max_idle_per_host| {
        yes((rules.serves_all_who_wait)(&Limits { max_idle_per_host, ..LIMITS }))
    };
    vec![
        case("a stream more in HTTP/2 where there is room", "yes", takes(99, false)),
        case("a stream more in HTTP/2 where there is none", "no", takes(100, false)),
        case("the same if nobody may dial", "yes", takes(100, true)),
        case("a new connection of HTTP/2 serves all who wait", "yes", serves(2)),
        case("the same if no idle connection is kept", "no", serves(0)),
    ]
}

/// A response with these fields.
fn response(
    version: Version,
    status: u16,
    fields: &[(http::HeaderName, &'static str)],
) -> Response<()> {
    let mut response = Response::new(());
    *response.version_mut() = version;
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    for (name, value) in fields {
        response.headers_mut().append(name, http::HeaderValue::from_static(value));
    }
    response
}

fn request(method: Method, field: Option<(&'static str, &'static str)>) -> Request<()> {
    let mut request = Request::new(());
    *request.method_mut() = method;
    if let Some((name, value)) = field {
        let name = http::HeaderName::from_static(name);
        request.headers_mut().append(name, http::HeaderValue::from_static(value));
    }
    request
}

fn persistence(rules: &RuleSet) -> Vec<GoldenCase> {
    let (new, old) = (Version::HTTP_11, Version::HTTP_10);
    let length = || (CONTENT_LENGTH, "11");
    let says = |value| (CONNECTION, value);
    let coding = |value| (TRANSFER_ENCODING, value);
    let after = |request: &Request<()>, response: &Response<()>, keep_alives| {
        fate((rules.persistence)(RequestSays::by(request), response, keep_alives))
    };
    let get = request(Method::GET, None);
    let gets = |response: &Response<()>| after(&get, response, true);
    let closed = |why| fate(Err(why));
    let said = || closed(NotPooled::ServerSaidClose);
    let ends = || closed(NotPooled::BodyEndsWithConnection);
    let other = || closed(NotPooled::ProtocolSwitched);
    let plain = response(new, 200, &[length()]);
    let to = |method| request(method, None);
    vec![
        case("a connection after a plain response", "kept", gets(&plain)),
        case(
            "a connection after any response without keep-alives",
            closed(NotPooled::KeepAlivesDisabled),
            after(&get, &plain, false),
        ),
        case(
            "a connection after the request's `Connection: close`",
            closed(NotPooled::ClientSaidClose),
            after(&request(Method::GET, Some(("connection", "close"))), &plain, true),
        ),
        case(
            "a connection after the server's `Connection: close`",
            said(),
            gets(&response(new, 200, &[says("close"), length()])),
        ),
        case(
            "a connection after the server's `Connection: close`",
            said(),
            gets(&response(new, 200, &[says("upgrade, Close"), length()])),
        ),
        case(
            "a connection after the server's `Connection: keep-alive`",
            "kept",
            gets(&response(new, 200, &[says("keep-alive"), length()])),
        ),
        case(
            "a connection after HTTP/1.0",
            closed(NotPooled::Http10),
            gets(&response(old, 200, &[length()])),
        ),
        case(
            "a connection after HTTP/1.0 with keep-alive",
            "kept",
            gets(&response(old, 200, &[says("Keep-Alive"), length()])),
        ),
        case("a connection after a body of no length", ends(), gets(&response(new, 200, &[]))),
        case(
            "a connection after a chunked body",
            "kept",
            gets(&response(new, 200, &[coding("chunked")])),
        ),
        case(
            "a connection after a body in another coding",
            ends(),
            gets(&response(new, 200, &[coding("chunked, gzip")])),
        ),
        case("a connection after a 204", "kept", gets(&response(new, 204, &[]))),
        case("a connection after a 304", "kept", gets(&response(new, 304, &[]))),
        case(
            "a connection after the response to a HEAD",
            "kept",
            after(&to(Method::HEAD), &response(new, 200, &[]), true),
        ),
        case(
            "a connection after a tunnel was opened",
            other(),
            after(&to(Method::CONNECT), &response(new, 200, &[]), true),
        ),
        case("a connection after a 101", other(), gets(&response(new, 101, &[]))),
    ]
}

fn requests(rules: &RuleSet) -> Vec<GoldenCase> {
    let says = |method| yes((rules.says_that_there_is_no_body)(&method));
    let sends = |fate| yes((rules.sends_body_after_final_response)(fate));
    let most = 10 << 20;
    let gives_up = |bytes| yes((rules.too_much_interim)(1, bytes, true).is_some());
    vec![
        case("a body that waited is sent after the final response", "yes", sends(Ok(()))),
        case(
            "the same if the connection will be closed",
            "no",
            sends(Err(NotPooled::ServerSaidClose)),
        ),
        case("`Content-Length: 0` in a POST without a body", "yes", says(Method::POST)),
        case("`Content-Length: 0` in a PUT without a body", "yes", says(Method::PUT)),
        case("`Content-Length: 0` in a GET", "no", says(Method::GET)),
        case("interim responses of 10 MiB are given up on", "no", gives_up(most)),
        case("interim responses of more than 10 MiB are", "yes", gives_up(most + 1)),
    ]
}

fn retries(rules: &RuleSet) -> Vec<GoldenCase> {
    let stale = ExchangeAttempt {
        from_pool: true,
        nothing_written: false,
        response_started: false,
        replayable: true,
    };
    let again = |attempt| yes((rules.retries)(attempt));
    let replays = |method, field| yes((rules.is_replayable)(&request(method, field)));
    let key = ("idempotency-key", "1");
    vec![
        case("retries of idempotent requests on a connection that was idle", "yes", again(stale)),
        case(
            "retries of requests of which nothing was written",
            "yes",
            again(ExchangeAttempt { replayable: false, nothing_written: true, ..stale }),
        ),
        case(
            "retries of other requests",
            "no",
            again(ExchangeAttempt { replayable: false, ..stale }),
        ),
        case(
            "retries on a new connection",
            "no",
            again(ExchangeAttempt { from_pool: false, ..stale }),
        ),
        case(
            "retries after the first byte of a response",
            "no",
            again(ExchangeAttempt { response_started: true, ..stale }),
        ),
        case("a GET counts as idempotent", "yes", replays(Method::GET, None)),
        case("a HEAD counts as idempotent", "yes", replays(Method::HEAD, None)),
        case("an OPTIONS counts as idempotent", "yes", replays(Method::OPTIONS, None)),
        case("a TRACE counts as idempotent", "yes", replays(Method::TRACE, None)),
        case("a POST counts as idempotent", "no", replays(Method::POST, None)),
        case("a PUT counts as idempotent", "no", replays(Method::PUT, None)),
        case("a POST with an Idempotency-Key does", "yes", replays(Method::POST, Some(key))),
    ]
}
