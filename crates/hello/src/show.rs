//! What the program shows of its server: everything goes to one thread, which writes it line by
//! line, so that no terminal and no pipe holds up a connection.
//!
//! | idea | file |
//! |---|---|
//! | how the server came to listen | `show/startup.rs` |
//! | a line at every step of a connection | `show/connections.rs` |
//! | a ruler beside the bytes | `show/bytes.rs` |
//! | the same for programs | `show/jsonl.rs` |
//! | how many connections wait to be accepted | `show/queue.rs` |
//! | what the packets say of each close | `show/wire.rs`, `show/wire/` |
//! | standard output, of which no line is lost without a word | `show/output.rs` |

mod bytes;
mod connections;
mod jsonl;
pub(crate) mod output;
pub(crate) mod queue;
pub(crate) mod startup;
mod wire;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use evidence::{ClientAddr, ClosedBy, ServerAddr, TcpState};
use serde_json::json;
use server::{Observer, ObserverWants, ServerEvent, ServerMoment};
use socket_table::SocketFilter;

use crate::access_log;
use crate::cli::{Args, LogFormat, ShowFormat, Shown};
use crate::escape::json_line;
use crate::show::output::LineOutput;
use crate::show::wire::{WireEar, words};

/// Events that may wait to be written. What is beyond is counted, not kept: a server under load
/// can tell more than any terminal can take.
const MOST_WAITING: usize = 16 * 1024;

/// How long a server that has stopped waits for its lines to be written.
const PATIENCE: Duration = Duration::from_secs(1);

/// The kernel is asked for the TCP state of an event that is no older than this. It tells what is
/// now; about what was, nothing.
const FRESH: Duration = Duration::from_millis(5);

/// How often is looked whether packets have come to an end.
const LOOK: Duration = Duration::from_millis(20);
/// How long a server that has stopped waits for the packets of its last closes.
const LAST_PACKETS: Duration = Duration::from_millis(500);

/// The plan of what is to be shown.
pub(crate) struct ShowPlan {
    pub(crate) shown: Vec<Shown>,
    pub(crate) format: ShowFormat,
    pub(crate) log: Option<LogFormat>,
    /// The zero of all times.
    pub(crate) started: Instant,
    pub(crate) server: ServerAddr,
}

impl ShowPlan {
    /// Returns what `args` ask for, of a server at this address, counted from `started`.
    pub(crate) fn of(args: &Args, started: Instant, server: ServerAddr) -> Self {
        Self { shown: args.show.clone(), format: args.format, log: args.log, started, server }
    }

    fn shows(&self, what: Shown) -> bool {
        self.shown.contains(&what)
    }

    fn wants(&self) -> ObserverWants {
        let steps = self.shows(Shown::Connections) || self.shows(Shown::Bytes);
        ObserverWants {
            states: self.shows(Shown::Connections),
            tcp: self.shows(Shown::Connections),
            steps,
            exchanges: self.log.is_some(),
            traffic: false,
            bytes: self.shows(Shown::Bytes),
        }
    }
}

/// The thread that writes.
pub(crate) struct Show {
    ear: Arc<ShowEar>,
    thread: JoinHandle<()>,
}

/// An observer that passes on what it hears.
struct ShowEar {
    sender: SyncSender<ShowMessage>,
    wants: ObserverWants,
    lost: AtomicU64,
    wire: Option<Arc<WireEar>>,
}

enum ShowMessage {
    Event(ServerEvent),
    Upload(Instant, hello::UploadProgress),
    /// A line that is ready.
    Line(String),
    End,
}

impl ShowEar {
    fn pass_on(&self, message: ShowMessage) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(message) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Observer for ShowEar {
    fn event(&self, event: ServerEvent) {
        // Here and not in the thread that writes: no event may be lost on the way, or something would
        // be kept for ever.
        if let Some(wire) = &self.wire {
            wire.event(&event);
        }
        self.pass_on(ShowMessage::Event(event));
    }

    fn wants(&self) -> ObserverWants {
        self.wants
    }
}

impl Show {
    /// Begins to write what `plan` asks for; `None` if that is nothing of a connection.
    pub(crate) fn start(plan: ShowPlan, out: LineOutput) -> io::Result<Option<Self>> {
        let wants = plan.wants();
        if wants == ObserverWants::default() && !plan.shows(Shown::Packets) {
            return Ok(None);
        }
        let wire = plan.shows(Shown::Packets).then(|| hear(&plan)).flatten().map(Arc::new);
        let its_wire = wire.clone();
        let (sender, receiver) = sync_channel(MOST_WAITING);
        let thread = std::thread::Builder::new().name("show".into()).spawn(move || {
            // Writing into a buffer does not fail.
            let _ = ShowPage::new(plan, its_wire).write_all(&receiver, &out);
        })?;
        let ear = ShowEar { sender, wants, lost: AtomicU64::new(0), wire };
        Ok(Some(Self { ear: Arc::new(ear), thread }))
    }

    pub(crate) fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.ear) as Arc<dyn Observer>
    }

    /// Whom to tell how far uploads have come.
    pub(crate) fn of_uploads(&self) -> impl Fn(hello::UploadProgress) + Send + Sync + 'static {
        let ear = Arc::clone(&self.ear);
        move |progress| ear.pass_on(ShowMessage::Upload(Instant::now(), progress))
    }

    /// Writes a line in its turn.
    pub(crate) fn line(&self, line: String) {
        let _ = self.ear.sender.try_send(ShowMessage::Line(line));
    }

    /// Writes what is still to be written, but not for longer than [`PATIENCE`]: whoever reads may
    /// have stopped reading. Returns how many events were not written.
    pub(crate) fn end(self) -> u64 {
        let deadline = Instant::now() + PATIENCE;
        let is_late = || Instant::now() >= deadline;
        let pause = || std::thread::sleep(Duration::from_millis(5));
        while self.ear.sender.try_send(ShowMessage::End).is_err() && !self.thread.is_finished() {
            if is_late() {
                return self.ear.lost.load(Ordering::Relaxed) + MOST_WAITING as u64;
            }
            pause();
        }
        while !self.thread.is_finished() && !is_late() {
            pause();
        }
        self.ear.lost.load(Ordering::Relaxed)
    }
}

/// Begins to hear packets; `None`, said aloud, where they cannot be heard: the rest is shown without.
fn hear(plan: &ShowPlan) -> Option<WireEar> {
    WireEar::open(plan.server, plan.started)
        .map_err(|refused| {
            let refused = anyhow::Error::new(refused);
            let _ = writeln!(io::stderr(), "hello: {refused:#}");
        })
        .ok()
}

/// The page that is written, and its state.
struct ShowPage {
    plan: ShowPlan,
    steps: connections::Steps,
    wire: Option<Arc<WireEar>>,
}

impl ShowPage {
    fn new(plan: ShowPlan, wire: Option<Arc<WireEar>>) -> Self {
        let steps =
            connections::Steps::new(plan.shows(Shown::Connections), plan.shows(Shown::Bytes));
        Self { plan, steps, wire }
    }

    fn write_all(&mut self, receiver: &Receiver<ShowMessage>, out: &LineOutput) -> io::Result<()> {
        let shows_steps = self.plan.wants().steps || self.plan.shows(Shown::Packets);
        if self.plan.format == ShowFormat::Text && shows_steps {
            out.write(format!("{}\n", connections::HEADING).as_bytes());
        }
        loop {
            let mut lines = Vec::new();
            match self.next(receiver) {
                Ok(ShowMessage::Event(event)) => {
                    self.event(&event, &mut lines)?;
                    if let (Some(wire), ServerMoment::Closed { .. }) = (&self.wire, &event.moment) {
                        wire.shown(&event);
                    }
                }
                Ok(ShowMessage::Upload(at, progress)) => self.upload(at, progress, &mut lines)?,
                Ok(ShowMessage::Line(line)) => writeln!(lines, "{line}")?,
                Err(RecvTimeoutError::Timeout) => {}
                Ok(ShowMessage::End) | Err(RecvTimeoutError::Disconnected) => break,
            }
            self.packets(WireEar::ended, &mut lines)?;
            if !lines.is_empty() {
                out.write(&lines);
            }
        }
        self.last_packets(out)
    }

    /// Waits for a message, and not for long where packets may come to an end meanwhile.
    fn next(&self, receiver: &Receiver<ShowMessage>) -> Result<ShowMessage, RecvTimeoutError> {
        match &self.wire {
            Some(wire) if wire.has_more() => receiver.recv_timeout(LOOK),
            _ => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    /// The packets of the last closes, for which nobody waits long.
    fn last_packets(&self, out: &LineOutput) -> io::Result<()> {
        let deadline = Instant::now() + LAST_PACKETS;
        while self.wire.as_ref().is_some_and(|wire| wire.has_more()) {
            let mut lines = Vec::new();
            self.packets(WireEar::ended, &mut lines)?;
            let is_late = Instant::now() >= deadline;
            if is_late {
                self.packets(WireEar::ended_at_last, &mut lines)?;
            }
            out.write(&lines);
            if is_late {
                break;
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Writes what the packets say of connections that are over.
    fn packets(
        &self,
        which: impl Fn(&WireEar) -> Vec<wire::WireEnd>,
        out: &mut Vec<u8>,
    ) -> io::Result<()> {
        let Some(wire) = &self.wire else { return Ok(()) };
        for end in which(wire) {
            let at = end.last.unwrap_or_else(|| self.plan.started.elapsed());
            match self.plan.format {
                ShowFormat::Text => {
                    connections::packets(at, end.connection.0, &words::lines(&end), out)?;
                }
                ShowFormat::Jsonl => writeln!(out, "{}", json_line(&words::object(&end, at)))?,
            }
        }
        Ok(())
    }

    fn event(&mut self, event: &ServerEvent, out: &mut Vec<u8>) -> io::Result<()> {
        if let Some(line) = self.plan.log.and_then(|format| log_line(format, event)) {
            writeln!(out, "{line}")?;
        }
        let at = event.at.saturating_duration_since(self.plan.started);
        let tcp = self.tcp(event);
        if self.plan.format == ShowFormat::Text {
            let tcp = tcp.map(connections::tcp_words);
            return self.steps.write(at, event, tcp.as_deref(), out);
        }
        let with_bytes = self.steps.bytes;
        if !self.steps.connections && !is_of_bytes(&event.moment) {
            return Ok(());
        }
        let Some(mut object) = jsonl::object(event, with_bytes) else { return Ok(()) };
        jsonl::add(
            &mut object,
            json!({
                "at_us": us(at),
                "connection": event.connection.0,
                "client": event.peer.to_string(),
            }),
        );
        if let Some(TcpReading { state, later }) = tcp {
            let tcp = json!({
                "tcp_state": state.map_or("none", TcpState::name),
                "tcp_asked_after_us": us(later),
            });
            jsonl::add(&mut object, tcp);
        }
        writeln!(out, "{}", json_line(&object))
    }

    fn upload(
        &self,
        at: Instant,
        progress: hello::UploadProgress,
        out: &mut impl Write,
    ) -> io::Result<()> {
        let at = at.saturating_duration_since(self.plan.started);
        match self.plan.format {
            ShowFormat::Text => connections::upload(at, progress, out),
            ShowFormat::Jsonl => writeln!(out, "{}", json_line(&jsonl::upload(us(at), progress))),
        }
    }

    /// Returns what the kernel says of a connection after its close. `None` if it was not asked, or
    /// if its answer came too late to belong to the event.
    fn tcp(&self, event: &ServerEvent) -> Option<TcpReading> {
        if !matches!(event.moment, ServerMoment::Closed { .. }) {
            return None;
        }
        while self.steps.connections && event.at.elapsed() < FRESH {
            let state = tcp_state(self.plan.server, event.peer)?;
            let later = event.at.elapsed();
            if !matches!(state, Some(TcpState::Established | TcpState::CloseWait)) {
                return Some(TcpReading { state, later });
            }
            // The close is told just before the socket is let go of.
            std::thread::sleep(Duration::from_micros(200));
        }
        None
    }
}

/// Returns the line of the access log, if this is a matter for it.
fn log_line(format: LogFormat, event: &ServerEvent) -> Option<String> {
    let (duration, connection, peer) = match &event.moment {
        ServerMoment::Exchange(exchange) => (exchange.duration, event.connection.0, event.peer),
        ServerMoment::Refused(refused) => (refused.duration, event.connection.0, event.peer),
        _ => return None,
    };
    let now = SystemTime::now();
    let began = now.checked_sub(event.at.elapsed() + duration).unwrap_or(now);
    Some(match (&event.moment, format) {
        (ServerMoment::Exchange(exchange), LogFormat::Combined) => {
            access_log::combined(peer, began, exchange)
        }
        (ServerMoment::Exchange(exchange), LogFormat::Json) => {
            access_log::json(connection, peer, began, exchange)
        }
        (ServerMoment::Refused(refused), LogFormat::Combined) => {
            access_log::combined_refused(peer, began, refused)
        }
        (ServerMoment::Refused(refused), LogFormat::Json) => {
            access_log::json_refused(connection, peer, began, refused)
        }
        _ => return None,
    })
}

/// The word of the kernel's table on the server's end of a connection.
#[derive(Clone, Copy)]
struct TcpReading {
    /// `None` if it was not there.
    state: Option<TcpState>,
    /// How long after the event.
    later: Duration,
}

/// Returns true if it carries bytes to look at.
fn is_of_bytes(moment: &ServerMoment) -> bool {
    matches!(
        moment,
        ServerMoment::RequestHead(_)
            | ServerMoment::RequestBody { .. }
            | ServerMoment::HeadWritten { .. }
            | ServerMoment::ResponseWritten { .. }
            | ServerMoment::CutShort { .. }
            | ServerMoment::Refused(_)
    )
}

/// The state of the server's end as the kernel's table shows it; `Some(None)` if it is not there.
fn tcp_state(server: ServerAddr, client: ClientAddr) -> Option<Option<TcpState>> {
    let filter = SocketFilter::default().port(client.port()).server(server.port());
    let table = socket_table::snapshot(&filter).ok()?;
    let is_it = |socket: &&evidence::Socket| {
        socket.local.port() == server.port() && ClientAddr::new(socket.peer) == client
    };
    Some(table.sockets.iter().find(is_it).map(|socket| socket.state))
}

fn closed_by(by: ClosedBy) -> &'static str {
    match by {
        ClosedBy::Client => "client",
        ClosedBy::Server => "server",
        ClosedBy::Reset => "reset",
    }
}

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
