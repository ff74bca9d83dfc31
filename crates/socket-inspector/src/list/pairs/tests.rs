use std::time::Duration;

use evidence::{Owner, Timer, TimerKind};

use super::*;

fn socket(side: Option<Side>, local: &str, peer: &str, state: TcpState) -> Socket {
    Socket {
        local: local.parse().unwrap(),
        peer: peer.parse().unwrap(),
        state,
        side,
        recv_queue: Observed::Known(0),
        send_queue: Observed::Known(0),
        timer: Observed::Known(None),
        cookie: Observed::NotObservable,
        owners: Observed::Known([].into()),
    }
}

fn client(local: &str, peer: &str, state: TcpState) -> Socket {
    socket(Some(Side::Client), local, peer, state)
}

fn server(local: &str, peer: &str, state: TcpState) -> Socket {
    socket(Some(Side::Server), local, peer, state)
}

fn listener(local: &str) -> Socket {
    let nowhere = if local.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
    Socket { send_queue: Observed::Known(128), ..socket(None, local, nowhere, TcpState::Listen) }
}

trait With: Sized {
    fn with(self, change: impl FnOnce(&mut Socket)) -> Socket;

    fn owner(self, pid: u32, process: &str) -> Socket {
        let owner = Owner { pid, process: process.to_owned() };
        self.with(|socket| socket.owners = Observed::Known([owner].into()))
    }

    fn unread(self, bytes: u32) -> Socket {
        self.with(|socket| socket.recv_queue = Observed::Known(bytes))
    }

    fn unacked(self, bytes: u32) -> Socket {
        self.with(|socket| socket.send_queue = Observed::Known(bytes))
    }

    fn timer(self, kind: TimerKind, left_ms: u64) -> Socket {
        let timer = Timer { kind, left: Duration::from_millis(left_ms) };
        self.with(|socket| socket.timer = Observed::Known(Some(timer)))
    }
}

impl With for Socket {
    fn with(mut self, change: impl FnOnce(&mut Socket)) -> Socket {
        change(&mut self);
        self
    }
}

/// The text as a pipe shows it; every line of it fits a terminal and ends in no space.
fn shown(sockets: Vec<Socket>) -> String {
    shown_within(sockets, report::page::USUAL_WIDTH)
}

fn shown_on_a_wide_page(sockets: Vec<Socket>) -> String {
    shown_within(sockets, 100)
}

fn shown_within(sockets: Vec<Socket>, width: usize) -> String {
    let table = SocketTable { sockets };
    crate::plain::plain(width, |out| text(&table, "with port 8080 at either end", out))
}

const HELLO: &str = "127.0.0.1:8080";

#[test]
fn nothing_found_is_said_in_one_line() {
    insta::assert_snapshot!(shown(vec![]), @"No TCP socket with port 8080 at either end.");
}

#[test]
fn a_fin_is_not_shown_as_an_unread_byte() {
    insta::assert_snapshot!(shown(vec![
        client("127.0.0.1:40210", HELLO, TcpState::CloseWait).owner(4712, "sequential").unread(1),
        client("127.0.0.1:40212", HELLO, TcpState::CloseWait).owner(4712, "sequential").unread(58),
    ]), @r"
    sequential (4712) → 127.0.0.1:8080
      CLIENT           STATE        UNREAD
      127.0.0.1:40210  CLOSE_WAIT
      127.0.0.1:40212  CLOSE_WAIT       57

    client  CLOSE_WAIT 2
    ");
}

#[test]
fn the_two_ends_of_a_connection_share_a_line_under_their_owners() {
    insta::assert_snapshot!(shown(vec![
        listener(HELLO).owner(4711, "hello"),
        server(HELLO, "127.0.0.1:40212", TcpState::Established).owner(4711, "hello"),
        client("127.0.0.1:40212", HELLO, TcpState::Established).owner(4712, "sequential"),
        client("127.0.0.1:40210", HELLO, TcpState::Established).owner(4712, "sequential"),
        server(HELLO, "127.0.0.1:40210", TcpState::Established).owner(4711, "hello"),
    ]), @r"
    sequential (4712) → 127.0.0.1:8080 hello (4711)
      CLIENT           STATE          SERVER
      127.0.0.1:40210  ESTABLISHED    ESTABLISHED
      127.0.0.1:40212  ESTABLISHED    ESTABLISHED

    Listening
      ADDRESS         BACKLOG  OWNER
      127.0.0.1:8080      128  hello (4711)

    client     ESTABLISHED 2
    server     ESTABLISHED 2
    listening  1
    ");
}

#[test]
fn unread_bytes_stand_beside_the_end_that_has_not_read_them() {
    insta::assert_snapshot!(shown(vec![
        client("127.0.0.1:40210", HELLO, TcpState::Established)
            .owner(4712, "sequential")
            .unread(57_423),
        server(HELLO, "127.0.0.1:40210", TcpState::Established)
            .owner(4711, "hello")
            .unacked(2_565_920)
            .timer(TimerKind::ZeroWindowProbe, 212),
        client("127.0.0.1:40212", HELLO, TcpState::Established).owner(4712, "sequential"),
        server(HELLO, "127.0.0.1:40212", TcpState::Established).owner(4711, "hello"),
    ]), @r"
    sequential (4712) → 127.0.0.1:8080 hello (4711)
      CLIENT           STATE        UNREAD    SERVER       UNACKED  TIMER
      127.0.0.1:40210  ESTABLISHED   57423    ESTABLISHED  2565920  persist 0.2 s
      127.0.0.1:40212  ESTABLISHED            ESTABLISHED

    client  ESTABLISHED 2
    server  ESTABLISHED 2
    ");
}

#[test]
fn what_no_process_holds_is_called_so_and_a_line_says_why() {
    insta::assert_snapshot!(shown(vec![
        client("127.0.0.1:40210", HELLO, TcpState::Established).owner(4712, "concurrent"),
        server(HELLO, "127.0.0.1:40210", TcpState::Established).owner(4711, "hello"),
        client("127.0.0.1:40212", HELLO, TcpState::TimeWait).timer(TimerKind::TimeWait, 57_300),
        client("127.0.0.1:40214", HELLO, TcpState::TimeWait).timer(TimerKind::TimeWait, 9_040),
        server(HELLO, "127.0.0.1:40216", TcpState::TimeWait).timer(TimerKind::TimeWait, 60_000),
        server(HELLO, "127.0.0.1:40218", TcpState::FinWait2).timer(TimerKind::TimeWait, 60_000),
        client("127.0.0.1:40218", HELLO, TcpState::CloseWait).owner(4712, "concurrent"),
    ]), @r"
    concurrent (4712) → 127.0.0.1:8080 hello (4711)
      CLIENT           STATE          SERVER
      127.0.0.1:40210  ESTABLISHED    ESTABLISHED

    concurrent (4712) → 127.0.0.1:8080 no process
      CLIENT           STATE          SERVER      TIMER
      127.0.0.1:40218  CLOSE_WAIT     FIN_WAIT_2  timewait 60.0 s

    no process → 127.0.0.1:8080
      CLIENT           STATE        TIMER
      127.0.0.1:40212  TIME_WAIT    timewait 57.3 s
      127.0.0.1:40214  TIME_WAIT    timewait 9.0 s

    127.0.0.1:8080 no process
      CLIENT             SERVER     TIMER
      127.0.0.1:40216    TIME_WAIT  timewait 60.0 s

    no process  closed by its process, kept by the kernel in FIN_WAIT_2, TIME_WAIT

    client  ESTABLISHED 1 · CLOSE_WAIT 1 · TIME_WAIT 2
    server  ESTABLISHED 1 · FIN_WAIT_2 1 · TIME_WAIT 1
    ");
}

#[test]
fn where_a_line_would_be_too_wide_the_server_s_end_stands_below_the_client_s() {
    insta::assert_snapshot!(shown(vec![
        client("127.0.0.1:40210", HELLO, TcpState::Established)
            .owner(4712, "sequential")
            .unread(119_808)
            .timer(TimerKind::KeepAlive, 7_198_700),
        server(HELLO, "127.0.0.1:40210", TcpState::Established)
            .owner(4711, "hello")
            .unacked(180_192)
            .timer(TimerKind::ZeroWindowProbe, 212),
        client("127.0.0.1:40212", HELLO, TcpState::Established)
            .owner(4712, "sequential")
            .timer(TimerKind::KeepAlive, 12_000),
        server(HELLO, "127.0.0.1:40212", TcpState::Established).owner(4711, "hello"),
    ]), @r"
    sequential (4712) → 127.0.0.1:8080 hello (4711)
      END     ADDRESS          STATE        UNREAD  UNACKED  TIMER
      client  127.0.0.1:40210  ESTABLISHED  119808           keepalive 7199 s
      server  127.0.0.1:8080   ESTABLISHED           180192  persist 0.2 s
      client  127.0.0.1:40212  ESTABLISHED                   keepalive 12.0 s
      server  127.0.0.1:8080   ESTABLISHED

    client  ESTABLISHED 2
    server  ESTABLISHED 2
    ");
}

#[test]
fn long_ipv6_addresses_are_not_cut() {
    let here = "[2001:db8:1234:5678:9abc:def0:1234:5678]:40210";
    let there = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:443";
    insta::assert_snapshot!(shown(vec![
        client(here, there, TcpState::Established)
            .owner(4712, "curl")
            .timer(TimerKind::KeepAlive, 12_000),
        client("[::1]:40212", "[::1]:8080", TcpState::Established).owner(4712, "curl"),
        server("[::1]:8080", "[::1]:40212", TcpState::Established).owner(4711, "hello"),
        listener("[::]:8080").owner(4711, "hello"),
    ]), @r"
    curl (4712) → [::1]:8080 hello (4711)
      CLIENT                                          STATE          SERVER
      [::1]:40212                                     ESTABLISHED    ESTABLISHED

    curl (4712) → [2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:443
      CLIENT                                          STATE        TIMER
      [2001:db8:1234:5678:9abc:def0:1234:5678]:40210  ESTABLISHED  keepalive 12.0 s

    Listening
      ADDRESS    BACKLOG  OWNER
      [::]:8080      128  hello (4711)

    client     ESTABLISHED 2
    server     ESTABLISHED 1
    listening  1
    ");
}

#[test]
fn a_dual_stack_server_s_end_pairs_with_an_ipv4_client_s() {
    insta::assert_snapshot!(shown(vec![
        server("[::ffff:127.0.0.1]:8080", "[::ffff:127.0.0.1]:40210", TcpState::Established)
            .owner(4711, "hello"),
        client("127.0.0.1:40210", HELLO, TcpState::Established).owner(4712, "curl"),
    ]), @r"
    curl (4712) → 127.0.0.1:8080 hello (4711)
      CLIENT           STATE          SERVER
      127.0.0.1:40210  ESTABLISHED    ESTABLISHED

    client  ESTABLISHED 1
    server  ESTABLISHED 1
    ");
}

#[test]
fn owners_that_cannot_be_seen_are_not_taken_for_none() {
    let unseen = |socket: Socket| socket.with(|s| s.owners = Observed::NotObservable);
    insta::assert_snapshot!(shown(vec![
        unseen(listener(HELLO)),
        client("127.0.0.1:40210", HELLO, TcpState::Established).owner(4712, "curl"),
        unseen(server(HELLO, "127.0.0.1:40210", TcpState::Established)),
    ]), @r"
    curl (4712) → 127.0.0.1:8080 ?
      CLIENT           STATE          SERVER
      127.0.0.1:40210  ESTABLISHED    ESTABLISHED

    Listening
      ADDRESS         BACKLOG  OWNER
      127.0.0.1:8080      128  ?

    ?  owners of other users' processes need root; /proc may hide them, too

    client     ESTABLISHED 1
    server     ESTABLISHED 1
    listening  1
    ");
}

#[test]
fn sockets_of_unknown_side_have_a_section_of_their_own() {
    insta::assert_snapshot!(shown_on_a_wide_page(vec![
        socket(None, "127.0.0.1:40212", "127.0.0.1:40210", TcpState::TimeWait)
            .timer(TimerKind::TimeWait, 57_300),
        socket(None, "127.0.0.1:40210", "127.0.0.1:40214", TcpState::CloseWait)
            .unread(5)
            .owner(4711, "hello"),
    ]), @r"
    Side unknown
      LOCAL            PEER             STATE       UNREAD  TIMER            OWNER
      127.0.0.1:40210  127.0.0.1:40214  CLOSE_WAIT       4                   hello (4711)
      127.0.0.1:40212  127.0.0.1:40210  TIME_WAIT           timewait 57.3 s  no process

    no process  closed by its process, kept by the kernel in TIME_WAIT

    side unknown  CLOSE_WAIT 1 · TIME_WAIT 1
    ");
}

#[test]
fn an_end_that_its_process_has_not_accepted_is_not_said_to_be_closed() {
    insta::assert_snapshot!(shown(vec![
        client("127.0.0.1:40210", HELLO, TcpState::Established).owner(4712, "curl"),
        server(HELLO, "127.0.0.1:40210", TcpState::Established).unread(83),
        server(HELLO, "127.0.0.1:40212", TcpState::FinWait1),
        server(HELLO, "127.0.0.1:40214", TcpState::FinWait2),
        server(HELLO, "127.0.0.1:40216", TcpState::LastAck),
    ]), @r"
    curl (4712) → 127.0.0.1:8080 no process
      CLIENT           STATE          SERVER       UNREAD
      127.0.0.1:40210  ESTABLISHED    ESTABLISHED      83

    127.0.0.1:8080 no process
      CLIENT             SERVER
      127.0.0.1:40212    FIN_WAIT_1
      127.0.0.1:40214    FIN_WAIT_2
      127.0.0.1:40216    LAST_ACK

    no process  closed by its process, kept by the kernel in FIN_WAIT_1, FIN_WAIT_2,
                LAST_ACK
    no process  in ESTABLISHED: not accepted yet, or held in another PID namespace

    client  ESTABLISHED 1
    server  ESTABLISHED 1 · FIN_WAIT_1 1 · FIN_WAIT_2 1 · LAST_ACK 1
    ");
}

#[test]
fn connections_that_nobody_has_accepted_wait_at_the_listening_socket() {
    insta::assert_snapshot!(shown(vec![
        listener(HELLO).unread(3).owner(4711, "hello"),
        listener("[::]:9090").owner(812, "nginx"),
    ]), @r"
    Listening
      ADDRESS         WAITING  BACKLOG  OWNER
      127.0.0.1:8080        3      128  hello (4711)
      [::]:9090                    128  nginx (812)

    listening  2
    ");
}

#[test]
fn a_full_queue_and_a_socket_that_is_both_ends_are_named_as_that() {
    let itself = socket(None, "127.0.0.1:40210", "127.0.0.1:40210", TcpState::Established);
    insta::assert_snapshot!(shown(vec![
        itself.owner(4712, "curl"),
        listener(HELLO).unread(2).unacked(1).owner(4711, "hello"),
        listener("[::]:9090").owner(812, "nginx"),
    ]), @r"
    Connected to itself
      LOCAL            PEER             STATE        OWNER
      127.0.0.1:40210  127.0.0.1:40210  ESTABLISHED  curl (4712)

    Listening
      ADDRESS         WAITING  BACKLOG        OWNER
      127.0.0.1:8080        2        1  full  hello (4711)
      [::]:9090                    128        nginx (812)

    full  more wait than the backlog says: clients that dial now stay in SYN_SENT,
          until some are accepted
    itself  one socket is both ends: it dialled the very port that it was given

    side unknown  ESTABLISHED 1
    listening     2
    ");
}

#[test]
fn a_system_that_tells_no_queues_and_timers_gets_narrower_lines() {
    let blind = |socket: Socket| {
        socket.with(|socket| {
            socket.recv_queue = Observed::NotObservable;
            socket.send_queue = Observed::NotObservable;
            socket.timer = Observed::NotObservable;
        })
    };
    insta::assert_snapshot!(shown(vec![
        blind(client("127.0.0.1:40210", HELLO, TcpState::Established).owner(4712, "curl")),
        blind(server(HELLO, "127.0.0.1:40210", TcpState::Established).owner(4711, "hello")),
        blind(listener(HELLO).owner(4711, "hello")),
    ]), @r"
    curl (4712) → 127.0.0.1:8080 hello (4711)
      CLIENT           STATE          SERVER
      127.0.0.1:40210  ESTABLISHED    ESTABLISHED

    Listening
      ADDRESS         OWNER
      127.0.0.1:8080  hello (4711)

    client     ESTABLISHED 1
    server     ESTABLISHED 1
    listening  1
    ");
}

#[test]
fn a_listing_fits_every_width_from_60_on_and_names_what_it_leaves_out() {
    let far = "203.0.113.255:65535";
    let sockets = vec![
        listener("127.0.0.1:8080").owner(4711, "a-server-of-long-name"),
        server("127.0.0.1:8080", far, TcpState::Established)
            .owner(4711, "a-server-of-long-name")
            .unread(57_423)
            .unacked(120)
            .timer(TimerKind::Retransmit, 200),
        client(far, "127.0.0.1:8080", TcpState::Established)
            .owner(4712, "a-client-of-long-name")
            .unread(57_423)
            .unacked(120)
            .timer(TimerKind::KeepAlive, 12_000),
        socket(None, far, "127.0.0.1:9090", TcpState::Established)
            .owner(4713, "nobody-knows")
            .unread(7)
            .timer(TimerKind::KeepAlive, 12_000),
    ];
    for width in 60..=200 {
        let shown = shown_within(sockets.clone(), width);
        for title in ["UNREAD", "UNACKED", "TIMER", "OWNER", "SERVER"] {
            // Two ends stand below each other where they are too wide to stand side by side.
            let is_there = shown.contains(title) || title == "SERVER" && shown.contains("server  ");
            assert!(is_there, "{width}: {title} in {shown}");
        }
        assert!(width < 120 || !shown.contains("client  203.0.113.255"), "{width}: {shown}");
        assert!(shown.contains(far), "{width}: {shown}");
    }
}
