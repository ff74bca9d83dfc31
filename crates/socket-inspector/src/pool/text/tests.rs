use super::*;
use evidence::AcceptQueue;
use evidence::{Observed, Owner, ServerAddr, TcpState};

fn connection(standing: ConnectionStanding, closed_for: Option<StandingTime>) -> PoolConnection {
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
        lives: PoolLives::default(),
        queue: None,
    }
}

fn shown(connections: Vec<PoolConnection>, opened: usize) -> String {
    plain(&[pool(connections, opened)], 0)
}

fn plain(pools: &[ClientPool], others: usize) -> String {
    crate::plain::plain(WIDTH, |out| text(pools, "of process 4712", others, None, out))
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
        next      look for the bodies that are not read, each of which keeps its connection

    Not to be seen from outside: whether the pool itself knows a connection that looks idle;
    bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
    side; connections opened and closed between two looks.
    ");
}

#[test]
fn a_pool_of_which_nothing_was_used_is_called_at_rest_and_healthy_if_it_was() {
    insta::assert_snapshot!(shown(vec![connection(ConnectionStanding::Idle, None)], 0), @r"
    sequential (4712) → 127.0.0.1:8080
      CLIENT           SILENT  SENT  RECEIVED  STANDING
      127.0.0.1:40210  4.10 s    83    300130  idle
      1 idle · none seen to be opened over 2.0 s

      Looks at rest.
        evidence  1 silent since an answer; none seen to be used again: --watch 10 looks
                  longer

    Not to be seen from outside: whether the pool itself knows a connection that looks idle;
    bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
    side; connections opened and closed between two looks.
    ");
    let used = PoolLives { used_again: 1, ..PoolLives::default() };
    let idle = connection(ConnectionStanding::Idle, None);
    let text = plain(&[ClientPool { lives: used, ..pool(vec![idle], 0) }], 0);
    let verdict =
        "Looks healthy.\n    evidence  1 silent since an answer; 1 used again while looking";
    assert!(text.contains(verdict), "{text}");
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

      Looks at rest.
        evidence  1 silent since an answer; none seen to be used again: --watch 10 looks
                  longer
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
        next      look for responses that are neither read to their end nor closed (a small
                  body has arrived whole and waits inside the process), for a client made anew
                  for each request, for `Connection: close`, and for a cap on idle connections
                  per host below the number of requests at a time

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

#[test]
fn the_next_step_names_no_cause_that_the_evidence_refutes() {
    let idle = || connection(ConnectionStanding::Idle, None);
    let next = |lives, idle_ones: usize| {
        let connections = std::iter::repeat_with(idle).take(idle_ones).collect();
        let text = plain(&[ClientPool { lives, ..pool(connections, 8) }], 0);
        let (_, next) = text.split_once("next ").unwrap();
        let next = next.split_once("\n\n").unwrap().0;
        next.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let pile_up = PoolLives { kept: 8, passed_over: 7, ..PoolLives::default() };
    insta::assert_snapshot!(next(pile_up, 8), @"look for responses that are neither read to their end nor closed (a small body has arrived whole and waits inside the process), and for a client made anew for each request, with a pool of its own");
    let cap = PoolLives { used_again: 2, by_client: 8, ..PoolLives::default() };
    insta::assert_snapshot!(next(cap, 2), @"look for a cap on idle connections per host below the number of requests at a time");
    let by_server = PoolLives { by_server: 8, ..PoolLives::default() };
    insta::assert_snapshot!(next(by_server, 0), @"look for `Connection: close`, and for a server that closes with its answer, by a limit of its own");
}

#[test]
fn connections_that_the_server_closes_in_between_are_told_and_not_called_healthy() {
    let lives = PoolLives {
        by_server_idle: 3,
        server_silence: Some(Duration::from_millis(1990)),
        ..PoolLives::default()
    };
    let idle = connection(ConnectionStanding::Idle, None);
    insta::assert_snapshot!(plain(&[ClientPool { lives, ..pool(vec![idle], 3) }], 0), @r"
    sequential (4712) → 127.0.0.1:8080
      CLIENT           SILENT  SENT  RECEIVED  STANDING
      127.0.0.1:40210  4.10 s    83    300130  idle
      1 idle · opened at least 1.5 a second over 2.0 s
      closed first while looking: 3 by the server

      The server closes connections between requests.
        evidence  3 connections closed first by the server, after 1.99 s of silence or more;
                  none seen to be used again
        next      let the server keep idle connections for longer than the pause between
                  requests; a client's idle timeout shorter than the server's spares requests
                  its close, not the new connection

    Not to be seen from outside: whether the pool itself knows a connection that looks idle;
    bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
    side; connections opened and closed between two looks.
    ");
}

#[test]
fn what_tcp_cannot_do_is_told_with_its_numbers() {
    let mut lost = connection(ConnectionStanding::Unanswered, None);
    lost.row.socket.send_queue = Observed::Known(27);
    lost.row.info.timeouts = Observed::Known(5);
    let mut probed = connection(ConnectionStanding::Unanswered, None);
    probed.row.info.probes = Observed::Known(4);
    let opening = connection(ConnectionStanding::Opening, None);
    let queue = Some(AcceptQueue { waiting: 2, backlog: 1 });
    let mut itself = connection(ConnectionStanding::ToItself, None);
    itself.row.socket.peer = itself.row.socket.local;
    let pool = ClientPool { queue, ..pool(vec![itself, lost, probed, opening], 0) };
    insta::assert_snapshot!(plain(&[pool], 0), @r"
    sequential (4712) → 127.0.0.1:8080
      CLIENT           SILENT  SENT  RECEIVED  STANDING
      127.0.0.1:40210  4.10 s    83    300130  connected to itself
      127.0.0.1:40210  4.10 s    83    300130  unanswered
      127.0.0.1:40210  4.10 s    83    300130  unanswered
      127.0.0.1:40210  4.10 s    83    300130  opening
      2 unanswered · 1 connected to itself · 1 opening · none seen to be opened over 2.0 s

      Sockets are connected to themselves.
        evidence  1 socket with one address at both ends: what is written comes back
        next      `connect` was given the very port that it dialled, which takes that nobody
                  listened: let servers listen outside of ip_local_port_range, or reserve
                  their ports (ip_local_reserved_ports)

      Connections are not answered.
        evidence  1 connection in SYN_SENT; the server's accept queue is full: 2 wait to be
                  accepted, backlog 1
        next      find why the server does not accept, or not fast enough: `list --port 8080`
                  shows the queue, and `list --port 8080 --state listen --wide` whose it is

      The other end does not answer, not even its TCP.
        evidence  2 connections, 27 bytes not acknowledged, sent again up to 5 times in a row,
                  up to 4 probes in a row not answered
        next      perhaps the machine or the network there is gone, or something between (NAT,
                  firewall) has forgotten the connection: a time limit for requests ends the
                  wait; TCP keepalive, or a pool's idle timeout shorter than theirs, avoids it

    Not to be seen from outside: whether the pool itself knows a connection that looks idle;
    bodies that wait inside the process; the number of exchanges; what HTTP/2 carries side by
    side; connections opened and closed between two looks.
    ");
}

#[test]
fn dials_that_no_look_caught_are_counted_by_the_kernel() {
    let dials = Some(DialCount { dialled: 41, seen: 2 });
    let shown = crate::plain::plain(WIDTH, |out| text(&[], "of process 4712", 0, dials, out));
    insta::assert_snapshot!(shown, @r"
    No client connection of process 4712.

    The kernel counted 41 dials in this network, by whomever, while pool looked; looks caught
    2 of them. `sudo socket-inspector trace` tells each.
    ");
    let idle = pool(vec![connection(ConnectionStanding::Idle, None)], 0);
    let shown = crate::plain::plain(WIDTH, |out| text(&[idle], "", 0, dials, out));
    assert!(!shown.contains("dials"), "{shown}");
}

#[test]
fn a_report_fits_every_width_from_60_on_and_names_what_it_leaves_out() {
    let since = StandingTime::AtLeast(Duration::from_secs(2));
    let mut far = connection(ConnectionStanding::ClosedByPeer, Some(since));
    far.row.socket.local = "203.0.113.255:65535".parse().unwrap();
    let connections = vec![
        far,
        connection(ConnectionStanding::Unread, None),
        connection(ConnectionStanding::Idle, None),
    ];
    let there = pool(connections, 10);
    for width in 60..=200 {
        let shown = crate::plain::plain(width, |out| {
            text(std::slice::from_ref(&there), "of process 4712", 3, None, out)
        });
        assert!(shown.contains("203.0.113.255:65535"), "{width}: {shown}");
        for title in ["UNREAD", "SILENT", "SENT", "RECEIVED", "STANDING"] {
            assert!(shown.contains(title), "{width}: {title} in {shown}");
        }
    }
}
