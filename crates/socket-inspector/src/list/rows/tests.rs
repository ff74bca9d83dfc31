use evidence::{Owner, Socket, TcpInfo, Timer, TimerKind};

use super::*;

pub(crate) fn row(local: &str, peer: &str, state: TcpState) -> Inspected {
    let owner = Owner { pid: 4712, process: "sequential".to_owned() };
    let socket = Socket {
        local: local.parse().unwrap(),
        peer: peer.parse().unwrap(),
        state,
        side: (state != TcpState::Listen).then_some(Side::Client),
        recv_queue: Observed::Known(0),
        send_queue: Observed::Known(0),
        timer: Observed::Known(None),
        cookie: Observed::NotObservable,
        owners: Observed::Known([owner].into()),
    };
    Inspected { socket, info: TcpInfo::UNSEEN, cgroup: Observed::NotObservable }
}

/// A listener, a connection with unread bytes and a long memory, and one that is closed.
pub(crate) fn scene() -> Vec<Inspected> {
    let mut listening = row("127.0.0.1:8080", "0.0.0.0:0", TcpState::Listen);
    listening.socket.send_queue = Observed::Known(128);
    listening.socket.owners = Observed::NotObservable;
    let mut open = row("127.0.0.1:40210", "127.0.0.1:8080", TcpState::Established);
    open.socket.recv_queue = Observed::Known(57_423);
    open.cgroup = Observed::Known("/user.slice/user-1000.slice/session-2.scope".to_owned());
    open.info = TcpInfo {
        timeouts: Observed::Known(0),
        probes: Observed::Known(0),
        bytes_resent: Observed::Known(0),
        rtt: Observed::Known(Duration::from_micros(53)),
        retransmits: Observed::Known(0),
        last_sent: Observed::Known(Duration::from_millis(4120)),
        last_received: Observed::Known(Duration::from_millis(4100)),
        bytes_sent: Observed::Known(83),
        bytes_acked: Observed::Known(84),
        bytes_received: Observed::Known(300_130),
    };
    let mut closed = row("127.0.0.1:40208", "127.0.0.1:8080", TcpState::TimeWait);
    closed.socket.owners = Observed::Known([].into());
    let left = Duration::from_millis(57_300);
    closed.socket.timer = Observed::Known(Some(Timer { kind: TimerKind::TimeWait, left }));
    vec![listening, open, closed]
}

fn shown(rows: &[Inspected], columns: &[SocketColumn]) -> String {
    crate::plain::plain(WIDTH, |out| text(rows, columns, "with port 8080 at either end", out))
}

#[test]
fn what_is_asked_for_stands_in_the_order_in_which_it_is_asked_for() {
    let columns = [
        SocketColumn::State,
        SocketColumn::Local,
        SocketColumn::RecvQueue,
        SocketColumn::LastReceived,
    ];
    insta::assert_snapshot!(shown(&scene(), &columns), @r"
    STATE        LOCAL            RECV-Q  LAST-RECEIVED
    LISTEN       127.0.0.1:8080        0
    ESTABLISHED  127.0.0.1:40210   57423         4.10 s
    TIME_WAIT    127.0.0.1:40208       0
    ");
}

#[test]
fn a_fin_is_not_shown_as_an_unread_byte() {
    let with = |local, state, queue| {
        let mut row = row(local, "127.0.0.1:8080", state);
        row.socket.recv_queue = Observed::Known(queue);
        row
    };
    let mut rows = vec![
        with("127.0.0.1:40001", TcpState::CloseWait, 1),
        with("127.0.0.1:40002", TcpState::Established, 57),
        with("127.0.0.1:40003", TcpState::CloseWait, 58),
    ];
    sort(&mut rows, SocketColumn::RecvQueue);
    insta::assert_snapshot!(shown(&rows, &[SocketColumn::Local, SocketColumn::State, SocketColumn::RecvQueue]), @r"
    LOCAL            STATE        RECV-Q
    127.0.0.1:40003  CLOSE_WAIT       57
    127.0.0.1:40002  ESTABLISHED      57
    127.0.0.1:40001  CLOSE_WAIT        0
    ");
}

#[test]
fn rows_that_are_too_wide_become_a_line_and_what_is_known_below_it() {
    insta::assert_snapshot!(shown(&scene(), &SocketColumn::ALL), @r"
    127.0.0.1:8080  —  LISTEN  ?
        recv-q 0 · send-q 128
    127.0.0.1:40210  127.0.0.1:8080  client  ESTABLISHED  sequential (4712)
        recv-q 57423 · send-q 0 · rtt 0.05 ms · retransmits 0 · sent 83 · acked 84
        received 300130 · last-sent 4.12 s · last-received 4.10 s
        cgroup /user.slice/user-1000.slice/session-2.scope
    127.0.0.1:40208  127.0.0.1:8080  client  TIME_WAIT  no process
        recv-q 0 · send-q 0 · timer timewait 57.3 s

    ?  1 socket of other users: root alone sees the owners; everything else is told
    ");
}

#[test]
fn numbers_are_ordered_from_the_largest_down_and_the_unknown_comes_last() {
    let order = |key| {
        let mut rows = scene();
        sort(&mut rows, key);
        rows.iter().map(|row| row.socket.local.port()).collect::<Vec<_>>()
    };
    assert_eq!(order(SocketColumn::RecvQueue), [40210, 8080, 40208]);
    assert_eq!(order(SocketColumn::Timer)[0], 40208);
    assert_eq!(order(SocketColumn::Sent)[0], 40210);
    assert_eq!(order(SocketColumn::Local), [8080, 40208, 40210]);
}

#[test]
fn nothing_found_is_said_in_one_line() {
    insta::assert_snapshot!(
        shown(&[], &SocketColumn::ALL), @"No TCP socket with port 8080 at either end."
    );
}

#[test]
fn rows_fit_every_width_from_60_on_and_are_side_by_side_where_there_is_room() {
    let beside = |width| {
        let asked_for = "with port 8080 at either end";
        let shown =
            crate::plain::plain(width, |out| text(&scene(), &SocketColumn::ALL, asked_for, out));
        assert!(shown.contains("127.0.0.1:40210") && shown.contains("300130"), "{width}: {shown}");
        shown.contains("LAST-RECEIVED")
    };
    assert!((60..=200).all(|width| !beside(width)), "all columns take more than 200");
    assert!(beside(300));
}
