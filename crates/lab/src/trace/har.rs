//! HTTP Archive 1.2, which browsers' developer tools read.
//!
//! <http://www.softwareishard.com/blog/har-12-spec/>: times are in milliseconds, and `-1` says
//! that a phase did not happen. `connect` includes `ssl`. `send`, `wait` and `receive` must not be
//! `-1`; where HTTP/2 hides one of them it is 0, and `comment` says so.

use std::io::{self, Write};
use std::time::Duration;

use http::{HeaderMap, header};
use serde::Serialize;
use serde_json::{Value, json};

use super::phases::Phases;
use super::text::version_name;
use super::{Session, Traced};

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
    fn of(phases: &Phases, total: Duration) -> Self {
        let or_not = |time: Option<Duration>| time.map_or(-1.0, ms);
        let connect = phases.connect.map(|connect| connect + phases.tls.unwrap_or_default());
        let known = [phases.dns, connect, phases.send, phases.wait, phases.receive];
        let known: Duration = known.into_iter().flatten().sum();
        // What no phase explains went by before there was a connection.
        let blocked = total.saturating_sub(known);
        Self {
            blocked: ms(blocked),
            dns: or_not(phases.dns),
            connect: or_not(connect),
            ssl: or_not(phases.tls),
            send: phases.send.map_or(0.0, ms),
            wait: phases.wait.map_or(0.0, ms),
            receive: phases.receive.map_or(0.0, ms),
            comment: if phases.send.is_none() && phases.wait.is_some() {
                "HTTP/2: when the request was written cannot be seen; it is part of wait"
            } else {
                ""
            },
        }
    }

    /// The sum of everything that happened; `ssl` is part of `connect`.
    fn total(&self) -> f64 {
        [self.blocked, self.dns, self.connect, self.send, self.wait, self.receive]
            .into_iter()
            .filter(|time| *time >= 0.0)
            .sum()
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
pub fn write(session: &Session, out: &mut impl Write) -> io::Result<()> {
    let creator = json!({ "name": "lab trace", "version": env!("CARGO_PKG_VERSION") });
    let entries: Vec<Value> = session.exchanges.iter().map(entry).collect();
    let har = json!({ "log": { "version": "1.2", "creator": creator, "entries": entries } });
    serde_json::to_writer_pretty(&mut *out, &har)?;
    writeln!(out)
}

fn entry(traced: &Traced) -> Value {
    let timings = Timings::of(&traced.phases, traced.took());
    let mut entry = json!({
        "startedDateTime": humantime::format_rfc3339_micros(traced.asked_on).to_string(),
        "time": timings.total(),
        "request": request(traced),
        "response": response(traced),
        "cache": {},
        "timings": timings,
    });
    if let Some(server) = traced.phases.server {
        entry["serverIPAddress"] = server.socket_addr().ip().to_string().into();
    }
    if let Some(connection) = traced.connection() {
        entry["connection"] = connection.0.to_string().into();
    }
    if let Err(error) = &traced.result {
        entry["comment"] = error.as_str().into();
    }
    entry
}

fn request(traced: &Traced) -> Value {
    let version = traced.result.as_ref().map_or("HTTP/1.1".into(), |a| version_name(a.version));
    let query = traced.url.split_once('?').map_or("", |(_, query)| query);
    let query: Vec<Value> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            json!({ "name": name, "value": value })
        })
        .collect();
    let mut request = json!({
        "method": traced.method.as_str(),
        "url": traced.url,
        "httpVersion": version,
        "cookies": [],
        "headers": headers(&traced.headers),
        "queryString": query,
        "headersSize": -1,
        "bodySize": traced.data.len(),
    });
    if !traced.data.is_empty() {
        let text = String::from_utf8_lossy(&traced.data);
        let mime_type = field(&traced.headers, header::CONTENT_TYPE);
        request["postData"] = json!({ "mimeType": mime_type, "text": text });
    }
    request
}

/// The response; status 0 stands for none, as browsers have it.
fn response(traced: &Traced) -> Value {
    let Ok(answered) = &traced.result else {
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
    json!({
        "status": answered.status.as_u16(),
        "statusText": answered.status.canonical_reason().unwrap_or_default(),
        "httpVersion": version_name(answered.version),
        "cookies": [],
        "headers": headers(&answered.headers),
        "content": { "size": answered.body, "mimeType": mime_type },
        "redirectURL": field(&answered.headers, header::LOCATION),
        "headersSize": -1,
        "bodySize": answered.body,
    })
}

fn headers(headers: &HeaderMap) -> Vec<Value> {
    let field = |(name, value): (&header::HeaderName, &header::HeaderValue)| json!({ "name": name.as_str(), "value": String::from_utf8_lossy(value.as_bytes()) });
    headers.iter().map(field).collect()
}

fn field(headers: &HeaderMap, name: header::HeaderName) -> String {
    headers.get(name).map_or(String::new(), |v| String::from_utf8_lossy(v.as_bytes()).into_owned())
}
