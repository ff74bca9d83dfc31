//! Pools as text: each connection's standing, then what ails the pool, why, and what to do.

use std::io;
use std::time::Duration;

use super::ailments::PoolAilment;
use super::client_pool::ClientPool;
use super::dials::DialCount;
use super::lives::PoolLives;
use super::standing::{ConnectionStanding, PoolConnection, StandingTime};
use verdict::{no_ailment, words_for};

use report::columns::{Cell, Table};
use report::page::Page;
use report::words::{self, FAINT, HEADING, STRIKING};

mod verdict;

/// The width of its page where nobody has measured it, and of its sentences at most.
pub(super) const WIDTH: usize = 90;
/// Connections that are shown of one pool.
const SHOWN: usize = 20;

/// The facts that nobody sees from outside.
const UNKNOWABLE: &str = "Not to be seen from outside: whether the pool itself knows a connection \
    that looks idle; bodies that wait inside the process; the number of exchanges; what HTTP/2 \
    carries side by side; connections opened and closed between two looks.";

/// Writes `pools`. `whose` completes "No client connection …"; `others` is the number of sockets
/// that were left out, as they listen or are a server's end; `dials` is the kernel's count of
/// connections, where it can be held against the looks.
///
/// # Errors
/// Those of `out`.
pub(crate) fn text(
    pools: &[ClientPool],
    whose: &str,
    others: usize,
    dials: Option<DialCount>,
    out: &mut impl Page,
) -> io::Result<()> {
    let of_a_server = (others > 0).then(|| {
        format!("{} there are a server's, which has no pool", words::count(others, "socket"))
    });
    if pools.is_empty() {
        write!(out, "No client connection {whose}.")?;
        if let Some(of_a_server) = of_a_server {
            write!(out, " {of_a_server}.")?;
        }
        writeln!(out)?;
        return dials.map_or(Ok(()), |dials| {
            writeln!(out)?;
            unseen_dials(dials, out)
        });
    }
    for pool in pools {
        if is_nothing_but_unattributed(pool) {
            perhaps(pool, whose, of_a_server.as_deref(), out)?;
            continue;
        }
        heading(pool, out)?;
        if !pool.connections.is_empty() {
            // What went over a connection can be done without first, then how long it has been silent.
            table(pool).narrowed(out.width(), 5).write_within(&[3, 4, 2], out)?;
        }
        let more = pool.connections.len().saturating_sub(SHOWN);
        if more > 0 {
            writeln!(out, "  {FAINT}and {more} more{FAINT:#}")?;
        }
        counts(pool, out)?;
        verdict(pool, pools, out)?;
        writeln!(out)?;
    }
    // Where a pool was seen, those of others would only be noise.
    if let Some(dials) = dials.filter(|_| pools.iter().all(is_nothing_but_unattributed)) {
        unseen_dials(dials, out)?;
    }
    for line in words::wrap(UNKNOWABLE, out.width().min(WIDTH)) {
        writeln!(out, "{FAINT}{line}{FAINT:#}")?;
    }
    Ok(())
}

/// `curl (4712) → 127.0.0.1:8080`
fn heading(pool: &ClientPool, out: &mut impl Page) -> io::Result<()> {
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
    out: &mut impl Page,
) -> io::Result<()> {
    heading(pool, out)?;
    closers(&pool.lives, out)?;
    writeln!(out)?;
    for line in words::wrap(&format!("No look saw a client connection {whose}."), out.width() - 2) {
        writeln!(out, "  {STRIKING}{line}{STRIKING:#}")?;
    }
    let (came, whose_they_were) = unattributed(pool.unattributed, "");
    let rate = at_least_each_second(pool.unattributed, pool.watched);
    advise("evidence", &format!("{came}{rate}; {whose_they_were}"), out)?;
    of_a_server.map_or(Ok(()), |besides| advise("besides", besides, out))?;
    advise("next", &count_them_all(pool), out)?;
    writeln!(out)
}

/// Says what the kernel counted and no look has caught.
fn unseen_dials(dials: DialCount, out: &mut impl Page) -> io::Result<()> {
    let DialCount { dialled, seen } = dials;
    let said = format!(
        "The kernel counted {dialled} dials in this network, by whomever, while pool looked; looks \
         caught {seen} of them. `sudo socket-inspector trace` tells each."
    );
    for line in words::wrap(&said, out.width().min(WIDTH)) {
        writeln!(out, "{line}")?;
    }
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
            ConnectionStanding::Unread
            | ConnectionStanding::ClosedByPeer
            | ConnectionStanding::Unanswered
            | ConnectionStanding::ToItself => STRIKING,
            _ => anstyle::Style::new(),
        };
        [
            Cell::new(words::address(connection.row.socket.local)),
            bytes(unread).styled(STRIKING),
            Cell::new(silent).right(),
            bytes(connection.row.sent_once().known()),
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
fn counts(pool: &ClientPool, out: &mut impl Page) -> io::Result<()> {
    let all = [
        ConnectionStanding::Busy,
        ConnectionStanding::Idle,
        ConnectionStanding::Unused,
        ConnectionStanding::Unread,
        ConnectionStanding::ClosedByPeer,
        ConnectionStanding::Unanswered,
        ConnectionStanding::ToItself,
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
    for line in words::wrap(&parts.join(" · "), out.width() - 2) {
        writeln!(out, "  {line}")?;
    }
    closers(&pool.lives, out)
}

/// `closed first: 3 by the server, 1 by the client, while looking`
fn closers(lives: &PoolLives, out: &mut impl Page) -> io::Result<()> {
    let by = [
        (lives.by_servers(), "by the server"),
        (lives.by_client, "by the client"),
        (lives.gone, "by the server, or reset by either"),
    ];
    let parts: Vec<String> =
        by.iter().filter(|(n, _)| *n > 0).map(|(n, whom)| format!("{n} {whom}")).collect();
    if parts.is_empty() {
        return Ok(());
    }
    let said = format!("closed first while looking: {}", parts.join(" · "));
    words::wrap(&said, out.width() - 2).iter().try_for_each(|line| writeln!(out, "  {line}"))
}

/// Writes what ails `pool`, one of `all` that are told.
fn verdict(pool: &ClientPool, all: &[ClientPool], out: &mut impl Page) -> io::Result<()> {
    let ailments = pool.ailments();
    if ailments.is_empty() {
        let (verdict, evidence) = no_ailment(pool);
        writeln!(out, "\n  {HEADING}{verdict}{HEADING:#}")?;
        advise("evidence", &evidence, out)?;
    }
    for ailment in &ailments {
        let words = words_for(ailment, pool);
        writeln!(out)?;
        for line in words::wrap(words.verdict, out.width() - 2) {
            writeln!(out, "  {STRIKING}{line}{STRIKING:#}")?;
        }
        advise("evidence", &words.evidence, out)?;
        let next = words.next.unwrap_or_else(|| where_counted(pool, all));
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

fn advise(label: &str, text: &str, out: &mut impl Page) -> io::Result<()> {
    for (n, line) in words::wrap(text, out.width().min(WIDTH) - 14).iter().enumerate() {
        let label = if n == 0 { label } else { "" };
        writeln!(out, "    {FAINT}{label:<8}{FAINT:#}  {line}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
