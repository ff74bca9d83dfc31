//! How the server came to listen: each phase with the time at which it was over, as measured.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use evidence::ServerAddr;
use serde_json::{Value, json};
use server::{BindAction, BindStep};
use sysinfo::{ProcessRefreshKind, ProcessesToUpdate, System};

use super::connections::on_off;
use super::queue;
use crate::cli::ShowFormat;

/// How long the processor's work is measured at rest.
pub(crate) const REST: Duration = Duration::from_secs(1);

/// A phase that is over.
struct StartupPhase {
    name: &'static str,
    /// When; `None` if that is not known.
    at: Option<Instant>,
    what: String,
    facts: Value,
}

/// The facts that are known when `main` begins.
pub(crate) struct Birth {
    /// The zero of all times.
    pub(crate) at: Instant,
    before: Option<Before>,
}

/// The kernel's account of the time before `main`.
struct Before {
    /// The process is no older than this.
    at_most: Duration,
    tick: Duration,
    cpu: Duration,
}

impl Birth {
    /// To be called first of all.
    pub(crate) fn now() -> Self {
        Self { at: Instant::now(), before: before() }
    }
}

/// The process's start is kept in clock ticks since boot, rounded down (`starttime` in
/// `proc_pid_stat(5)`), so its age is known to a tick.
#[cfg(target_os = "linux")]
fn before() -> Option<Before> {
    use rustix::time::{ClockId, clock_gettime};
    let now = Duration::try_from(clock_gettime(ClockId::Boottime)).ok()?;
    let cpu = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()?;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u32 = fields.split(' ').nth(19)?.parse().ok()?;
    let tick =
        Duration::from_secs(1) / u32::try_from(rustix::param::clock_ticks_per_second()).ok()?;
    Some(Before { at_most: now.checked_sub(tick * ticks)?, tick, cpu })
}

#[cfg(not(target_os = "linux"))]
fn before() -> Option<Before> {
    None
}

/// Collects the phases.
pub(crate) struct Startup {
    zero: Instant,
    phases: Vec<StartupPhase>,
}

impl Startup {
    pub(crate) fn new(birth: &Birth) -> Self {
        let mut startup = Self { zero: birth.at, phases: Vec::new() };
        if let Some(Before { at_most, tick, cpu }) = &birth.before {
            let least = at_most.saturating_sub(*tick);
            let (least, most) = (ms(least), ms(*at_most));
            startup.add(
                "process",
                None,
                format!(
                    "made {least:.1} to {most:.1} ms before main (the kernel's tick: {} ms)",
                    tick.as_millis()
                ),
                json!({
                    "before_main_at_least_us": super::us(at_most.saturating_sub(*tick)),
                    "before_main_at_most_us": super::us(*at_most),
                    "tick_us": super::us(*tick),
                }),
            );
            let what = format!("begins; {:.3} ms of CPU spent so far", ms(*cpu));
            startup.add("main", Some(birth.at), what, json!({ "cpu_us": super::us(*cpu) }));
        } else {
            startup.add("main", Some(birth.at), "begins".into(), json!({}));
        }
        startup
    }

    fn add(&mut self, name: &'static str, at: Option<Instant>, what: String, facts: Value) {
        self.phases.push(StartupPhase { name, at, what, facts });
    }

    pub(crate) fn runtime_built(&mut self, at: Instant) {
        let what = "tokio's, of one thread: the one that runs main".into();
        self.add("runtime", Some(at), what, json!({ "flavor": "current_thread" }));
    }

    pub(crate) fn bound(&mut self, steps: &[BindStep]) {
        for BindStep { at, step } in steps {
            let (name, what, facts) = words(step);
            self.add(name, Some(*at), what, facts);
        }
    }

    /// The server is about to accept, or not to.
    pub(crate) fn ready(&mut self, address: ServerAddr, accepts: bool) {
        let at = Instant::now();
        if let Some(queue) = queue::read(address) {
            let (backlog, room) = (queue.backlog, queue.room());
            let what =
                format!("{backlog} granted; Linux lets one more wait to be accepted: {room}");
            self.add(
                "backlog",
                None,
                what,
                json!({ "backlog": backlog, "room_connections": room }),
            );
        }
        let to = if accepts { "to accept" } else { "to be connected to" };
        let what = format!("{to}, at http://{address}");
        let url = format!("http://{address}");
        self.add("ready", Some(at), what, json!({ "url": url }));
        if let Some((what, facts)) = memory() {
            self.add("memory", None, what, facts);
        }
    }

    /// Writes the phases so far.
    pub(crate) fn write(&self, format: ShowFormat, out: &mut impl Write) -> io::Result<()> {
        if format == ShowFormat::Text {
            writeln!(out, "        ms  startup")?;
        }
        for StartupPhase { name, at, what, facts } in &self.phases {
            let at = at.map(|at| at.saturating_duration_since(self.zero));
            if format == ShowFormat::Text {
                let at = at.map(|at| format!("{:.3}", ms(at))).unwrap_or_default();
                writeln!(out, "{at:>10}  {name:<8}  {what}")?;
                continue;
            }
            let mut object =
                json!({ "event": "startup", "phase": name, "at_us": at.map(super::us) });
            super::jsonl::add(&mut object, facts.clone());
            writeln!(out, "{object}")?;
        }
        out.flush()
    }
}

fn words(step: &BindAction) -> (&'static str, String, Value) {
    match step {
        BindAction::Socket { fd, is_ipv6 } => {
            let family = if *is_ipv6 { "IPv6" } else { "IPv4" };
            let number = fd.map(|fd| format!(", fd {fd}")).unwrap_or_default();
            ("socket", format!("TCP, {family}{number}"), json!({ "fd": fd, "family": family }))
        }
        BindAction::Options { reuse_address, receive_buffer, send_buffer } => {
            let mut told = Vec::new();
            told.extend(reuse_address.map(|on| format!("SO_REUSEADDR {}", on_off(on))));
            told.extend(receive_buffer.map(|bytes| format!("SO_RCVBUF {bytes}")));
            told.extend(send_buffer.map(|bytes| format!("SO_SNDBUF {bytes}")));
            let facts = json!({
                "so_reuseaddr": reuse_address,
                "so_rcvbuf_bytes": receive_buffer,
                "so_sndbuf_bytes": send_buffer,
            });
            ("options", told.join(", "), facts)
        }
        BindAction::Bind { address } => {
            ("bind", address.to_string(), json!({ "address": address.to_string() }))
        }
        BindAction::Listen { asked_backlog } => {
            let most = somaxconn();
            let cap = most.map(|most| format!(", net.core.somaxconn {most}")).unwrap_or_default();
            let facts = json!({ "asked_backlog": asked_backlog, "somaxconn": most });
            ("listen", format!("backlog asked for {asked_backlog}{cap}"), facts)
        }
    }
}

/// The most that the kernel grants, where it says so.
fn somaxconn() -> Option<u32> {
    std::fs::read_to_string("/proc/sys/net/core/somaxconn").ok()?.trim().parse().ok()
}

/// This process, as the system sees it.
fn this_process(system: &mut System) -> Option<&sysinfo::Process> {
    let pid = sysinfo::get_current_pid().ok()?;
    let kind = ProcessRefreshKind::nothing().with_memory().with_cpu().with_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, kind);
    system.process(pid)
}

fn memory() -> Option<(String, Value)> {
    let mut system = System::new().ok()?;
    let process = this_process(&mut system)?;
    let bytes = process.memory();
    // Where the system lists them at all, the list leaves out the first thread.
    let threads =
        process.tasks().map(|tasks| tasks.iter().filter(|t| **t != process.pid()).count() + 1);
    let told = threads.map(|n| format!(", {}", report::words::count(n, "thread")));
    let mib = bytes as f64 / f64::from(1 << 20);
    let what = format!("{mib:.1} MiB resident{}", told.unwrap_or_default());
    Some((what, json!({ "resident_bytes": bytes, "threads": threads })))
}

/// The processor's work for this process, for ever since it began.
#[cfg(unix)]
pub(crate) fn cpu_time() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()
}

#[cfg(not(unix))]
pub(crate) fn cpu_time() -> Option<Duration> {
    None
}

/// Returns what the server costs while nothing happens: `cpu` in `time`.
pub(crate) fn at_rest(at: Duration, cpu: Duration, time: Duration, format: ShowFormat) -> String {
    if format == ShowFormat::Jsonl {
        let (cpu_us, time_us) = (super::us(cpu), super::us(time));
        return json!({
            "event": "startup", "phase": "at_rest", "at_us": super::us(at),
            "cpu_us": cpu_us, "in_us": time_us,
        })
        .to_string();
    }
    let (at, cpu, time) = (ms(at), ms(cpu), ms(time));
    let percent = cpu / time * 100.0;
    format!("{at:>10.3}  at rest   {cpu:.3} ms of CPU in {time:.0} ms, {percent:.2} %")
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
