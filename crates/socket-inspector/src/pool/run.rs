//! `socket-inspector pool`: some looks at a process's connections from outside, and a verdict.

use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use evidence::{Inspected, Side, TcpState};
use socket_table::{SocketFilter, SocketSieve, inspect};

use super::args::PoolArgs;
use super::looks::PoolWatch;
use super::{json, text};
use crate::access::{may_look_into, needs_linux};
use crate::ports::args::ReportFormat;

/// The time between two looks: short, as a connection that lives between two of them is not seen.
/// Where a look is dear, it takes at most a third of the time.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks for as long as is asked for, and reports once.
pub(crate) fn run(asked: &PoolArgs) -> anyhow::Result<u8> {
    needs_linux("pool", "what moves over a connection, or waits to be read")?;
    if let Some(pid) = asked.pid {
        may_look_into(pid)?;
    }
    let filter =
        asked.port.iter().fold(SocketFilter::default(), |f, port| f.port(*port).server(*port));
    let sieve = SocketSieve { pids: asked.pid.into_iter().collect(), ..SocketSieve::default() };
    let mut watch = asked.pid.map_or_else(PoolWatch::default, PoolWatch::of_process);
    let start = Instant::now();
    let mut others;
    loop {
        let started = Instant::now();
        let mut rows = inspect(&filter)?;
        let at = Instant::now();
        let is_client = |row: &Inspected| {
            row.socket.side != Some(Side::Server) && row.socket.state != TcpState::Listen
        };
        let of_servers = rows.iter().filter(|row| !is_client(row));
        others = of_servers.filter(|row| sieve.keeps(&row.socket)).count();
        // Everybody's: a connection that is closed again before its holder is looked for has none.
        rows.retain(is_client);
        watch.look(rows, at);
        let left = asked.watch.saturating_sub(start.elapsed());
        if left.is_zero() {
            break;
        }
        std::thread::sleep(left.min(INTERVAL.max(started.elapsed() * 2)));
    }
    let pools = watch.pools(asked.patience, asked.idle_timeout);
    let mut out = BufWriter::new(anstream::stdout());
    match asked.format {
        ReportFormat::Text => text::text(&pools, &asked.whose(), others, &mut out)?,
        ReportFormat::Json => json::pools(&pools, &mut out)?,
    }
    out.flush()?;
    Ok(0)
}
