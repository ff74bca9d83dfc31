//! What ails a pool, in words: the verdict, what it rests on, and the next step.

use evidence::AcceptQueue;
use report::words;

use super::{lasted, unattributed};
use crate::pool::ailments::{ChurnCause, PoolAilment};
use crate::pool::client_pool::ClientPool;
use crate::pool::lives::PoolLives;
use crate::pool::standing::ConnectionStanding;

/// The verdict on a pool that nothing seems to ail, and what it rests on: what its connections are
/// at. Only a connection that is at work, or was used again, is a sign of health.
pub(super) fn no_ailment(pool: &ClientPool) -> (&'static str, String) {
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
    let mut parts: Vec<String> = counts
        .into_iter()
        .map(|(standing, what)| (pool.count(standing), what))
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let again = pool.lives.used_again;
    let (busy, idle) = (pool.count(ConnectionStanding::Busy), pool.count(ConnectionStanding::Idle));
    if again > 0 {
        parts.push(format!("{again} used again while looking"));
    } else if busy == 0 && idle > 0 {
        parts.push("none seen to be used again: --watch 10 looks longer".to_owned());
    }
    let verdict = match (busy + again, idle) {
        (1.., _) => "Looks healthy.",
        (0, 1..) => "Looks at rest.",
        (0, 0) => "Too little is seen to call it healthy.",
    };
    (verdict, parts.join("; "))
}

/// An ailment in words.
pub(super) struct AilmentWords {
    pub(super) verdict: &'static str,
    pub(super) evidence: String,
    /// The next step, unless that is to look where it is counted.
    pub(super) next: Option<String>,
}

/// Returns an ailment of `pool` in words.
pub(super) fn words_for(ailment: &PoolAilment, pool: &ClientPool) -> AilmentWords {
    let of = |count: &usize| words::count(*count, "connection");
    let (verdict, evidence, next) = match ailment {
        PoolAilment::ToItself { connections } => to_itself(*connections),
        PoolAilment::NoHandshake { connections, syns_again, full } => {
            no_handshake(*connections, *syns_again, *full, pool)
        }
        PoolAilment::Unanswered { .. } => unanswered(ailment),
        PoolAilment::Unread { connections, bytes, silent } => (
            "Bodies are not read to their end.",
            format!(
                "{} with {bytes} unread bytes, silent for up to {}",
                of(connections),
                words::short(*silent)
            ),
            "find where a response is kept or thrown away unread; read each body to its end, or \
             drop it, on error paths too"
                .to_owned(),
        ),
        PoolAilment::ClosedByPeer { connections, unnoticed, longest } => (
            "Connections that the server has closed are kept.",
            format!(
                "{} in CLOSE_WAIT{}; unread end: {unnoticed} or more",
                of(connections),
                longest.map(|time| format!(", for {}", lasted(time))).unwrap_or_default()
            ),
            "find who holds them: a response that is not read or dropped, or a pool that nobody \
             polls; let its idle timeout be shorter than the server's"
                .to_owned(),
        ),
        PoolAilment::ClosedBetween { connections, silence } => (
            "The server closes connections between requests.",
            format!(
                "{} closed first by the server{}; none seen to be used again",
                of(connections),
                silence.map_or(String::new(), |silence| {
                    format!(", after {} of silence or more", words::short(silence))
                })
            ),
            "let the server keep idle connections for longer than the pause between requests; a \
             client's idle timeout shorter than the server's spares requests its close, not the \
             new connection"
                .to_owned(),
        ),
        PoolAilment::Churn { opened_per_s, idle, causes } => (
            "Connections are opened instead of reused.",
            format!(
                "at least {opened_per_s:.1} opened a second, while {idle} lie idle{}",
                of_lives(&pool.lives)
            ),
            look_for(causes),
        ),
        PoolAilment::Unattributed { connections, came_per_s } => {
            let (came, whose) = unattributed(*connections, "more ");
            let evidence = format!("{came}, at least {came_per_s:.1} a second; {whose}");
            let verdict = "Perhaps connections are opened instead of reused.";
            return AilmentWords { verdict, evidence, next: None };
        }
        PoolAilment::StaleSoon { connections, idle_timeout } => (
            "The server is about to close idle connections.",
            format!(
                "{} silent for at least four fifths of the server's {}",
                of(connections),
                words::short(*idle_timeout)
            ),
            "let the client's idle timeout be shorter than the server's; retry a request that \
             meets the close only if it may be sent twice"
                .to_owned(),
        ),
    };
    AilmentWords { verdict, evidence, next: Some(next) }
}

/// The parts of [`AilmentWords`].
type ThreeWords = (&'static str, String, String);

fn to_itself(connections: usize) -> ThreeWords {
    (
        "Sockets are connected to themselves.",
        format!(
            "{} with one address at both ends: what is written comes back",
            words::count(connections, "socket")
        ),
        "`connect` was given the very port that it dialled, which takes that nobody listened: let \
         servers listen outside of ip_local_port_range, or reserve their ports \
         (ip_local_reserved_ports)"
            .to_owned(),
    )
}

fn no_handshake(
    connections: usize,
    syns_again: u8,
    full: Option<AcceptQueue>,
    pool: &ClientPool,
) -> ThreeWords {
    let again = match syns_again {
        0 => String::new(),
        1 => ", SYN sent again once".to_owned(),
        times => format!(", SYN sent again up to {times} times"),
    };
    let port = pool.server.port();
    let (queue, next) = match full {
        Some(queue) => (
            format!("; the server's accept queue is full: {}", full_queue(queue)),
            format!(
                "find why the server does not accept, or not fast enough: `list --port {port}` \
                 shows the queue, and `list --port {port} --state listen --wide` whose it is"
            ),
        ),
        None => (
            String::new(),
            format!(
                "nothing there answers the SYN: no machine has the address, a firewall drops it, \
                 or the accept queue is full (`list --port {port}` on the server's machine: WAITING \
                 above BACKLOG)"
            ),
        ),
    };
    let evidence = format!("{} in SYN_SENT{again}{queue}", words::count(connections, "connection"));
    ("Connections are not answered.", evidence, next)
}

/// `3 wait to be accepted, backlog 2`
pub(super) fn full_queue(queue: AcceptQueue) -> String {
    let AcceptQueue { waiting, backlog } = queue;
    let wait = if waiting == 1 { "waits" } else { "wait" };
    format!("{waiting} {wait} to be accepted, backlog {backlog}")
}

fn unanswered(ailment: &PoolAilment) -> ThreeWords {
    let mut evidence = String::new();
    if let PoolAilment::Unanswered { connections, unacknowledged, resent, probes } = ailment {
        evidence = words::count(*connections, "connection");
        if *unacknowledged > 0 {
            evidence += &format!(", {unacknowledged} bytes not acknowledged");
        }
        if *resent > 0 {
            evidence += &format!(", sent again up to {resent} times in a row");
        }
        if *probes > 0 {
            evidence += &format!(", up to {probes} probes in a row not answered");
        }
    }
    (
        "The other end does not answer, not even its TCP.",
        evidence,
        "perhaps the machine or the network there is gone, or something between (NAT, firewall) \
         has forgotten the connection: a time limit for requests ends the wait; TCP keepalive, or \
         a pool's idle timeout shorter than theirs, avoids it"
            .to_owned(),
    )
}

/// What the looks have shown of used and closed connections, for a sentence to go on with.
fn of_lives(lives: &PoolLives) -> String {
    let mut parts = String::new();
    match (lives.used_again, lives.kept, lives.tells_closes()) {
        (0, 0, false) => {}
        (0, ..) => parts += "; none seen to be used again",
        (again, ..) => parts += &format!("; {again} used again"),
    }
    parts
}

/// `look for …, for …, and for …`
fn look_for(causes: &[ChurnCause]) -> String {
    let causes: Vec<&str> = causes.iter().map(|cause| cause_text(*cause)).collect();
    match causes.as_slice() {
        [] => String::new(),
        [one] => format!("look for {one}"),
        [one, other] => format!("look for {one}, and for {other}"),
        [first @ .., last] => format!("look for {}, and for {last}", first.join(", for ")),
    }
}

fn cause_text(cause: ChurnCause) -> &'static str {
    match cause {
        ChurnCause::UnreadSeen => {
            "the bodies that are not read, each of which keeps its connection"
        }
        ChurnCause::UnreadUnseen => {
            "responses that are neither read to their end nor closed (a small body has arrived \
             whole and waits inside the process)"
        }
        ChurnCause::ClientKept => "a client made anew for each request, with a pool of its own",
        ChurnCause::ClientClosed => "a client made anew for each request",
        ChurnCause::CloseField => "`Connection: close`",
        ChurnCause::IdleCap => {
            "a cap on idle connections per host below the number of requests at a time"
        }
        ChurnCause::ServerLimit => "a server that closes with its answer, by a limit of its own",
        ChurnCause::ServerIdle => "a server's idle timeout that is shorter than the pause",
        ChurnCause::DroppedBody => "bodies that are dropped unread, which resets the connection",
    }
}
