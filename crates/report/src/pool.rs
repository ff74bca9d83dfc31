//! Pools as text: each connection's standing, then what ails the pool, why, and what to do.

use std::io::{self, Write};
use std::time::Duration;

use evidence::pool::{Ailment, Lasted, Pool, PoolConnection, Standing};

use crate::columns::{Cell, Table};
use crate::words::{self, FAINT, HEADING, STRIKING};

/// What no line exceeds.
const WIDTH: usize = 90;
/// Connections that are shown of one pool.
const SHOWN: usize = 20;

/// What nobody sees from outside.
const UNKNOWABLE: &str = "Not to be seen from outside: whether the pool itself knows a connection \
    that looks idle; bodies that wait inside the process; the number of exchanges; what HTTP/2 \
    carries side by side; connections opened and closed between two looks.";

/// Writes `pools`. `whose` completes "No client connection …"; `others` is the number of sockets
/// that were left out, as they listen or are a server's end.
///
/// # Errors
/// Those of `out`.
pub fn text(pools: &[Pool], whose: &str, others: usize, out: &mut impl Write) -> io::Result<()> {
    if pools.is_empty() {
        write!(out, "No client connection {whose}.")?;
        if others > 0 {
            let sockets = words::count(others, "socket");
            write!(out, " {sockets} there are a server's, which has no pool.")?;
        }
        return writeln!(out);
    }
    for pool in pools {
        heading(pool, out)?;
        if !pool.connections.is_empty() {
            table(pool).write(out)?;
        }
        let more = pool.connections.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(out, "  {FAINT}and {more} more{FAINT:#}")?;
        }
        counts(pool, out)?;
        verdict(pool, out)?;
        writeln!(out)?;
    }
    for line in words::wrap(UNKNOWABLE, WIDTH) {
        writeln!(out, "{FAINT}{line}{FAINT:#}")?;
    }
    Ok(())
}

/// `curl (4712) → 127.0.0.1:8080`
fn heading(pool: &Pool, out: &mut impl Write) -> io::Result<()> {
    let process = pool.process.as_ref();
    let process = process.map(|owner| words::owners(std::slice::from_ref(owner)));
    let process = process.unwrap_or_else(|| words::UNSEEN.to_owned());
    writeln!(out, "{HEADING}{process} → {}{HEADING:#}", pool.server)
}

fn table(pool: &Pool) -> Table<6> {
    let row = |connection: &PoolConnection| {
        let info = &connection.row.info;
        let bytes = |number: Option<u64>| number.map_or(Cell::empty(), Cell::number);
        let unread = Some(connection.unread()).filter(|unread| *unread > 0);
        let silent = info.silent_for().map(words::short).unwrap_or_default();
        let standing = match (connection.standing, connection.closed_for) {
            (standing, Some(time)) => format!("{} for {}", standing.name(), lasted(time)),
            (standing, None) if pool.is_stale_soon(connection) => {
                format!("{}, stale soon", standing.name())
            }
            (standing, None) => standing.name().to_owned(),
        };
        let style = match connection.standing {
            Standing::Unread | Standing::ClosedByPeer => STRIKING,
            _ => anstyle::Style::new(),
        };
        [
            Cell::new(words::address(connection.row.socket.local)),
            bytes(unread).styled(STRIKING),
            Cell::new(silent).right(),
            bytes(info.bytes_sent.known()),
            bytes(info.bytes_received.known()),
            Cell::new(standing).styled(style),
        ]
    };
    let left = |title| Cell::new(title).styled(FAINT);
    let right = |title| left(title).right();
    let header = [
        left("CLIENT"),
        right("UNREAD"),
        right("SILENT"),
        right("SENT"),
        right("RECEIVED"),
        left("STANDING"),
    ];
    Table::new(2, header, pool.connections.iter().take(SHOWN).map(row).collect())
}

/// `4.1 s`, `at least 4.1 s`.
fn lasted(time: Lasted) -> String {
    match time {
        Lasted::Exactly(time) => words::short(time),
        Lasted::AtLeast(time) => format!("at least {}", words::short(time)),
    }
}

/// `2 busy · 3 idle · opened 0.5 a second over 2.0 s`
fn counts(pool: &Pool, out: &mut impl Write) -> io::Result<()> {
    let all = [
        Standing::Busy,
        Standing::Idle,
        Standing::Unused,
        Standing::Unread,
        Standing::ClosedByPeer,
        Standing::Opening,
        Standing::Closing,
        Standing::Open,
    ];
    let count = |standing: Standing| (pool.count(standing), standing.name());
    let counts = all.into_iter().map(count).filter(|(count, _)| *count > 0);
    let mut parts: Vec<String> = counts.map(|(count, name)| format!("{count} {name}")).collect();
    if let Some(rate) = pool.opened_per_s() {
        let watched = pool.watched.as_secs_f64();
        parts.push(format!("opened {rate:.1} a second over {watched:.1} s"));
    }
    writeln!(out, "  {}", parts.join(" · "))
}

fn verdict(pool: &Pool, out: &mut impl Write) -> io::Result<()> {
    let ailments = pool.ailments();
    if ailments.is_empty() && pool.connections.is_empty() {
        writeln!(out, "\n  {HEADING}No connection is left to judge.{HEADING:#}")?;
        let gone = words::count(pool.opened, "connection");
        return advise("evidence", &format!("{gone} opened while looking, and gone again"), out);
    }
    if ailments.is_empty() {
        writeln!(out, "\n  {HEADING}Looks healthy.{HEADING:#}")?;
        let idle = "every connection is at work, or silent since its last answer";
        return advise("evidence", idle, out);
    }
    for ailment in &ailments {
        let (verdict, evidence, next) = words_for(ailment);
        writeln!(out, "\n  {STRIKING}{verdict}{STRIKING:#}")?;
        advise("evidence", &evidence, out)?;
        advise("next", next, out)?;
    }
    Ok(())
}

fn advise(label: &str, text: &str, out: &mut impl Write) -> io::Result<()> {
    for (n, line) in words::wrap(text, WIDTH - 14).iter().enumerate() {
        let label = if n == 0 { label } else { "" };
        writeln!(out, "    {FAINT}{label:<8}{FAINT:#}  {line}")?;
    }
    Ok(())
}

/// The verdict, what it rests on, and the next step.
fn words_for(ailment: &Ailment) -> (&'static str, String, &'static str) {
    let seconds = |time: &Duration| words::short(*time);
    match ailment {
        Ailment::Unread { connections, bytes, silent } => (
            "Bodies are not read to their end.",
            format!(
                "{} with {bytes} unread bytes, silent for up to {}",
                words::count(*connections, "connection"),
                seconds(silent)
            ),
            "find where a response is kept or thrown away unread; read each body to its end, or \
             drop it, on error paths too",
        ),
        Ailment::ClosedByPeer { connections, unnoticed, longest } => (
            "Connections that the server has closed are kept.",
            format!(
                "{} in CLOSE_WAIT{}; unread end: {unnoticed} or more",
                words::count(*connections, "connection"),
                longest.map(|time| format!(", for {}", lasted(time))).unwrap_or_default()
            ),
            "find who holds them: a response that is not read or dropped, or a pool that nobody \
             polls; let its idle timeout be shorter than the server's",
        ),
        Ailment::Churn { opened_per_s, idle } => (
            "Connections are opened instead of reused.",
            format!("{opened_per_s:.1} opened a second, while {idle} lie idle"),
            "look for a client made anew for each request, for `Connection: close`, and for a cap \
             on idle connections per host below the number of requests at a time",
        ),
        Ailment::StaleSoon { connections, idle_timeout } => (
            "The server is about to close idle connections.",
            format!(
                "{} silent for at least four fifths of the server's {}",
                words::count(*connections, "connection"),
                seconds(idle_timeout)
            ),
            "let the client's idle timeout be shorter than the server's; retry a request that \
             meets the close only if it may be sent twice",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::{Observed, Owner, ServerAddr, TcpState};

    fn connection(standing: Standing, closed_for: Option<Lasted>) -> PoolConnection {
        let mut row = crate::inspected::tests::scene().remove(1);
        if standing != Standing::Unread {
            row.socket.recv_queue = Observed::Known(0);
        }
        if standing == Standing::ClosedByPeer {
            row.socket.state = TcpState::CloseWait;
        }
        PoolConnection { row, standing, closed_for }
    }

    fn shown(connections: Vec<PoolConnection>, opened: usize) -> String {
        let pool = Pool {
            process: Some(Owner { pid: 4712, process: "sequential".to_owned() }),
            server: ServerAddr::new("127.0.0.1:8080".parse().unwrap()),
            connections,
            opened,
            watched: Duration::from_secs(2),
            idle_timeout: None,
        };
        plain(&[pool], 0)
    }

    fn plain(pools: &[Pool], others: usize) -> String {
        crate::plain::plain(WIDTH, |out| text(pools, "of process 4712", others, out))
    }

    #[test]
    fn a_leak_is_told_with_its_evidence_and_what_to_do() {
        let since = Lasted::AtLeast(Duration::from_secs(2));
        insta::assert_snapshot!(shown(vec![
            connection(Standing::ClosedByPeer, Some(since)),
            connection(Standing::Unread, None),
            connection(Standing::Busy, None),
        ], 10), @r"
        sequential (4712) → 127.0.0.1:8080
          CLIENT           UNREAD  SILENT  SENT  RECEIVED  STANDING
          127.0.0.1:40210          4.10 s    83    300130  closed by peer for at least 2.00 s
          127.0.0.1:40210   57423  4.10 s    83    300130  unread
          127.0.0.1:40210          4.10 s    83    300130  busy
          1 busy · 1 unread · 1 closed by peer · opened 5.0 a second over 2.0 s

          Bodies are not read to their end.
            evidence  1 connection with 57423 unread bytes, silent for up to 4.10 s
            next      find where a response is kept or thrown away unread; read each body to its
                      end, or drop it, on error paths too

          Connections that the server has closed are kept.
            evidence  1 connection in CLOSE_WAIT, for at least 2.00 s; unread end: 0 or more
            next      find who holds them: a response that is not read or dropped, or a pool that
                      nobody polls; let its idle timeout be shorter than the server's

          Connections are opened instead of reused.
            evidence  5.0 opened a second, while 0 lie idle
            next      look for a client made anew for each request, for `Connection: close`, and
                      for a cap on idle connections per host below the number of requests at a
                      time

        Not to be seen from outside: whether the pool itself knows a connection that looks idle;
        bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
        side; connections opened and closed between two looks.
        ");
    }

    #[test]
    fn a_healthy_pool_is_called_so() {
        insta::assert_snapshot!(shown(vec![connection(Standing::Idle, None)], 0), @r"
        sequential (4712) → 127.0.0.1:8080
          CLIENT           SILENT  SENT  RECEIVED  STANDING
          127.0.0.1:40210  4.10 s    83    300130  idle
          1 idle · opened 0.0 a second over 2.0 s

          Looks healthy.
            evidence  every connection is at work, or silent since its last answer

        Not to be seen from outside: whether the pool itself knows a connection that looks idle;
        bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
        side; connections opened and closed between two looks.
        ");
    }

    #[test]
    fn a_pool_without_connections_is_not_called_healthy() {
        insta::assert_snapshot!(shown(vec![], 1), @r"
        sequential (4712) → 127.0.0.1:8080
          opened 0.5 a second over 2.0 s

          No connection is left to judge.
            evidence  1 connection opened while looking, and gone again

        Not to be seen from outside: whether the pool itself knows a connection that looks idle;
        bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
        side; connections opened and closed between two looks.
        ");
    }

    #[test]
    fn a_server_has_no_pool() {
        insta::assert_snapshot!(plain(&[], 2), @r"
        No client connection of process 4712. 2 sockets there are a server's, which has no pool.
        ");
    }
}
