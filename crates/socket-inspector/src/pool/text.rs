//! Pools as text: each connection's standing, then what ails the pool, why, and what to do.

use std::io::{self, Write};
use std::time::Duration;

use crate::pool::standing::{
    ClientPool, ConnectionStanding, PoolAilment, PoolConnection, StandingTime,
};

use report::columns::{Cell, Table};
use report::words::{self, FAINT, HEADING, STRIKING};

/// The width that no line exceeds.
const WIDTH: usize = 90;
/// Connections that are shown of one pool.
const SHOWN: usize = 20;

/// The facts that nobody sees from outside.
const UNKNOWABLE: &str = "Not to be seen from outside: whether the pool itself knows a connection \
    that looks idle; bodies that wait inside the process; the number of exchanges; what HTTP/2 \
    carries side by side; connections opened and closed between two looks.";

/// Writes `pools`. `whose` completes "No client connection …"; `others` is the number of sockets
/// that were left out, as they listen or are a server's end.
///
/// # Errors
/// Those of `out`.
pub(crate) fn text(
    pools: &[ClientPool],
    whose: &str,
    others: usize,
    out: &mut impl Write,
) -> io::Result<()> {
    let of_a_server = (others > 0).then(|| {
        format!("{} there are a server's, which has no pool", words::count(others, "socket"))
    });
    if pools.is_empty() {
        write!(out, "No client connection {whose}.")?;
        if let Some(of_a_server) = of_a_server {
            write!(out, " {of_a_server}.")?;
        }
        return writeln!(out);
    }
    for pool in pools {
        if is_nothing_but_unattributed(pool) {
            perhaps(pool, whose, of_a_server.as_deref(), out)?;
            continue;
        }
        heading(pool, out)?;
        if !pool.connections.is_empty() {
            table(pool).write(out)?;
        }
        let more = pool.connections.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(out, "  {FAINT}and {more} more{FAINT:#}")?;
        }
        counts(pool, out)?;
        verdict(pool, pools, out)?;
        writeln!(out)?;
    }
    for line in words::wrap(UNKNOWABLE, WIDTH) {
        writeln!(out, "{FAINT}{line}{FAINT:#}")?;
    }
    Ok(())
}

/// `curl (4712) → 127.0.0.1:8080`
fn heading(pool: &ClientPool, out: &mut impl Write) -> io::Result<()> {
    let process = pool.process.as_ref();
    let process = process.map(|owner| words::owners(std::slice::from_ref(owner)));
    let process = process.unwrap_or_else(|| words::UNSEEN.to_owned());
    writeln!(out, "{HEADING}{process} → {}{HEADING:#}", pool.server)
}

/// Returns true if it stands for connections that may be those of the process that was asked for,
/// of which no look saw any.
fn is_nothing_but_unattributed(pool: &ClientPool) -> bool {
    pool.connections.is_empty() && pool.opened == 0
}

/// Writes what is told instead of a pool that nobody saw.
fn perhaps(
    pool: &ClientPool,
    whose: &str,
    of_a_server: Option<&str>,
    out: &mut impl Write,
) -> io::Result<()> {
    heading(pool, out)?;
    writeln!(out, "\n  {STRIKING}No look saw a client connection {whose}.{STRIKING:#}")?;
    let (came, whose_they_were) = unattributed(pool.unattributed, "");
    let rate = at_least_each_second(pool.unattributed, pool.watched);
    advise("evidence", &format!("{came}{rate}; {whose_they_were}"), out)?;
    of_a_server.map_or(Ok(()), |besides| advise("besides", besides, out))?;
    advise("next", &count_them_all(pool), out)?;
    writeln!(out)
}

/// `831 more connections to this server came and went`, `no look saw whose they were`.
fn unattributed(count: usize, more: &str) -> (String, &'static str) {
    let (connections, whose) = match count {
        1 => ("connection", "no look saw whose it was"),
        _ => ("connections", "no look saw whose they were"),
    };
    (format!("{count} {more}{connections} to this server came and went"), whose)
}

/// `, at least 415.5 a second`; nothing after a single look.
fn at_least_each_second(count: usize, watched: Duration) -> String {
    let seconds = watched.as_secs_f64();
    if seconds > 0.0 {
        format!(", at least {:.1} a second", count as f64 / seconds)
    } else {
        String::new()
    }
}

/// The next step where nobody saw whose connections come and go.
fn count_them_all(pool: &ClientPool) -> String {
    format!(
        "`pool --port {}` counts all connections to this server, whosever they are",
        pool.server.port()
    )
}

fn table(pool: &ClientPool) -> Table<6> {
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
            ConnectionStanding::Unread | ConnectionStanding::ClosedByPeer => STRIKING,
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
fn lasted(time: StandingTime) -> String {
    match time {
        StandingTime::Exactly(time) => words::short(time),
        StandingTime::AtLeast(time) => format!("at least {}", words::short(time)),
    }
}

/// `2 busy · 3 idle · opened at least 0.5 a second over 2.0 s`
fn counts(pool: &ClientPool, out: &mut impl Write) -> io::Result<()> {
    let all = [
        ConnectionStanding::Busy,
        ConnectionStanding::Idle,
        ConnectionStanding::Unused,
        ConnectionStanding::Unread,
        ConnectionStanding::ClosedByPeer,
        ConnectionStanding::Opening,
        ConnectionStanding::Closing,
        ConnectionStanding::Open,
    ];
    let count = |standing: ConnectionStanding| (pool.count(standing), standing.name());
    let counts = all.into_iter().map(count).filter(|(count, _)| *count > 0);
    let mut parts: Vec<String> = counts.map(|(count, name)| format!("{count} {name}")).collect();
    if let Some(rate) = pool.opened_per_s() {
        let watched = pool.watched.as_secs_f64();
        parts.push(match pool.opened {
            0 => format!("none seen to be opened over {watched:.1} s"),
            _ => format!("opened at least {rate:.1} a second over {watched:.1} s"),
        });
    }
    writeln!(out, "  {}", parts.join(" · "))
}

/// Writes what ails `pool`, one of `all` that are told.
fn verdict(pool: &ClientPool, all: &[ClientPool], out: &mut impl Write) -> io::Result<()> {
    let ailments = pool.ailments();
    if ailments.is_empty() {
        let (verdict, evidence) = no_ailment(pool);
        writeln!(out, "\n  {HEADING}{verdict}{HEADING:#}")?;
        advise("evidence", &evidence, out)?;
    }
    for ailment in &ailments {
        let (verdict, evidence, next) = words_for(ailment);
        writeln!(out, "\n  {STRIKING}{verdict}{STRIKING:#}")?;
        advise("evidence", &evidence, out)?;
        let next = next.map_or_else(|| where_counted(pool, all), str::to_owned);
        advise("next", &next, out)?;
    }
    let is_told =
        ailments.iter().any(|ailment| matches!(ailment, PoolAilment::Unattributed { .. }));
    if pool.unattributed > 0 && !is_told {
        let (came, whose) = unattributed(pool.unattributed, "more ");
        advise("besides", &format!("{came}; {whose}"), out)?;
    }
    Ok(())
}

/// Where connections are counted that no look saw whose they are.
fn where_counted(pool: &ClientPool, all: &[ClientPool]) -> String {
    if all.iter().any(|other| other.process.is_none() && other.server == pool.server) {
        format!("they are told under {} → {}", words::UNSEEN, pool.server)
    } else {
        count_them_all(pool)
    }
}

/// The verdict on a pool that nothing seems to ail, and what it rests on: what its connections are
/// at. Only a connection that has carried something is a sign of health.
fn no_ailment(pool: &ClientPool) -> (&'static str, String) {
    if pool.connections.is_empty() {
        let gone = words::count(pool.opened, "connection");
        let evidence = format!("{gone} opened while looking, and gone again");
        return ("No connection is left to judge.", evidence);
    }
    let counts = [
        (ConnectionStanding::Busy, "at work"),
        (ConnectionStanding::Idle, "silent since an answer"),
        (ConnectionStanding::Unused, "opened and never used"),
        (ConnectionStanding::Opening, "not through the handshake"),
        (ConnectionStanding::Closing, "closed by the process"),
        (ConnectionStanding::Open, "open, and no more is told"),
    ];
    let counts = counts.map(|(standing, what)| (pool.count(standing), what));
    let parts = counts.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts.map(|(count, what)| format!("{count} {what}")).collect();
    let works = pool.count(ConnectionStanding::Busy) + pool.count(ConnectionStanding::Idle) > 0;
    let verdict = if works { "Looks healthy." } else { "Too little is seen to call it healthy." };
    (verdict, parts.join("; "))
}

fn advise(label: &str, text: &str, out: &mut impl Write) -> io::Result<()> {
    for (n, line) in words::wrap(text, WIDTH - 14).iter().enumerate() {
        let label = if n == 0 { label } else { "" };
        writeln!(out, "    {FAINT}{label:<8}{FAINT:#}  {line}")?;
    }
    Ok(())
}

/// The verdict, what it rests on, and the next step, unless that is to look where it is counted.
fn words_for(ailment: &PoolAilment) -> (&'static str, String, Option<&'static str>) {
    let seconds = |time: &Duration| words::short(*time);
    let (verdict, evidence, next) = match ailment {
        PoolAilment::Unread { connections, bytes, silent } => (
            "Bodies are not read to their end.",
            format!(
                "{} with {bytes} unread bytes, silent for up to {}",
                words::count(*connections, "connection"),
                seconds(silent)
            ),
            "find where a response is kept or thrown away unread; read each body to its end, or \
             drop it, on error paths too",
        ),
        PoolAilment::ClosedByPeer { connections, unnoticed, longest } => (
            "Connections that the server has closed are kept.",
            format!(
                "{} in CLOSE_WAIT{}; unread end: {unnoticed} or more",
                words::count(*connections, "connection"),
                longest.map(|time| format!(", for {}", lasted(time))).unwrap_or_default()
            ),
            "find who holds them: a response that is not read or dropped, or a pool that nobody \
             polls; let its idle timeout be shorter than the server's",
        ),
        PoolAilment::Churn { opened_per_s, idle } => (
            "Connections are opened instead of reused.",
            format!("at least {opened_per_s:.1} opened a second, while {idle} lie idle"),
            "look for a client made anew for each request, for `Connection: close`, and for a cap \
             on idle connections per host below the number of requests at a time",
        ),
        PoolAilment::Unattributed { connections, came_per_s } => {
            let (came, whose) = unattributed(*connections, "more ");
            let evidence = format!("{came}, at least {came_per_s:.1} a second; {whose}");
            return ("Perhaps connections are opened instead of reused.", evidence, None);
        }
        PoolAilment::StaleSoon { connections, idle_timeout } => (
            "The server is about to close idle connections.",
            format!(
                "{} silent for at least four fifths of the server's {}",
                words::count(*connections, "connection"),
                seconds(idle_timeout)
            ),
            "let the client's idle timeout be shorter than the server's; retry a request that \
             meets the close only if it may be sent twice",
        ),
    };
    (verdict, evidence, Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::{Observed, Owner, ServerAddr, TcpState};

    fn connection(
        standing: ConnectionStanding,
        closed_for: Option<StandingTime>,
    ) -> PoolConnection {
        let mut row = crate::list::rows::tests::scene().remove(1);
        if standing != ConnectionStanding::Unread {
            row.socket.recv_queue = Observed::Known(0);
        }
        if standing == ConnectionStanding::ClosedByPeer {
            row.socket.state = TcpState::CloseWait;
        }
        PoolConnection { row, standing, closed_for }
    }

    fn pool(connections: Vec<PoolConnection>, opened: usize) -> ClientPool {
        ClientPool {
            process: Some(Owner { pid: 4712, process: "sequential".to_owned() }),
            server: ServerAddr::new("127.0.0.1:8080".parse().unwrap()),
            connections,
            opened,
            unattributed: 0,
            watched: Duration::from_secs(2),
            idle_timeout: None,
        }
    }

    fn shown(connections: Vec<PoolConnection>, opened: usize) -> String {
        plain(&[pool(connections, opened)], 0)
    }

    fn plain(pools: &[ClientPool], others: usize) -> String {
        crate::plain::plain(WIDTH, |out| text(pools, "of process 4712", others, out))
    }

    #[test]
    fn a_leak_is_told_with_its_evidence_and_what_to_do() {
        let since = StandingTime::AtLeast(Duration::from_secs(2));
        insta::assert_snapshot!(shown(vec![
            connection(ConnectionStanding::ClosedByPeer, Some(since)),
            connection(ConnectionStanding::Unread, None),
            connection(ConnectionStanding::Busy, None),
        ], 10), @r"
        sequential (4712) → 127.0.0.1:8080
          CLIENT           UNREAD  SILENT  SENT  RECEIVED  STANDING
          127.0.0.1:40210          4.10 s    83    300130  closed by peer for at least 2.00 s
          127.0.0.1:40210   57423  4.10 s    83    300130  unread
          127.0.0.1:40210          4.10 s    83    300130  busy
          1 busy · 1 unread · 1 closed by peer · opened at least 5.0 a second over 2.0 s

          Bodies are not read to their end.
            evidence  1 connection with 57423 unread bytes, silent for up to 4.10 s
            next      find where a response is kept or thrown away unread; read each body to its
                      end, or drop it, on error paths too

          Connections that the server has closed are kept.
            evidence  1 connection in CLOSE_WAIT, for at least 2.00 s; unread end: 0 or more
            next      find who holds them: a response that is not read or dropped, or a pool that
                      nobody polls; let its idle timeout be shorter than the server's

          Connections are opened instead of reused.
            evidence  at least 5.0 opened a second, while 0 lie idle
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
        insta::assert_snapshot!(shown(vec![connection(ConnectionStanding::Idle, None)], 0), @r"
        sequential (4712) → 127.0.0.1:8080
          CLIENT           SILENT  SENT  RECEIVED  STANDING
          127.0.0.1:40210  4.10 s    83    300130  idle
          1 idle · none seen to be opened over 2.0 s

          Looks healthy.
            evidence  1 silent since an answer

        Not to be seen from outside: whether the pool itself knows a connection that looks idle;
        bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
        side; connections opened and closed between two looks.
        ");
    }

    #[test]
    fn a_pool_without_connections_is_not_called_healthy() {
        insta::assert_snapshot!(shown(vec![], 1), @r"
        sequential (4712) → 127.0.0.1:8080
          opened at least 0.5 a second over 2.0 s

          No connection is left to judge.
            evidence  1 connection opened while looking, and gone again

        Not to be seen from outside: whether the pool itself knows a connection that looks idle;
        bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
        side; connections opened and closed between two looks.
        ");
    }

    #[test]
    fn connections_that_were_opened_and_never_used_are_said_to_be_just_that() {
        let unused = || connection(ConnectionStanding::Unused, None);
        insta::assert_snapshot!(shown(vec![unused(), unused(), unused()], 0), @r"
        sequential (4712) → 127.0.0.1:8080
          CLIENT           SILENT  SENT  RECEIVED  STANDING
          127.0.0.1:40210  4.10 s    83    300130  never used
          127.0.0.1:40210  4.10 s    83    300130  never used
          127.0.0.1:40210  4.10 s    83    300130  never used
          3 never used · none seen to be opened over 2.0 s

          Too little is seen to call it healthy.
            evidence  3 opened and never used

        Not to be seen from outside: whether the pool itself knows a connection that looks idle;
        bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
        side; connections opened and closed between two looks.
        ");
        insta::assert_snapshot!(shown(vec![unused(), connection(ConnectionStanding::Busy, None)], 1), @r"
        sequential (4712) → 127.0.0.1:8080
          CLIENT           SILENT  SENT  RECEIVED  STANDING
          127.0.0.1:40210  4.10 s    83    300130  never used
          127.0.0.1:40210  4.10 s    83    300130  busy
          1 busy · 1 never used · opened at least 0.5 a second over 2.0 s

          Looks healthy.
            evidence  1 at work; 1 opened and never used

        Not to be seen from outside: whether the pool itself knows a connection that looks idle;
        bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
        side; connections opened and closed between two looks.
        ");
    }

    #[test]
    fn connections_that_nobody_was_seen_to_hold_are_told_with_every_verdict() {
        let with = |connections, opened, unattributed| {
            let pool = ClientPool { unattributed, ..pool(connections, opened) };
            plain(&[pool], 0)
        };
        let idle = || vec![connection(ConnectionStanding::Idle, None)];
        insta::assert_snapshot!(with(idle(), 0, 1), @r"
        sequential (4712) → 127.0.0.1:8080
          CLIENT           SILENT  SENT  RECEIVED  STANDING
          127.0.0.1:40210  4.10 s    83    300130  idle
          1 idle · none seen to be opened over 2.0 s

          Looks healthy.
            evidence  1 silent since an answer
            besides   1 more connection to this server came and went; no look saw whose it was

        Not to be seen from outside: whether the pool itself knows a connection that looks idle;
        bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
        side; connections opened and closed between two looks.
        ");
        insta::assert_snapshot!(with(idle(), 4, 831), @r"
        sequential (4712) → 127.0.0.1:8080
          CLIENT           SILENT  SENT  RECEIVED  STANDING
          127.0.0.1:40210  4.10 s    83    300130  idle
          1 idle · opened at least 2.0 a second over 2.0 s

          Connections are opened instead of reused.
            evidence  at least 2.0 opened a second, while 1 lie idle
            next      look for a client made anew for each request, for `Connection: close`, and
                      for a cap on idle connections per host below the number of requests at a
                      time

          Perhaps connections are opened instead of reused.
            evidence  831 more connections to this server came and went, at least 415.5 a second;
                      no look saw whose they were
            next      `pool --port 8080` counts all connections to this server, whosever they are

        Not to be seen from outside: whether the pool itself knows a connection that looks idle;
        bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
        side; connections opened and closed between two looks.
        ");
        insta::assert_snapshot!(with(vec![], 1, 831), @r"
        sequential (4712) → 127.0.0.1:8080
          opened at least 0.5 a second over 2.0 s

          Perhaps connections are opened instead of reused.
            evidence  831 more connections to this server came and went, at least 415.5 a second;
                      no look saw whose they were
            next      `pool --port 8080` counts all connections to this server, whosever they are

        Not to be seen from outside: whether the pool itself knows a connection that looks idle;
        bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
        side; connections opened and closed between two looks.
        ");
        insta::assert_snapshot!(with(vec![], 1, 1), @r"
        sequential (4712) → 127.0.0.1:8080
          opened at least 0.5 a second over 2.0 s

          No connection is left to judge.
            evidence  1 connection opened while looking, and gone again
            besides   1 more connection to this server came and went; no look saw whose it was

        Not to be seen from outside: whether the pool itself knows a connection that looks idle;
        bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
        side; connections opened and closed between two looks.
        ");
    }

    #[test]
    fn what_is_told_under_nobody_is_not_counted_again() {
        let nobodys = ClientPool { process: None, ..pool(vec![], 831) };
        let somebodys = ClientPool {
            unattributed: 831,
            ..pool(vec![connection(ConnectionStanding::Idle, None)], 0)
        };
        insta::assert_snapshot!(plain(&[nobodys, somebodys], 0), @r"
        ? → 127.0.0.1:8080
          opened at least 415.5 a second over 2.0 s

          Connections are opened instead of reused.
            evidence  at least 415.5 opened a second, while 0 lie idle
            next      look for a client made anew for each request, for `Connection: close`, and
                      for a cap on idle connections per host below the number of requests at a
                      time

        sequential (4712) → 127.0.0.1:8080
          CLIENT           SILENT  SENT  RECEIVED  STANDING
          127.0.0.1:40210  4.10 s    83    300130  idle
          1 idle · none seen to be opened over 2.0 s

          Perhaps connections are opened instead of reused.
            evidence  831 more connections to this server came and went, at least 415.5 a second;
                      no look saw whose they were
            next      they are told under ? → 127.0.0.1:8080

        Not to be seen from outside: whether the pool itself knows a connection that looks idle;
        bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
        side; connections opened and closed between two looks.
        ");
    }

    #[test]
    fn a_process_that_no_look_saw_holding_anything_is_not_said_to_have_nothing() {
        let nobodys = ClientPool { process: None, unattributed: 1663, ..pool(vec![], 0) };
        insta::assert_snapshot!(plain(&[nobodys], 2), @r"
        ? → 127.0.0.1:8080

          No look saw a client connection of process 4712.
            evidence  1663 connections to this server came and went, at least 831.5 a second; no
                      look saw whose they were
            besides   2 sockets there are a server's, which has no pool
            next      `pool --port 8080` counts all connections to this server, whosever they are

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
