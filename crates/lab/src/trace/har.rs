//! HTTP Archive 1.2, which browsers' developer tools read.
//!
//! <http://www.softwareishard.com/blog/har-12-spec/>: times are in milliseconds, and `-1` says
//! that a phase did not happen. `connect` includes `ssl`. `send`, `wait` and `receive` must not be
//! `-1`; where HTTP/2 hides one of them it is 0, and `comment` says so.

use std::collections::HashMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use evidence::{BodyPolicy, ConnectionId, Moment};
use http::{HeaderMap, HeaderValue, Version, header};
use serde::Serialize;
use serde_json::{Value, json};
use url::Url;

use super::phases::{FetchPhase, FetchPhases};
use super::text::version_name;
use super::{FetchAnswer, FetchSession, FetchedExchange};

#[derive(Serialize)]
struct Timings {
    blocked: f64,
    dns: f64,
    connect: f64,
    ssl: f64,
    send: f64,
    wait: f64,
    receive: f64,
    #[serde(skip_serializing_if = "str::is_empty")]
    comment: &'static str,
}

impl Timings {
    fn of(traced: &FetchedExchange) -> Self {
        let phases: &FetchPhases = &traced.phases;
        let time = |phase| phases.get(phase);
        let or_not = |time: Option<Duration>| time.map_or(-1.0, ms);
        let connect = time(FetchPhase::Connect)
            .map(|connect| connect + time(FetchPhase::Tls).unwrap_or_default());
        // HAR knows nothing of a pause before a body.
        let send =
            time(FetchPhase::Send).map(|send| send + time(FetchPhase::Expect).unwrap_or_default());
        let (wait, receive) = (time(FetchPhase::Wait), time(FetchPhase::Receive));
        let known: Duration =
            [time(FetchPhase::Dns), connect, send, wait, receive].into_iter().flatten().sum();
        let blocked = traced.took().saturating_sub(known);
        let is_http2 = traced.answered.as_ref().is_some_and(|a| a.version == Version::HTTP_2);
        Self {
            blocked: ms(blocked),
            dns: or_not(time(FetchPhase::Dns)),
            connect: or_not(connect),
            ssl: or_not(time(FetchPhase::Tls)),
            send: send.map_or(0.0, ms),
            wait: wait.map_or(0.0, ms),
            receive: receive.map_or(0.0, ms),
            comment: if is_http2 {
                "HTTP/2: when the request was written cannot be seen; it is part of wait"
            } else if phases.broke.is_some() {
                "blocked holds a first attempt, on a connection that broke before any answer"
            } else {
                ""
            },
        }
    }

    /// The sum of everything that happened; `ssl` is part of `connect`.
    fn total(&self) -> f64 {
        let sum: f64 = [self.blocked, self.dns, self.connect, self.send, self.wait, self.receive]
            .into_iter()
            .filter(|time| *time >= 0.0)
            .sum();
        (sum * 1e3).round() / 1e3
    }
}

/// To the microsecond.
fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Writes the session as one HAR document.
///
/// # Errors
/// Those of `out`.
pub(crate) fn write(session: &FetchSession, out: &mut impl Write) -> io::Result<()> {
    let creator = json!({ "name": "lab trace", "version": env!("CARGO_PKG_VERSION") });
    let mut addresses = HashMap::new();
    for event in &session.events {
        if let (Some(id), Moment::ConnectDone { server, result: Ok(_) }) =
            (event.connection, &event.moment)
        {
            addresses.insert(id, server.socket_addr().ip().to_canonical());
        }
    }
    let entries: Vec<Value> =
        session.exchanges.iter().map(|traced| entry(session, traced, &addresses)).collect();
    let mut log = json!({ "version": "1.2", "creator": creator, "entries": entries });
    if session.insecure {
        log["comment"] = "--insecure: no certificate was checked".into();
    }
    serde_json::to_writer_pretty(&mut *out, &json!({ "log": log }))?;
    writeln!(out)
}

fn entry(
    session: &FetchSession,
    traced: &FetchedExchange,
    addresses: &HashMap<ConnectionId, IpAddr>,
) -> Value {
    let timings = Timings::of(traced);
    let mut entry = json!({
        "startedDateTime": humantime::format_rfc3339_micros(traced.asked_on).to_string(),
        "time": timings.total(),
        "request": request(session, traced),
        "response": response(traced.answered.as_ref()),
        "cache": {},
        "timings": timings,
    });
    if let Some(connection) = traced.connection() {
        entry["connection"] = connection.0.to_string().into();
        if let Some(address) = addresses.get(&connection) {
            entry["serverIPAddress"] = address.to_string().into();
        }
    }
    if let Some(error) = &traced.error {
        entry["comment"] = error.as_str().into();
    }
    entry
}

fn request(session: &FetchSession, traced: &FetchedExchange) -> Value {
    let asked = &traced.asked;
    let version = traced.answered.as_ref().map_or("HTTP/1.1".into(), |a| version_name(a.version));
    let query = asked.url.query_pairs();
    let query: Vec<Value> =
        query.map(|(name, value)| json!({ "name": name, "value": value })).collect();
    // As they were written; where that cannot be seen, as they were asked for.
    let mut written: Vec<Value> = session
        .events_of(Some(traced.number))
        .filter(|event| event.connection == traced.connection())
        .filter_map(|event| match &event.moment {
            Moment::WroteHeaderField { name, value } => Some(named(name, value)),
            _ => None,
        })
        .collect();
    if written.is_empty() {
        written = fields(&asked.headers);
    }
    let mut request = json!({
        "method": asked.method.as_str(),
        "url": without_fragment(&asked.url),
        "httpVersion": version,
        "cookies": cookies(&asked.headers, header::COOKIE),
        "headers": written,
        "queryString": query,
        "headersSize": -1,
        "bodySize": asked.data.len(),
    });
    if !asked.data.is_empty() {
        let text = String::from_utf8_lossy(&asked.data);
        let mime_type = field(&asked.headers, header::CONTENT_TYPE);
        request["postData"] = json!({ "mimeType": mime_type, "text": text });
    }
    request
}

fn without_fragment(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    url.into()
}

/// The response; status 0 stands for none, as browsers have it.
fn response(answered: Option<&FetchAnswer>) -> Value {
    let Some(answered) = answered else {
        return json!({
            "status": 0, "statusText": "", "httpVersion": "", "cookies": [], "headers": [],
            "content": { "size": 0, "mimeType": "x-unknown" },
            "redirectURL": "", "headersSize": -1, "bodySize": -1,
        });
    };
    let mime_type = match field(&answered.headers, header::CONTENT_TYPE) {
        none if none.is_empty() => "x-unknown".to_owned(),
        some => some,
    };
    let mut content = json!({ "size": answered.body, "mimeType": mime_type });
    if answered.body_policy != BodyPolicy::Drain {
        let how = match answered.body_policy {
            BodyPolicy::Drop => "the body was dropped",
            _ => "the body was held unread",
        };
        content["comment"] = how.into();
    } else if answered.headers.contains_key(header::CONTENT_ENCODING) {
        content["comment"] = "as it came: nothing was decoded".into();
    }
    let body_size = match answered.body_policy {
        BodyPolicy::Drain => json!(answered.body),
        BodyPolicy::Drop | BodyPolicy::Hold => json!(-1),
    };
    json!({
        "status": answered.status.as_u16(),
        "statusText": answered.reason,
        "httpVersion": version_name(answered.version),
        "cookies": cookies(&answered.headers, header::SET_COOKIE),
        "headers": fields(&answered.headers),
        "content": content,
        "redirectURL": field(&answered.headers, header::LOCATION),
        "headersSize": -1,
        "bodySize": body_size,
    })
}

/// Names and values alone: that is all HAR demands. A request has many in one field, a response
/// one in each (RFC 6265 section 4).
fn cookies(headers: &HeaderMap, name: header::HeaderName) -> Vec<Value> {
    let is_response = name == header::SET_COOKIE;
    let texts = headers.get_all(name).iter().map(text);
    let pairs = texts.flat_map(|text| {
        let most = if is_response { 1 } else { usize::MAX };
        text.split(';').take(most).map(|pair| pair.trim().to_owned()).collect::<Vec<_>>()
    });
    pairs.filter_map(|pair| pair.split_once('=').map(|(name, value)| named(name, value))).collect()
}

fn named(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

fn fields(headers: &HeaderMap) -> Vec<Value> {
    headers.iter().map(|(name, value)| named(name.as_str(), &text(value))).collect()
}

fn field(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers.get(name).map_or(String::new(), text)
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}
