//! One run in a process of its own: the child's half.
//!
//! The parent writes an [`Order`] to the child's stdin; the child leaves the machine's network if
//! it is told to, carries out the run, and writes a [`Told`] to its stdout.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::time::Duration;

use apparatus::{Apparatus, Ask, Post};
use bytes::Bytes;
use evidence::{BodyPolicy, Exchange, Preset, Reading};
use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::HeaderValue;
use serde::{Deserialize, Serialize};

use crate::observe::{self, Snapshot};
use crate::process;
use crate::raw::{self, RawAsk, RawClient, RawSeen};
use crate::settings::{Count, Raw, Request, Settings, Size, Step, Time, UntilClosed};
use crate::setup::{Ready, Workload};

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub enum Order {
    /// To find out whether it can have a private network, and nothing else.
    Probe,
    /// To carry out a run.
    Run {
        /// Under these settings.
        settings: Box<Settings>,
        /// Through this transport: `go`, `go1.27` or `hyper-util`.
        transport: String,
        /// Whether in a private network.
        private: bool,
    },
}

/// What the child tells.
#[derive(Debug, Serialize, Deserialize)]
pub enum Told {
    /// A private network can be had.
    Ready,
    /// A private network is refused: what, by whom, and the fix.
    Refused(String),
    /// The run could not take place.
    Failed(String),
    /// The run is over.
    Observed(Box<Observation>),
}

/// What the witnesses of a run saw.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The numbers, by name; what was not observed is not there.
    pub quantities: BTreeMap<String, f64>,
    /// Where the witnesses disagree, in sentences.
    pub disagreements: Vec<String>,
    /// The first failure of each kind, in its own words.
    pub failures: BTreeMap<String, String>,
    /// The connections and the socket tables, as text with colours.
    pub evidence: String,
    /// The kernel's settings in the private network, read back.
    pub network: Vec<(String, String)>,
}

/// The child's main: reads the order of process `parent`, carries it out, tells.
///
/// # Errors
/// If the parent cannot be understood, or told.
pub fn main(parent: u32) -> anyhow::Result<()> {
    // Elsewhere nobody ends a child whose parent was killed; it ends by itself when it is done.
    if cfg!(target_os = "linux") {
        netlab::die_with(parent)?;
    }
    let mut order = String::new();
    std::io::stdin().read_to_string(&mut order)?;
    let told = match serde_json::from_str(&order)? {
        Order::Probe => match netlab::enter(&netlab::NetworkSettings::default()) {
            Ok(_) => Told::Ready,
            Err(error) => refused_or_failed(error),
        },
        Order::Run { settings, transport, private } => match run(&settings, &transport, private) {
            Ok(told) => told,
            Err(error) => Told::Failed(format!("{error:#}")),
        },
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &told)?;
    out.flush()?;
    Ok(())
}

fn refused_or_failed(error: netlab::Error) -> Told {
    match error {
        netlab::Error::Refused(refused) => Told::Refused(refused.to_string()),
        other => Told::Failed(format!("{:#}", anyhow::Error::new(other))),
    }
}

fn run(settings: &Settings, transport: &str, private: bool) -> anyhow::Result<Told> {
    let preset = Preset::ALL.into_iter().find(|preset| preset.name() == transport);
    let preset = preset.ok_or_else(|| anyhow::anyhow!("no transport is called {transport}"))?;
    let ready = settings.ready(preset, private)?;
    // Before there is a runtime: a process with more than one thread cannot leave its network.
    let mut network = Vec::new();
    if private {
        match netlab::enter(&ready.network) {
            Ok(private) => network = described(&private.settings()?),
            Err(error) => return Ok(refused_or_failed(error)),
        }
    }
    // One thread, so that counts of connections come out exact.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut observation = runtime.block_on(observed(ready, settings, private))?;
    observation.network = network;
    Ok(Told::Observed(Box::new(observation)))
}

fn described(settings: &netlab::NetworkSettings) -> Vec<(String, String)> {
    let ms = |time: std::time::Duration| report::words::span(time);
    [
        ("ip_local_port_range", settings.local_ports.map(|(low, high)| format!("{low} {high}"))),
        ("tcp_tw_reuse", settings.tcp_tw_reuse.map(|value| value.to_string())),
        ("tcp_tw_reuse_delay", settings.tcp_tw_reuse_delay.map(ms)),
        ("tcp_max_tw_buckets", settings.tcp_max_tw_buckets.map(|value| value.to_string())),
        ("tcp_fin_timeout", settings.tcp_fin_timeout.map(ms)),
        ("somaxconn", settings.somaxconn.map(|most| most.to_string())),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

async fn observed(ready: Ready, settings: &Settings, private: bool) -> anyhow::Result<Observation> {
    let before = if private { Some(netlab::Counters::read()?) } else { None };
    let apparatus = Apparatus::set_up(ready.plan)?;
    let mut seen = Seen::default();
    match &ready.workload {
        Workload::Workers => workers(&apparatus).await?,
        Workload::Bursts => bursts(&apparatus).await?,
        Workload::Script(steps) => seen = script(&apparatus, steps, settings).await?,
    }
    let Seen { snapshots, mut raw } = seen;
    let raw_seen = RawSeen::of(&mut raw);
    let (outcome, _) = apparatus.take_down(false).await;
    let counters = match before {
        Some(before) => netlab::Counters::read()?.since(&before),
        None => BTreeMap::new(),
    };
    let mut failures = BTreeMap::new();
    for failure in outcome.exchanges.iter().filter_map(|exchange| exchange.body.as_ref().err()) {
        let kind = failure.kind.name().to_owned();
        failures.entry(kind).or_insert_with(|| failure.message.clone());
    }
    let mut evidence = Vec::new();
    let named: Vec<(&str, &Reading)> =
        snapshots.iter().map(|snapshot| (snapshot.name.as_str(), &snapshot.reading)).collect();
    report::run::evidence(&outcome, &named, &mut evidence)?;
    Ok(Observation {
        quantities: observe::quantities(&outcome, &snapshots, &raw_seen, &counters)
            .iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        disagreements: outcome.disagreements.iter().map(ToString::to_string).collect(),
        failures,
        evidence: String::from_utf8_lossy(&evidence).into_owned(),
        network: Vec::new(),
    })
}

async fn workers(apparatus: &Apparatus) -> Result<(), apparatus::Error> {
    let setup = apparatus.setup();
    let worker = async || {
        for number in 1..=setup.requests {
            apparatus.exchange().await?;
            if number < setup.requests {
                apparatus.pause().await;
            }
        }
        Ok(())
    };
    try_join_all((0..setup.workers).map(|_| worker())).await.map(|_| ())
}

async fn bursts(apparatus: &Apparatus) -> Result<(), apparatus::Error> {
    let setup = apparatus.setup();
    for number in 1..=setup.requests {
        try_join_all((0..setup.workers).map(|_| apparatus.exchange())).await?;
        if number < setup.requests {
            apparatus.pause().await;
        }
    }
    Ok(())
}

/// Carries out the steps one after the other. Exchanges that were started go on meanwhile.
async fn script(
    apparatus: &Apparatus,
    steps: &[Step],
    settings: &Settings,
) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut started = FuturesUnordered::new();
    for step in steps {
        match step {
            Step::Start(request) => {
                let ask = ask(request, settings);
                for _ in 0..times(request) {
                    let ask = ask.clone();
                    started.push(async move { apparatus.exchange_for(&ask).await });
                }
                // One look at each of them, so that they are under way before the next step.
                let look = std::future::ready(());
                beside(look, &mut started).await?;
            }
            Step::Finish => finish(&mut started).await?,
            Step::Snapshot(name) => {
                let reading = beside(apparatus.look(), &mut started).await?;
                let resident = process::resident();
                seen.snapshots.push(Snapshot { name: name.clone(), reading, resident });
            }
            Step::Request(request) => {
                let ask = ask(request, settings);
                for _ in 0..times(request) {
                    beside(apparatus.exchange_for(&ask), &mut started).await??;
                }
            }
            Step::Raw(raw) => {
                let place = raw.server.map_or(0, |Count(server)| server.saturating_sub(1));
                let Some(server) = apparatus.server(place) else { continue };
                let clients = beside(raw::carry_out(&raw_ask(raw), server), &mut started).await??;
                apparatus.leave_out(clients.iter().map(|client| client.address));
                seen.raw.extend(clients);
            }
            Step::Wait(Time(time)) => beside(tokio::time::sleep(*time), &mut started).await?,
            Step::UntilClosed(UntilClosed { connections, at_most: Time(at_most) }) => {
                let closed = apparatus.until_closed(connections.0, *at_most);
                beside(closed, &mut started).await?;
            }
            Step::Release => beside(apparatus.release(), &mut started).await?,
            Step::Listen => apparatus.listen()?,
            Step::Accept => apparatus.accept(),
        }
    }
    finish(&mut started).await?;
    Ok(seen)
}

/// What a script has kept.
#[derive(Default)]
struct Seen {
    snapshots: Vec<Snapshot>,
    raw: Vec<RawClient>,
}

fn raw_ask(raw: &Raw) -> RawAsk {
    RawAsk {
        times: raw.times.map_or(1, |Count(times)| times),
        send: Bytes::copy_from_slice(raw.send.as_bytes()),
        wait: raw.wait,
        at_most: raw.at_most.map_or(Duration::from_secs(5), |Time(time)| time),
    }
}

async fn finish<F>(started: &mut FuturesUnordered<F>) -> Result<(), apparatus::Error>
where
    F: Future<Output = Result<Exchange, apparatus::Error>>,
{
    while let Some(exchange) = started.next().await {
        exchange?;
    }
    Ok(())
}

/// Carries on with `work` to its end, and with what was started as far as it goes meanwhile.
async fn beside<T, F>(
    work: impl Future<Output = T>,
    started: &mut FuturesUnordered<F>,
) -> Result<T, apparatus::Error>
where
    F: Future<Output = Result<Exchange, apparatus::Error>>,
{
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            biased;
            Some(exchange) = started.next(), if !started.is_empty() => { exchange?; }
            done = &mut work => return Ok(done),
        }
    }
}

fn times(request: &Request) -> usize {
    request.times.map_or(1, |Count(times)| times)
}

/// What a request of a script asks for. What it does not say, the settings do; the server was
/// told those at its start.
fn ask(request: &Request, settings: &Settings) -> Ask {
    let query: Vec<String> = [
        request.bytes.map(|Size(bytes)| format!("bytes={bytes}")),
        request.delay.map(|Time(delay)| format!("delay={}us", delay.as_micros())),
        request.close.map(|close| format!("close={close}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let body = request.body.or(settings.client.body);
    let data = match (&request.post, request.post_bytes) {
        (Some(text), _) => Some(Bytes::copy_from_slice(text.as_bytes())),
        (None, Some(Size(bytes))) => {
            Some(Bytes::from(vec![b'x'; usize::try_from(bytes).unwrap_or(usize::MAX)]))
        }
        (None, None) => None,
    };
    let content_type = request.content_type.as_deref().and_then(|text| text.parse().ok());
    let plain = HeaderValue::from_static("application/octet-stream");
    Ask {
        server: request.server.map_or(0, |Count(server)| server.saturating_sub(1)),
        path: request.path.clone().unwrap_or_else(|| "/".to_owned()),
        query: query.join("&"),
        post: data.map(|data| Post { data, content_type: content_type.unwrap_or(plain) }),
        body: body.map_or(BodyPolicy::Drain, BodyPolicy::from),
    }
}
