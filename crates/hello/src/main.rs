//! `hello`: listens, answers, and ends gracefully on Ctrl-C or SIGTERM.

mod cli;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match execute(&cli::Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "hello: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn execute(args: &cli::Args) -> anyhow::Result<()> {
    let stop = stop_signal().context("cannot listen for Ctrl-C")?;
    let server = hello::Server::bind(args.listen, args.answer()).map_err(with_hint)?;
    #[cfg(feature = "routes")]
    let server = server.uploads(args.uploads());
    let backlog = hello::BACKLOG;
    let _ = writeln!(
        io::stdout(),
        "hello listens on http://{} (backlog {backlog}, TCP_NODELAY on); Ctrl-C ends it",
        server.address()
    );
    let running = server
        .limits(args.limits())
        .trouble_told_to(|trouble| {
            let _ = writeln!(io::stderr(), "hello: {trouble}");
        })
        .start();
    stop.await;
    let cut_off = running.stop(hello::GRACE).await;
    let _ = match cut_off {
        0 => writeln!(io::stderr(), "hello: stopped, every exchange in flight was finished"),
        n => {
            let grace = humantime::format_duration(hello::GRACE);
            writeln!(io::stderr(), "hello: stopped; cut off after {grace}: {n} connection(s)")
        }
    };
    Ok(())
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
