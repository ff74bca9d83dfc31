//! The same steps for programs: an object a line.

use serde_json::{Value, json};
use server::{
    ConnState, CutPart, ForeignProtocol, KeepAlive, ServerEvent, ServerMoment, SocketFacts,
    WireBody, target,
};
use wire::http1::{HeadLine, head_lines};

use super::bytes::name;
use crate::escape::escaped;

/// Everything about `event`; with `with_bytes` also the bytes, escaped. `None` for what is not
/// shown.
pub(crate) fn object(event: &ServerEvent, with_bytes: bool) -> Option<Value> {
    let raw = |bytes: &Option<bytes::Bytes>| match bytes {
        Some(raw) if with_bytes => head(raw),
        _ => Value::Null,
    };
    let value = match &event.moment {
        ServerMoment::Accepted => json!({ "event": "accepted" }),
        ServerMoment::Socket(facts) => socket(facts),
        ServerMoment::State { from, to, tcp } => json!({
            "event": "state",
            "from": from.map(ConnState::name),
            "to": to.name(),
            "tcp_state": tcp.map(evidence::TcpState::name),
        }),
        ServerMoment::FirstByte => json!({ "event": "first_byte" }),
        ServerMoment::RequestHead(request) => json!({
            "event": "request",
            "request": request.number,
            "method": request.method.as_str(),
            "target": target(&request.uri, request.version),
            "version": format!("{:?}", request.version),
            "head_bytes": request.bytes,
            "parts": raw(&request.raw),
        }),
        ServerMoment::RequestBody { number, body } => {
            let mut value = json!({ "event": "request_body", "request": number });
            add(&mut value, wire_body(body, with_bytes));
            value
        }
        ServerMoment::HandlerStart { number } => {
            json!({ "event": "handler_start", "request": number })
        }
        ServerMoment::HandlerEnd { number, status } => json!({
            "event": "handler_end", "request": number, "status": status.as_u16(),
        }),
        ServerMoment::HeadWritten { number, bytes, interim, raw: bytes_of } => json!({
            "event": "head_written", "request": number, "head_bytes": bytes, "interim": interim,
            "parts": raw(bytes_of),
        }),
        ServerMoment::ResponseWritten { number, head_bytes, body } => {
            let mut value = json!({
                "event": "response_written", "request": number, "head_bytes": head_bytes,
            });
            add(&mut value, wire_body(body, with_bytes));
            value
        }
        ServerMoment::CutShort { number, part, bytes } => {
            let part = match part {
                CutPart::RequestHead => "request_head",
                CutPart::RequestBody => "request_body",
                CutPart::ResponseBody => "response_body",
            };
            let mut value = json!({
                "event": "cut_short", "request": number, "part": part, "cut_bytes": bytes.bytes,
            });
            if let Some(raw) = bytes.raw.as_ref().filter(|_| with_bytes) {
                add(&mut value, json!({ "cut_begins": escaped(raw) }));
            }
            value
        }
        ServerMoment::Refused(refused) => {
            let mut value = json!({
                "event": "refused",
                "request": refused.number,
                "status": refused.status.map(|status| status.as_u16()),
                "refused_bytes": refused.bytes,
                "protocol": refused.protocol.map(ForeignProtocol::name),
            });
            if with_bytes {
                add(&mut value, json!({ "refused_begins": escaped(&refused.begins) }));
            }
            value
        }
        ServerMoment::ResponseDone { number, complete } => json!({
            "event": "response_done", "request": number, "complete": complete,
        }),
        ServerMoment::Closed { by, why, requests, age, unread, received, sent } => json!({
            "event": "closed",
            "by": super::closed_by(*by),
            "why": why.map(server::ServerCloseReason::name),
            "requests": requests,
            "age_us": super::us(*age),
            "unread_bytes": unread,
            "received_bytes": received,
            "sent_bytes": sent,
        }),
        _ => return None,
    };
    Some(value)
}

/// How far an upload has come.
pub(crate) fn upload(at_us: u64, progress: hello::UploadProgress) -> Value {
    let state = match progress.state {
        hello::UploadState::Receiving => "receiving",
        hello::UploadState::Complete => "complete",
        hello::UploadState::GivenUp => "given_up",
    };
    json!({
        "event": "upload",
        "upload": progress.upload,
        "received_bytes": progress.received_bytes,
        "announced_bytes": progress.announced_bytes,
        "state": state,
        "at_us": at_us,
    })
}

/// Puts the fields of `more` into `value`.
pub(crate) fn add(value: &mut Value, more: Value) {
    if let (Value::Object(fields), Value::Object(more)) = (value, more) {
        fields.extend(more);
    }
}

fn head(head: &[u8]) -> Value {
    let part = |line: HeadLine<'_>| json!({ "part": name(line), "bytes": line.bytes.len(), "text": escaped(line.bytes) });
    head_lines(head).map(part).collect()
}

fn wire_body(body: &WireBody, with_bytes: bool) -> Value {
    let mut value = json!({ "body_bytes": body.bytes, "body_content_bytes": body.content_bytes });
    if let Some(raw) = body.raw.as_ref().filter(|_| with_bytes) {
        add(&mut value, json!({ "body_begins": escaped(raw) }));
    }
    value
}

fn socket(facts: &SocketFacts) -> Value {
    let mut value = json!({
        "event": "socket",
        "fd": facts.fd,
        "local": facts.local.map(report::words::address),
        "tcp_nodelay": facts.nodelay,
        "so_rcvbuf_bytes": facts.receive_buffer,
        "so_sndbuf_bytes": facts.send_buffer,
        "tcp_maxseg_bytes": facts.max_segment,
        "tcp_congestion": facts.congestion,
    });
    let keepalive = match facts.keepalive {
        None => json!({ "so_keepalive": null }),
        Some(KeepAlive::Off) => json!({ "so_keepalive": false }),
        Some(KeepAlive::On { idle, interval, probes }) => json!({
            "so_keepalive": true,
            "keepalive_idle_s": idle.as_secs(),
            "keepalive_interval_s": interval.as_secs(),
            "keepalive_probes": probes,
        }),
    };
    add(&mut value, keepalive);
    value
}
