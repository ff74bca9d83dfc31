//! One run in a process of its own: the child's half.
//!
//! The parent writes an [`Order`] to the child's stdin; the child leaves the machine's network if
//! it is told to, carries out the run, and writes a [`ChildReply`] to its stdout.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use apparatus::{Apparatus, Ask, InterfaceWitness, Post};
use bytes::Bytes;
use evidence::{BodyPolicy, Disagreement, Exchange, Preset};
use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue};
use packets::PcapWriter;
use peers::{RawClient, RawOrder, RawSeen};
use serde::{Deserialize, Serialize};
use transport::TlsKeys;

use crate::cable::CableControl;
use crate::doctor::attempts;
use crate::doctor::facts::{Attempt, AttemptOutcome};
use crate::ground::{self, Ground, TwoHosts};
use crate::own_tls;
#[cfg(target_os = "linux")]
use crate::passport;
use crate::passport::order::ProbeOrder;
use crate::passport::record::ProbeRecord;
use crate::process;
use crate::real_go::GoClient;
use crate::record::{ProcessUse, RunRecord, Snapshot};
use crate::settings::{Count, Raw, Request, Settings, Size, Step, Time, UntilClosed};
use crate::setup::{Ready, Workload};

/// The order for the child.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// To find out whether it can have a private network, and nothing else.
    Probe,
    /// To carry out a probe of a client's passport.
    Passport(Box<ProbeOrder>),
    /// To try one thing, for the doctor.
    Attempt(Attempt),
    /// To carry out a run.
    Run {
        /// Under these settings.
        settings: Box<Settings>,
        /// Through this transport: `go`, `go1.27` or `hyper-util`.
        transport: String,
        /// Carried out by this program of Go's own transport, which follows these rules.
        real_go: Option<PathBuf>,
        /// In a private network, or in the machine's own.
        private: bool,
        /// With every moment of the client's trace.
        moments: bool,
        /// With its packets, also where no cable carries them.
        hears: bool,
        /// The file into which they are written as the body of a section of pcapng, if any.
        pcap: Option<PathBuf>,
    },
}

/// The version of [`ChildReply`]. It grows when a key changes its meaning or goes away.
const VERSION: u32 = 1;

/// The word of the child to its parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChildReply {
    version: u32,
    answer: ChildAnswer,
}

/// The answer to an [`Order`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChildAnswer {
    /// A private network can be had.
    Ready,
    /// A private network is refused: what, by whom, and the fix.
    Refused(String),
    /// A private network can be had, but no second host and cable: what is refused, by whom, and
    /// the fix.
    NoCable(String),
    /// The result of an attempt.
    Attempted(AttemptOutcome),
    /// The run could not take place.
    Failed(String),
    /// The run is over, and this is all that was seen.
    Over(Box<RunRecord>),
    /// The probe is over, and this is all that was seen.
    Probed(Box<ProbeRecord>),
}

/// A reply that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnreadableReply {
    /// It is of another version: parent and child are not the same build.
    #[error(
        "the run's process tells what it saw in version {told}, and this program reads version {VERSION}: was it rebuilt meanwhile?"
    )]
    OtherVersion {
        /// The version of the reply.
        told: u32,
    },
    /// It is no reply at all.
    #[error("what the run's process tells cannot be read")]
    Malformed(#[from] serde_json::Error),
}

impl ChildReply {
    /// Reads a reply, as a child has written it.
    ///
    /// # Errors
    /// [`UnreadableReply`] says why not.
    pub(crate) fn read(json: &[u8]) -> Result<ChildAnswer, UnreadableReply> {
        #[derive(Deserialize)]
        struct VersionAlone {
            version: u32,
        }
        let VersionAlone { version: told } = serde_json::from_slice(json)?;
        if told != VERSION {
            return Err(UnreadableReply::OtherVersion { told });
        }
        let reply: Self = serde_json::from_slice(json)?;
        Ok(reply.answer)
    }
}

/// The child's main: reads the order of process `parent`, carries it out, tells.
///
/// # Errors
/// If the parent cannot be understood, or told.
pub(crate) fn main(parent: u32) -> anyhow::Result<()> {
    // Elsewhere nobody ends a child whose parent was killed; it ends by itself when it is done.
    if cfg!(target_os = "linux") {
        netlab::die_with(parent)?;
    }
    let mut order = String::new();
    std::io::stdin().read_to_string(&mut order)?;
    let answer = match serde_json::from_str(&order)? {
        Order::Probe => match netlab::enter(&netlab::NetworkSettings::default()) {
            Ok(_) => ChildAnswer::Ready,
            Err(error) => refused_or_failed(error),
        },
        #[cfg(not(target_os = "linux"))]
        Order::Passport(_) => ChildAnswer::Failed("clients are probed on Linux only".to_owned()),
        #[cfg(target_os = "linux")]
        Order::Passport(order) => match passport::carry::carry_out(*order) {
            Ok(Ok(record)) => ChildAnswer::Probed(Box::new(record)),
            Ok(Err(error)) => refused_or_failed(error),
            Err(error) => ChildAnswer::Failed(format!("{error:#}")),
        },
        Order::Attempt(attempt) => ChildAnswer::Attempted(attempts::attempt(&attempt)),
        order @ Order::Run { .. } => match run(order) {
            Ok(answer) => answer,
            Err(error) => ChildAnswer::Failed(format!("{error:#}")),
        },
    };
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, &ChildReply { version: VERSION, answer })?;
    out.flush()?;
    Ok(())
}

fn refused_or_failed(error: netlab::Error) -> ChildAnswer {
    match error {
        netlab::Error::NoCable(refused) => ChildAnswer::NoCable(refused.to_string()),
        netlab::Error::Refused(refused) => ChildAnswer::Refused(refused.to_string()),
        other => ChildAnswer::Failed(format!("{:#}", anyhow::Error::new(other))),
    }
}

fn run(order: Order) -> anyhow::Result<ChildAnswer> {
    let Order::Run { settings, transport, real_go, private, moments, hears, pcap } = order else {
        return Ok(ChildAnswer::Ready);
    };
    let (settings, keeps) = (&*settings, pcap.is_some());
    // What begins in a segment of TLS is told anywhere in it.
    let whole = keeps || settings.server.tls.is_some();
    let ear = |ear: InterfaceWitness| Arc::new(if whole { ear.whole() } else { ear });
    let preset = Preset::ALL.into_iter().find(|preset| preset.name() == transport);
    let preset = preset.ok_or_else(|| anyhow::anyhow!("no transport is called {transport}"))?;
    let mut ready = settings.ready(preset, private)?;
    ready.plan.trace = moments;
    let keys = TlsKeys::default();
    let keys_wanted = keeps.then_some(&keys);
    let trusted = own_tls::secure(&mut ready.plan, &settings.server, keys_wanted)?;
    // Before there is a runtime: a process with more than one thread cannot leave its network.
    let ground = match (private, ready.cable) {
        (false, _) => Ground::Machine(hears.then(|| ear(InterfaceWitness::machine()))),
        (true, None) => match netlab::enter(&ready.network) {
            Ok(network) if hears => {
                network.as_on_a_wire()?;
                Ground::Network(network, Some(ear(InterfaceWitness::private())))
            }
            Ok(network) => Ground::Network(network, None),
            Err(error) => return Ok(refused_or_failed(error)),
        },
        (true, Some(cable)) => {
            match TwoHosts::enter(&ready.network, cable, &settings.network, keeps) {
                Ok(hosts) => Ground::Hosts(hosts),
                Err(error) => return Ok(refused_or_failed(error)),
            }
        }
    };
    let network = match ground.network() {
        Some(network) => described(&network.settings()?),
        None => Vec::new(),
    };
    // One thread, so that counts of connections come out exact.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut record = runtime.block_on(carried_out(ready, settings, real_go, trusted, &ground))?;
    record.network = network;
    if let (Some(path), Some(recording)) = (pcap, ground.take_recording()) {
        let write = || {
            let mut writer = PcapWriter::inside(BufWriter::new(File::create(&path)?));
            let keys = apparatus::pcap::keys_of(&recording, &keys);
            apparatus::pcap::write(&mut writer, &recording, &keys, &record.outcome)?;
            writer.finish()
        };
        write().with_context(|| format!("cannot write packets to {}", path.display()))?;
    }
    Ok(ChildAnswer::Over(Box::new(record)))
}

fn described(settings: &netlab::NetworkSettings) -> Vec<(String, String)> {
    let ms = |time: std::time::Duration| report::words::span(time);
    let one_or_zero = |is_on: bool| u8::from(is_on).to_string();
    [
        ("ip_local_port_range", settings.local_ports.map(|(low, high)| format!("{low} {high}"))),
        ("tcp_tw_reuse", settings.tcp_tw_reuse.map(|value| value.to_string())),
        ("tcp_tw_reuse_delay", settings.tcp_tw_reuse_delay.map(ms)),
        ("tcp_max_tw_buckets", settings.tcp_max_tw_buckets.map(|value| value.to_string())),
        ("tcp_fin_timeout", settings.tcp_fin_timeout.map(ms)),
        ("somaxconn", settings.somaxconn.map(|most| most.to_string())),
        ("tcp_retries2", settings.tcp_retries2.map(|times| times.to_string())),
        ("tcp_keepalive_probes", settings.tcp_keepalive_probes.map(|probes| probes.to_string())),
        ("tcp_slow_start_after_idle", settings.tcp_slow_start_after_idle.map(one_or_zero)),
        ("tcp_no_metrics_save", settings.tcp_no_metrics_save.map(one_or_zero)),
        ("tcp_congestion_control", settings.tcp_congestion_control.clone()),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
    .collect()
}

async fn carried_out(
    mut ready: Ready,
    settings: &Settings,
    real_go: Option<PathBuf>,
    trusted: Option<String>,
    ground: &Ground,
) -> anyhow::Result<RunRecord> {
    let before = ground.counters()?;
    ready.plan.far = ground.far();
    ready.plan.wire = ground.wire();
    let apparatus = match real_go {
        None => Apparatus::set_up(ready.plan)?,
        Some(program) => Apparatus::set_up_with(ready.plan, |config, listener| {
            let client = GoClient::start(&program, &config, trusted.as_deref(), listener);
            Ok(Box::new(client.map_err(apparatus::Error::ForeignClient)?))
        })?,
    };
    let mut seen = ScriptRemains::default();
    match &ready.workload {
        Workload::Workers => workers(&apparatus).await?,
        Workload::Bursts => bursts(&apparatus).await?,
        Workload::Script(steps) => {
            seen = script(&apparatus, steps, settings, ground.cable()).await?;
        }
    }
    let ScriptRemains { snapshots, mut raw } = seen;
    let raw = RawSeen::of(&mut raw);
    let (mut outcome, events) = apparatus.take_down(false).await;
    let counters = ground.grown_since(&before)?;
    let process = ProcessUse::now();
    if let Some(Ok(wire)) = &outcome.wire
        && let Some(sentence) = ground::fault(wire)
    {
        outcome.disagreements.push(Disagreement { sentence });
    }
    let network = Vec::new();
    Ok(RunRecord { outcome, snapshots, raw, events, counters, network, process })
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
    cable: Option<&CableControl>,
) -> anyhow::Result<ScriptRemains> {
    let mut seen = ScriptRemains::default();
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
                seen.snapshots.push(Snapshot {
                    name: name.clone(),
                    reading,
                    resident_bytes: resident,
                });
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
                let clients =
                    beside(peers::carry_out(&raw_order(raw), server), &mut started).await??;
                apparatus.leave_out(clients.iter().map(|client| client.address));
                seen.raw.extend(clients);
            }
            Step::Wait(Time(time)) => beside(tokio::time::sleep(*time), &mut started).await?,
            Step::UntilClosed(UntilClosed { connections, at_most: Time(at_most) }) => {
                let closed = apparatus.until_closed(connections.0, *at_most);
                beside(closed, &mut started).await?;
            }
            Step::Cable(step) => {
                if let Some(cable) = cable {
                    cable.obey(*step);
                }
            }
            Step::Release => beside(apparatus.release(), &mut started).await?,
            Step::Listen => apparatus.listen()?,
            Step::Accept => apparatus.accept(),
        }
    }
    finish(&mut started).await?;
    Ok(seen)
}

/// The things that a script has kept.
#[derive(Default)]
struct ScriptRemains {
    snapshots: Vec<Snapshot>,
    raw: Vec<RawClient>,
}

fn raw_order(raw: &Raw) -> RawOrder {
    RawOrder {
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

/// Returns what a request of a script asks for. What it does not say, the settings do; the server
/// was told those at its start.
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
        method: request.method.as_deref().and_then(|name| name.parse().ok()),
        fields: fields(request),
        post: data.map(|data| Post { data, content_type: content_type.unwrap_or(plain) }),
        body: body.map_or(BodyPolicy::Drain, BodyPolicy::from),
    }
}

/// The fields that a request says for itself. That they are some is checked when the file is read.
fn fields(request: &Request) -> HeaderMap {
    let field = |(name, value): (&String, &String)| {
        Some((name.parse::<HeaderName>().ok()?, value.parse().ok()?))
    };
    request.fields.iter().flatten().filter_map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_another_build_is_refused_with_both_versions() {
        let reply = br#"{"version": 7, "answer": {"something": "new"}}"#;
        let refusal = ChildReply::read(reply).unwrap_err().to_string();
        assert!(refusal.contains("in version 7, and this program reads version 1"), "{refusal}");
    }

    #[test]
    fn what_is_no_reply_is_said_to_be_none() {
        for reply in [&b""[..], b"{", b"{}", br#"{"version": 1, "answer": "over"}"#] {
            let refusal = ChildReply::read(reply).unwrap_err();
            assert!(matches!(refusal, UnreadableReply::Malformed(_)), "{refusal}");
        }
    }
}
