//! From settings to a run: defaults, checks, and the plan that the apparatus is given.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use apparatus::{Plan, ServerPlan};
use evidence::{BodyPolicy, Preset, Program, ServerSetup, Setup};
use hello::Routes;
use http::{HeaderName, HeaderValue};
use server::Answer;
use transport::{Config, Dialling, HttpVersion, Limits};

use crate::cable;
use crate::formula::Names;
use crate::quantities;
use crate::settings::{
    CableRule, Count, LimitSetting, Network, Raw, Request, Settings, Size, StartSetting, Step,
    Time, Version, WorkloadKind,
};

/// The port of the first server in a private network, where nobody else can have it.
const FIRST_PORT: u16 = 8080;
/// The same with TLS: on the other, Wireshark takes everything for plain HTTP.
const FIRST_TLS_PORT: u16 = 8443;

/// More of anything is a typing error.
const MOST: usize = 100_000;

/// The methods of a script's requests: those that a client pools connections for (RFC 9110 section
/// 9), in capitals, as they are sent.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

/// Why settings make no run. Completes "`experiment`: …".
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    /// The transport has no such limit.
    #[error(transparent)]
    Unsupported(#[from] transport::Unsupported),
    /// A setting is impossible, alone or beside another.
    #[error("{key}: {because}")]
    Impossible {
        /// The key.
        key: &'static str,
        /// Why.
        because: String,
    },
}

fn impossible<T>(key: &'static str, because: impl Into<String>) -> Result<T, SetupError> {
    Err(SetupError::Impossible { key, because: because.into() })
}

/// The work that the client is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Workload {
    /// Workers side by side, each sending one request after the other.
    Workers,
    /// All workers at the same moment, then a pause, then again.
    Bursts,
    /// Step by step.
    Script(Vec<Step>),
}

/// A run that is ready to be set up.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// The plan that the apparatus is given.
    pub(crate) plan: Plan,
    /// The work that it is then asked to do.
    pub(crate) workload: Workload,
    /// The kernel's settings.
    pub(crate) network: netlab::NetworkSettings,
    /// The cable, if there are two hosts.
    pub(crate) cable: Option<netlab::CablePlan>,
}

impl Settings {
    /// The run that these settings describe, through `preset`, in a `private` network or in the
    /// machine's own.
    ///
    /// # Errors
    /// [`SetupError`] says which setting is impossible.
    pub(crate) fn ready(&self, preset: Preset, private: bool) -> Result<Ready, SetupError> {
        self.check_cable()?;
        let workload = self.workload()?;
        let client = self.client(preset);
        client.check()?;
        self.check_client()?;
        self.check_tls()?;
        let servers = self.servers(private)?;
        let setup = self.setup(preset, &client, &servers);
        let network = netlab::NetworkSettings {
            local_ports: self.network.local_ports,
            tcp_tw_reuse: self.network.tcp_tw_reuse,
            tcp_tw_reuse_delay: self.network.tcp_tw_reuse_delay.map(|Time(delay)| delay),
            tcp_max_tw_buckets: self.network.tcp_max_tw_buckets,
            tcp_fin_timeout: self.network.tcp_fin_timeout.map(|Time(timeout)| timeout),
            somaxconn: self.network.somaxconn,
            tcp_retries2: self.network.tcp_retries2,
            tcp_keepalive_probes: self.network.tcp_keepalive_probes,
            tcp_slow_start_after_idle: self.network.tcp_slow_start_after_idle,
            tcp_no_metrics_save: self.network.tcp_no_metrics_save,
            tcp_congestion_control: self.network.tcp_congestion_control.clone(),
        };
        Ok(Ready {
            plan: Plan {
                setup,
                client,
                dialling: Dialling::default(),
                timeout: None,
                servers,
                far: None,
                wire: None,
                trace: false,
            },
            workload,
            network,
            cable: self.has_two_hosts().then(|| cable::plan(&self.network)),
        })
    }

    /// Returns true if client and servers live on two hosts.
    pub(crate) fn has_two_hosts(&self) -> bool {
        self.network.hosts == Some(Count(2))
    }

    fn check_cable(&self) -> Result<(), SetupError> {
        let Network { hosts, delay, rate, loss, seed, cable, .. } = &self.network;
        if !matches!(hosts, None | Some(Count(1 | 2))) {
            return impossible("network.hosts", "one, or two with a cable between them");
        }
        let of_cable = [
            ("network.delay", delay.is_some()),
            ("network.rate", rate.is_some()),
            ("network.loss", loss.is_some()),
            ("network.seed", seed.is_some()),
            ("network.cable", cable.is_some()),
        ];
        match of_cable.into_iter().find(|(_, is_said)| *is_said) {
            Some((key, _)) if !self.has_two_hosts() => {
                return impossible(key, "there is no cable unless network.hosts = 2");
            }
            _ => {}
        }
        for CableRule { connection, nth, times, .. } in cable.iter().flatten() {
            let zero = Some(Count(0));
            if *connection == zero || *nth == zero || *times == Some(LimitSetting(zero)) {
                return impossible("network.cable", "connection, nth and times count from 1");
            }
        }
        Ok(())
    }

    /// Returns true if its client speaks HTTP/1.1.
    pub(crate) fn speaks_http1(&self) -> bool {
        matches!(self.client.version, None | Some(Version::Http1))
    }

    fn check_client(&self) -> Result<(), SetupError> {
        if self.client.max_conns_per_host == Some(LimitSetting(Some(Count(0)))) {
            return impossible(
                "client.max_conns_per_host",
                "with none every request waits for ever",
            );
        }
        // The kernel counts in whole seconds, in 15 bits (TCP_KEEPIDLE).
        if let Some(LimitSetting(Some(Time(time)))) = self.client.tcp_keepalive
            && (time.subsec_nanos() > 0 || !(1..=32_767).contains(&time.as_secs()))
        {
            return impossible("client.tcp_keepalive", "whole seconds, from 1 to 32767");
        }
        Ok(())
    }

    fn check_tls(&self) -> Result<(), SetupError> {
        if self.server.tls.is_none() {
            return match self.server.tls_sessions {
                Some(_) => impossible("server.tls_sessions", "there are none without server.tls"),
                None => Ok(()),
            };
        }
        let steps = self.workload.steps.iter().flatten();
        if steps.into_iter().any(|step| matches!(step, Step::Raw(_))) {
            return impossible("server.tls", "a raw client of a script speaks none");
        }
        Ok(())
    }

    fn workload(&self) -> Result<Workload, SetupError> {
        let workload = &self.workload;
        for (key, number) in
            [("workload.workers", workload.workers), ("workload.requests", workload.requests)]
        {
            match number {
                Some(Count(0)) => return impossible(key, "none would do nothing"),
                Some(Count(number)) if number > MOST => {
                    return impossible(key, format!("more than {MOST}"));
                }
                _ => {}
            }
        }
        let kind = workload.kind.unwrap_or(WorkloadKind::Sequential);
        if kind == WorkloadKind::Script {
            return self.script().map(Workload::Script);
        }
        if workload.steps.is_some() {
            return impossible("workload.steps", "only for kind = \"script\"");
        }
        if self.server.starts == Some(StartSetting::WhenTold) {
            return impossible("server.starts", "when-told needs a script that tells it");
        }
        match kind {
            WorkloadKind::Sequential
                if workload.workers.is_some_and(|workers| workers != Count(1)) =>
            {
                impossible("workload.workers", "kind = \"sequential\" has one")
            }
            WorkloadKind::Burst => Ok(Workload::Bursts),
            WorkloadKind::Sequential | WorkloadKind::Concurrent | WorkloadKind::Script => {
                Ok(Workload::Workers)
            }
        }
    }

    fn script(&self) -> Result<Vec<Step>, SetupError> {
        const KEY: &str = "workload.steps";
        let workload = &self.workload;
        if workload.workers.is_some() || workload.requests.is_some() || workload.interval.is_some()
        {
            return impossible("workload", "a script says itself how many requests, and when");
        }
        let steps = workload.steps.clone().unwrap_or_default();
        if !steps.iter().any(|s| matches!(s, Step::Request(_) | Step::Start(_) | Step::Raw(_))) {
            return impossible(KEY, "a script needs a request");
        }
        self.check_told_starts(&steps)?;
        let mut names: Vec<&str> = Vec::new();
        let servers = self.server_count();
        for step in &steps {
            match step {
                Step::Snapshot(name) => {
                    let check = match names.contains(&name.as_str()) {
                        true => Err("there is one of this name already"),
                        false => quantities::check_snapshot_name(name),
                    };
                    check.or_else(|why| impossible(KEY, format!("snapshot `{name}`: {why}")))?;
                    names.push(name);
                }
                Step::Request(Request { server: Some(Count(server)), .. })
                | Step::Start(Request { server: Some(Count(server)), .. })
                    if !(1..=servers).contains(server) =>
                {
                    return impossible(KEY, format!("there is no server {server} of {servers}"));
                }
                Step::Request(Request { times: Some(Count(times)), .. })
                | Step::Start(Request { times: Some(Count(times)), .. })
                    if !(1..=MOST).contains(times) =>
                {
                    return impossible(KEY, format!("{times} times"));
                }
                Step::Raw(Raw { server: Some(Count(server)), .. })
                    if !(1..=servers).contains(server) =>
                {
                    return impossible(KEY, format!("there is no server {server} of {servers}"));
                }
                Step::Raw(Raw { times: Some(Count(times)), .. }) if !(1..=MOST).contains(times) => {
                    return impossible(KEY, format!("{times} times"));
                }
                Step::Request(request) | Step::Start(request) => self.check_request(request)?,
                Step::Cable(_) if !self.has_two_hosts() => {
                    return impossible(KEY, "there is no cable unless network.hosts = 2");
                }
                Step::Listen | Step::Accept
                    if self.server.starts != Some(StartSetting::WhenTold) =>
                {
                    let because = "listen and accept need server.starts = \"when-told\"";
                    return impossible(KEY, because);
                }
                _ => {}
            }
        }
        Ok(steps)
    }

    fn check_request(&self, request: &Request) -> Result<(), SetupError> {
        const KEY: &str = "workload.steps";
        if request.post.is_some() && request.post_bytes.is_some() {
            return impossible(KEY, "post and post_bytes are two bodies of one request");
        }
        if request.path.as_ref().is_some_and(|path| !path.starts_with('/') || path.contains(' ')) {
            return impossible(KEY, "a path begins with / and has no spaces");
        }
        if let Some(name) = &request.method
            && !METHODS.contains(&name.as_str())
        {
            return impossible(KEY, format!("method `{name}`; known are {}", METHODS.join(", ")));
        }
        if let Some((name, value)) = request.fields.iter().flatten().find(|(name, value)| {
            HeaderName::from_bytes(name.as_bytes()).is_err()
                || HeaderValue::from_str(value).is_err()
        }) {
            return impossible(KEY, format!("fields: `{name}: {value}` is no field of a head"));
        }
        match &request.content_type {
            Some(text) if HeaderValue::from_str(text).is_err() => {
                impossible(KEY, format!("content_type `{text}`"))
            }
            _ => Ok(()),
        }
    }

    /// Servers that start when told have to be told, in the right order: whoever waits for one that
    /// never accepts waits for ever.
    fn check_told_starts(&self, steps: &[Step]) -> Result<(), SetupError> {
        if self.server.starts != Some(StartSetting::WhenTold) {
            return Ok(());
        }
        let place = |wanted: &Step| steps.iter().position(|step| step == wanted);
        match (place(&Step::Listen), place(&Step::Accept)) {
            (Some(listen), Some(accept)) if listen < accept => Ok(()),
            _ => impossible(
                "workload.steps",
                "servers that start when told need `listen`, then `accept`",
            ),
        }
    }

    fn client(&self, preset: Preset) -> Config {
        let client = &self.client;
        let of = Config::of(preset);
        let limits = Limits {
            max_idle: client.max_idle.map_or(of.limits.max_idle, count),
            // Go's 2 for every transport, so that the same number is compared.
            max_idle_per_host: client
                .per_host
                .map_or(Limits::GO.max_idle_per_host, |Count(count)| count),
            max_conns_per_host: client
                .max_conns_per_host
                .map_or(of.limits.max_conns_per_host, count),
            idle_timeout: client.idle_timeout.map_or(of.limits.idle_timeout, limit),
            keep_alives: client.keep_alives.unwrap_or(of.limits.keep_alives),
        };
        let version = match client.version.unwrap_or(Version::Http1) {
            Version::Http1 => HttpVersion::Http1,
            Version::Http2 => HttpVersion::Http2,
        };
        Config {
            limits,
            tcp_keepalive: client.tcp_keepalive.map_or(of.tcp_keepalive, limit),
            tcp_user_timeout: client.tcp_user_timeout.and_then(limit),
            version,
            pool_timer: client.pool_timer.unwrap_or(of.pool_timer),
            ..of
        }
    }

    fn answer(&self) -> Answer {
        let server = &self.server;
        let by_default = Answer::default();
        Answer {
            bytes: server.bytes.map_or(by_default.bytes, |Size(bytes)| bytes),
            delay: server.delay.map_or(by_default.delay, |Time(delay)| delay),
            pause_before_body: server
                .pause_before_body
                .map_or(by_default.pause_before_body, |Time(pause)| pause),
            close: server.close.unwrap_or(by_default.close),
            ..by_default
        }
    }

    fn servers(&self, private: bool) -> Result<Vec<ServerPlan>, SetupError> {
        let count = self.server_count();
        if !(1..=16).contains(&count) {
            return impossible("server.count", "from 1 to 16");
        }
        let starts = match self.server.starts {
            Some(StartSetting::WhenTold) => apparatus::Starts::WhenTold,
            Some(StartSetting::AtOnce) | None => apparatus::Starts::AtOnce,
        };
        let host = if self.has_two_hosts() { netlab::SERVER_HOST } else { Ipv4Addr::LOCALHOST };
        let first = if self.server.tls.is_some() { FIRST_TLS_PORT } else { FIRST_PORT };
        let ports = (first..).take(count).map(|port| if private { port } else { 0 });
        Ok(ports
            .map(|port| ServerPlan {
                address: SocketAddr::from((host, port)),
                answer: self.answer(),
                responder: |answer| Arc::new(Routes::new(answer)),
                limits: self.server_limits(),
                nodelay: self.server.nodelay.unwrap_or(true),
                lingers: self.server.linger.unwrap_or(true),
                starts,
                tls: None,
            })
            .collect())
    }

    fn server_limits(&self) -> server::ServerLimits {
        let server = &self.server;
        server::ServerLimits {
            read_header: server.read_header_timeout.and_then(limit),
            read: server.read_timeout.and_then(limit),
            write: server.write_timeout.and_then(limit),
            idle: server.idle_timeout.and_then(limit),
            handler: server.handler_timeout.and_then(limit),
        }
    }

    fn setup(&self, preset: Preset, client: &Config, servers: &[ServerPlan]) -> Setup {
        let answer = self.answer();
        let limits = client.limits;
        Setup {
            program: Program::Lab,
            preset,
            body: self.client.body.map_or(BodyPolicy::Drain, BodyPolicy::from),
            workers: self.workers(),
            requests: self.requests(),
            interval: self.interval(),
            per_host: limits.max_idle_per_host,
            max_idle: limits.max_idle,
            max_conns_per_host: limits.max_conns_per_host,
            idle_timeout: limits.idle_timeout,
            keep_alives: limits.keep_alives,
            server: ServerSetup {
                in_process: true,
                url: servers
                    .first()
                    .map_or(String::new(), |s| format!("{}://{}/", self.scheme(), s.address)),
                bytes: Some(answer.bytes),
                delay: answer.delay,
                pause_before_body: answer.pause_before_body,
            },
            flags: Vec::new(),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.server.tls.is_some() { "https" } else { "http" }
    }

    fn server_count(&self) -> usize {
        self.server.count.map_or(1, |Count(count)| count)
    }

    fn workers(&self) -> usize {
        let one =
            !matches!(self.workload.kind, Some(WorkloadKind::Concurrent | WorkloadKind::Burst));
        self.workload.workers.map_or(if one { 1 } else { 10 }, |Count(workers)| workers)
    }

    fn requests(&self) -> usize {
        let in_script = |steps: &Vec<Step>| {
            let times = steps.iter().map(|step| match step {
                Step::Request(request) | Step::Start(request) => {
                    request.times.map_or(1, |Count(times)| times)
                }
                _ => 0,
            });
            times.sum()
        };
        let steps = self.workload.steps.as_ref();
        let by_default = || self.workload.requests.map_or(10, |Count(requests)| requests);
        steps.map_or_else(by_default, in_script)
    }

    fn interval(&self) -> Duration {
        self.workload.interval.map_or(Duration::ZERO, |Time(interval)| interval)
    }

    /// Returns what a formula may name: the settings that are numbers, times in seconds. A limit
    /// that does not exist is infinite.
    #[must_use]
    pub(crate) fn names(&self, preset: Preset) -> Names {
        let client = self.client(preset);
        let answer = self.answer();
        let limits = client.limits;
        let number = |number: usize| number as f64;
        let seconds = |time: Duration| time.as_secs_f64();
        let or_none = |limit: Option<f64>| limit.unwrap_or(f64::INFINITY);
        let (low, high) = self.network.local_ports.unwrap_or((32_768, 60_999));
        [
            ("workers", number(self.workers())),
            ("requests", number(self.requests())),
            ("interval", seconds(self.interval())),
            ("per_host", number(limits.max_idle_per_host)),
            ("max_idle", or_none(limits.max_idle.map(number))),
            ("max_conns_per_host", or_none(limits.max_conns_per_host.map(number))),
            ("idle_timeout", or_none(limits.idle_timeout.map(seconds))),
            ("bytes", answer.bytes as f64),
            ("delay", seconds(answer.delay)),
            ("servers", number(self.server_count())),
            ("server_idle_timeout", or_none(self.server.idle_timeout.and_then(limit).map(seconds))),
            ("ports", f64::from(high) - f64::from(low) + 1.0),
            ("somaxconn", f64::from(self.network.somaxconn.unwrap_or(4096))),
            ("tw_buckets", or_none(self.network.tcp_max_tw_buckets.map(f64::from))),
            ("tcp_keepalive", or_none(client.tcp_keepalive.map(seconds))),
            ("tcp_user_timeout", or_none(client.tcp_user_timeout.map(seconds))),
            ("keepalive_probes", f64::from(self.network.tcp_keepalive_probes.unwrap_or(9))),
            ("round_trip", 2.0 * seconds(cable::plan(&self.network).delay)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }
}

fn count(limit: LimitSetting<Count>) -> Option<usize> {
    limit.0.map(|Count(count)| count)
}

fn limit(limit: LimitSetting<Time>) -> Option<Duration> {
    limit.0.map(|Time(time)| time)
}
