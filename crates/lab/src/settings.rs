//! The settings of an experiment: what a file, a case or `--set` may say, all of it optional.
//!
//! A section is the same type wherever it stands, so a case is laid over its file, and `--set`
//! over both, field by field. What nobody says has a default, which [`crate::setup`] knows.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use evidence::{BodyPolicy, ByteCount, SegmentFlags, Side};
use peers::RawWait;
use serde::de::{Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Makes a section: a struct whose fields are all optional, with its keys known.
macro_rules! section {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$about])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(crate) struct $name {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $field: Option<$type>,)*
        }

        #[allow(dead_code, reason = "a step of a script is not laid over another")]
        impl $name {
            /// These settings, and where `over` says something, that instead.
            #[must_use]
            pub(crate) fn with(&self, over: &Self) -> Self {
                Self { $($field: over.$field.clone().or_else(|| self.$field.clone()),)* }
            }

            /// The keys that are set.
            pub(crate) fn keys(&self) -> impl Iterator<Item = &'static str> {
                [$((self.$field.is_some(), stringify!($field)),)*]
                    .into_iter()
                    .filter_map(|(set, key)| set.then_some(key))
            }
        }
    };
}

section! {
    /// `[network]`: the kernel's settings, which a private network has for itself.
    Network {
        /// The ports from which the kernel picks one for a client, both included.
        local_ports: (u16, u16),
        /// `net.ipv4.tcp_tw_reuse`: 0 never, 1 always, 2 on loopback.
        tcp_tw_reuse: u8,
        /// `net.ipv4.tcp_tw_reuse_delay`: how old a `TIME_WAIT` must be for that.
        tcp_tw_reuse_delay: Time,
        /// `net.ipv4.tcp_max_tw_buckets`: how many `TIME_WAIT` sockets the kernel keeps.
        tcp_max_tw_buckets: u32,
        /// `net.ipv4.tcp_fin_timeout`: how long an orphan may stay in `FIN_WAIT_2`.
        tcp_fin_timeout: Time,
        /// `net.core.somaxconn`: how many connections may wait to be accepted at most.
        somaxconn: u16,
        /// `net.ipv4.tcp_retries2`: how often data is sent again before a connection is given up.
        tcp_retries2: u8,
        /// `net.ipv4.tcp_keepalive_probes`: how many probes may stay unanswered.
        tcp_keepalive_probes: u8,
        /// `net.ipv4.tcp_slow_start_after_idle`: true if idleness shrinks the window.
        tcp_slow_start_after_idle: bool,
        /// `net.ipv4.tcp_no_metrics_save`: true if a connection leaves nothing to learn from.
        tcp_no_metrics_save: bool,
        /// `net.ipv4.tcp_congestion_control`: the name of an algorithm.
        tcp_congestion_control: String,
        /// How many hosts there are: one, or two with a cable between client and servers.
        hosts: Count,
        /// How long a packet travels on the cable, each way.
        delay: Time,
        /// How many bits a second the cable takes, each way.
        rate: Rate,
        /// How many packets in a hundred get lost by chance, each way.
        loss: Percent,
        /// The beginning of that chance: with the same seed the same packets get lost, as long as
        /// the same packets are sent.
        seed: u64,
        /// What happens to which packets.
        cable: Vec<CableRule>,
    }
}

/// `[[network.cable]]`: what the cable does to the packets that it describes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CableRule {
    /// The host that sends them; either, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<HostName>,
    /// Flags that they have, in tcpdump's letters; others may be beside them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) flags: Option<SegmentFlags>,
    /// Whether they carry data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<bool>,
    /// Flags that the other host has sent on their connection before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<SegmentFlags>,
    /// The number of their connection, from 1, in the order of the SYNs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) connection: Option<Count>,
    /// Which of those packets is the first that it happens to, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) nth: Option<Count>,
    /// To how many of them it happens: one, if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<LimitSetting<Count>>,
    /// What happens.
    #[serde(rename = "do")]
    pub(crate) deed: CableDeed,
}

/// One of the two hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum HostName {
    /// The client's.
    Client,
    /// The servers'.
    Server,
}

impl From<HostName> for Side {
    fn from(host: HostName) -> Self {
        match host {
            HostName::Client => Self::Client,
            HostName::Server => Self::Server,
        }
    }
}

/// What the cable does to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CableDeed {
    /// It never arrives.
    Lose,
    /// It leaves so much later; others may overtake it.
    Hold(Time),
    /// A copy of it follows, so much later.
    Duplicate(Time),
    /// It never arrives, and each host gets a reset in the name of the other.
    Reset,
}

/// `cable` in a script: a change of the cable as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CableStep {
    /// No packet arrives any more.
    Cut,
    /// None that the client's host sends.
    CutClient,
    /// None that the servers' host sends.
    CutServer,
    /// None of a connection that has begun already, as from a middlebox that has forgotten them;
    /// those that begin later are not concerned.
    Forget,
    /// The next packet with data that the servers' host sends gets lost.
    LoseNext,
    /// All arrive again.
    Heal,
}

section! {
    /// `[server]`: how `hello` answers.
    Server {
        /// How many servers there are, each with a port of its own.
        count: Count,
        /// The size of each body.
        bytes: Size,
        /// The time before the head of each response.
        delay: Time,
        /// The time between head and body of each response.
        pause_before_body: Time,
        /// True if responses carry `Connection: close`.
        close: bool,
        /// After how much idleness the server closes a connection.
        idle_timeout: LimitSetting<Time>,
        /// How long it waits for the head of a request.
        read_header_timeout: LimitSetting<Time>,
        /// How long it waits for a whole request.
        read_timeout: LimitSetting<Time>,
        /// How long a response may take, the work on it included.
        write_timeout: LimitSetting<Time>,
        /// How long the work on a response may take.
        handler_timeout: LimitSetting<Time>,
        /// True if a small segment is sent at once (TCP_NODELAY).
        nodelay: bool,
        /// True if it goes on reading for a moment after it has closed its side.
        linger: bool,
        /// When it starts.
        starts: StartSetting,
        /// The version of TLS that it speaks, and no other; without it none.
        tls: TlsSetting,
        /// True if it lets clients go on with a TLS session that they had.
        tls_sessions: bool,
    }
}

section! {
    /// `[client]`: the transport's limits, and what the reader does.
    Client {
        /// The reader's way with each body.
        body: BodySetting,
        /// Max idle connections per host.
        per_host: Count,
        /// Max idle connections in all.
        max_idle: LimitSetting<Count>,
        /// Max connections per host, busy ones included.
        max_conns_per_host: LimitSetting<Count>,
        /// How long a connection may be idle.
        idle_timeout: LimitSetting<Time>,
        /// True if connections are used again at all.
        keep_alives: bool,
        /// After how much silence TCP keepalive probes start.
        tcp_keepalive: LimitSetting<Time>,
        /// How long data may stay unacknowledged (TCP_USER_TIMEOUT).
        tcp_user_timeout: LimitSetting<Time>,
        /// `http1`, or `http2`: in cleartext with prior knowledge, in TLS as agreed.
        version: Version,
        /// hyper-util's `pool_timer`.
        pool_timer: bool,
    }
}

section! {
    /// `[workload]`: what the client is asked to do.
    Workload {
        /// How requests follow each other.
        kind: WorkloadKind,
        /// How many workers send requests side by side.
        workers: Count,
        /// How many requests each of them sends, or how many bursts there are.
        requests: Count,
        /// The pause between two requests of a worker, or two bursts.
        interval: Time,
        /// The steps of a script.
        steps: Vec<Step>,
    }
}

/// All sections.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Settings {
    /// The kernel's.
    pub(crate) network: Network,
    /// The servers'.
    pub(crate) server: Server,
    /// The client's.
    pub(crate) client: Client,
    /// The work that the client is asked to do.
    pub(crate) workload: Workload,
}

impl Settings {
    /// These settings, and where `over` says something, that instead.
    #[must_use]
    pub(crate) fn with(&self, over: &Self) -> Self {
        Self {
            network: self.network.with(&over.network),
            server: self.server.with(&over.server),
            client: self.client.with(&over.client),
            workload: self.workload.with(&over.workload),
        }
    }

    /// The keys that are set, such as `client.per_host`.
    #[must_use]
    pub(crate) fn keys(&self) -> Vec<String> {
        let in_section = |section: &'static str| move |key| format!("{section}.{key}");
        let network = self.network.keys().map(in_section("network"));
        let server = self.server.keys().map(in_section("server"));
        let client = self.client.keys().map(in_section("client"));
        let workload = self.workload.keys().map(in_section("workload"));
        network.chain(server).chain(client).chain(workload).collect()
    }
}

/// The form of a value, where the file may say it as a text or as a number.
#[derive(Clone, Copy)]
enum ValueForm<'a> {
    Text(&'a str),
    Number(u64),
}

/// Reads a value that is said as a text or as a number.
struct Listener<F> {
    expecting: &'static str,
    understand: F,
}

impl<T, F: FnOnce(ValueForm<'_>) -> Result<T, String>> Visitor<'_> for Listener<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        let expecting = self.expecting;
        (self.understand)(ValueForm::Number(number))
            .map_err(|why| E::custom(format_args!("{number}: {why}; expected {expecting}")))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::invalid_value(serde::de::Unexpected::Signed(number), &self)),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        let expecting = self.expecting;
        (self.understand)(ValueForm::Text(text))
            .map_err(|why| E::custom(format_args!("`{text}`: {why}; expected {expecting}")))
    }
}

/// A number of connections, workers or requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Count(pub usize);

impl Count {
    fn understand(said: ValueForm<'_>) -> Result<Self, String> {
        match said {
            ValueForm::Number(number) => {
                usize::try_from(number).map(Self).map_err(|_| "too large".to_owned())
            }
            ValueForm::Text(_) => Err("not a number".to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expecting = "a number, 0 or more";
        from.deserialize_any(Listener { expecting, understand: Self::understand })
    }
}

/// A time with its unit, such as `20ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Time(pub Duration);

/// Nobody's experiment takes longer, and clocks overflow.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Time {
    fn understand(said: ValueForm<'_>) -> Result<Self, String> {
        let ValueForm::Text(text) = said else { return Err("no unit".to_owned()) };
        let time = humantime::parse_duration(text).map_err(|cause| cause.to_string())?;
        if time > LONGEST { Err("longer than a day".to_owned()) } else { Ok(Self(time)) }
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(self.0))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expecting = "a time as in \"20ms\" or \"1s\"";
        from.deserialize_any(Listener { expecting, understand: Self::understand })
    }
}

/// A number of bytes: `11` or `"64KiB"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Size(pub u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expecting = "a number of bytes as in 11 or \"64KiB\"";
        let understand = |said: ValueForm<'_>| match said {
            ValueForm::Number(bytes) => Ok(Self(bytes)),
            ValueForm::Text(text) => match text.parse() {
                Ok(ByteCount(bytes)) => Ok(Self(bytes)),
                Err(_) => Err("not a number of bytes".to_owned()),
            },
        };
        from.deserialize_any(Listener { expecting, understand })
    }
}

/// A number of bits a second, such as `10Mbit/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate(pub u64);

/// The units in which a rate is told, the largest first.
const RATE_UNITS: [(&str, u64); 4] =
    [("Gbit/s", 1_000_000_000), ("Mbit/s", 1_000_000), ("kbit/s", 1000), ("bit/s", 1)];

impl Rate {
    fn understand(said: ValueForm<'_>) -> Result<Self, String> {
        let ValueForm::Text(text) = said else { return Err("no unit".to_owned()) };
        let split =
            RATE_UNITS.iter().find_map(|(unit, bits)| Some((text.strip_suffix(unit)?, bits)));
        let (number, unit) = split.ok_or("no unit")?;
        let number: u64 = number.trim().parse().map_err(|_| "not a whole number")?;
        match number.checked_mul(*unit) {
            Some(0) => Err("nothing would ever arrive".to_owned()),
            Some(bits) => Ok(Self(bits)),
            None => Err("too large".to_owned()),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let whole = RATE_UNITS.iter().find(|(_, bits)| self.0.is_multiple_of(*bits));
        let (unit, bits) = whole.unwrap_or(&("bit/s", 1));
        to.collect_str(&format_args!("{}{unit}", self.0 / bits))
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expecting = "bits a second as in \"10Mbit/s\"";
        from.deserialize_any(Listener { expecting, understand: Self::understand })
    }
}

/// A share in per cent, such as `1%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Percent(pub f64);

impl Percent {
    fn understand(said: ValueForm<'_>) -> Result<Self, String> {
        let ValueForm::Text(text) = said else { return Err("no %".to_owned()) };
        let number = text.strip_suffix('%').ok_or("no %")?;
        let number: f64 = number.trim().parse().map_err(|_| "not a number")?;
        if (0.0..=100.0).contains(&number) {
            Ok(Self(number))
        } else {
            Err("not between 0 % and 100 %".to_owned())
        }
    }
}

impl Serialize for Percent {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{}%", self.0))
    }
}

impl<'de> Deserialize<'de> for Percent {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expecting = "a share as in \"1%\"";
        from.deserialize_any(Listener { expecting, understand: Self::understand })
    }
}

/// A limit, or `"none"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LimitSetting<T>(pub Option<T>);

/// Reads a limit whose value `understand` knows.
fn limit<T>(
    understand: impl FnOnce(ValueForm<'_>) -> Result<T, String>,
) -> impl FnOnce(ValueForm<'_>) -> Result<LimitSetting<T>, String> {
    |said| match said {
        ValueForm::Text("none") => Ok(LimitSetting(None)),
        said => understand(said).map(|limit| LimitSetting(Some(limit))),
    }
}

impl<T: Serialize> Serialize for LimitSetting<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(limit) => limit.serialize(to),
            None => to.serialize_str("none"),
        }
    }
}

impl<'de> Deserialize<'de> for LimitSetting<Count> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expecting = "a number, 0 or more, or \"none\"";
        from.deserialize_any(Listener { expecting, understand: limit(Count::understand) })
    }
}

impl<'de> Deserialize<'de> for LimitSetting<Time> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let expecting = "a time as in \"20ms\", or \"none\"";
        from.deserialize_any(Listener { expecting, understand: limit(Time::understand) })
    }
}

/// `drain`, `drop` or `hold`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BodySetting {
    /// Read to its end.
    Drain,
    /// Let go of unread.
    Drop,
    /// Kept unread.
    Hold,
}

impl From<BodySetting> for BodyPolicy {
    fn from(body: BodySetting) -> Self {
        match body {
            BodySetting::Drain => Self::Drain,
            BodySetting::Drop => Self::Drop,
            BodySetting::Hold => Self::Hold,
        }
    }
}

/// When a server starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StartSetting {
    /// Before the first request.
    AtOnce,
    /// When the script says `listen`, and later `accept`.
    WhenTold,
}

/// Which TLS is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TlsSetting {
    /// TLS 1.2.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Version {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: in cleartext with prior knowledge, in TLS as agreed.
    Http2,
}

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WorkloadKind {
    /// One after the other.
    Sequential,
    /// Several workers, each one after the other.
    Concurrent,
    /// Several at the same moment, then a pause, then again.
    Burst,
    /// Step by step.
    Script,
}

/// One step of a script.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Carries out one exchange after the other, to their end.
    Request(Request),
    /// Starts exchanges side by side and goes on.
    Start(Request),
    /// Waits for every exchange that was started.
    Finish,
    /// Lets clients that are none send some bytes.
    Raw(Raw),
    /// Lets time pass.
    Wait(Time),
    /// Waits until so many connections have been closed in all.
    UntilClosed(UntilClosed),
    /// Reads the kernel's table, and keeps it under this name.
    Snapshot(String),
    /// Cuts the cable between the hosts, or heals it.
    Cable(CableStep),
    /// Lets go of held bodies.
    Release,
    /// Lets the servers listen.
    Listen,
    /// Lets the servers accept.
    Accept,
}

section! {
    /// A request of a script; what it does not say is as in `[server]` and
    /// `[client]`.
    Request {
        /// How many of them.
        times: Count,
        /// Which server, from 1.
        server: Count,
        /// The path, `/` if it is not said.
        path: String,
        /// The method, if it is not GET, or with a body POST.
        method: String,
        /// Fields of its head, beside those that the client says by itself.
        fields: BTreeMap<String, String>,
        /// A body to send, which makes it a POST, unless it has another method.
        post: String,
        /// The same, of so many bytes.
        post_bytes: Size,
        /// The content type that such a body claims.
        content_type: String,
        /// The size of the body.
        bytes: Size,
        /// The time before the head of the response.
        delay: Time,
        /// True if the response carries `Connection: close`.
        close: bool,
        /// The reader's way with the body.
        body: BodySetting,
    }
}

/// The order for clients that are none: what they send, and what they wait for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Raw {
    /// The bytes, as they are.
    pub(crate) send: String,
    /// How many such clients, side by side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<Count>,
    /// Which server, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<Count>,
    /// The event that each waits for.
    pub(crate) wait: RawWait,
    /// How long at most; 5 s if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) at_most: Option<Time>,
}

/// How long to wait for closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UntilClosed {
    /// How many connections, since the start of the run.
    pub(crate) connections: Count,
    /// How long at most.
    pub(crate) at_most: Time,
}
