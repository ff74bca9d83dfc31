//! `hello`: listens, answers, and ends gracefully on Ctrl-C or SIGTERM.

mod access_log;
mod cli;
mod escape;
mod show;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::Context;
use clap::Parser;

use crate::cli::{Args, Format, Shown};
use crate::show::queue;
use crate::show::startup::{self, Birth, Startup};
use crate::show::{Plan, Show};

fn main() -> ExitCode {
    let birth = Birth::now();
    match run(&Args::parse(), &birth) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "hello: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Builds the runtime by hand, to know when it is there.
fn run(args: &Args, birth: &Birth) -> anyhow::Result<()> {
    let mut startup = Startup::new(birth);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot build the runtime")?;
    startup.runtime_built(Instant::now());
    runtime.block_on(execute(args, birth, startup))
}

async fn execute(args: &Args, birth: &Birth, mut startup: Startup) -> anyhow::Result<()> {
    let stop = stop_signal().context("cannot listen for Ctrl-C")?;
    let server = hello::Server::bind_with_backlog(args.listen, args.answer(), args.backlog)
        .map_err(with_hint)?;
    startup.bound(server.steps());
    let address = server.address();
    let mut server = server.limits(args.limits()).trouble_told_to(|trouble| {
        let _ = writeln!(io::stderr(), "hello: {trouble}");
    });
    if args.metrics {
        server = server.counted_by(Arc::new(hello::Metrics::new()));
    }
    let is_shown = args.show.contains(&Shown::Startup);
    announce(args, address);
    if is_shown {
        startup.ready(address, !args.no_accept);
        let _ = startup.write(args.format, &mut io::stdout());
    }
    if args.no_accept {
        tokio::select! {
            () = stop => {}
            () = queue::follow(address, args.format, birth.at) => {}
        }
        let left = queue::read(address).map_or(0, |queue| queue.waiting);
        // The kernel resets them when the listening socket is closed.
        let _ = writeln!(io::stderr(), "hello: stopped; never accepted: {left} connection(s)");
        drop(server);
        return Ok(());
    }
    let (shown, started) = (args.show.clone(), birth.at);
    let plan = Plan { shown, format: args.format, log: args.log, started, server: address };
    let show = Show::start(plan).context("cannot start to show")?;
    if let Some(show) = &show {
        server = server.observed_by(show.observer());
    }
    #[cfg(feature = "routes")]
    {
        let told = show.as_ref().filter(|_| args.show.contains(&Shown::Connections));
        let uploads = args.uploads();
        server = server.uploads(match told {
            Some(show) => uploads.progress_told_to(show.of_uploads()),
            None => uploads,
        });
    }
    let disturbed = Arc::new(AtomicBool::new(false));
    if is_shown {
        let disturbed = Arc::clone(&disturbed);
        server = server.observed_by(Arc::new(move |_| disturbed.store(true, Ordering::Relaxed)));
    }
    let at_rest = is_shown.then(|| rest(args.format, birth, &disturbed, show.as_ref()));
    let running = server.start();
    tokio::select! {
        () = stop => {}
        () = async {
            if let Some(at_rest) = at_rest {
                at_rest.await;
            }
            std::future::pending::<()>().await;
        } => {}
    }
    // Whoever asks again does not want to wait for exchanges in flight.
    let again = stop_signal().context("cannot listen for Ctrl-C")?;
    let cut_off = tokio::select! {
        cut_off = running.stop(hello::GRACE) => cut_off,
        () = again => anyhow::bail!("stopped at once: exchanges in flight were cut off"),
    };
    let lost = show.map_or(0, Show::end);
    if lost > 0 {
        let _ = writeln!(io::stderr(), "hello: {lost} events came faster than they were written");
    }
    let _ = match cut_off {
        0 => writeln!(io::stderr(), "hello: stopped, every exchange in flight was finished"),
        n => {
            let grace = humantime::format_duration(hello::GRACE);
            writeln!(io::stderr(), "hello: stopped; cut off after {grace}: {n} connection(s)")
        }
    };
    Ok(())
}

/// Tells where it listens: on stdout, unless what comes there is for programs.
fn announce(args: &Args, address: evidence::ServerAddr) {
    let backlog = match queue::read(address) {
        Some(queue) => format!("backlog {}", queue.backlog),
        None => format!("backlog {} asked for", args.backlog),
    };
    let manner = if args.no_accept { "never accepts" } else { "TCP_NODELAY on" };
    let line = format!("hello listens on http://{address} ({backlog}, {manner}); Ctrl-C ends it");
    let _ = if args.log.is_some() || args.format == Format::Jsonl {
        writeln!(io::stderr(), "{line}")
    } else {
        writeln!(io::stdout(), "{line}")
    };
}

/// Measures what the server costs while nobody asks anything of it. If somebody did, this is not
/// rest, and nothing is told.
async fn rest(format: Format, birth: &Birth, disturbed: &AtomicBool, show: Option<&Show>) {
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
        None => drop(writeln!(io::stdout(), "{line}")),
    }
}

fn with_hint(error: hello::Error) -> anyhow::Error {
    match error {
        hello::Error::PortInUse { .. } => anyhow::Error::new(error)
            .context("cannot start (--listen 127.0.0.1:0 takes any free port)"),
        hello::Error::CannotListen { .. } => error.into(),
    }
}

/// Ctrl-C everywhere; also SIGTERM where there is one. Registered before the server is ready, so
/// that no signal can come too early.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        Ok(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        })
    }
    #[cfg(not(unix))]
    {
        Ok(async {
            let _ = tokio::signal::ctrl_c().await;
        })
    }
}
