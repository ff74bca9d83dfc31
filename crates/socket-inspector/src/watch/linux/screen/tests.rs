use std::net::SocketAddr;

use evidence::Socket;

use super::super::samples::{client, looked, server};
use super::*;
use TcpState::{CloseWait, Established, FinWait2, TimeWait};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent};

/// The screen, without the spaces at the ends of its lines.
fn drawn(app: &mut WatchApp, ledger: &SocketLedger, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(app, ledger, frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
    (0..height).map(|y| line(y).trim_end().to_owned() + "\n").collect()
}

fn press(app: &mut WatchApp, ledger: &SocketLedger, keys: &[KeyCode]) {
    for key in keys {
        app.press(KeyEvent::from(*key), ledger);
    }
}

fn unread(bytes: u32, socket: Socket) -> Socket {
    Socket { recv_queue: Observed::Known(bytes), ..socket }
}

/// A connection that is over, one whose client closes first, and one that is open and unread.
fn some() -> (WatchApp, SocketLedger) {
    looked(&[
        vec![client(1, Established)],
        vec![
            client(1, Established),
            client(2, Established),
            server(2, Established),
            unread(83, client(3, Established)),
            server(3, Established),
        ],
        vec![
            client(2, FinWait2),
            server(2, CloseWait),
            unread(83, client(3, Established)),
            server(3, Established),
        ],
        vec![client(2, TimeWait), unread(83, client(3, Established)), server(3, Established)],
    ])
}

#[test]
fn a_terminal_of_80_columns_shows_what_there_is() {
    let (mut app, ledger) = some();
    insta::assert_snapshot!(drawn(&mut app, &ledger, (80, 24)), @r"
    TCP sockets with port 8080 at either end, every 1s; 1s a bar                 3 s

    ESTABLISHED  2  most 5  ▂█▄▄
    FIN_WAIT_2   0  most 1    █
    CLOSE_WAIT   0  most 1    █
    TIME_WAIT    1  most 1     █

    CLIENT           SERVER          CLIENT IS    SERVER IS    FOR           UNREAD
    127.0.0.1:40003  127.0.0.1:8080  ESTABLISHED  ESTABLISHED  ≥ 2.0 s       83
    127.0.0.1:40002  127.0.0.1:8080  TIME_WAIT    gone         57.3 s left
    127.0.0.1:40001  127.0.0.1:8080  gone                      1.0 s ago







    #3  127.0.0.1:40003 → 127.0.0.1:8080
      client  curl (4711)  ESTABLISHED 2.0 s to 3.0 s, 83 B unread
      server  hello (4712)  ESTABLISHED 2.0 s to 3.0 s

    2 connections there, 1 over and kept; newest first
    q quit   / filter   s order   space pause   c forget what is over   ↑ ↓ select
    ");
}

#[test]
fn the_past_of_the_selected_connection_is_told() {
    let (mut app, ledger) = some();
    press(&mut app, &ledger, &[KeyCode::Down, KeyCode::Down]);
    insta::assert_snapshot!(drawn(&mut app, &ledger, (120, 20)), @r"
    TCP sockets with port 8080 at either end, every 1s; 1s a bar                                                         3 s

    ESTABLISHED  2  most 5  ▂█▄▄
    FIN_WAIT_2   0  most 1    █
    CLOSE_WAIT   0  most 1    █
    TIME_WAIT    1  most 1     █

    CLIENT           SERVER          CLIENT IS    SERVER IS    FOR           UNREAD   HELD BY
    127.0.0.1:40003  127.0.0.1:8080  ESTABLISHED  ESTABLISHED  ≥ 2.0 s       83       curl (4711), hello (4712)
    127.0.0.1:40002  127.0.0.1:8080  TIME_WAIT    gone         57.3 s left            curl (4711), hello (4712)
    127.0.0.1:40001  127.0.0.1:8080  gone                      1.0 s ago              curl (4711)



    #2  127.0.0.1:40002 → 127.0.0.1:8080
      client  curl (4711)  ESTABLISHED < 2.1 s → FIN_WAIT_2 < 2.1 s → TIME_WAIT < 1.1 s, 57.3 s left
      server  hello (4712)  ESTABLISHED < 2.1 s → CLOSE_WAIT < 2.1 s → gone 0.0 s ago

    2 connections there, 1 over and kept; newest first
    q quit   / filter   s order   space pause   c forget what is over   ↑ ↓ select
    ");
}

#[test]
fn what_is_typed_is_seen_where_it_is_typed() {
    let (mut app, ledger) = some();
    press(&mut app, &ledger, &[KeyCode::Char('/'), KeyCode::Char('w'), KeyCode::Char('a')]);
    insta::assert_snapshot!(drawn(&mut app, &ledger, (80, 16)), @r"
    TCP sockets with port 8080 at either end, every 1s; 1s a bar                 3 s

    ESTABLISHED  2  most 5  ▂█▄▄
    FIN_WAIT_2   0  most 1    █
    CLOSE_WAIT   0  most 1    █
    TIME_WAIT    1  most 1     █

    CLIENT           SERVER          CLIENT IS    SERVER IS    FOR           UNREAD
    127.0.0.1:40002  127.0.0.1:8080  TIME_WAIT    gone         57.3 s left

    #2  127.0.0.1:40002 → 127.0.0.1:8080
      client  curl (4711)  … → FIN_WAIT_2 < 2.1 s → TIME_WAIT < 1.1 s, 57.3 s left
      server  hello (4712)  … → CLOSE_WAIT < 2.1 s → gone 0.0 s ago

    2 connections there, 1 over and kept; newest first; 1 match
    /wa
    ");
}

#[test]
fn nothing_to_show_is_said() {
    let (mut app, ledger) = looked(&[vec![]]);
    insta::assert_snapshot!(drawn(&mut app, &ledger, (80, 13)), @r"
    TCP sockets with port 8080 at either end, every 1s; 1s a bar                 0 s
    no connection yet

    CLIENT  SERVER  CLIENT IS    SERVER IS    FOR           UNREAD







    0 connections there, 0 over and kept; newest first
    q quit   / filter   s order   space pause   c forget what is over   ↑ ↓ select
    ");
}

#[test]
fn long_addresses_keep_their_ports_in_sight() {
    let long = |end: Socket| {
        let v6 = |address: SocketAddr| {
            SocketAddr::new(
                "2001:db8:1234:5678:9abc:def0:1234:5678".parse().unwrap(),
                address.port(),
            )
        };
        Socket { local: v6(end.local), peer: v6(end.peer), ..end }
    };
    let sockets = vec![long(client(1, Established)), long(server(1, Established))];
    let (mut app, ledger) = looked(&[sockets]);
    let shown = drawn(&mut app, &ledger, (80, 13));
    assert!(shown.contains("…]:40001") && shown.contains("…]:8080"), "{shown}");
}

/// Half a number is another number.
#[test]
fn what_there_is_no_room_for_is_left_out_as_a_whole() {
    let (mut app, ledger) = some();
    for width in 33..130 {
        let shown = drawn(&mut app, &ledger, (width, 24));
        let rows: Vec<&str> = shown.lines().filter(|line| line.contains("ESTABLISHED  ")).collect();
        assert!(width < 71 || rows.iter().any(|row| row.contains(" 2.0 s")), "{width}:\n{shown}");
        for line in shown.lines().skip(7).take(4) {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert!(
                words.iter().all(|word| !["TIME_WAI", "ESTABLISHE", "8"].contains(word)),
                "{shown}"
            );
        }
    }
    let shown = drawn(&mut app, &ledger, (60, 24));
    assert!(shown.contains(":40003  127.0.0.1:8080") && !shown.contains("UNREAD"), "{shown}");
}

#[test]
fn times_are_told_as_well_as_they_are_known() {
    let s = Duration::from_secs;
    let time =
        |least, most: Option<u64>| in_state(TimeInState { least: s(least), most: most.map(s) });
    assert_eq!(time(101, None), "≥ 1 min 41 s", "no more than it is");
    assert_eq!(time(1, Some(7)), "1.0 s to 7.0 s", "nobody looked meanwhile");
    assert_eq!(time(0, Some(2)), "< 2.1 s", "no less than it was");
    assert_eq!(time(40, Some(41)), "40.0 s");
    assert_eq!(seconds(s(3599)), "59 min");
    assert_eq!(seconds(s(3600 * 3 + 1800)), "3.5 h");
}

#[test]
fn no_size_of_terminal_is_too_small_to_draw_on() {
    let (mut app, ledger) = some();
    press(&mut app, &ledger, &[KeyCode::Char('/')]);
    for (width, height) in [(1, 1), (5, 3), (20, 5), (40, 10), (300, 100)] {
        drawn(&mut app, &ledger, (width, height));
    }
}

#[test]
fn a_bar_that_is_not_empty_is_seen() {
    let heights = [Some(0), Some(1), None, Some(50), Some(100)];
    assert_eq!(bars(&heights, 100), " ▁·▄█", "nobody looked at the third");
}
