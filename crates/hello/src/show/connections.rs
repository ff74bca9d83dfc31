//! A line at every step of every connection, for people.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::Duration;

use evidence::ClosedBy;
use report::words::short;
use server::{
    ConnState, CutPart, KeepAlive, RefusedRequest, ServerEvent, ServerMoment, SocketFacts, target,
};

use super::{TcpReading, bytes};
use crate::escape::{escaped, shortened};

/// The title of a step, beyond its time and connection.
pub(crate) const HEADING: &str = "        ms conn HTTP state       step (TCP state)";

/// The room before a step on a line of its own.
const INDENT: usize = 33;

/// Which parts are wanted, and what is remembered between lines.
pub(crate) struct Steps {
    pub(crate) connections: bool,
    pub(crate) bytes: bool,
    /// The state a connection was closed in, until the close itself is told.
    closed_in: HashMap<u64, ConnState>,
}

impl Steps {
    pub(crate) fn new(connections: bool, bytes: bool) -> Self {
        Self { connections, bytes, closed_in: HashMap::new() }
    }

    /// Writes what there is to say of `event`, which came `at` after the start. `tcp` is what the
    /// kernel says after a close, if it was asked in time.
    pub(crate) fn write(
        &mut self,
        at: Duration,
        event: &ServerEvent,
        tcp: Option<&str>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        if self.connections {
            self.step(at, event, tcp, out)?;
        }
        if self.bytes { self.raw(at, event, out) } else { Ok(()) }
    }

    fn step(
        &mut self,
        at: Duration,
        event: &ServerEvent,
        tcp: Option<&str>,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let number = event.connection.0;
        let mut states = String::new();
        let what = match &event.moment {
            ServerMoment::Accepted => format!("accepted from {}", event.peer),
            ServerMoment::Socket(facts) => return socket(facts, out),
            ServerMoment::State { from, to: ConnState::Closed, .. } => {
                self.closed_in.extend(from.map(|from| (number, from)));
                return Ok(());
            }
            ServerMoment::State { from, to, tcp } => {
                let tcp = tcp.map_or(String::new(), |state| format!(" (TCP {state})"));
                states = arrow(*from, *to);
                let what = match to {
                    ConnState::New => "no byte has come yet",
                    ConnState::Active => "a request comes",
                    _ => "waits for the next request",
                };
                format!("{what}{tcp}")
            }
            ServerMoment::Closed { by, .. } => {
                states = arrow(self.closed_in.remove(&number), ConnState::Closed);
                closed_first(*by).to_owned()
            }
            moment => match words(moment) {
                Some(words) => words,
                None => return Ok(()),
            },
        };
        line(at, number, &states, &what, out)?;
        if let ServerMoment::Closed { why, requests, age, unread, received, sent, .. } =
            &event.moment
        {
            let requests = report::words::count(usize::try_from(*requests).unwrap_or(0), "request");
            if let Some(why) = why {
                more(&format!("because: {why}"), out)?;
            }
            more(&format!("{requests} in {}", short(*age)), out)?;
            more(&format!("{received} bytes in, {sent} out, {unread} unread"), out)?;
            if let Some(tcp) = tcp {
                more(tcp, out)?;
            }
        }
        Ok(())
    }

    fn raw(&self, at: Duration, event: &ServerEvent, out: &mut impl Write) -> io::Result<()> {
        let connection = event.connection.0;
        let title = |what: String, out: &mut _| line(at, connection, "bytes", &what, out);
        match &event.moment {
            ServerMoment::RequestHead(head) => {
                let Some(raw) = &head.raw else {
                    let what = format!("request {}: HTTP/2, not taken apart", head.number);
                    return title(what, out);
                };
                title(format!("request {}: head", head.number), out)?;
                more(&bytes::sum(raw), out)?;
                bytes::head(raw, out)
            }
            ServerMoment::RequestBody { number, body } => {
                title(format!("request {number}: body, {} bytes", body.bytes), out)?;
                bytes::body(body, out)
            }
            ServerMoment::HeadWritten { number, raw: Some(raw), .. } => {
                title(format!("response {number}: head"), out)?;
                more(&bytes::sum(raw), out)?;
                bytes::head(raw, out)
            }
            ServerMoment::ResponseWritten { number, body, .. } if body.bytes > 0 => {
                title(format!("response {number}: body, {} bytes", body.bytes), out)?;
                bytes::body(body, out)
            }
            ServerMoment::CutShort { number, part, bytes: cut } => {
                let name = cut_part(*part, *number);
                title(format!("{name} cut short, {} bytes", cut.bytes), out)?;
                match (&cut.raw, part) {
                    (Some(raw), CutPart::RequestHead) => bytes::first(raw, cut.bytes, out),
                    _ => bytes::body(cut, out),
                }
            }
            ServerMoment::Refused(refused) => {
                let protocol = refused.protocol.map(|it| format!(": {}", it.name()));
                let protocol = protocol.unwrap_or_default();
                title(format!("no request, {} bytes{protocol}", refused.bytes), out)?;
                bytes::first(&refused.begins, refused.bytes, out)
            }
            _ => Ok(()),
        }
    }
}

/// A step that is no change of state.
fn words(moment: &ServerMoment) -> Option<String> {
    Some(match moment {
        ServerMoment::RequestHead(head) => {
            let target = escaped(target(&head.uri, head.version).as_bytes());
            let target = shortened(&target, 30);
            let bytes = match head.bytes {
                Some(bytes) => format!(", head {bytes} bytes"),
                None => String::new(),
            };
            let method = shortened(head.method.as_str(), 12);
            format!("request {}: {method} {target} {:?}{bytes}", head.number, head.version)
        }
        ServerMoment::RequestBody { number, body } => {
            format!("request {number}: body read, {} bytes", body.bytes)
        }
        ServerMoment::HandlerStart { number } => format!("request {number}: answer begun"),
        ServerMoment::HandlerEnd { number, status } => {
            format!("response {number}: decided, {status}")
        }
        ServerMoment::HeadWritten { number, bytes, interim, .. } => {
            let interim = if *interim { "interim " } else { "" };
            format!("response {number}: {interim}head written, {bytes} bytes")
        }
        ServerMoment::ResponseWritten { number, head_bytes, body } => {
            let all = head_bytes + body.bytes;
            format!("response {number}: written, {head_bytes} + {} = {all} bytes", body.bytes)
        }
        ServerMoment::CutShort { number, part, bytes } => {
            format!("{} cut short, {} bytes", cut_part(*part, *number), bytes.bytes)
        }
        ServerMoment::Refused(refused) => refusal(refused),
        ServerMoment::ResponseDone { number, complete: true } => {
            format!("response {number}: handed over whole")
        }
        ServerMoment::ResponseDone { number, complete: false } => {
            format!("response {number}: given up")
        }
        _ => return None,
    })
}

/// `request 1: body`.
fn cut_part(part: CutPart, number: u64) -> String {
    match part {
        CutPart::RequestHead => format!("request {number}: head"),
        CutPart::RequestBody => format!("request {number}: body"),
        CutPart::ResponseBody => format!("response {number}: body"),
    }
}

/// `no request, but TLS: answered 400 Bad Request`.
fn refusal(refused: &RefusedRequest) -> String {
    let protocol = refused.protocol.map(|it| format!(", but {}", it.name())).unwrap_or_default();
    match refused.status {
        Some(status) => format!("no request{protocol}: answered {status}"),
        None => format!("no request{protocol}: not answered"),
    }
}

fn closed_first(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Server => "closed, the server first",
        ClosedBy::Client => "closed, the client first",
        ClosedBy::Reset => "closed, reset by the client",
    }
}

fn socket(facts: &SocketFacts, out: &mut impl Write) -> io::Result<()> {
    let mut place = Vec::new();
    place.extend(facts.fd.map(|fd| format!("fd {fd}")));
    place.extend(facts.local.map(|local| format!("this end {}", report::words::address(local))));
    let mut options = Vec::new();
    options.extend(facts.nodelay.map(|on| format!("TCP_NODELAY {}", on_off(on))));
    options.extend(facts.max_segment.map(|bytes| format!("TCP_MAXSEG {bytes}")));
    options.extend(facts.congestion.as_deref().map(|name| escaped(name.as_bytes())));
    let keepalive = facts.keepalive.map(|keepalive| match keepalive {
        KeepAlive::Off => "SO_KEEPALIVE off".to_owned(),
        KeepAlive::On { idle, interval, probes } => {
            format!("SO_KEEPALIVE after {idle:?}, {probes} probes, each {interval:?}")
        }
    });
    let mut buffers = Vec::new();
    buffers.extend(facts.receive_buffer.map(|bytes| format!("SO_RCVBUF {bytes}")));
    buffers.extend(facts.send_buffer.map(|bytes| format!("SO_SNDBUF {bytes}")));
    let lines = [place.join(", "), options.join(", "), keepalive.unwrap_or_default()];
    let lines = lines.into_iter().chain([buffers.join(", ")]);
    lines.filter(|line| !line.is_empty()).try_for_each(|line| more(&line, out))
}

pub(crate) fn on_off(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}

fn arrow(from: Option<ConnState>, to: ConnState) -> String {
    format!("{} -> {to}", from.map(|from| from.to_string()).unwrap_or_default()).trim().to_owned()
}

fn line(
    at: Duration,
    number: u64,
    states: &str,
    what: &str,
    out: &mut impl Write,
) -> io::Result<()> {
    let ms = at.as_secs_f64() * 1e3;
    let connection = format!("#{number}");
    writeln!(out, "{ms:>10.3} {connection:<4} {states:<16} {what}")
}

/// How far an upload has come. Which connection brings it is not told.
pub(crate) fn upload(
    at: Duration,
    progress: hello::UploadProgress,
    out: &mut impl Write,
) -> io::Result<()> {
    let hello::UploadProgress { upload, received_bytes, announced_bytes, state } = progress;
    let of = announced_bytes.map_or(String::new(), |bytes| format!(" of {bytes}"));
    let what = match state {
        hello::UploadState::Receiving => "",
        hello::UploadState::Complete => ", complete",
        hello::UploadState::GivenUp => ", given up",
    };
    let ms = at.as_secs_f64() * 1e3;
    let title = format!("upload {upload}");
    writeln!(out, "{ms:>10.3}      {title:<16} {received_bytes}{of} bytes{what}")
}

/// What the packets say of a connection that is over.
pub(crate) fn packets(
    at: Duration,
    number: u64,
    lines: &[String],
    out: &mut impl Write,
) -> io::Result<()> {
    for (place, what) in lines.iter().enumerate() {
        if place == 0 { line(at, number, "packets", what, out)? } else { more(what, out)? }
    }
    Ok(())
}

/// Writes what belongs to the line before.
fn more(what: &str, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "{:INDENT$}{what}", "")
}

/// `TCP TIME_WAIT 0.41 ms later`, or that the kernel has forgotten it.
pub(crate) fn tcp_words(reading: TcpReading) -> String {
    let TcpReading { state, later } = reading;
    let later = short(later);
    match state {
        Some(state) => format!("TCP {state} {later} later"),
        None => format!("TCP: {later} later no longer in the kernel's table"),
    }
}
