//! A client, its requests one after the other, and what is heard of them.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use apparatus::{PacketEar, with_causes};
use evidence::{ExchangeId, Moment, ServerAddr, TraceEvent};
use program::{Interrupt, exit};
use report::page::Page;
use transport::{Body, Config, ConnectTo, Dialling, HttpVersion, Tls, TlsKeys, Transport, Trust};

use super::asked::{FetchPlan, redirected, round};
use super::doing::doing;
use super::ear::FetchEar;
use super::fetch::{BodyReader, fetch};
use super::phases::{FetchPhase, FetchPhases};
use super::{FetchSession, FetchedExchange, bars, har, json, packets, secrets, text};
use crate::bounded_file;
use crate::cli::{Trace, TraceFormat};
use crate::own_tls::OwnTls;

/// More hops than this are a circle, as in Go.
const MOST_REDIRECTS: usize = 10;
/// More than any store of certificates has, in bytes.
const MOST_TRUSTED: u64 = 16 << 20;
/// How long the closes at the end may take to be heard.
const CLOSING: Duration = Duration::from_millis(250);
/// So often the moments of a request that is not over are told. Not at once: to write them takes
/// time that would be counted as the request's.
const LOOK: Duration = Duration::from_millis(50);

/// Carries out `lab trace`, and returns the exit code.
///
/// # Errors
/// If what is asked for makes no sense, or `out` cannot be written to.
pub(crate) async fn run(args: &Trace, ear: PacketEar, out: &mut impl Page) -> anyhow::Result<u8> {
    let interrupt = Interrupt::listen()?;
    let (own_tls, own) = own_server(args)?;
    let scheme = if own_tls.is_some() { "https" } else { "http" };
    let urls = match &own {
        Some(server) => vec![format!("{scheme}://localhost:{}/", server.address().port())],
        None => args.urls.clone(),
    };
    anyhow::ensure!(!args.timeout.is_zero(), "--timeout 0s leaves no time for a request");
    let keys = TlsKeys::default();
    let dialling = dialling(args, own_tls, &keys)?;
    let round = round(args, &urls, &dialling)?;
    if let Some(tls) = dialling.tls.as_ref().filter(|_| round.iter().any(FetchPlan::is_https)) {
        tls.read_trust()?;
    }
    let mut tracer = FetchTracer::new(args, dialling, interrupt.clone())?;
    let own_address = own.as_ref().map(|server| ServerAddr::new(server.address().socket_addr()));
    ear.begin(tracer.session.started, own_address.as_slice());
    tracer.all(&round, out).await?;
    tracer.end(out).await?;
    if args.packets.are_heard() {
        let mut outcome = packets::outcome(&tracer.session, args.transport.0, &ear);
        outcome.interrupted = interrupt.has_come();
        if let (Some((view, options)), TraceFormat::Text) = (args.packets.view(), args.format) {
            writeln!(out)?;
            report::wire::packets(&outcome, view, options, out)?;
            out.flush()?;
        }
        if let Some(file) =
            ear.keep_with(&packets::story(&tracer.session, args), &keys, &outcome)?
        {
            packets::tell_of(&file, &mut anstream::stderr())?;
        }
        args.packets.check(&outcome)?;
    }
    let failed = tracer.session.exchanges.iter().any(|traced| traced.error.is_some());
    Ok(if interrupt.has_come() { exit::INTERRUPTED } else { u8::from(failed) })
}

/// A server for those who have no URL at hand, and the TLS by which it is trusted, if it speaks any.
fn own_server(args: &Trace) -> anyhow::Result<(Option<Tls>, Option<server::RunningServer>)> {
    if !args.urls.is_empty() {
        return Ok((None, None));
    }
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = server::Server::bind(any, server::Answer::default())?;
    Ok(match args.tls {
        None => (None, Some(server.start())),
        Some(version) => {
            let tls = OwnTls::new(&["localhost"], version.into(), true)?;
            (Some(tls.client), Some(server.secured_by(tls.server).start()))
        }
    })
}

struct FetchTracer<'a> {
    args: &'a Trace,
    client: Transport,
    dialling: Dialling,
    ear: Arc<FetchEar>,
    interrupt: Interrupt,
    session: FetchSession,
    /// Bodies that are kept unread.
    held: Vec<Body>,
}

impl<'a> FetchTracer<'a> {
    fn new(args: &'a Trace, dialling: Dialling, interrupt: Interrupt) -> anyhow::Result<Self> {
        let ear = Arc::new(FetchEar::new(args.show_secrets));
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
            interrupt,
            session: FetchSession {
                transport: preset.name(),
                insecure: args.insecure,
                has_hidden: false,
                started: Instant::now(),
                exchanges: Vec::new(),
                events: Vec::new(),
            },
            held: Vec::new(),
        })
    }

    async fn all(&mut self, round: &[FetchPlan], out: &mut impl Write) -> io::Result<()> {
        for number in 1..=self.args.requests {
            for asked in round {
                self.with_redirects(asked.clone(), out).await?;
                if self.interrupt.has_come() {
                    return Ok(());
                }
            }
            if number < self.args.requests && !self.args.interval.is_zero() {
                self.interrupt.or(tokio::time::sleep(self.args.interval)).await;
            }
        }
        Ok(())
    }

    /// Carries out a request, and the ones to which it is redirected if that is wanted.
    async fn with_redirects(
        &mut self,
        mut asked: FetchPlan,
        out: &mut impl Write,
    ) -> io::Result<()> {
        for hop in 0..=MOST_REDIRECTS {
            let mut traced = self.one(asked, out).await?;
            let next = match &traced.answered {
                Some(answered) if self.args.follow && traced.error.is_none() => {
                    redirected(&traced.asked, traced.number, answered)
                }
                _ => Ok(None),
            };
            let next = next.and_then(|next| match next {
                Some(next) => match self.dialling.check_url(next.url.as_str()) {
                    Ok(_) if hop == MOST_REDIRECTS => {
                        Err(format!("more than {MOST_REDIRECTS} redirects, now to {}", next.url))
                    }
                    Ok(_) => Ok(Some(next)),
                    Err(error) => Err(with_causes(&error)),
                },
                None => Ok(None),
            });
            if let Err(error) = &next {
                traced.error = Some(error.clone());
            }
            // Only now: a redirect may need them.
            if !self.args.show_secrets {
                self.session.has_hidden |= secrets::hide_in_exchange(&mut traced);
            }
            self.tell_end(&traced, out)?;
            self.session.exchanges.push(traced);
            match next {
                Ok(Some(next)) => asked = next,
                Ok(None) | Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Carries out one request: to its end, to its time limit or until Ctrl-C.
    async fn one(&mut self, asked: FetchPlan, out: &mut impl Write) -> io::Result<FetchedExchange> {
        let number = ExchangeId(self.session.exchanges.len() as u64 + 1);
        let meanwhile = self.ear.take();
        if !meanwhile.is_empty() {
            self.tell_aside("Meanwhile", "between two requests", &meanwhile, out)?;
            self.session.events.extend(meanwhile);
        }
        if self.args.format == TraceFormat::Text {
            text::heading(number, &asked, out)?;
            out.flush()?;
        }
        let (asked_at, asked_on) = (Instant::now(), SystemTime::now());
        let mut answered = None;
        let (end, over_at) = {
            let fetching = fetch(
                self.client.clone(),
                &self.dialling,
                number,
                &asked,
                BodyReader::of(self.args),
                &mut answered,
            );
            let mut fetching = pin!(tokio::time::timeout(self.args.timeout, fetching));
            let end = loop {
                tokio::select! {
                    biased;
                    () = self.interrupt.come() => break FetchEnd::Interrupted,
                    fetched = fetching.as_mut() => break match fetched {
                        Ok(fetched) => FetchEnd::Fetched(fetched),
                        Err(_) => FetchEnd::TimedOut,
                    },
                    () = tokio::time::sleep(LOOK) => {
                        let news = self.ear.take();
                        self.tell(number, &news, out)?;
                        self.session.events.extend(news);
                    }
                }
            };
            // Before the exchange is given up: what that leads to comes later.
            (end, Instant::now())
        };
        let news = self.ear.take();
        self.tell(number, &news, out)?;
        self.session.events.extend(news);
        let own = || self.session.events_of(Some(number)).filter(|event| event.at <= over_at);
        let head_at = answered.as_ref().map(|answered| answered.head_at);
        let phases = FetchPhases::of(own(), asked_at, head_at, over_at);
        let given_up = |how: String| {
            let doing = doing(&own().collect::<Vec<_>>(), answered.as_ref());
            Some(format!("{how} while {doing}{}", spent(&phases)))
        };
        let error = match end {
            FetchEnd::Fetched(Ok(held)) => {
                self.held.extend(held);
                None
            }
            FetchEnd::Fetched(Err(error)) => Some(error),
            FetchEnd::TimedOut => {
                let limit = report::words::span(self.args.timeout);
                given_up(format!("gave up after {limit} (--timeout)"))
            }
            FetchEnd::Interrupted => {
                let after = report::words::short(over_at.saturating_duration_since(asked_at));
                given_up(format!("interrupted by Ctrl-C after {after}"))
            }
        };
        Ok(FetchedExchange { number, asked, asked_at, asked_on, answered, error, over_at, phases })
    }

    /// Moments that were heard while `number` was being carried out.
    fn tell(
        &self,
        number: ExchangeId,
        news: &[TraceEvent],
        out: &mut impl Write,
    ) -> io::Result<()> {
        match self.args.format {
            TraceFormat::Text => text::moments(&self.session, Some(number), news, out)?,
            TraceFormat::Jsonl => json::lines(news, self.session.started, out)?,
            TraceFormat::Json | TraceFormat::Har => {}
        }
        out.flush()
    }

    /// Moments that were heard while no request was being carried out.
    fn tell_aside(
        &self,
        title: &str,
        why: &str,
        news: &[TraceEvent],
        out: &mut impl Write,
    ) -> io::Result<()> {
        match self.args.format {
            TraceFormat::Text => text::aside(title, why, &self.session, news, out)?,
            TraceFormat::Jsonl => json::lines(news, self.session.started, out)?,
            TraceFormat::Json | TraceFormat::Har => {}
        }
        out.flush()
    }

    /// How a request ended. Where only moments are told, a failure goes to stderr.
    fn tell_end(&self, traced: &FetchedExchange, out: &mut impl Write) -> io::Result<()> {
        match (self.args.format, &traced.error) {
            (TraceFormat::Text, _) => text::ending(traced, out)?,
            (TraceFormat::Jsonl, Some(error)) => {
                let (number, asked) = (traced.number, &traced.asked);
                let text = format!("request {number}, {} {}: {error}", asked.method, asked.url);
                let _ = writeln!(io::stderr(), "lab: {}", report::words::printable(&text));
            }
            (TraceFormat::Jsonl | TraceFormat::Json | TraceFormat::Har, _) => {}
        }
        out.flush()
    }

    /// Closes the client, hears of the closes, and tells the rest.
    async fn end(&mut self, out: &mut impl Write) -> io::Result<()> {
        self.held.clear();
        self.client.close();
        let afterwards = self.closes().await;
        if !afterwards.is_empty() {
            self.tell_aside("Afterwards", "the client closes", &afterwards, out)?;
            self.session.events.extend(afterwards);
        }
        self.session.has_hidden |= self.ear.has_hidden.load(Ordering::Relaxed);
        let session = &self.session;
        match self.args.format {
            TraceFormat::Text => bars::summary(session, self.args.expect_continue, out)?,
            TraceFormat::Jsonl => {}
            TraceFormat::Json => json::whole(session, out)?,
            TraceFormat::Har => har::write(session, out)?,
        }
        out.flush()
    }

    /// Waits until everything that began has ended: every dial, every handshake and every
    /// connection. Not for long, in case a body that somebody else holds keeps one open.
    async fn closes(&self) -> Vec<TraceEvent> {
        let deadline = Instant::now() + CLOSING;
        let mut heard = Vec::new();
        loop {
            heard.extend(self.ear.take());
            let open: i64 = self.session.events.iter().chain(&heard).map(opens).sum();
            if open <= 0 || Instant::now() >= deadline {
                return heard;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// How many things a moment begins (above 0) or ends.
fn opens(event: &TraceEvent) -> i64 {
    match event.moment {
        Moment::ConnectStart { .. } | Moment::TlsHandshakeStart => 1,
        // The dial is over, but a connection has begun.
        Moment::ConnectDone { result: Ok(_), .. } => 0,
        Moment::ConnectDone { result: Err(_), .. }
        | Moment::TlsHandshakeDone { .. }
        | Moment::ConnectionClosed { .. } => -1,
        _ => 0,
    }
}

/// How a request came to its end.
enum FetchEnd {
    /// With a body that is to be held, if there is one; or with an error.
    Fetched(Result<Option<Body>, String>),
    TimedOut,
    Interrupted,
}

/// `: DNS 0.21 ms, connect 300 ms`: where the time went.
fn spent(phases: &FetchPhases) -> String {
    let spent: Vec<String> = FetchPhase::ALL
        .into_iter()
        .filter(|phase| *phase != FetchPhase::Other)
        .filter_map(|phase| {
            Some(format!("{} {}", phase.name(), report::words::short(phases.get(phase)?)))
        })
        .collect();
    if spent.is_empty() { String::new() } else { format!(": {}", spent.join(", ")) }
}

fn dialling(args: &Trace, own: Option<Tls>, keys: &TlsKeys) -> anyhow::Result<Dialling> {
    let rule = |rule: &String| -> anyhow::Result<ConnectTo> {
        rule.parse().with_context(|| format!("--connect-to {rule}"))
    };
    let connect_to = args.connect_to.iter().map(rule).collect::<Result<_, _>>()?;
    let tls = match own {
        Some(tls) => tls,
        None => Tls::new(trust(args)?)?,
    };
    // Keys that nobody asked for are not kept.
    let is_told = args.packets.pcap.is_some() && !args.no_keys;
    let tls = if is_told { tls.telling(keys) } else { tls };
    Ok(Dialling { tls: Some(tls), connect_to })
}

fn trust(args: &Trace) -> anyhow::Result<Trust> {
    if args.insecure {
        return Ok(Trust::Anybody);
    }
    match &args.cacert {
        None => Ok(Trust::System),
        Some(file) => {
            let pem = bounded_file::read(file, MOST_TRUSTED);
            Ok(Trust::Pem(pem.with_context(|| format!("cannot read --cacert {}", file.display()))?))
        }
    }
}
