//! The packets of a trace: where they are heard, and what the trace says of them.

use std::io::{self, Write};
use std::time::Instant;

use apparatus::{PacketEar, PacketFile};
use evidence::{
    BodySeen, Close, Connection, ConnectionId, Ends, Exchange, Failure, FailureKind, Moment,
    Observed, Outcome, Preset, Program, Reading, ServerSetup, Setup, Tables, Unreadable,
};

use super::{FetchSession, FetchedExchange};
use crate::cli::Trace;

/// Prepares the ear of a trace: in a private network if the server is the lab's own, otherwise on the
/// way to the server of the first URL. Before there is a runtime.
///
/// # Errors
/// Those of [`PacketEar::prepare_for`].
pub(crate) fn ear(args: &Trace) -> Result<PacketEar, apparatus::EarError> {
    let url = args.urls.first().map(String::as_str);
    let is_https = |url: &String| url.get(..6).is_some_and(|it| it.eq_ignore_ascii_case("https:"));
    let speaks_tls = args.tls.is_some() || args.urls.iter().any(is_https);
    let (lab, command) = (Program::Lab.name(), &["trace"]);
    let mut ear = PacketEar::prepare_for(&args.packets, lab, command, url, speaks_tls)?;
    if args.packets.are_heard() && args.urls.len() > 1 {
        ear.note("of several URLs the packets to the server of the first are heard".to_owned());
    }
    if args.packets.are_heard() && !args.connect_to.is_empty() {
        ear.note("what --connect-to leads elsewhere is not heard".to_owned());
    }
    Ok(ear)
}

/// What a trace knows of its connections, as an outcome beside which packets are shown. Nobody asked
/// a server, nor the kernel's table.
pub(crate) fn outcome(session: &FetchSession, preset: Preset, ear: &PacketEar) -> Outcome {
    let not_read =
        || Reading { table: Err(Unreadable("a trace reads none".to_owned())), settled: false };
    let connections = connections(session);
    let servers = connections.iter().map(|connection| connection.ends.server).collect();
    let over = session.exchanges.iter().map(|traced| traced.over_at).max();
    let since = |at: Instant| at.saturating_duration_since(session.started);
    Outcome {
        setup: setup(session, preset),
        prediction: None,
        rule_differences: Vec::new(),
        exchanges: session.exchanges.iter().map(|traced| exchange(session, traced)).collect(),
        accepted: None,
        accept_gap: Default::default(),
        wire: ear.record(&servers),
        connections,
        in_flight: None,
        server_reasons: Default::default(),
        accepting: None,
        tables: Tables { busiest: None, while_running: not_read(), after_closing: not_read() },
        disagreements: Vec::new(),
        time_waits_cut_short: 0,
        elapsed: over.map(since).unwrap_or_default(),
        let_go: over.map(since).unwrap_or_default(),
        interrupted: false,
    }
}

fn setup(session: &FetchSession, preset: Preset) -> Setup {
    let limits = transport::Config::of(preset).limits;
    let url = session.exchanges.first().map(|traced| traced.asked.url.to_string());
    Setup {
        program: Program::Lab,
        preset,
        body: evidence::BodyPolicy::Drain,
        workers: 1,
        requests: session.exchanges.len(),
        interval: Default::default(),
        per_host: limits.max_idle_per_host,
        max_idle: limits.max_idle,
        max_conns_per_host: limits.max_conns_per_host,
        idle_timeout: limits.idle_timeout,
        keep_alives: limits.keep_alives,
        server: ServerSetup {
            in_process: false,
            url: url.unwrap_or_default(),
            bytes: None,
            delay: Default::default(),
            pause_before_body: Default::default(),
        },
        flags: Vec::new(),
    }
}

fn exchange(session: &FetchSession, traced: &FetchedExchange) -> Exchange {
    let body = match (&traced.error, &traced.answered) {
        (None, Some(answered)) => Ok(BodySeen::Drained { bytes: answered.body }),
        (error, _) => {
            Err(Failure { kind: FailureKind::Other, message: error.clone().unwrap_or_default() })
        }
    };
    let connection = traced.connection();
    Exchange {
        number: traced.number,
        started: traced.asked_at.saturating_duration_since(session.started),
        took: traced.took(),
        connection,
        client: None,
        reused: traced.phases.reused,
        idle_before: Observed::NotObservable,
        first_byte: None,
        status: traced.answered.as_ref().map(|answered| answered.status.as_u16()),
        connection_fields: Default::default(),
        body,
        afterwards: evidence::Afterwards::NotObservable,
    }
}

/// The connections that the trace saw established.
fn connections(session: &FetchSession) -> Vec<Connection> {
    let mut all: Vec<Connection> = Vec::new();
    for event in &session.events {
        let Some(id) = event.connection else { continue };
        match &event.moment {
            Moment::ConnectDone { server, result: Ok(client) } => {
                let ends = Ends { client: *client, server: *server };
                let exchanges = carried(session, id);
                all.push(Connection { id, ends, exchanges, close: None });
            }
            Moment::ConnectionClosed { by, why, unread, .. } => {
                if let Some(connection) = all.iter_mut().find(|connection| connection.id == id) {
                    connection.close = Some(Close {
                        by: *by,
                        why: why.clone(),
                        at: event.at.saturating_duration_since(session.started),
                        unread: *unread,
                        idle: Observed::NotObservable,
                    });
                }
            }
            _ => {}
        }
    }
    all
}

fn carried(session: &FetchSession, id: ConnectionId) -> u64 {
    let here = session.exchanges.iter().filter(|traced| traced.connection() == Some(id));
    here.count() as u64
}

/// Tells where the packets are, and that a file with keys shows what the trace hides.
pub(crate) fn tell_of(file: &PacketFile, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "lab: the packets are in {}", file.path.display())?;
    if file.has_keys {
        writeln!(
            out,
            "lab: with the keys of their TLS: whoever has the file reads all that was sent, \
             credentials and cookies too (--no-keys leaves the keys out)"
        )?;
    }
    Ok(())
}

/// What is said in a file about the trace as a whole. Header fields and bodies that were typed are not:
/// they may be secret.
pub(crate) fn story(session: &FetchSession, args: &Trace) -> String {
    let urls: Vec<String> = args.urls.iter().map(|url| transport::shown_url(url)).collect();
    let requests = session.exchanges.len();
    let command = [&["trace".to_owned()][..], &urls].concat().join(" ");
    let failed = session.exchanges.iter().filter(|traced| traced.error.is_some()).count();
    format!("{}\n{requests} requests, {failed} failed", program::call("lab", &command))
}
