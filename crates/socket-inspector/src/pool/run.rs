//! `socket-inspector pool`: some looks at a process's connections from outside, and a verdict.

use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use evidence::{Inspected, Side, Socket, TcpState};
use report::page::PageWriter;
use socket_table::{PeerPattern, SocketFilter, inspect};

use super::args::PoolArgs;
use super::dials::{DialCount, active_opens};
use super::looks::PoolWatch;
use super::{json, text};
use crate::access::{elsewhere, may_look_into, needs_linux, warn};
use crate::ports::args::ReportFormat;

/// The time between two looks: short, as a connection that lives between two of them is not seen.
/// Where a look is dear, it takes at most a third of the time.
const INTERVAL: Duration = Duration::from_millis(10);

/// Looks for as long as is asked for, and reports once.
pub(crate) fn run(asked: &PoolArgs) -> anyhow::Result<u8> {
    needs_linux("pool", "what moves over a connection, or waits to be read")?;
    asked.pids.iter().try_for_each(|pid| may_look_into(*pid, "pool"))?;
    let filter =
        asked.ports.iter().fold(SocketFilter::default(), |f, port| f.port(*port).server(*port));
    let sieve = asked.processes();
    let mut watch = PoolWatch::of_processes(sieve.clone());
    let network = asked.pids.first().copied();
    let dialled = active_opens(network);
    let start = Instant::now();
    let mut others;
    loop {
        let started = Instant::now();
        let mut rows = inspect(&filter)?;
        let at = Instant::now();
        let is_other = |row: &&Inspected| {
            row.socket.side == Some(Side::Server) || row.socket.state == TcpState::Listen
        };
        others = rows.iter().filter(is_other).filter(|row| sieve.keeps(&row.socket)).count();
        rows.retain(|row| is_to(&asked.peers, &row.socket));
        // Everybody's: a connection that is closed again before its holder is looked for has none.
        watch.look(rows, at);
        let left = asked.watch.saturating_sub(start.elapsed());
        if left.is_zero() {
            break;
        }
        std::thread::sleep(left.min(INTERVAL.max(started.elapsed() * 2)));
    }
    let everything = asked.ports.is_empty() && asked.peers.is_empty();
    let dialled = dialled.zip(active_opens(network)).filter(|_| everything);
    let dials = dialled.map(|(before, after)| DialCount {
        dialled: after.saturating_sub(before),
        seen: u64::try_from(watch.came()).unwrap_or(u64::MAX),
    });
    let pools = watch.pools(asked.patience, asked.idle_timeout);
    let width = program::terminal_width().unwrap_or(text::WIDTH);
    let mut out = PageWriter::new(BufWriter::new(anstream::stdout()), width);
    match asked.format {
        ReportFormat::Text => {
            let many = |dials: &DialCount| dials.unseen() as f64 >= watch.watched().as_secs_f64();
            text::text(&pools, &asked.whose(), others, dials.filter(many), &mut out)?;
        }
        ReportFormat::Json => json::pools(&pools, dials, &mut out)?,
    }
    out.flush()?;
    warn(elsewhere(&sieve.processes, "pool").as_deref());
    Ok(0)
}

/// Returns true if `socket` is an end of a connection to one of the servers `peers`, or listens
/// there; any socket if none is named.
fn is_to(peers: &[PeerPattern], socket: &Socket) -> bool {
    let is = |address| peers.iter().any(|peer| peer.is(address));
    match socket.side {
        _ if peers.is_empty() => true,
        Some(Side::Client) => is(socket.peer),
        Some(Side::Server) => is(socket.local),
        None if socket.state == TcpState::Listen => true,
        None => is(socket.peer),
    }
}
