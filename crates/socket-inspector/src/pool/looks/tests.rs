use std::net::SocketAddr;

use super::*;
use evidence::{TcpInfo, Timer, TimerKind};

const PATIENCE: Duration = Duration::from_secs(1);
const MINE: u32 = 7;

fn of_mine() -> PoolWatch {
    PoolWatch::of_processes(SocketSieve { pids: vec![MINE], ..SocketSieve::default() })
}

fn row(port: u16, state: TcpState, pids: &[u32]) -> Inspected {
    let owner = |pid: &u32| Owner { pid: *pid, process: "client".to_owned() };
    let socket = Socket {
        local: SocketAddr::from(([127, 0, 0, 1], port)),
        peer: SocketAddr::from(([127, 0, 0, 1], 8080)),
        state,
        side: Some(Side::Client),
        recv_queue: Observed::Known(0),
        send_queue: Observed::Known(0),
        timer: Observed::Known(None),
        cookie: Observed::NotObservable,
        owners: Observed::Known(pids.iter().map(owner).collect()),
    };
    Inspected { socket, info: TcpInfo::UNSEEN, cgroup: Observed::NotObservable }
}

fn open(port: u16, pids: &[u32]) -> Inspected {
    row(port, TcpState::Established, pids)
}

fn waits(port: u16, left_s: u64) -> Inspected {
    let mut row = row(port, TcpState::TimeWait, &[]);
    let timer = Timer { kind: TimerKind::TimeWait, left: Duration::from_secs(left_s) };
    row.socket.timer = Observed::Known(Some(timer));
    row
}

/// Tells what `watch` tells of its pools after `looks`, a second apart: process, connections
/// left, opened, unattributed.
fn told<const N: usize>(
    mut watch: PoolWatch,
    looks: [Vec<Inspected>; N],
) -> Vec<(Option<u32>, usize, usize, usize)> {
    let start = Instant::now();
    for (second, rows) in (0..).zip(looks) {
        watch.look(rows, start + Duration::from_secs(second));
    }
    let tell = |pool: ClientPool| {
        let pid = pool.process.map(|owner| owner.pid);
        (pid, pool.connections.len(), pool.opened, pool.unattributed)
    };
    watch.pools(PATIENCE, None).into_iter().map(tell).collect()
}

#[test]
fn a_port_that_is_used_again_is_counted_each_time() {
    let looks = || {
        [
            vec![],
            vec![open(1, &[MINE])],
            vec![waits(1, 60)],
            vec![open(1, &[MINE])], // out of TIME_WAIT
            vec![],
            vec![open(1, &[MINE])], // the server had closed first
        ]
    };
    assert_eq!(told(of_mine(), looks()), [(Some(MINE), 1, 3, 0)]);
    assert_eq!(told(PoolWatch::default(), looks()), [(Some(MINE), 1, 3, 0)]);
}

/// A port that has been used for so many connections, one after the other.
fn used(connections: u64) -> Inspected {
    let mut row = waits(2, 60);
    row.socket.cookie = Observed::Known(connections);
    row
}

#[test]
fn what_comes_and_goes_unseen_is_counted_beside_what_is_seen() {
    let looks = || {
        [
            vec![open(1, &[MINE]), used(1), waits(3, 8)],
            vec![open(1, &[MINE]), used(2), waits(3, 7), waits(4, 60), open(5, &[])],
            vec![open(1, &[MINE]), used(2), waits(3, 6), waits(4, 59), waits(5, 60)],
        ]
    };
    assert_eq!(told(of_mine(), looks()), [(Some(MINE), 1, 0, 3)]);
    assert_eq!(told(PoolWatch::default(), looks()), [(None, 0, 3, 0), (Some(MINE), 1, 0, 3)]);
}

#[test]
fn a_process_that_no_look_saw_holding_anything_may_be_whose_they_are() {
    let looks = || [vec![], vec![waits(1, 60), open(2, &[])], vec![waits(1, 59), waits(2, 60)]];
    assert_eq!(told(of_mine(), looks()), [(None, 0, 0, 2)]);
    assert_eq!(told(PoolWatch::default(), looks()), [(None, 0, 2, 0)]);
}

#[test]
fn a_holder_that_is_seen_late_is_a_holder() {
    let looks = [vec![], vec![open(1, &[])], vec![open(1, &[8, MINE])], vec![waits(1, 60)]];
    assert_eq!(told(of_mine(), looks), [(Some(MINE), 0, 1, 0)]);
}

#[test]
fn other_processes_are_not_unattributed() {
    let looks = [vec![], vec![open(1, &[8]), open(2, &[9])], vec![waits(1, 60), open(2, &[9])]];
    assert_eq!(told(of_mine(), looks), []);
}

#[test]
fn what_stays_open_has_not_gone() {
    let mut hidden = open(1, &[]);
    hidden.socket.owners = Observed::NotObservable; // another user's
    let looks = || [vec![], vec![hidden.clone()], vec![hidden.clone()]];
    assert_eq!(told(of_mine(), looks()), []);
    assert_eq!(told(PoolWatch::default(), looks()), [(None, 1, 1, 0)]);
}

#[test]
fn a_look_that_misses_a_socket_does_not_make_it_two() {
    let looks = [vec![], vec![open(1, &[MINE])], vec![], vec![waits(1, 60)]];
    assert_eq!(told(of_mine(), looks), [(Some(MINE), 0, 1, 0)]);
}

#[test]
fn an_end_whose_side_is_unknown_may_be_a_server_s() {
    let mut unknown = waits(1, 60);
    unknown.socket.side = None;
    let looks = [vec![], vec![unknown]];
    assert_eq!(told(of_mine(), looks), []);
}

#[test]
fn what_was_closed_before_anybody_looked_was_not_closed_while_looking() {
    let looks = [
        vec![waits(1, 60), row(2, TcpState::CloseWait, &[MINE]), open(3, &[MINE])],
        vec![waits(1, 59), row(2, TcpState::CloseWait, &[MINE]), open(3, &[MINE])],
        vec![waits(1, 58), row(2, TcpState::CloseWait, &[MINE]), waits(3, 60)],
    ];
    let mut watch = PoolWatch::default();
    let start = Instant::now();
    for (second, rows) in (0..).zip(looks) {
        watch.look(rows, start + Duration::from_secs(second));
    }
    let pools = watch.pools(PATIENCE, None);
    let lives: Vec<_> = pools.iter().map(|pool| pool.lives).collect();
    assert_eq!(lives.iter().map(|lives| lives.by_client).sum::<usize>(), 1, "{lives:?}");
    assert!(lives.iter().all(|lives| lives.by_servers() == 0), "{lives:?}");
}

#[test]
fn what_only_the_server_s_end_shows_was_closed_first_by_the_server() {
    let server_s = |state| {
        let mut row = row(1, state, &[]);
        (row.socket.local, row.socket.peer) = (row.socket.peer, row.socket.local);
        row.socket.side = Some(Side::Server);
        row
    };
    let mut watch = PoolWatch::default();
    let start = Instant::now();
    watch.look(vec![], start);
    watch.look(vec![server_s(TcpState::TimeWait)], start + Duration::from_secs(1));
    // The client's end comes to be seen when it is nearly over: no other connection.
    let late = vec![server_s(TcpState::TimeWait), row(1, TcpState::LastAck, &[])];
    watch.look(late, start + Duration::from_secs(2));
    let pools = watch.pools(PATIENCE, None);
    assert_eq!(pools.len(), 1);
    assert_eq!((pools[0].opened, pools[0].lives.by_servers()), (1, 1));
}
