//! Joins what the witnesses say: who closed first, and where they disagree. Pure functions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use evidence::{
    BodyPolicy, ClientAddr, Close, ClosedBy, Connection, ConnectionId, Disagreement, Ends, Pair,
    Reading, Side, SocketTable, TcpState,
};

use crate::recorder::{AcceptedNotes, ClosedNotes, ConnectionNotes};

/// `TIME_WAIT` lasts 60 s on Linux; a row that young must still be there.
const SURELY_STILL_IN_TIME_WAIT: Duration = Duration::from_secs(55);

/// Everything the witnesses said, at the end of a run.
pub(crate) struct Testimony<'a> {
    /// What was done with each body.
    pub(crate) body: BodyPolicy,
    pub(crate) started: Instant,
    pub(crate) now: Instant,
    pub(crate) connections: &'a BTreeMap<ConnectionId, ConnectionNotes>,
    /// How many were open by the trace when the table was read while running.
    pub(crate) open_while_running: usize,
    pub(crate) accepted: Option<&'a [AcceptedNotes]>,
    pub(crate) while_running: &'a Reading,
    pub(crate) after_closing: &'a Reading,
}

/// The connections of a run, each with the verdict of all witnesses on its end.
pub(crate) fn connections(testimony: &Testimony<'_>) -> Vec<Connection> {
    let table = testimony.after_closing.table.as_ref().ok();
    let rows: HashMap<Ends, Pair> = table
        .map(|table| table.pairs().into_iter().map(|pair| (pair.ends, pair)).collect())
        .unwrap_or_default();
    // A port may be used again within a run; the table then speaks of its last connection.
    let last_on: HashMap<Ends, ConnectionId> =
        testimony.connections.iter().map(|(id, notes)| (notes.ends, *id)).collect();
    let server_saw: HashMap<ClientAddr, Option<ClosedBy>> = testimony
        .accepted
        .unwrap_or_default()
        .iter()
        .map(|accepted| (accepted.peer, accepted.closed_by))
        .collect();
    testimony
        .connections
        .iter()
        .map(|(&id, notes)| {
            let speaks_of_it = last_on.get(&notes.ends) == Some(&id);
            let close = notes.closed.as_ref().map(|closed| {
                let kernel = match table {
                    Some(_) if speaks_of_it => {
                        holders(rows.get(&notes.ends), testimony.now.duration_since(closed.at))
                    }
                    _ => TimeWait::Unknown,
                };
                let server = server_saw.get(&notes.ends.client).copied().flatten();
                let server = server.filter(|_| speaks_of_it);
                Close {
                    by: closed_first(closed, server, kernel, testimony.body),
                    why: closed.why.clone(),
                    at: closed.at.duration_since(testimony.started),
                    unread: closed.unread,
                }
            });
            Connection { id, ends: notes.ends, exchanges: notes.exchanges, close }
        })
        .collect()
}

/// Who holds `TIME_WAIT` by the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeWait {
    Client,
    Server,
    Both,
    Nobody,
    /// The table does not tell: it could not be read, or the row may have left it.
    Unknown,
}

fn holders(pair: Option<&Pair>, closed_for: Duration) -> TimeWait {
    let waits = |socket: Option<&evidence::Socket>| {
        socket.is_some_and(|socket| socket.state == TcpState::TimeWait)
    };
    let client = waits(pair.and_then(|pair| pair.client.as_ref()));
    let server = waits(pair.and_then(|pair| pair.server.as_ref()));
    match (client, server) {
        (true, true) => TimeWait::Both,
        (true, false) => TimeWait::Client,
        (false, true) => TimeWait::Server,
        (false, false) if closed_for < SURELY_STILL_IN_TIME_WAIT => TimeWait::Nobody,
        (false, false) => TimeWait::Unknown,
    }
}

/// Who closed first, as far as all witnesses together can tell.
///
/// The kernel is believed first: whoever holds `TIME_WAIT` has closed first (RFC 9293 section
/// 3.6). Where nobody holds it, a reset is named only if a witness saw one, or saw what makes the
/// client's kernel send one: bytes of a response that nobody will ever read.
fn closed_first(
    client: &ClosedNotes,
    server: Option<ClosedBy>,
    kernel: TimeWait,
    body: BodyPolicy,
) -> ClosedBy {
    let body_unread = client.by == ClosedBy::Client && body != BodyPolicy::Drain;
    let reset_seen = client.by == ClosedBy::Reset
        || server == Some(ClosedBy::Reset)
        || (client.by == ClosedBy::Client && client.unread > 0);
    match kernel {
        TimeWait::Client => ClosedBy::Client,
        TimeWait::Server => ClosedBy::Server,
        TimeWait::Nobody if body_unread => ClosedBy::Reset,
        TimeWait::Both | TimeWait::Nobody | TimeWait::Unknown if reset_seen => ClosedBy::Reset,
        TimeWait::Both | TimeWait::Nobody | TimeWait::Unknown => client.by,
    }
}

/// Every number on which two witnesses do not agree.
pub(crate) fn disagreements(
    testimony: &Testimony<'_>,
    connections: &[Connection],
) -> Vec<Disagreement> {
    let mut sentences = Vec::new();
    if let Some(accepted) = testimony.accepted {
        sentences.extend(client_against_server(testimony.connections, accepted));
    }
    if let Ok(table) = &testimony.while_running.table {
        sentences.extend(client_against_kernel(testimony.open_while_running, table));
    }
    if let Ok(table) = &testimony.after_closing.table {
        sentences.extend(closes_against_time_wait(connections, table, testimony));
    }
    sentences.into_iter().map(|sentence| Disagreement { sentence }).collect()
}

fn client_against_server(
    connections: &BTreeMap<ConnectionId, ConnectionNotes>,
    accepted: &[AcceptedNotes],
) -> Option<String> {
    if connections.len() == accepted.len() {
        return None;
    }
    let strangers = accepted
        .iter()
        .filter(|accepted| !connections.values().any(|c| c.ends.client == accepted.peer))
        .count();
    let explanation = match strangers {
        0 => String::new(),
        n => format!(" ({n} of them from another client)"),
    };
    Some(format!(
        "connections: the client opened {}, the server accepted {}{explanation}",
        connections.len(),
        accepted.len()
    ))
}

/// While running, the connections that are open by the trace must be those that the kernel lists.
fn client_against_kernel(open: usize, table: &SocketTable) -> Option<String> {
    let listed = table.count(Side::Client, TcpState::Established)
        + table.count(Side::Client, TcpState::CloseWait);
    (open != listed).then(|| {
        format!(
            "open connections while running: {open} by the client, {listed} by the kernel's table"
        )
    })
}

/// After closing, a connection that the client closed first must be in `TIME_WAIT` at its end,
/// unless that was too long ago or its port has been used again.
fn closes_against_time_wait(
    connections: &[Connection],
    table: &SocketTable,
    testimony: &Testimony<'_>,
) -> Option<String> {
    let recent =
        testimony.now.duration_since(testimony.started).saturating_sub(SURELY_STILL_IN_TIME_WAIT);
    let expected: HashSet<Ends> = connections
        .iter()
        .filter(|connection| {
            connection.close.as_ref().is_some_and(|c| c.by == ClosedBy::Client && c.at >= recent)
        })
        .map(|connection| connection.ends)
        .collect();
    let listed = table
        .sockets
        .iter()
        .filter(|socket| socket.ends().is_some_and(|ends| expected.contains(&ends)))
        .filter(|socket| socket.side == Some(Side::Client) && socket.state == TcpState::TimeWait)
        .count();
    (listed < expected.len()).then(|| {
        format!(
            "TIME_WAIT: the client closed {} connections first, but the kernel's table holds {listed} \
             at its end (the kernel drops some beyond net.ipv4.tcp_max_tw_buckets)",
            expected.len()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::Observed;

    fn closed(by: ClosedBy, unread: u64) -> ClosedNotes {
        ClosedNotes { at: Instant::now(), by, why: Observed::NotObservable, unread }
    }

    #[test]
    fn whoever_holds_time_wait_has_closed_first_whatever_an_end_believes() {
        for body in BodyPolicy::ALL {
            let itself = closed(ClosedBy::Client, 0);
            assert_eq!(closed_first(&itself, None, TimeWait::Server, body), ClosedBy::Server);
            let server = closed(ClosedBy::Server, 0);
            assert_eq!(closed_first(&server, None, TimeWait::Client, body), ClosedBy::Client);
        }
    }

    #[test]
    fn nobody_in_time_wait_is_a_reset_only_if_something_speaks_for_one() {
        use BodyPolicy::{Drain, Drop};
        let cases = [
            (closed(ClosedBy::Client, 0), None, Drain, ClosedBy::Client),
            (closed(ClosedBy::Client, 1), None, Drain, ClosedBy::Reset),
            (closed(ClosedBy::Client, 0), None, Drop, ClosedBy::Reset),
            (closed(ClosedBy::Client, 0), Some(ClosedBy::Reset), Drain, ClosedBy::Reset),
            (closed(ClosedBy::Reset, 0), None, Drain, ClosedBy::Reset),
            (closed(ClosedBy::Server, 0), None, Drop, ClosedBy::Server),
        ];
        for (client, server, body, by) in cases {
            assert_eq!(closed_first(&client, server, TimeWait::Nobody, body), by, "{client:?}");
        }
    }

    #[test]
    fn a_row_older_than_time_wait_lasts_proves_nothing() {
        assert_eq!(holders(None, Duration::from_secs(1)), TimeWait::Nobody);
        assert_eq!(holders(None, Duration::from_secs(60)), TimeWait::Unknown);
    }

    fn opened(ports: &[u16]) -> BTreeMap<ConnectionId, ConnectionNotes> {
        (1..)
            .zip(ports)
            .map(|(id, port)| {
                let client = ClientAddr::new(([127, 0, 0, 1], *port).into());
                let server = evidence::ServerAddr::new(([127, 0, 0, 1], 8080).into());
                let ends = Ends { client, server };
                (ConnectionId(id), ConnectionNotes { ends, exchanges: 1, closed: None })
            })
            .collect()
    }

    #[test]
    fn a_stranger_at_our_server_is_told_as_one() {
        let accepted = |port: u16| AcceptedNotes {
            peer: ClientAddr::new(([127, 0, 0, 1], port).into()),
            closed_by: None,
        };
        let opened = opened(&[1001, 1002]);
        assert_eq!(client_against_server(&opened, &[accepted(1001), accepted(1002)]), None);
        insta::assert_snapshot!(
            client_against_server(&opened, &[accepted(1001), accepted(1002), accepted(7)]).unwrap(),
            @"connections: the client opened 2, the server accepted 3 (1 of them from another client)"
        );
        insta::assert_snapshot!(
            client_against_server(&opened, &[accepted(1001)]).unwrap(),
            @"connections: the client opened 2, the server accepted 1"
        );
    }

    #[test]
    fn an_open_connection_that_the_kernel_does_not_list_is_told() {
        insta::assert_snapshot!(
            client_against_kernel(3, &SocketTable::default()).unwrap(),
            @"open connections while running: 3 by the client, 0 by the kernel's table"
        );
        assert_eq!(client_against_kernel(0, &SocketTable::default()), None);
    }
}
