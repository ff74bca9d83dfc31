//! Go's own `http.Transport` as the client under study: a small Go program, built by the `go` that
//! is installed here, which does what it is told and tells what it sees.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{fs, io};

use anyhow::Context;
use apparatus::{Ask, ClientWork, ResponseHead, StudiedClient};
use evidence::{
    BodyPolicy, BodySeen, ConnectionFields, ConnectionId, ExchangeId, Failure, FailureKind, Moment,
    Preset, TraceEvent,
};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, oneshot};
use transport::{Config, Listener};

/// The name by which it is asked for.
pub(crate) const NAME: &str = "real-go";

const SOURCES: [(&str, &str); 4] = [
    ("go.mod", include_str!("../../../experiments/go/driver/go.mod")),
    ("main.go", include_str!("../../../experiments/go/driver/main.go")),
    ("trace.go", include_str!("../../../experiments/go/driver/trace.go")),
    ("conn.go", include_str!("../../../experiments/go/driver/conn.go")),
];

/// The program, built by the Go that is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RealGo {
    /// Where it is.
    pub(crate) program: PathBuf,
    /// The version of Go, such as `1.19.8`.
    pub(crate) version: String,
    /// The rules that it is expected to follow.
    pub(crate) preset: Preset,
}

impl RealGo {
    /// Builds the program in `directory`.
    ///
    /// # Errors
    /// If there is no Go, or if it does not build the program.
    pub(crate) async fn build(directory: &Path) -> anyhow::Result<Self> {
        let version = go(directory, &["env", "GOVERSION"]).await.context("Go is not installed")?;
        let version = version.trim().trim_start_matches("go").to_owned();
        for (name, source) in SOURCES {
            let path = directory.join(name);
            fs::write(&path, source).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let program = directory.join("driver");
        go(directory, &["build", "-o", &program.display().to_string(), "."])
            .await
            .with_context(|| format!("Go {version} does not build the driver"))?;
        Ok(Self { program, preset: rules_of(&version), version })
    }
}

/// The rules of a version of Go.
fn rules_of(version: &str) -> Preset {
    let minor = version.split('.').nth(1).map(|minor| {
        minor.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0)
    });
    if minor.unwrap_or(0) >= 27 { Preset::Go127 } else { Preset::Go }
}

/// Runs `go` in `directory`, and returns what it prints.
async fn go(directory: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("go")
        .args(arguments)
        .current_dir(directory)
        // Nothing is fetched: the program needs Go's own library alone.
        .envs([("GOFLAGS", "-mod=mod"), ("GOPROXY", "off"), ("GOTOOLCHAIN", "local")])
        .stdin(Stdio::null())
        .output()
        .await
        .context("cannot run `go`")?;
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    anyhow::ensure!(output.status.success(), "{}", words(&output.stderr));
    Ok(words(&output.stdout))
}

/// A line for the program.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum GoOrder<'a> {
    SetUp(GoSetUp),
    Get(GoRequest<'a>),
    Release(bool),
    Close(bool),
}

#[derive(Serialize)]
struct GoSetUp {
    per_host: usize,
    max_idle: Option<usize>,
    max_conns_per_host: Option<usize>,
    idle_timeout_us: Option<u64>,
    keep_alives: bool,
    tcp_keepalive_us: Option<u64>,
    dial_timeout_us: u64,
}

#[derive(Serialize)]
struct GoRequest<'a> {
    exchange: u64,
    method: &'a str,
    url: &'a str,
    fields: Vec<[&'a str; 2]>,
    body: &'static str,
    post: Option<&'a str>,
    content_type: &'a str,
}

/// A line of the program.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum GoWord {
    Event { wall_ns: u64, exchange: Option<u64>, connection: Option<u64>, moment: Moment },
    Done(GoDone),
    Released(()),
    Closed(()),
}

#[derive(Deserialize)]
struct GoDone {
    exchange: u64,
    status: Option<u16>,
    /// The lines of `Connection` and of `Keep-Alive` in the head.
    #[serde(default)]
    connection: Option<Vec<String>>,
    #[serde(default)]
    keep_alive: Option<Vec<String>>,
    read: u64,
    left: Option<u64>,
    failure: Option<GoFailure>,
}

#[derive(Deserialize)]
struct GoFailure {
    kind: FailureKind,
    message: String,
}

/// The program at work.
pub(crate) struct GoClient {
    orders: mpsc::UnboundedSender<String>,
    awaited: Arc<Mutex<AwaitedWords>>,
    /// Ends with this value.
    _program: Child,
    /// Read at its first handshake.
    _trusted: Option<NamedTempFile>,
}

/// Who waits for which word.
#[derive(Default)]
struct AwaitedWords {
    done: HashMap<u64, oneshot::Sender<GoDone>>,
    released: Option<oneshot::Sender<()>>,
    closed: Option<oneshot::Sender<()>>,
    /// The program has ended: nobody is answered any more.
    is_over: bool,
}

fn locked(awaited: &Mutex<AwaitedWords>) -> std::sync::MutexGuard<'_, AwaitedWords> {
    awaited.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GoClient {
    /// Starts the program. It tells `listener` its moments, and of servers with TLS it trusts those
    /// whose certificates are signed by `trusted`, in PEM.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(crate) fn start(
        program: &Path,
        config: &Config,
        trusted: Option<&str>,
        listener: Arc<dyn Listener>,
    ) -> io::Result<Self> {
        let mut command = Command::new(program);
        let trusted = trusted.map(trust_file).transpose()?;
        if let Some(trusted) = &trusted {
            command.env("SSL_CERT_FILE", trusted.path());
        }
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("it has no stdin and stdout"));
        };
        let (orders, to_write) = mpsc::unbounded_channel();
        let awaited = Arc::<Mutex<AwaitedWords>>::default();
        tokio::spawn(write(to_write, stdin));
        tokio::spawn(hear(stdout, listener, Arc::clone(&awaited)));
        let client = Self { orders, awaited, _program: child, _trusted: trusted };
        let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        client.order(&GoOrder::SetUp(GoSetUp {
            per_host: config.limits.max_idle_per_host,
            max_idle: config.limits.max_idle,
            max_conns_per_host: config.limits.max_conns_per_host,
            idle_timeout_us: config.limits.idle_timeout.map(us),
            keep_alives: config.limits.keep_alives,
            tcp_keepalive_us: config.tcp_keepalive.map(us),
            dial_timeout_us: us(config.dial_timeout),
        }));
        Ok(client)
    }

    fn order(&self, order: &GoOrder<'_>) {
        if let Ok(line) = serde_json::to_string(order) {
            // If the program is gone, whoever waits for its word learns that there is none.
            let _ = self.orders.send(line + "\n");
        }
    }
}

/// A file of those who are trusted.
fn trust_file(trusted: &str) -> io::Result<NamedTempFile> {
    let mut file = NamedTempFile::new()?;
    file.write_all(trusted.as_bytes())?;
    Ok(file)
}

async fn write(mut orders: mpsc::UnboundedReceiver<String>, mut stdin: ChildStdin) {
    while let Some(order) = orders.recv().await {
        if stdin.write_all(order.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Hears the program to its end.
async fn hear(stdout: ChildStdout, listener: Arc<dyn Listener>, awaited: Arc<Mutex<AwaitedWords>>) {
    let mut lines = BufReader::new(stdout).lines();
    // It tells the time of the wall, which is ours as well: here is one moment on both clocks.
    let origin = (SystemTime::now(), Instant::now());
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(GoWord::Event { wall_ns, exchange, connection, moment }) => {
                listener.event(TraceEvent {
                    at: moment_of(wall_ns, origin),
                    exchange: exchange.map(ExchangeId),
                    connection: connection.map(ConnectionId),
                    moment,
                });
            }
            Ok(GoWord::Done(done)) => {
                if let Some(waiting) = locked(&awaited).done.remove(&done.exchange) {
                    let _ = waiting.send(done);
                }
            }
            Ok(GoWord::Released(())) => {
                locked(&awaited).released.take().map(|waiting| waiting.send(()));
            }
            Ok(GoWord::Closed(())) => {
                locked(&awaited).closed.take().map(|waiting| waiting.send(()));
            }
            Err(_) => break,
        }
    }
    // Whoever still waits is told so by the other end's drop.
    *locked(&awaited) = AwaitedWords { is_over: true, ..AwaitedWords::default() };
}

/// A moment of the program's clock on ours.
fn moment_of(wall_ns: u64, (wall, here): (SystemTime, Instant)) -> Instant {
    let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
    let told = Duration::from_nanos(wall_ns);
    match told.checked_sub(wall) {
        Some(later) => here + later,
        None => here.checked_sub(wall.saturating_sub(told)).unwrap_or(here),
    }
}

impl StudiedClient for GoClient {
    fn tells_of_its_pool(&self) -> bool {
        // Its hook says when a connection is pooled, but not always when it is not.
        false
    }

    fn exchange<'a>(
        &'a self,
        number: ExchangeId,
        url: String,
        ask: &'a Ask,
        head: &'a OnceLock<ResponseHead>,
    ) -> ClientWork<'a, Result<BodySeen, Failure>> {
        let (waiting, done) = oneshot::channel();
        {
            let mut awaited = locked(&self.awaited);
            if !awaited.is_over {
                awaited.done.insert(number.0, waiting);
            }
        }
        let post = ask.post.as_ref().map(|post| String::from_utf8_lossy(&post.data).into_owned());
        let content_type = ask.post.as_ref().and_then(|post| post.content_type.to_str().ok());
        let fields = ask
            .fields
            .iter()
            .filter_map(|(name, value)| value.to_str().ok().map(|value| [name.as_str(), value]));
        self.order(&GoOrder::Get(GoRequest {
            exchange: number.0,
            method: ask.method().as_str(),
            url: &url,
            fields: fields.collect(),
            body: match ask.body {
                BodyPolicy::Drain => "drain",
                BodyPolicy::Drop => "drop",
                BodyPolicy::Hold => "hold",
            },
            post: post.as_deref(),
            content_type: content_type.unwrap_or_default(),
        }));
        Box::pin(async move {
            let Ok(done) = done.await else {
                let message = "the Go program has ended".to_owned();
                return Err(Failure { kind: FailureKind::Other, message });
            };
            let lines = |lines: &Option<Vec<String>>| lines.clone().unwrap_or_default();
            let [connection, keep_alive] = [lines(&done.connection), lines(&done.keep_alive)];
            let connection_fields = ConnectionFields::of(
                connection.iter().map(String::as_bytes),
                keep_alive.iter().map(String::as_bytes),
            );
            done.status.map(|status| head.set(ResponseHead { status, connection_fields }));
            match (done.failure, ask.body) {
                (Some(GoFailure { kind, message }), _) => Err(Failure { kind, message }),
                (None, BodyPolicy::Drain) => Ok(BodySeen::Drained { bytes: done.read }),
                (None, BodyPolicy::Drop) => Ok(BodySeen::Dropped { left: done.left }),
                (None, BodyPolicy::Hold) => Ok(BodySeen::Held { left: done.left }),
            }
        })
    }

    fn release<'a>(&'a self, _: &'a (dyn Fn(ExchangeId) + Send + Sync)) -> ClientWork<'a, bool> {
        let (waiting, released) = oneshot::channel();
        locked(&self.awaited).released = Some(waiting);
        self.order(&GoOrder::Release(true));
        Box::pin(async move { released.await.is_ok() })
    }

    fn close(&self) -> ClientWork<'_, ()> {
        let (waiting, closed) = oneshot::channel();
        locked(&self.awaited).closed = Some(waiting);
        self.order(&GoOrder::Close(true));
        Box::pin(async move {
            let _ = closed.await;
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draining_came_with_go_1_27() {
        for (version, rules) in [
            ("1.19.8", Preset::Go),
            ("1.26", Preset::Go),
            ("1.27rc1", Preset::Go127),
            ("1.27.1", Preset::Go127),
            ("2.0", Preset::Go),
        ] {
            assert_eq!(rules_of(version), rules, "{version}");
        }
    }
}
