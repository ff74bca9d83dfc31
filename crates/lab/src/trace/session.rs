//! From the command line to a client and its requests.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use apparatus::{Interrupt, with_causes};
use bytes::Bytes;
use evidence::{BodyPolicy, ExchangeId, Moment, TraceEvent};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use transport::{Body, Config, ConnectTo, Dialling, HttpVersion, Tls, Transport, Trust};
use url::Url;

use super::phases::{Phase, Phases};
use super::{Answered, Session, Traced, har, json, text};
use crate::cli::{Trace, TraceFormat};

/// More hops than this are a circle, as in Go.
const MOST_REDIRECTS: usize = 10;
/// How long the closes at the end may take to be heard.
const CLOSING: Duration = Duration::from_millis(250);
/// Ended by Ctrl-C, as shells tell it.
const INTERRUPTED: u8 = 130;

/// Keeps every moment until somebody asks.
#[derive(Default)]
struct Ear(Mutex<Vec<TraceEvent>>);

impl Ear {
    /// What was heard since the last call, in the order of time.
    fn take(&self) -> Vec<TraceEvent> {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = std::mem::take(&mut *heard);
        events.sort_by_key(|event| event.at);
        events
    }
}

impl transport::Listener for Ear {
    fn event(&self, event: TraceEvent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

/// One request, before it is sent.
#[derive(Clone, Debug)]
struct Asked {
    method: Method,
    url: Url,
    headers: HeaderMap,
    data: Vec<u8>,
    redirected_from: Option<ExchangeId>,
}

/// Carries out `lab trace`, and returns the exit code.
///
/// # Errors
/// If what is asked for makes no sense.
pub async fn run(args: &Trace, out: &mut impl Write) -> anyhow::Result<u8> {
    let interrupt = Interrupt::listen()?;
    let own = if args.urls.is_empty() { Some(own_server()?) } else { None };
    let urls = match &own {
        Some(server) => vec![format!("http://localhost:{}/", server.address().port())],
        None => args.urls.clone(),
    };
    let dialling = dialling(args)?;
    let asked = asked(args, &urls, &dialling)?;
    let mut tracer = Tracer::new(args, dialling)?;
    let finished = interrupt.or(tracer.all(&asked, out)).await;
    let interrupted = finished.is_none();
    finished.transpose()?;
    tracer.end(out).await?;
    let failed = tracer.session.exchanges.iter().any(|traced| traced.result.is_err());
    Ok(if interrupted { INTERRUPTED } else { u8::from(failed) })
}

/// A server for those who have no URL at hand.
fn own_server() -> Result<hello::Running, hello::Error> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Ok(hello::Server::bind(any, hello::Answer::default())?.start())
}

/// The requests of one round: one for each URL.
fn asked(args: &Trace, urls: &[String], dialling: &Dialling) -> anyhow::Result<Vec<Asked>> {
    let data = args.data.as_deref().map(data).transpose()?.unwrap_or_default();
    let method = match &args.method {
        Some(method) => method.parse().with_context(|| format!("--method {method}"))?,
        None if args.data.is_some() => Method::POST,
        None => Method::GET,
    };
    let mut headers = HeaderMap::new();
    for field in &args.headers {
        let (name, value) = parse_field(field)?;
        headers.append(name, value);
    }
    headers
        .entry(header::USER_AGENT)
        .or_insert(HeaderValue::from_static(concat!("keep-alive-lab/", env!("CARGO_PKG_VERSION"))));
    if args.expect_continue {
        anyhow::ensure!(!data.is_empty(), "--expect-continue needs a body to wait with (--data)");
        headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
    }
    let ask = |url: &String| -> anyhow::Result<Asked> {
        dialling.check_url(url).map_err(|error| anyhow::anyhow!(with_causes(&error)))?;
        let url = Url::parse(url).with_context(|| format!("`{url}` is no URL"))?;
        let (method, headers, data) = (method.clone(), headers.clone(), data.clone());
        Ok(Asked { method, url, headers, data, redirected_from: None })
    };
    urls.iter().map(ask).collect()
}

/// The text itself, or what is in the file after an `@`.
fn data(text: &str) -> anyhow::Result<Vec<u8>> {
    match text.strip_prefix('@') {
        None => Ok(text.as_bytes().to_vec()),
        Some(file) => std::fs::read(file).with_context(|| format!("cannot read --data @{file}")),
    }
}

fn parse_field(field: &str) -> anyhow::Result<(HeaderName, HeaderValue)> {
    let (name, value) = field
        .split_once(':')
        .with_context(|| format!("--header `{field}` is not of the form NAME: VALUE"))?;
    let name = name.trim().parse().with_context(|| format!("--header `{field}`: the name"))?;
    let value = value.trim().parse().with_context(|| format!("--header `{field}`: the value"))?;
    Ok((name, value))
}

struct Tracer<'a> {
    args: &'a Trace,
    client: Transport,
    dialling: Dialling,
    ear: Arc<Ear>,
    session: Session,
    /// Bodies that are kept unread.
    held: Vec<Body>,
}

impl<'a> Tracer<'a> {
    fn new(args: &'a Trace, dialling: Dialling) -> anyhow::Result<Self> {
        let ear = Arc::new(Ear::default());
        let preset = args.transport.0;
        let version = match (args.http1, args.http2) {
            (true, _) => HttpVersion::Http1,
            (_, true) => HttpVersion::Http2,
            _ => HttpVersion::Negotiated,
        };
        let config = Config { version, ..Config::of(preset) };
        Ok(Self {
            args,
            client: Transport::with(config, dialling.clone(), Some(ear.clone()))?,
            dialling,
            ear,
            session: Session {
                transport: preset.name(),
                insecure: args.insecure,
                started: Instant::now(),
                exchanges: Vec::new(),
                afterwards: Vec::new(),
            },
            held: Vec::new(),
        })
    }

    async fn all(&mut self, round: &[Asked], out: &mut impl Write) -> anyhow::Result<()> {
        for number in 1..=self.args.requests {
            for asked in round {
                self.with_redirects(asked.clone(), out).await?;
            }
            if number < self.args.requests && !self.args.interval.is_zero() {
                tokio::time::sleep(self.args.interval).await;
            }
        }
        Ok(())
    }

    /// Carries out a request, and the ones to which it is redirected if that is wanted.
    async fn with_redirects(
        &mut self,
        mut asked: Asked,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        for _ in 0..=MOST_REDIRECTS {
            let traced = self.one(&asked).await;
            self.tell(&traced, out)?;
            let next = if self.args.follow { redirected(&asked, &traced) } else { None };
            self.session.exchanges.push(traced);
            match next {
                Some(next) => asked = next,
                None => return Ok(()),
            }
        }
        anyhow::bail!("more than {MOST_REDIRECTS} redirects, the last one to {}", asked.url)
    }

    async fn one(&mut self, asked: &Asked) -> Traced {
        let number = ExchangeId(self.session.exchanges.len() as u64 + 1);
        let (asked_at, asked_on) = (Instant::now(), SystemTime::now());
        let outcome = tokio::time::timeout(self.args.timeout, self.fetch(number, asked)).await;
        let over_at = Instant::now();
        let events = self.ear.take();
        let own: Vec<TraceEvent> =
            events.iter().filter(|event| event.exchange == Some(number)).cloned().collect();
        let head_at = match &outcome {
            Ok(Ok(answered)) => Some(answered.head_at),
            _ => None,
        };
        let phases = Phases::of(&own, head_at, over_at);
        let result = match outcome {
            Ok(result) => result,
            Err(_) => Err(timed_out(self.args.timeout, &phases, &own)),
        };
        Traced {
            number,
            method: asked.method.clone(),
            url: asked.url.to_string(),
            headers: asked.headers.clone(),
            data: asked.data.clone(),
            redirected_from: asked.redirected_from,
            asked_at,
            asked_on,
            result,
            over_at,
            events,
            phases,
        }
    }

    async fn fetch(&mut self, number: ExchangeId, asked: &Asked) -> Result<Answered, String> {
        let mut request = Request::new(Full::new(Bytes::from(asked.data.clone())));
        *request.method_mut() = asked.method.clone();
        // What is after the `#` is for the reader (RFC 9110 section 7.1).
        let mut url = asked.url.clone();
        url.set_fragment(None);
        *request.uri_mut() =
            self.dialling.check_url(url.as_str()).map_err(|error| with_causes(&error))?;
        *request.headers_mut() = asked.headers.clone();
        let response =
            self.client.send(number, request).await.map_err(|error| with_causes(&error))?;
        let head_at = Instant::now();
        self.read(response, head_at).await
    }

    async fn read(
        &mut self,
        response: Response<Body>,
        head_at: Instant,
    ) -> Result<Answered, String> {
        let (head, mut body) = response.into_parts();
        let mut bytes = 0;
        let policy = self.args.body.0;
        match policy {
            BodyPolicy::Drain => {
                while let Some(frame) = body.frame().await {
                    let frame = frame.map_err(|error| with_causes(&error))?;
                    bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                }
            }
            BodyPolicy::Drop => drop(body),
            BodyPolicy::Hold => self.held.push(body),
        }
        Ok(Answered {
            status: head.status,
            version: head.version,
            headers: head.headers,
            body: bytes,
            body_policy: policy.name(),
            head_at,
        })
    }

    /// What can be told as soon as a request is over.
    fn tell(&self, traced: &Traced, out: &mut impl Write) -> io::Result<()> {
        let started = self.session.started;
        match self.args.format {
            TraceFormat::Text => text::exchange(traced, started, out)?,
            TraceFormat::Jsonl => json::lines(&traced.events, started, out)?,
            TraceFormat::Json | TraceFormat::Har => {}
        }
        out.flush()
    }

    /// Closes the client, hears of the closes, and tells the rest.
    async fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.held.clear();
        self.client.close();
        self.closed().await;
        let (session, started) = (&self.session, self.session.started);
        match self.args.format {
            TraceFormat::Text => text::summary(session, out)?,
            TraceFormat::Jsonl => json::lines(&session.afterwards, started, out)?,
            TraceFormat::Json => json::whole(session, out)?,
            TraceFormat::Har => har::write(session, out)?,
        }
        out.flush()
    }

    /// Waits until every connection that was made is closed, but not for long: a connection that
    /// is still being made, or read, is not waited for.
    async fn closed(&mut self) {
        let made =
            |event: &&TraceEvent| matches!(event.moment, Moment::ConnectDone { result: Ok(_), .. });
        let closed = |event: &&TraceEvent| matches!(event.moment, Moment::ConnectionClosed { .. });
        let deadline = Instant::now() + CLOSING;
        loop {
            self.session.afterwards.extend(self.ear.take());
            let session = &self.session;
            let before = session.exchanges.iter().flat_map(|traced| &traced.events);
            let all: Vec<&TraceEvent> = before.chain(&session.afterwards).collect();
            let count = |wanted: fn(&&TraceEvent) -> bool| all.iter().filter(|e| wanted(e)).count();
            if count(made) <= count(closed) || Instant::now() >= deadline {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn dialling(args: &Trace) -> anyhow::Result<Dialling> {
    let rule = |rule: &String| -> anyhow::Result<ConnectTo> {
        rule.parse().with_context(|| format!("--connect-to {rule}"))
    };
    let connect_to = args.connect_to.iter().map(rule).collect::<Result<_, _>>()?;
    Ok(Dialling { tls: Some(Tls::new(trust(args)?)?), connect_to })
}

fn trust(args: &Trace) -> anyhow::Result<Trust> {
    if args.insecure {
        return Ok(Trust::Anybody);
    }
    match &args.cacert {
        None => Ok(Trust::System),
        Some(file) => {
            let pem = std::fs::read(file);
            Ok(Trust::Pem(pem.with_context(|| format!("cannot read --cacert {}", file.display()))?))
        }
    }
}

/// Where the time went, and what was the last thing that happened.
fn timed_out(limit: Duration, phases: &Phases, events: &[TraceEvent]) -> String {
    let spent: Vec<String> = Phase::ALL
        .into_iter()
        .filter_map(|phase| {
            Some(format!("{} {}", phase.name(), report::words::short(phases.get(phase)?)))
        })
        .collect();
    let spent = if spent.is_empty() { "nothing began".to_owned() } else { spent.join(", ") };
    let last = events.last().map_or("none", |event| event.moment.name());
    let limit = report::words::span(limit);
    format!("not over within {limit} (--timeout): {spent}; the last moment was {last}")
}

/// The request to which `asked` was redirected, if it was (RFC 9110 section 15.4).
fn redirected(asked: &Asked, traced: &Traced) -> Option<Asked> {
    let answered = traced.result.as_ref().ok()?;
    let location = answered.headers.get(header::LOCATION)?.to_str().ok()?;
    let url = asked.url.join(location).ok()?;
    let keeps_method = match answered.status {
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND | StatusCode::SEE_OTHER => false,
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => true,
        _ => return None,
    };
    let mut next = Asked { url, redirected_from: Some(traced.number), ..asked.clone() };
    if !keeps_method && next.method != Method::HEAD {
        next.method = Method::GET;
        next.data.clear();
        next.headers.remove(header::EXPECT);
        next.headers.remove(header::CONTENT_TYPE);
    }
    // Another host is none of what was meant for this one (as Go and browsers have it).
    if next.url.host_str() != asked.url.host_str() {
        next.headers.remove(header::AUTHORIZATION);
        next.headers.remove(header::COOKIE);
    }
    Some(next)
}
