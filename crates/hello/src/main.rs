//! `hello`: listens, answers, and ends gracefully on Ctrl-C or SIGTERM.
//!
//! | idea | file |
//! |---|---|
//! | what is shown of the start, of connections and of bytes | `show.rs`, `show/` |
//! | a line an exchange, as web servers write it | `access_log.rs` |
//! | what a client sent, harmless on a terminal | `escape.rs` |
//! | what may be typed | the library: `cli.rs` |
//! | what it answers | the library: `routes.rs`, `metrics.rs` |

mod access_log;
mod escape;
mod show;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use evidence::ServerAddr;
use hello::{Metrics, Routes, cli};
use program::{Signals, StopSignal, exit};
use server::{GRACE, RunningServer, Server, ServerTally};

use crate::cli::{Args, ShowFormat, Shown};
use crate::show::output::LineOutput;
use crate::show::queue;
use crate::show::startup::{self, Birth, Startup};
use crate::show::{Show, ShowPlan};

fn main() -> ExitCode {
    let birth = Birth::now();
    exit::code("hello", run(&Args::parse(), &birth).map(|()| exit::DONE))
}

/// Builds the runtime by hand, to know when it is there.
fn run(args: &Args, birth: &Birth) -> anyhow::Result<()> {
    program::enough_descriptors()?;
    let mut startup = Startup::new(birth);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot build the runtime")?;
    startup.runtime_built(Instant::now());
    runtime.block_on(execute(args, birth, startup))
}

async fn execute(args: &Args, birth: &Birth, mut startup: Startup) -> anyhow::Result<()> {
    // Before the server is ready, so that no signal can come too early.
    let stop = Signals::listen(&StopSignal::USUAL).context("cannot listen for Ctrl-C")?;
    let server = Server::bind_with_backlog(args.address(), args.answer(), args.backlog)
        .map_err(with_hint)?;
    startup.bound(server.steps());
    let address = server.address();
    let out = LineOutput::stdout();
    announce(args, address, &out);
    if args.show.contains(&Shown::Startup) {
        startup.ready(address, !args.no_accept);
        let mut lines = Vec::new();
        startup.write(args.format, &mut lines)?;
        out.write(&lines);
    }
    if args.no_accept {
        leave_waiting(args, birth, server, stop, &out).await;
    } else {
        serve(args, birth, server, stop, &out).await?;
    }
    out.end()
}

/// Never accepts, and tells how many wait, until it is stopped. The kernel resets them when the
/// listening socket is closed.
async fn leave_waiting(
    args: &Args,
    birth: &Birth,
    server: Server,
    mut stop: Signals,
    out: &LineOutput,
) {
    let address = server.address();
    tokio::select! {
        () = stop.next() => {}
        () = queue::follow(address, args.format, birth.at, out) => {}
    }
    let left = queue::read(address).map_or(0, |queue| queue.waiting);
    let _ = writeln!(io::stderr(), "hello: stopped; never accepted: {left} connection(s)");
}

/// Accepts and answers, and shows what is asked for, until it is stopped.
async fn serve(
    args: &Args,
    birth: &Birth,
    server: Server,
    mut stop: Signals,
    out: &LineOutput,
) -> anyhow::Result<()> {
    let show = Show::start(ShowPlan::of(args, birth.at, server.address()), out.clone())
        .context("cannot start to show")?;
    let mut server = set_up(args, server, show.as_ref());
    let disturbed = Arc::new(AtomicBool::new(false));
    let is_startup_shown = args.show.contains(&Shown::Startup);
    if is_startup_shown {
        let disturbed = Arc::clone(&disturbed);
        server = server.observed_by(Arc::new(move |_| disturbed.store(true, Ordering::Relaxed)));
    }
    let tally = server.tally();
    let running = server.start();
    tokio::select! {
        () = stop.next() => {}
        () = async {
            if is_startup_shown {
                rest(args.format, birth, &disturbed, show.as_ref(), out).await;
            }
            std::future::pending::<()>().await;
        } => {}
    }
    end(running, show, stop, &tally).await
}

/// Gives the server its limits, its routes, and those who hear of what it does.
fn set_up(args: &Args, server: Server, show: Option<&Show>) -> Server {
    let mut server = server.limits(args.limits()).trouble_told_to(|trouble| {
        let _ = writeln!(io::stderr(), "hello: {trouble}");
    });
    let told = show.filter(|_| args.show.contains(&Shown::Connections));
    let uploads = match told {
        Some(show) => args.uploads().progress_told_to(show.of_uploads()),
        None => args.uploads(),
    };
    let mut routes = Routes::new(args.answer()).uploads(uploads);
    if args.metrics {
        let metrics = Arc::new(Metrics::new());
        routes = routes.metrics(Arc::clone(&metrics));
        server = server.observed_by(metrics);
    }
    if let Some(show) = show {
        server = server.observed_by(show.observer());
    }
    server.answered_by(Arc::new(routes))
}

/// Lets exchanges in flight finish, and tells what could not. Whoever asks again does not want to
/// wait for that.
async fn end(
    running: RunningServer,
    show: Option<Show>,
    mut stop: Signals,
    tally: &ServerTally,
) -> anyhow::Result<()> {
    let cut_off = tokio::select! {
        cut_off = running.stop(GRACE) => cut_off,
        () = stop.next() => anyhow::bail!("stopped at once: exchanges in flight were cut off"),
    };
    let lost = show.map_or(0, Show::end);
    if lost > 0 {
        let _ = writeln!(io::stderr(), "hello: {lost} events came faster than they were written");
    }
    let _ = match cut_off {
        0 => writeln!(io::stderr(), "hello: stopped, every exchange in flight was finished"),
        n => {
            let grace = humantime::format_duration(GRACE);
            writeln!(io::stderr(), "hello: stopped; cut off after {grace}: {n} connection(s)")
        }
    };
    let _ = writeln!(io::stderr(), "hello: {}", summary(tally));
    Ok(())
}

/// The lab's question, of all that came: was a connection used again?
fn summary(tally: &ServerTally) -> String {
    let count = |count: u64, noun| report::words::count(usize::try_from(count).unwrap_or(0), noun);
    let (connections, requests) = (tally.connections(), tally.requests());
    let (used, again) = (tally.used(), tally.used_again());
    let mut words = format!("{}, {}", count(connections, "connection"), count(requests, "request"));
    if used > 0 {
        let (once, never) = (used - again, connections.saturating_sub(used));
        let parts = [(again, "used again"), (once, "used once"), (never, "never used")];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<String> = parts.map(|(count, how)| format!("{count} {how}")).collect();
        words += &format!(": {}", parts.join(", "));
    }
    words
}

/// Tells where it listens: on stdout, unless what comes there is for programs.
fn announce(args: &Args, address: ServerAddr, out: &LineOutput) {
    let backlog = match queue::read(address) {
        Some(queue) => format!("backlog {}", queue.backlog),
        None => format!("backlog {} asked for", args.backlog),
    };
    let manner = if args.no_accept { "never accepts" } else { "TCP_NODELAY on" };
    let line = format!("hello listens on http://{address} ({backlog}, {manner}); Ctrl-C ends it\n");
    if args.log.is_some() || args.format == ShowFormat::Jsonl {
        let _ = io::stderr().write_all(line.as_bytes());
    } else {
        out.write(line.as_bytes());
    }
}

/// Measures what the server costs while nobody asks anything of it. If somebody did, this is not
/// rest, and nothing is told.
async fn rest(
    format: ShowFormat,
    birth: &Birth,
    disturbed: &AtomicBool,
    show: Option<&Show>,
    out: &LineOutput,
) {
    let (cpu, since) = (startup::cpu_time(), Instant::now());
    tokio::time::sleep(startup::REST).await;
    let Some((after, before)) = startup::cpu_time().zip(cpu) else { return };
    if disturbed.load(Ordering::Relaxed) {
        return;
    }
    let line =
        startup::at_rest(birth.at.elapsed(), after.saturating_sub(before), since.elapsed(), format);
    match show {
        Some(show) => show.line(line),
        None => out.write(format!("{line}\n").as_bytes()),
    }
}

fn with_hint(error: server::Error) -> anyhow::Error {
    match error {
        server::Error::PortInUse { .. } => {
            anyhow::Error::new(error).context("cannot start (--port 0 takes any free port)")
        }
        server::Error::CannotListen { .. } => error.into(),
    }
}
