//! Joins what the witnesses say: who closed first, and where they disagree. Pure functions.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use evidence::{
    AcceptGap, Close, CloseReason, ClosedBy, Connection, ConnectionId, Disagreement, Ends,
    Observed, Pair, Reading, Side, SocketTable, TcpState,
};

use crate::recorder::{AcceptedNotes, ClosedNotes, ConnectionNotes};

/// `TIME_WAIT` lasts 60 s on Linux; a row that young must still be there.
const SURELY_STILL_IN_TIME_WAIT: Duration = Duration::from_secs(55);

/// Everything the witnesses said, at the end of a run.
pub(crate) struct Testimony<'a> {
    /// True if the client tells of every connection that it pools.
    pub(crate) tells_of_its_pool: bool,
    /// True if the reader of some exchange did not read its body to the end.
    pub(crate) bodies_left_unread: bool,
    pub(crate) started: Instant,
    /// When the table was read after closing.
    pub(crate) read_at: Instant,
    pub(crate) connections: &'a BTreeMap<ConnectionId, ConnectionNotes>,
    /// How many were open by the trace when the table was read while running.
    pub(crate) open_while_running: usize,
    /// When that was.
    pub(crate) running_at: Instant,
    pub(crate) accepted: Option<&'a [AcceptedNotes]>,
    pub(crate) while_running: &'a Reading,
    pub(crate) after_closing: &'a Reading,
    /// True if the kernel keeps no more `TIME_WAIT` sockets than it has, so that one which is
    /// missing says nothing.
    pub(crate) time_wait_is_full: bool,
    /// How many resets this network has sent in the run, whoever let it.
    pub(crate) resets_sent: Option<u64>,
    /// How often an accept queue of this network was full in the run, whosever it was.
    pub(crate) listen_overflows: Option<u64>,
    /// How many dials of the client have neither opened a connection nor failed.
    pub(crate) unfinished_dials: usize,
}

/// The connections of a run, each with the verdict of all witnesses on its end.
pub(crate) fn connections(testimony: &Testimony<'_>) -> Vec<Connection> {
    let table = testimony.after_closing.table.as_ref().ok();
    let rows: HashMap<Ends, Pair> = table
        .map(|table| table.pairs().into_iter().map(|pair| (pair.ends, pair)).collect())
        .unwrap_or_default();
    let last_on = last_on(testimony.connections);
    let server_saw: HashMap<Ends, Option<ClosedBy>> = testimony
        .accepted
        .unwrap_or_default()
        .iter()
        .map(|accepted| (accepted.ends, accepted.closed_by))
        .collect();
    testimony
        .connections
        .iter()
        .map(|(&id, notes)| {
            let speaks_of_it = last_on.get(&notes.ends) == Some(&id);
            let close = notes.closed.as_ref().map(|closed| {
                let closed_for = testimony.read_at.checked_duration_since(closed.at);
                let kernel = match (table, closed_for) {
                    (Some(_), Some(closed_for)) if speaks_of_it => {
                        let pair = rows.get(&notes.ends);
                        holders(pair, closed_for, testimony.time_wait_is_full)
                    }
                    _ => TimeWait::Unknown,
                };
                let server = server_saw.get(&notes.ends).copied().flatten();
                let server = server.filter(|_| speaks_of_it);
                Close {
                    by: closed_first(
                        closed,
                        server,
                        testimony.accepted.is_some(),
                        kernel,
                        testimony.bodies_left_unread,
                    ),
                    why: closed.why.clone(),
                    at: closed.at.duration_since(testimony.started),
                    unread: closed.unread,
                    idle: match closed.idle {
                        None if !testimony.tells_of_its_pool => Observed::NotObservable,
                        idle => Observed::Known(idle),
                    },
                }
            });
            Connection { id, ends: notes.ends, exchanges: notes.exchanges, close }
        })
        .collect()
}

/// The last connection on each pair of addresses: a port may be used again within a run, and the
/// kernel's table then speaks of its last connection.
fn last_on(connections: &BTreeMap<ConnectionId, ConnectionNotes>) -> HashMap<Ends, ConnectionId> {
    connections.iter().map(|(id, notes)| (notes.ends, *id)).collect()
}

/// The end that holds `TIME_WAIT` by the kernel's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TimeWait {
    Client,
    Server,
    Both,
    /// The client has closed first, but the server has not closed its end yet.
    ClientOnTheWay,
    Nobody,
    /// The table does not tell: it could not be read, or was read before the close, or the row
    /// may have left it.
    Unknown,
}

/// Returns true if an end in this state has closed first and is on its way to `TIME_WAIT`.
fn on_the_way(state: TcpState) -> bool {
    matches!(state, TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing)
}

fn holders(pair: Option<&Pair>, closed_for: Duration, full: bool) -> TimeWait {
    let waits = |socket: Option<&evidence::Socket>| {
        socket.is_some_and(|socket| socket.state == TcpState::TimeWait)
    };
    let client_end = pair.and_then(|pair| pair.client.as_ref());
    if client_end.is_some_and(|end| on_the_way(end.state)) {
        return TimeWait::ClientOnTheWay;
    }
    let client = waits(client_end);
    let server = waits(pair.and_then(|pair| pair.server.as_ref()));
    match (client, server) {
        (true, true) => TimeWait::Both,
        (true, false) => TimeWait::Client,
        (false, true) => TimeWait::Server,
        (false, false) if !full && closed_for < SURELY_STILL_IN_TIME_WAIT => TimeWait::Nobody,
        (false, false) => TimeWait::Unknown,
    }
}

/// Returns who closed first, as far as all witnesses together can tell.
///
/// The kernel is believed first: whoever holds `TIME_WAIT` has closed first (RFC 9293 section
/// 3.6). Where nobody holds it, a reset is named only if a witness saw one, or saw what makes the
/// client's kernel send one: bytes of a response that nobody will ever read.
///
/// A server that is not ours cannot be asked (`server_is_ours`). If the client closed first then
/// and nobody holds `TIME_WAIT`, that is the kernel's own testimony for a reset by the peer.
fn closed_first(
    client: &ClosedNotes,
    server: Option<ClosedBy>,
    server_is_ours: bool,
    kernel: TimeWait,
    bodies_left_unread: bool,
) -> ClosedBy {
    let client_first = client.by == ClosedBy::Client;
    let body_unread = client_first && bodies_left_unread;
    let reset_seen = client.by == ClosedBy::Reset
        || server == Some(ClosedBy::Reset)
        || (client.by == ClosedBy::Client && client.unread > 0);
    match kernel {
        TimeWait::Client | TimeWait::ClientOnTheWay => ClosedBy::Client,
        TimeWait::Server => ClosedBy::Server,
        TimeWait::Nobody if body_unread || (client_first && !server_is_ours) => ClosedBy::Reset,
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
    if let Some(accepted) = testimony.accepted
        && accept_gap(testimony).is_none()
    {
        sentences.extend(client_against_server(testimony.connections, accepted));
    }
    if let Ok(table) = &testimony.while_running.table {
        let (open, at) = (testimony.open_while_running, testimony.running_at);
        let gone = reset_unseen(testimony.connections, at);
        sentences.extend(client_against_kernel(open, gone, table));
    }
    if let Some(balance) = time_waits(connections, testimony)
        && balance.missing() > 0
        && time_waits_cut_short(connections, testimony) == 0
    {
        sentences.push(format!(
            "TIME_WAIT: the client closed {} connections first, but the kernel's table holds {} \
             at its end",
            balance.expected, balance.listed
        ));
    }
    sentences.into_iter().map(|sentence| Disagreement { sentence }).collect()
}

/// Connections that only one end tells of.
struct Unmatched<'a> {
    /// Opened by the client.
    never_accepted: Vec<Ends>,
    /// Accepted by the server.
    strangers: Vec<&'a AcceptedNotes>,
}

fn unmatched<'a>(
    connections: &BTreeMap<ConnectionId, ConnectionNotes>,
    accepted: &'a [AcceptedNotes],
) -> Unmatched<'a> {
    // One port may serve several connections, one after the other: count, do not collect.
    let mut ours: HashMap<Ends, usize> = HashMap::new();
    for connection in connections.values() {
        *ours.entry(connection.ends).or_default() += 1;
    }
    let mut strangers = Vec::new();
    for accepted in accepted {
        match ours.get_mut(&accepted.ends) {
            Some(count) if *count > 0 => *count -= 1,
            _ => strangers.push(accepted),
        }
    }
    let times = |(ends, count)| std::iter::repeat_n(ends, count);
    Unmatched { never_accepted: ours.into_iter().flat_map(times).collect(), strangers }
}

/// The difference between what the client opened and what the server accepted, if witnesses explain
/// all of it; `None` if a part stays unexplained.
///
/// A connection that was never accepted is in the accept queue if the kernel lists its server's end
/// as open; any other is the client's alone, and there the queue must have been full at least once.
/// A connection that only the server tells of may be a dial of the client's that was given up, but
/// only as long as there are as many of those, and if nobody sent a request on it.
pub(crate) fn accept_gap(testimony: &Testimony<'_>) -> Option<AcceptGap> {
    let table = testimony.after_closing.table.as_ref().ok();
    let Unmatched { never_accepted, strangers } =
        unmatched(testimony.connections, testimony.accepted?);
    let kept: HashSet<Ends> = table
        .into_iter()
        .flat_map(|table| &table.sockets)
        .filter(|socket| socket.side == Some(Side::Server))
        .filter(|socket| !matches!(socket.state, TcpState::SynReceived | TcpState::TimeWait))
        .filter_map(evidence::Socket::ends)
        .collect();
    let in_queue = never_accepted.iter().filter(|ends| kept.contains(ends)).count();
    let half_open = never_accepted.len() - in_queue;
    let overflows = testimony.listen_overflows.unwrap_or(0);
    let dials_of_ours = strangers.len() <= testimony.unfinished_dials
        && strangers.iter().all(|accepted| !accepted.asked);
    (half_open as u64 <= overflows && dials_of_ours).then_some(AcceptGap {
        in_queue,
        half_open,
        given_up: strangers.len(),
    })
}

fn client_against_server(
    connections: &BTreeMap<ConnectionId, ConnectionNotes>,
    accepted: &[AcceptedNotes],
) -> Option<String> {
    let Unmatched { never_accepted, strangers } = unmatched(connections, accepted);
    let parts: Vec<String> = [
        (strangers.len(), "that the client's trace does not know"),
        (never_accepted.len(), "of the client's never accepted"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    (!parts.is_empty()).then(|| {
        format!(
            "connections: the client opened {}, the server accepted {} ({})",
            connections.len(),
            accepted.len(),
            parts.join(", ")
        )
    })
}

/// How many connections were open by the trace at `at`, and were found to be reset by the peer when
/// they were closed: as nobody reads a body that is held, nobody has noticed before, and they may
/// have been gone from the kernel's table for long.
fn reset_unseen(connections: &BTreeMap<ConnectionId, ConnectionNotes>, at: Instant) -> usize {
    let closed = connections.values().filter_map(|connection| connection.closed.as_ref());
    closed.filter(|closed| closed.by == ClosedBy::Reset && closed.at >= at).count()
}

/// While running, the connections that are open by the trace must be those that the kernel lists;
/// `gone` of them may have left the table.
fn client_against_kernel(open: usize, gone: usize, table: &SocketTable) -> Option<String> {
    let listed = table.count(Side::Client, TcpState::Established)
        + table.count(Side::Client, TcpState::CloseWait);
    (!(open.saturating_sub(gone)..=open).contains(&listed)).then(|| {
        format!(
            "open connections while running: {open} by the client, {listed} by the kernel's table"
        )
    })
}

/// The client's ends that have to be in `TIME_WAIT` after closing, and those that are.
struct TimeWaitBalance {
    expected: usize,
    listed: usize,
}

impl TimeWaitBalance {
    fn missing(&self) -> usize {
        self.expected.saturating_sub(self.listed)
    }
}

/// How many `TIME_WAIT`s of the client's are gone before their time, if the resets that this network
/// has sent account for all of them: a reset ends a `TIME_WAIT`, too (RFC 1337). The resets that
/// ended connections are not among those.
pub(crate) fn time_waits_cut_short(connections: &[Connection], testimony: &Testimony<'_>) -> usize {
    let Some(balance) = time_waits(connections, testimony) else { return 0 };
    let ended_connections =
        connections.iter().filter_map(|it| it.close.as_ref()).filter(|it| it.by == ClosedBy::Reset);
    let resets = testimony.resets_sent.unwrap_or(0);
    let others = resets.saturating_sub(ended_connections.count() as u64);
    if balance.missing() as u64 <= others { balance.missing() } else { 0 }
}

/// After closing, a connection that the client closed first must be in `TIME_WAIT` at its end, or
/// on the way there, unless that was too long ago. Only where our own server is a witness too: a
/// server of somebody else's may have answered the FIN with a reset, which nobody tells us.
fn time_waits(connections: &[Connection], testimony: &Testimony<'_>) -> Option<TimeWaitBalance> {
    let table = testimony.after_closing.table.as_ref().ok()?;
    testimony.accepted?;
    if testimony.time_wait_is_full {
        return None;
    }
    let read_after = testimony.read_at.duration_since(testimony.started);
    let recent = read_after.saturating_sub(SURELY_STILL_IN_TIME_WAIT)..read_after;
    let last_on = last_on(testimony.connections);
    let expected: HashSet<Ends> = connections
        .iter()
        .filter(|connection| last_on.get(&connection.ends) == Some(&connection.id))
        .filter(|connection| {
            let close = connection.close.as_ref();
            close.is_some_and(|c| {
                // What the system gave up was never closed, so nobody waits.
                let is_closed = c.why != Observed::Known(CloseReason::GivenUp);
                is_closed && c.by == ClosedBy::Client && recent.contains(&c.at)
            })
        })
        .map(|connection| connection.ends)
        .collect();
    let listed = table
        .sockets
        .iter()
        .filter(|socket| socket.side == Some(Side::Client))
        .filter(|socket| socket.state == TcpState::TimeWait || on_the_way(socket.state))
        .filter(|socket| socket.ends().is_some_and(|ends| expected.contains(&ends)))
        .count();
    Some(TimeWaitBalance { expected: expected.len(), listed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::{ClientAddr, Unreadable};

    fn closed(by: ClosedBy, unread: u64) -> ClosedNotes {
        ClosedNotes { at: Instant::now(), by, why: Observed::NotObservable, unread, idle: None }
    }

    #[test]
    fn whoever_holds_time_wait_has_closed_first_whatever_an_end_believes() {
        for unread in [false, true] {
            let itself = closed(ClosedBy::Client, 0);
            assert_eq!(
                closed_first(&itself, None, true, TimeWait::Server, unread),
                ClosedBy::Server
            );
            let server = closed(ClosedBy::Server, 0);
            assert_eq!(
                closed_first(&server, None, true, TimeWait::Client, unread),
                ClosedBy::Client
            );
        }
    }

    #[test]
    fn nobody_in_time_wait_is_a_reset_only_if_something_speaks_for_one() {
        let cases = [
            (closed(ClosedBy::Client, 0), None, false, ClosedBy::Client),
            (closed(ClosedBy::Client, 1), None, false, ClosedBy::Reset),
            (closed(ClosedBy::Client, 0), None, true, ClosedBy::Reset),
            (closed(ClosedBy::Client, 0), Some(ClosedBy::Reset), false, ClosedBy::Reset),
            (closed(ClosedBy::Reset, 0), None, false, ClosedBy::Reset),
            (closed(ClosedBy::Server, 0), None, true, ClosedBy::Server),
        ];
        for (client, server, unread, by) in cases {
            assert_eq!(
                closed_first(&client, server, true, TimeWait::Nobody, unread),
                by,
                "{client:?}"
            );
        }
    }

    #[test]
    fn a_server_that_has_not_closed_its_end_makes_no_reset() {
        for unread in [false, true] {
            let client = closed(ClosedBy::Client, 0);
            let by = closed_first(&client, None, false, TimeWait::ClientOnTheWay, unread);
            assert_eq!(by, ClosedBy::Client);
        }
    }

    #[test]
    fn nobody_in_time_wait_is_a_reset_by_a_server_that_cannot_be_asked() {
        let client = closed(ClosedBy::Client, 0);
        for (ours, by) in [(true, ClosedBy::Client), (false, ClosedBy::Reset)] {
            let told = closed_first(&client, None, ours, TimeWait::Nobody, false);
            assert_eq!(told, by);
        }
    }

    #[test]
    fn a_row_older_than_time_wait_lasts_proves_nothing() {
        assert_eq!(holders(None, Duration::from_secs(1), false), TimeWait::Nobody);
        assert_eq!(holders(None, Duration::from_secs(60), false), TimeWait::Unknown);
    }

    #[test]
    fn a_row_that_the_kernel_had_no_room_for_proves_nothing() {
        assert_eq!(holders(None, Duration::from_secs(1), true), TimeWait::Unknown);
    }

    fn ends(port: u16) -> Ends {
        let client = ClientAddr::new(([127, 0, 0, 1], port).into());
        Ends { client, server: evidence::ServerAddr::new(([127, 0, 0, 1], 8080).into()) }
    }

    fn opened(ports: &[u16]) -> BTreeMap<ConnectionId, ConnectionNotes> {
        let fresh =
            |&port: &u16| ConnectionNotes { exchanges: 1, ..ConnectionNotes::opened(ends(port)) };
        (1..).map(ConnectionId).zip(ports.iter().map(fresh)).collect()
    }

    fn accepted(port: u16) -> AcceptedNotes {
        let (at, ends) = (Instant::now(), ends(port));
        AcceptedNotes { at, ends, asked: false, closed_by: None, why: None }
    }

    #[test]
    fn a_stranger_at_our_server_is_told_as_one() {
        let opened = opened(&[1001, 1002]);
        assert_eq!(client_against_server(&opened, &[accepted(1001), accepted(1002)]), None);
        insta::assert_snapshot!(
            client_against_server(&opened, &[accepted(1001), accepted(1002), accepted(7)]).unwrap(),
            @"connections: the client opened 2, the server accepted 3 (1 that the client's trace does not know)"
        );
        insta::assert_snapshot!(
            client_against_server(&opened, &[accepted(1001)]).unwrap(),
            @"connections: the client opened 2, the server accepted 1 (1 of the client's never accepted)"
        );
        insta::assert_snapshot!(
            client_against_server(&opened, &[accepted(1001), accepted(7)]).unwrap(),
            @"connections: the client opened 2, the server accepted 2 (1 that the client's trace does not know, 1 of the client's never accepted)"
        );
    }

    #[test]
    fn an_open_connection_that_the_kernel_does_not_list_is_told() {
        insta::assert_snapshot!(
            client_against_kernel(3, 2, &SocketTable::default()).unwrap(),
            @"open connections while running: 3 by the client, 0 by the kernel's table"
        );
        assert_eq!(client_against_kernel(0, 0, &SocketTable::default()), None);
        assert_eq!(client_against_kernel(3, 3, &SocketTable::default()), None);
    }

    /// What an accept queue leaves behind: the client opened 1001, 1002 and 1003, and the kernel
    /// lists the server's end of 1002 alone as open.
    fn beside_a_full_queue<T>(
        accepted: &[AcceptedNotes],
        listen_overflows: Option<u64>,
        unfinished_dials: usize,
        says: impl Fn(&Testimony<'_>) -> T,
    ) -> T {
        let opened = opened(&[1001, 1002, 1003]);
        let end = |port, state| evidence::Socket {
            local: ends(port).server.socket_addr(),
            peer: ends(port).client.socket_addr(),
            state,
            side: Some(Side::Server),
            recv_queue: Observed::NotObservable,
            send_queue: Observed::NotObservable,
            timer: Observed::NotObservable,
            cookie: Observed::NotObservable,
            owners: Observed::NotObservable,
        };
        let sockets = vec![end(1002, TcpState::Established), end(1003, TcpState::SynReceived)];
        let while_running = Reading { table: Err(Unreadable(String::new())), settled: true };
        let after_closing = Reading { table: Ok(SocketTable { sockets }), settled: true };
        says(&Testimony {
            bodies_left_unread: false,
            started: Instant::now(),
            read_at: Instant::now(),
            connections: &opened,
            open_while_running: 0,
            running_at: Instant::now(),
            accepted: Some(accepted),
            while_running: &while_running,
            after_closing: &after_closing,
            time_wait_is_full: false,
            resets_sent: None,
            listen_overflows,
            tells_of_its_pool: true,
            unfinished_dials,
        })
    }

    #[test]
    fn a_connection_that_a_full_accept_queue_kept_from_the_server_is_explained_by_the_counter() {
        let accepted = [accepted(1001)];
        let gap = AcceptGap { in_queue: 1, half_open: 1, given_up: 0 };
        for (overflows, explained) in
            [(None, None), (Some(0), None), (Some(1), Some(gap)), (Some(9), Some(gap))]
        {
            let (told, disagree) = beside_a_full_queue(&accepted, overflows, 0, |testimony| {
                (accept_gap(testimony), disagreements(testimony, &[]))
            });
            assert_eq!(told, explained, "{overflows:?}");
            assert_eq!(disagree.is_empty(), explained.is_some(), "{overflows:?}: {disagree:?}");
        }
    }

    #[test]
    fn a_stranger_is_a_dial_given_up_only_if_there_is_one_and_nobody_asked_on_it() {
        let all = [accepted(1001), accepted(1002), accepted(1003)];
        let gap = AcceptGap { in_queue: 0, half_open: 0, given_up: 1 };
        for (asked, dials, explained) in
            [(false, 0, None), (false, 1, Some(gap)), (false, 7, Some(gap)), (true, 7, None)]
        {
            let stranger = AcceptedNotes { asked, ..accepted(7) };
            let accepted: Vec<_> = all.iter().cloned().chain([stranger]).collect();
            let told = beside_a_full_queue(&accepted, Some(9), dials, accept_gap);
            assert_eq!(told, explained, "asked {asked}, {dials} dials");
        }
    }

    #[test]
    fn a_time_wait_that_a_reset_may_have_ended_is_no_disagreement_and_without_a_reset_it_is() {
        let close = |by| Close {
            by,
            why: Observed::NotObservable,
            at: Duration::ZERO,
            unread: 0,
            idle: Observed::NotObservable,
        };
        let closed = |id: u16, by| Connection {
            id: ConnectionId(id.into()),
            ends: ends(1000 + id),
            exchanges: 1,
            close: Some(close(by)),
        };
        // Three the client closed first, of which the kernel lists none; and one reset.
        let by = [ClosedBy::Client, ClosedBy::Client, ClosedBy::Client, ClosedBy::Reset];
        let connections: Vec<Connection> = (1..).zip(by).map(|(id, by)| closed(id, by)).collect();
        let opened = opened(&[1001, 1002, 1003, 1004]);
        let reading = Reading::default();
        for (resets_sent, cut_short) in [(None, 0), (Some(0), 0), (Some(3), 0), (Some(4), 3)] {
            let testimony = Testimony {
                tells_of_its_pool: true,
                bodies_left_unread: false,
                started: Instant::now(),
                read_at: Instant::now(),
                connections: &opened,
                open_while_running: 0,
                running_at: Instant::now(),
                accepted: Some(&[]),
                while_running: &reading,
                after_closing: &reading,
                time_wait_is_full: false,
                resets_sent,
                listen_overflows: None,
                unfinished_dials: 0,
            };
            assert_eq!(time_waits_cut_short(&connections, &testimony), cut_short);
            let told = disagreements(&testimony, &connections);
            let is_told = told.iter().any(|it| it.sentence.starts_with("TIME_WAIT"));
            assert_eq!(is_told, cut_short == 0, "{resets_sent:?}: {told:?}");
        }
    }
}
