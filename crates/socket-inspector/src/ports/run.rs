//! `socket-inspector ports`: the ports that clients use up, looked at once or for a while.

use std::io::{BufWriter, Write};
use std::time::{Duration, Instant};

use evidence::{SocketTable, TcpState};
use report::page::{PageWriter, USUAL_WIDTH};
use socket_table::{PeerPattern, SocketFilter, SocketLedger, SocketSieve, snapshot_with_owners};

use super::args::{PortsArgs, ReportFormat};
use super::budget::{PortSettings, UnseenPorts};
use super::count::{EarlierReading, destinations, port_settings};
use super::taken::TakenPorts;
use super::{json, text};
use crate::access::needs_linux;

/// How often the table is read between two reports, to see who holds connections that are soon
/// closed; less often where a reading is dear.
const GLANCE: Duration = Duration::from_millis(20);

/// Reports once for a single look, and after each interval for several.
pub(crate) fn run(asked: &PortsArgs) -> anyhow::Result<u8> {
    needs_linux("ports", "their settings for ports, nor how much of TIME_WAIT is left")?;
    let settings = port_settings();
    let sieve = SocketSieve { peers: asked.peers.clone(), ..SocketSieve::default() };
    let wanted = towards(&asked.peers);
    let mut ledger = SocketLedger::default();
    let look = || -> anyhow::Result<(SocketTable, Instant)> {
        let mut table = snapshot_with_owners(&wanted)?;
        let at = Instant::now();
        table.sockets.retain(|socket| sieve.keeps(socket));
        Ok((table, at))
    };
    let report =
        |table: &SocketTable, ledger: &SocketLedger, earlier: Option<EarlierReading<'_>>| {
            let whole = socket_table::snapshot(&SocketFilter::default())?;
            let taken = TakenPorts::of(&whole.sockets, &socket_table::bound()?, &settings);
            let settings = PortSettings { bound: taken.bound.clone(), ..settings.clone() };
            let destinations = destinations(table, &settings, ledger, earlier);
            let mut out = page();
            let unseen = UnseenPorts::of(table);
            match asked.format {
                ReportFormat::Text => {
                    text::text(&settings, &destinations, &taken, unseen, &mut out)?;
                }
                ReportFormat::Json => {
                    json::ports(&settings, &destinations, &taken, unseen, &mut out)?;
                }
            }
            anyhow::Ok(out.flush()?)
        };

    if asked.format == ReportFormat::Text {
        let mut out = page();
        text::settings(&settings, &mut out)?;
        out.flush()?;
    }
    let (interval, looks) = asked.looks();
    let (mut before, mut at) = look()?;
    ledger.record(&before.sockets, at);
    if looks == 0 {
        report(&before, &ledger, None)?;
    }
    for _ in 0..looks {
        let due = at + interval;
        loop {
            let started = Instant::now();
            let left = due.saturating_duration_since(started);
            if left.is_zero() {
                break;
            }
            ledger.glance(&glance(&asked.peers)?.sockets, started);
            // Where a glance is dear, it takes at most a third of the time.
            std::thread::sleep(left.min(GLANCE.max(started.elapsed() * 2)));
        }
        let (table, now) = look()?;
        ledger.record(&table.sockets, now);
        let earlier = EarlierReading { table: &before, ago: now - at };
        report(&table, &ledger, Some(earlier))?;
        (before, at) = (table, now);
    }
    Ok(0)
}

/// Stdout, as wide as the terminal: the window may have changed since the last report.
fn page() -> PageWriter<impl Write> {
    let width = program::terminal_width().unwrap_or(USUAL_WIDTH);
    PageWriter::new(BufWriter::new(anstream::stdout()), width)
}

/// The connections that processes hold, of those that are asked for.
fn glance(peers: &[PeerPattern]) -> Result<SocketTable, socket_table::Error> {
    let mut filter = towards(peers);
    for state in [TcpState::SynSent, TcpState::Established, TcpState::CloseWait] {
        filter = filter.state(state);
    }
    snapshot_with_owners(&filter)
}

/// The sockets with a port of one of `peers`, all if one of them names no port. A port that is
/// named is a server's.
fn towards(peers: &[PeerPattern]) -> SocketFilter {
    let ports: Option<Vec<u16>> = peers.iter().map(PeerPattern::port).collect();
    let servers = peers.iter().filter_map(PeerPattern::port).collect();
    SocketFilter { ports: ports.unwrap_or_default(), servers, ..SocketFilter::default() }
}
