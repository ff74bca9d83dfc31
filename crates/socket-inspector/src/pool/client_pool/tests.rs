use super::*;
use crate::pool::ailments::{ChurnCause, PoolAilment};
use evidence::{Inspected, Observed, Side, Socket, TcpInfo, TcpState};

const PATIENCE: Duration = Duration::from_secs(1);

/// A client's end that has sent 83 bytes and received 131, so many milliseconds ago.
fn row(state: TcpState, unread: u32, sent_ms: u64, received_ms: u64) -> Inspected {
    let socket = Socket {
        local: "127.0.0.1:40210".parse().unwrap(),
        peer: "127.0.0.1:8080".parse().unwrap(),
        state,
        side: Some(Side::Client),
        recv_queue: Observed::Known(unread),
        send_queue: Observed::Known(0),
        timer: Observed::Known(None),
        cookie: Observed::NotObservable,
        owners: Observed::NotObservable,
    };
    let info = TcpInfo {
        last_sent: Observed::Known(Duration::from_millis(sent_ms)),
        last_received: Observed::Known(Duration::from_millis(received_ms)),
        bytes_sent: Observed::Known(83),
        bytes_received: Observed::Known(131),
        ..TcpInfo::UNSEEN
    };
    Inspected { socket, info, cgroup: Observed::NotObservable }
}

fn pool(connections: Vec<PoolConnection>, opened: usize) -> ClientPool {
    ClientPool {
        process: None,
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

fn connection(row: Inspected, closed_for: Option<StandingTime>) -> PoolConnection {
    let standing = ConnectionStanding::of(&row, None, PATIENCE);
    PoolConnection { row, standing, closed_for }
}

#[test]
fn the_last_word_tells_busy_from_idle() {
    use TcpState::Established;
    let standing = |row: &Inspected| ConnectionStanding::of(row, None, PATIENCE);
    assert_eq!(standing(&row(Established, 0, 500, 480)), ConnectionStanding::Idle);
    assert_eq!(standing(&row(Established, 0, 480, 500)), ConnectionStanding::Busy);
    assert_eq!(standing(&row(Established, 57, 4100, 4000)), ConnectionStanding::Unread);
    assert_eq!(standing(&row(Established, 57, 41, 40)), ConnectionStanding::Busy);
    assert_eq!(standing(&row(TcpState::CloseWait, 0, 41, 40)), ConnectionStanding::ClosedByPeer);
    assert_eq!(standing(&row(TcpState::TimeWait, 0, 41, 40)), ConnectionStanding::Closing);

    let mut new = row(Established, 0, 10, 10);
    new.info.bytes_sent = Observed::Known(0);
    new.info.bytes_received = Observed::Known(0);
    assert_eq!(standing(&new), ConnectionStanding::Unused);
    let now = row(Established, 0, 10, 10);
    assert_eq!(ConnectionStanding::of(&now, Some(&new), PATIENCE), ConnectionStanding::Busy);
    let untold = Inspected { info: TcpInfo::UNSEEN, ..now };
    assert_eq!(standing(&untold), ConnectionStanding::Open);
}

#[test]
fn what_nobody_has_answered_is_busy_and_a_tie_is_idle_after_two_ticks() {
    let known = Observed::Known;
    let unseen = Observed::NotObservable;
    for (sent, received, ages_ms, standing) in [
        (known(0), known(0), (4000, 4000), ConnectionStanding::Unused),
        (known(40), known(0), (4, 4), ConnectionStanding::Busy),
        (known(40), known(0), (4000, 4000), ConnectionStanding::Busy),
        (known(40), known(0), (4000, 4004), ConnectionStanding::Busy),
        (known(83), known(131), (0, 0), ConnectionStanding::Busy),
        (known(83), known(131), (20, 20), ConnectionStanding::Busy),
        (known(83), known(131), (24, 24), ConnectionStanding::Idle),
        (known(83), known(131), (4000, 4000), ConnectionStanding::Idle),
        (known(83), known(131), (4000, 4004), ConnectionStanding::Busy),
        (known(83), known(131), (4, 0), ConnectionStanding::Idle),
        (known(0), known(131), (4004, 4000), ConnectionStanding::Idle), // the server speaks first
        (unseen, known(131), (4000, 4000), ConnectionStanding::Idle),
        (unseen, unseen, (4000, 4000), ConnectionStanding::Busy),
        (unseen, unseen, (4004, 4000), ConnectionStanding::Idle),
    ] {
        let mut row = row(TcpState::Established, 0, ages_ms.0, ages_ms.1);
        (row.info.bytes_sent, row.info.bytes_received) = (sent, received);
        let told = ConnectionStanding::of(&row, None, PATIENCE);
        assert_eq!(told, standing, "{sent:?} sent, {received:?} received, {ages_ms:?} ms ago");
    }
}

#[test]
fn connections_that_come_and_go_unseen_are_no_sign_of_health() {
    let idle = || vec![connection(row(TcpState::Established, 0, 500, 480), None)];
    let with = |unattributed| ClientPool { unattributed, ..pool(idle(), 0) };
    assert_eq!(with(1).ailments(), []);
    let unseen = PoolAilment::Unattributed { connections: 1663, came_per_s: 831.5 };
    assert_eq!(with(1663).ailments(), [unseen]);
}

#[test]
fn a_pool_of_idle_and_busy_connections_is_healthy() {
    let idle = connection(row(TcpState::Established, 0, 500, 480), None);
    let busy = connection(row(TcpState::Established, 0, 480, 500), None);
    assert_eq!(pool(vec![idle, busy], 1).ailments(), []);
}

#[test]
fn a_close_that_was_seen_tells_the_server_s_idle_timeout() {
    let ago = StandingTime::Exactly(Duration::from_secs(1));
    let closed = connection(row(TcpState::CloseWait, 1, 6000, 6000), Some(ago));
    let idle = connection(row(TcpState::Established, 0, 4500, 4500), None);
    let fresh = connection(row(TcpState::Established, 0, 500, 480), None);
    let pool = pool(vec![closed, idle, fresh], 0);
    let idle_timeout = Duration::from_secs(5);
    assert_eq!(pool.server_idle_timeout(), Some(idle_timeout));
    assert_eq!(
        pool.ailments(),
        [
            PoolAilment::ClosedByPeer { connections: 1, unnoticed: 1, longest: Some(ago) },
            PoolAilment::StaleSoon { connections: 1, idle_timeout },
        ]
    );
}

#[test]
fn unread_bodies_and_new_connections_are_told_together() {
    let leak = connection(row(TcpState::Established, 57, 4100, 4000), None);
    let ailments = pool(vec![leak.clone(), leak], 10).ailments();
    let silent = Duration::from_secs(4);
    assert_eq!(
        ailments,
        [
            PoolAilment::Unread { connections: 2, bytes: 114, silent },
            PoolAilment::Churn { opened_per_s: 5.0, idle: 0, causes: vec![ChurnCause::UnreadSeen] },
        ]
    );
}

#[test]
fn connections_that_are_all_at_work_are_no_churn() {
    let busy = || connection(row(TcpState::Established, 0, 480, 500), None);
    let with = |opened, lives| ClientPool { lives, ..pool(vec![busy(), busy(), busy()], opened) };
    let grows = PoolLives { kept: 3, ..PoolLives::default() };
    assert_eq!(with(3, grows).ailments(), []);
    let closes = PoolLives { kept: 3, by_client: 4, ..PoolLives::default() };
    assert!(matches!(with(7, closes).ailments()[..], [PoolAilment::Churn { .. }]));
    // Three pools of one process, each with its first connection: they are used again.
    let several = PoolLives { kept: 1, used_again: 2, passed_over: 2, ..PoolLives::default() };
    assert_eq!(with(1, several).ailments(), []);
}
