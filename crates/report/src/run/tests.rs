//! Reports of runs that never took place, so that every line can be known in advance.

use std::net::SocketAddr;
use std::time::Duration;

use evidence::{
    AcceptGap, Afterwards, BodyPolicy, BodySeen, ClientAddr, Close, CloseReason, ClosedBy,
    CommandFlag, Connection, ConnectionFields, ConnectionId, Disagreement, Ends, ExchangeId,
    Failure, FailureKind, Moment, NotPooled, Observed, Prediction, Preset, Program, Reading,
    ServerAddr, ServerSetup, Side, Socket, SocketTable, Tables, TcpState, Timer, TimerKind,
    Unreadable,
};

use super::*;

mod widths;

pub(super) fn setup(preset: Preset, body: BodyPolicy) -> Setup {
    Setup {
        program: Program::Sequential,
        preset,
        body,
        workers: 1,
        requests: 2,
        interval: Duration::from_secs(1),
        per_host: 2,
        max_idle: Some(100),
        max_conns_per_host: None,
        idle_timeout: Some(Duration::from_secs(90)),
        keep_alives: true,
        server: ServerSetup {
            in_process: true,
            url: "http://127.0.0.1:8080/".into(),
            bytes: Some(11),
            delay: Duration::ZERO,
            pause_before_body: Duration::ZERO,
        },
        flags: Vec::new(),
    }
}

fn ends(port: u16) -> Ends {
    Ends {
        client: ClientAddr::new(SocketAddr::from(([127, 0, 0, 1], port))),
        server: ServerAddr::new(SocketAddr::from(([127, 0, 0, 1], 8080))),
    }
}

fn exchange(number: u64, connection: u64, afterwards: Afterwards, body: BodySeen) -> Exchange {
    let reused = number > connection;
    Exchange {
        number: ExchangeId(number),
        started: Duration::from_millis((number - 1) * 1001),
        took: Duration::from_millis(1),
        connection: Some(ConnectionId(connection)),
        client: Some(ends(40_000 + u16::try_from(connection).unwrap()).client),
        reused,
        idle_before: Observed::Known(reused.then_some(Duration::from_secs(1))),
        first_byte: Some(Duration::from_micros(312)),
        status: Some(200),
        connection_fields: ConnectionFields::default(),
        body: Ok(body),
        afterwards,
    }
}

fn connection(id: u64, exchanges: u64, by: ClosedBy, why: CloseReason, at_ms: u64) -> Connection {
    let ends = ends(40_000 + u16::try_from(id).unwrap());
    let close = Close {
        by,
        why: Observed::Known(why),
        at: Duration::from_millis(at_ms),
        unread: 0,
        idle: Observed::Known(None),
    };
    Connection { id: ConnectionId(id), ends, exchanges, close: Some(close) }
}

fn end(id: u16, side: Side, state: TcpState) -> Socket {
    let Ends { client, server } = ends(40_000 + id);
    let (local, peer) = match side {
        Side::Client => (client.socket_addr(), server.socket_addr()),
        Side::Server => (server.socket_addr(), client.socket_addr()),
    };
    let timer = (state == TcpState::TimeWait)
        .then_some(Timer { kind: TimerKind::TimeWait, left: Duration::from_millis(59_800) });
    Socket {
        local,
        peer,
        state,
        side: Some(side),
        recv_queue: Observed::Known(0),
        send_queue: Observed::Known(0),
        timer: Observed::Known(timer),
        cookie: Observed::NotObservable,
        owners: Observed::NotObservable,
    }
}

fn reading(sockets: Vec<Socket>) -> Reading {
    Reading { table: Ok(SocketTable { sockets }), settled: true }
}

/// Two drained exchanges on one connection.
pub(crate) fn drained() -> Outcome {
    let body = BodySeen::Drained { bytes: 11 };
    Outcome {
        setup: setup(Preset::Go, BodyPolicy::Drain),
        rule_differences: Vec::new(),
        prediction: Some(Prediction {
            least: 1,
            most: 1,
            formula: String::new(),
            because: "a drained connection goes back to the pool".into(),
        }),
        exchanges: vec![
            exchange(1, 1, Afterwards::Pooled, body),
            exchange(2, 1, Afterwards::Pooled, body),
        ],
        connections: vec![connection(1, 2, ClosedBy::Client, CloseReason::TransportClosed, 1100)],
        in_flight: None,
        accepting: None,
        server_reasons: std::collections::BTreeMap::new(),
        accepted: Some(1),
        accept_gap: AcceptGap::default(),
        wire: None,
        tables: Tables {
            busiest: None,
            while_running: reading(vec![
                end(1, Side::Client, TcpState::Established),
                end(1, Side::Server, TcpState::Established),
            ]),
            after_closing: reading(vec![end(1, Side::Client, TcpState::TimeWait)]),
        },
        disagreements: Vec::new(),
        time_waits_cut_short: 0,
        elapsed: Duration::from_millis(1002),
        let_go: Duration::from_secs(3600),
        interrupted: false,
    }
}

/// Two dropped exchanges of 1 MiB, each of which ended in a reset.
fn reset() -> Outcome {
    let left = Some(1 << 20);
    let refused = NotPooled::BodyUnread { left };
    let dropped = |n| {
        let body = BodySeen::Dropped { left };
        Exchange {
            reused: false,
            idle_before: Observed::Known(None),
            ..exchange(n, n, Afterwards::NotPooled(refused), body)
        }
    };
    let closed = |n| connection(n, 1, ClosedBy::Reset, CloseReason::NotPooled(refused), n * 10);
    let mut setup = setup(Preset::Go, BodyPolicy::Drop);
    setup.server.bytes = left;
    let flag =
        |name: &str, value: &str| CommandFlag { name: name.into(), value: Some(value.into()) };
    setup.flags = vec![flag("body", "drop"), flag("bytes", "1MiB")];
    Outcome {
        setup,
        prediction: None,
        exchanges: vec![dropped(1), dropped(2)],
        connections: vec![closed(1), closed(2)],
        in_flight: None,
        accepting: None,
        server_reasons: std::collections::BTreeMap::new(),
        accepted: Some(2),
        tables: Tables::default(),
        ..drained()
    }
}

fn text(outcome: &Outcome) -> String {
    let mut plain = anstream::StripStream::new(Vec::new());
    let mut report = RunReport::text(&mut plain);
    report.start(&outcome.setup, &outcome.rule_differences, outcome.prediction.as_ref()).unwrap();
    for exchange in &outcome.exchanges {
        report.exchange(exchange, &[]).unwrap();
    }
    report.end(outcome, &[]).unwrap();
    let text = String::from_utf8(plain.into_inner()).unwrap();
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "too wide: {line}");
        assert_eq!(line, line.trim_end(), "ends in spaces");
    }
    text
}

/// The verdict alone.
fn verdict(outcome: &Outcome) -> String {
    let text = text(outcome);
    text[text.find("Verdict").unwrap()..].to_owned()
}

#[test]
fn a_drained_run_reads_from_its_prediction_to_what_to_try_next() {
    insta::assert_snapshot!(text(&drained()));
}

#[test]
fn a_reset_is_explained_by_what_is_missing_from_the_table() {
    insta::assert_snapshot!(verdict(&reset()));
}

#[test]
fn witnesses_that_disagree_are_heard_out() {
    let sentence = "connections: the client opened 1, the server accepted 2 (1 that the client's trace does not know)";
    let outcome = Outcome {
        in_flight: None,
        accepting: None,
        server_reasons: std::collections::BTreeMap::new(),
        accepted: Some(2),
        disagreements: vec![Disagreement { sentence: sentence.into() }],
        ..drained()
    };
    insta::assert_snapshot!(verdict(&outcome));
}

#[test]
fn a_prediction_that_does_not_hold_is_said_to() {
    let prediction =
        Prediction { least: 2, most: 3, formula: "1 + 2".into(), because: "a test says so".into() };
    let verdict = verdict(&Outcome { prediction: Some(prediction), ..drained() });
    assert!(verdict.contains("predicted 2 to 3 connections; at most 1 + 2"), "{verdict}");
    assert!(verdict.contains("observed  1 connection, not as predicted"), "{verdict}");
}

#[test]
fn a_run_that_failed_and_was_ended_early_says_both() {
    let mut outcome = drained();
    let message = "127.0.0.1:8080 reset connection #1 before it answered".into();
    outcome.exchanges[1].body = Err(Failure { kind: FailureKind::Reset, message });
    outcome.exchanges[1].afterwards = Afterwards::Failed;
    outcome.setup.requests = 10;
    outcome.interrupted = true;
    let text = text(&outcome);
    assert!(text.contains("failed: reset\n      127.0.0.1:8080 reset connection #1"), "{text}");
    assert!(text.contains("You ended the run after 2 of 10 requests."), "{text}");
    assert!(text.contains("1 of 2 requests failed (1 reset)."), "{text}");
    assert!(!text.contains("as predicted"), "{text}");
}

#[test]
fn a_run_that_failed_is_told_without_a_word_of_success() {
    for preset in Preset::ALL {
        for (policy, failed) in [
            (BodyPolicy::Drain, 1),
            (BodyPolicy::Drain, 2),
            (BodyPolicy::Drop, 2),
            (BodyPolicy::Hold, 2),
        ] {
            let mut outcome = drained();
            outcome.setup = setup(preset, policy);
            for exchange in outcome.exchanges.iter_mut().rev().take(failed) {
                let message = "gave up".to_owned();
                exchange.body = Err(Failure { kind: FailureKind::TimedOut, message });
                exchange.afterwards = Afterwards::Failed;
            }
            let verdict = verdict(&outcome);
            for part in ["as predicted, but requests failed", "2 requests opened 1 connection. "] {
                assert!(verdict.contains(part), "`{part}` in\n{verdict}");
            }
            for part in ["read to its end", "as few as can be", "Nobody read", "went back"] {
                assert!(!verdict.contains(part), "`{part}` in\n{verdict}");
            }
        }
    }
}

#[test]
fn a_body_that_was_given_up_on_is_not_one_that_nobody_reads() {
    let mut outcome = drained();
    outcome.exchanges.truncate(1);
    outcome.interrupted = true;
    let why = CloseReason::NotPooled(NotPooled::BodyUnread { left: None });
    outcome.connections = vec![connection(1, 1, ClosedBy::Client, why, 1100)];
    let verdict = verdict(&outcome).split_whitespace().collect::<Vec<_>>().join(" ");
    let words = "closed because the exchange was given up before the end of its body.";
    assert!(verdict.contains(words) && !verdict.contains("let go of unread"), "{verdict}");
}

#[test]
fn an_end_that_waits_for_the_others_fin_is_not_in_time_wait() {
    let mut outcome = drained();
    let verdict_of =
        |outcome: &Outcome| verdict(outcome).split_whitespace().collect::<Vec<_>>().join(" ");
    let waiting = end(1, Side::Client, TcpState::FinWait2);
    outcome.tables.after_closing = reading(vec![waiting.clone()]);
    let told = verdict_of(&outcome);
    let words = "the server has not closed its end, so there is no TIME_WAIT yet, but FIN_WAIT_2";
    assert!(told.contains(words) && !told.contains("TIME_WAIT is at"), "{told}");
    outcome.tables.after_closing = reading(vec![waiting, end(2, Side::Client, TcpState::TimeWait)]);
    let told = verdict_of(&outcome);
    assert!(told.contains("TIME_WAIT is at the client's end"), "{told}");
    assert!(told.contains("FIN_WAIT_2 1: there the server has not closed its end."), "{told}");
}

#[test]
fn every_reason_for_which_a_connection_is_not_pooled_fits_into_its_row() {
    for refused in [
        NotPooled::BodyUnread { left: Some(1 << 20) },
        NotPooled::IdleCapReached { per_host: 2 },
        NotPooled::TotalCapReached { max_idle: 10 },
        NotPooled::KeepAlivesDisabled,
        NotPooled::ClientSaidClose,
        NotPooled::ServerSaidClose,
        NotPooled::Http10,
        NotPooled::BodyEndsWithConnection,
        NotPooled::ProtocolSwitched,
        NotPooled::ConnectionBroken,
        NotPooled::TransportClosed,
    ] {
        for status in [200, 503] {
            let mut outcome = drained();
            outcome.exchanges[1].afterwards = Afterwards::NotPooled(refused);
            outcome.exchanges[1].status = Some(status);
            // Looks for lines that are too wide.
            text(&outcome);
        }
    }
}

#[test]
fn every_kind_of_failure_fits_into_its_row_or_has_a_line_of_its_own() {
    for kind in FailureKind::ALL {
        for status in [None, Some(200), Some(503)] {
            let mut outcome = drained();
            let exchange = &mut outcome.exchanges[1];
            exchange.afterwards = Afterwards::Failed;
            exchange.body = Err(Failure { kind, message: "in vain".to_owned() });
            exchange.status = status;
            // Looks for lines that are too wide.
            let text = text(&outcome);
            let told = format!("failed: {}\n", kind.name());
            assert!(text.contains(&told), "`{told}` in {text}");
        }
    }
    // So do rows whose numbers are long.
    let mut outcome = drained();
    let exchange = &mut outcome.exchanges[1];
    exchange.number = ExchangeId(12_345);
    exchange.connection = Some(ConnectionId(12_345));
    exchange.started = Duration::from_secs(10_000);
    exchange.afterwards = Afterwards::NotPooled(NotPooled::KeepAlivesDisabled);
    text(&outcome);
    for refused in [
        NotPooled::BodyUnread { left: Some(1_234_567_890_123) },
        NotPooled::IdleCapReached { per_host: 1_234_567_890 },
    ] {
        let mut outcome = drained();
        outcome.exchanges[1].afterwards = Afterwards::NotPooled(refused);
        text(&outcome);
    }
}

#[test]
fn a_status_that_is_no_success_stands_in_its_row_and_in_the_verdict() {
    let mut outcome = drained();
    outcome.exchanges[1].status = Some(404);
    let text = text(&outcome);
    let rows: Vec<&str> = text.lines().filter(|line| line.contains("pooled")).collect();
    assert!(rows[0].ends_with("  pooled") && rows[1].ends_with("  404, pooled"), "{rows:?}");
    assert!(text.contains("1 of 2 responses had another status than 2xx (1 x 404)."), "{text}");
    assert!(!verdict(&drained()).contains("2xx"));
    outcome.exchanges[1].afterwards = Afterwards::NotPooled(NotPooled::ServerSaidClose);
    let text = self::text(&outcome);
    assert!(text.contains("server said close\n      status 404\n"), "{text}");
}

#[test]
fn a_table_that_cannot_be_read_is_no_empty_table() {
    let unreadable =
        || Reading { table: Err(Unreadable("the kernel refused it".into())), settled: false };
    let mut outcome = drained();
    outcome.tables.while_running = unreadable();
    outcome.tables.after_closing = unreadable();
    let text = text(&outcome);
    assert!(text.contains("the kernel's table cannot be read: the kernel refused it"), "{text}");
    assert!(text.contains("kernel's table  unknown: it cannot be read"), "{text}");
    assert!(!text.contains("none"), "{text}");
}

#[test]
fn what_hyper_utils_client_does_not_tell_is_marked_and_explained() {
    let mut outcome = drained();
    outcome.setup.preset = Preset::HyperUtil;
    for exchange in &mut outcome.exchanges {
        exchange.afterwards = Afterwards::NotObservable;
        exchange.idle_before = Observed::NotObservable;
    }
    let text = text(&outcome);
    let reused = text.lines().find(|line| line.contains("#1 reused")).unwrap();
    assert_eq!(reused, "   2   1.001s  #1 reused  40001        ?  0.31 ms  11 B     ?");
    assert!(text.contains("?  not observable: hyper-util's client does not tell it"), "{text}");
}

#[test]
fn who_closed_a_connection_is_not_told_twice() {
    let refused = NotPooled::ServerSaidClose;
    for (by, why, words) in [
        (ClosedBy::Server, CloseReason::ServerClosed, "by server; age"),
        (ClosedBy::Reset, CloseReason::ServerReset, "by server (reset); age"),
        (ClosedBy::Client, CloseReason::TransportClosed, "by client: transport closed; age"),
        (ClosedBy::Server, CloseReason::NotPooled(refused), "by server: server said close; age"),
    ] {
        let why = Observed::Known(why);
        let age = Duration::from_millis(1);
        let closed = Moment::ConnectionClosed { by, why, age, exchanges: 1, unread: 0 };
        let told = super::lines::facts(&closed);
        assert!(told.starts_with(words), "{told}");
    }
}

#[test]
fn many_rows_are_told_by_examples() {
    let mut outcome = drained();
    let ends = (1..=50).map(|id| end(id, Side::Client, TcpState::TimeWait));
    outcome.tables.after_closing = reading(ends.collect());
    let text = text(&outcome);
    assert!(text.contains("… and 47 more: client TIME_WAIT, server gone"), "{text}");
    assert!(text.contains("client   TIME_WAIT 50"), "{text}");
}

#[test]
fn programs_get_one_object_whose_keys_keep_their_names() {
    let mut json = Vec::new();
    let outcome = reset();
    let mut report = RunReport::json(&mut json);
    report.start(&outcome.setup, &[], None).unwrap();
    report.exchange(&outcome.exchanges[0], &[]).unwrap();
    report.end(&outcome, &[]).unwrap();
    insta::assert_snapshot!(String::from_utf8(json).unwrap());
}

/// The verdict's sentences in one line.
fn prose(outcome: &Outcome) -> String {
    verdict(outcome).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn the_verdict_tells_what_the_server_did() {
    let after = |close: CloseReason, by, exchanges| {
        let connections = vec![
            connection(1, exchanges, by, close, 900),
            connection(2, 1, ClosedBy::Client, CloseReason::TransportClosed, 1100),
        ];
        prose(&Outcome { connections, ..drained() })
    };
    let closed = after(CloseReason::ServerClosed, ClosedBy::Server, 1);
    assert!(closed.contains("The server closed 1 connection without having said so"), "{closed}");
    let reset = after(CloseReason::ServerReset, ClosedBy::Reset, 1);
    assert!(reset.contains("The server reset 1 connection. After a reset nobody"), "{reset}");
    assert!(!reset.contains("its kernel answers"), "{reset}");
    let words = "bytes came that belong to no response".to_owned();
    let malformed = after(CloseReason::Malformed(words.clone()), ClosedBy::Client, 1);
    assert!(
        malformed.contains(&format!("because of what the server sent: {words}.")),
        "{malformed}"
    );
}

#[test]
fn a_request_that_was_sent_twice_is_told() {
    let connections = vec![
        connection(1, 2, ClosedBy::Reset, CloseReason::ServerReset, 900),
        connection(2, 1, ClosedBy::Client, CloseReason::TransportClosed, 1100),
    ];
    let again = prose(&Outcome { connections, ..drained() });
    assert!(again.contains("1 request was sent again on another connection"), "{again}");
    assert!(!prose(&drained()).contains("sent again"));
}

#[test]
fn a_limit_on_connections_is_named_where_it_was_reached() {
    let mut outcome = drained();
    (outcome.setup.workers, outcome.setup.max_conns_per_host) = (2, Some(1));
    let limited = prose(&outcome);
    assert!(limited.contains("1 connection: no more than 1 may be open to a host"), "{limited}");
    outcome.setup.max_conns_per_host = None;
    assert!(prose(&outcome).contains("never all busy at once"));
}

#[test]
fn a_time_wait_that_a_reset_has_ended_is_told() {
    let gone = prose(&Outcome { time_waits_cut_short: 38, ..drained() });
    assert!(gone.contains("38 TIME_WAITs are gone before the time"), "{gone}");
}

#[test]
fn an_offer_to_keep_the_connection_is_told_once_and_held_against_the_closes() {
    assert!(!prose(&drained()).contains("Keep-Alive"));
    let mut outcome = drained();
    let offer = |value: &'static str| ConnectionFields::of([], [value.as_bytes()]);
    outcome.exchanges[1].connection_fields = offer("timeout=5, max=99");
    let one = prose(&outcome);
    let words = "1 of 2 responses offered to keep an idle connection for 5s (Keep-Alive: timeout=5, max=99); this client does not read that.";
    assert!(one.contains(words), "{one}");
    outcome.exchanges[0].connection_fields = offer("timeout=5, max=100");
    let all = prose(&outcome);
    assert!(all.contains("All 2 responses offered"), "{all}");
    assert!(all.contains("(Keep-Alive: timeout=5, max=100 in the first);"), "{all}");
    assert!(!all.contains("had been idle"), "{all}");
    outcome.connections[0] = connection(1, 2, ClosedBy::Server, CloseReason::ServerClosed, 1100);
    for (idle_ms, fit) in [(5002, "no sooner than offered"), (1203, "sooner than offered")] {
        let close = outcome.connections[0].close.as_mut().unwrap();
        close.idle = Observed::Known(Some(Duration::from_millis(idle_ms)));
        let told = prose(&outcome);
        let idle = crate::words::short(Duration::from_millis(idle_ms));
        let words = format!("1 connection had been idle for {idle} by the client's trace when");
        assert!(told.contains(&format!("{words} the server closed it, {fit}.")), "{told}");
    }
    outcome.connections[0].close.as_mut().unwrap().idle = Observed::NotObservable;
    let unseen = prose(&outcome);
    assert!(
        unseen.contains("For how long the 1 that the server closed had been idle, this client"),
        "{unseen}"
    );
}

#[test]
fn an_offer_cannot_paint_the_terminal_and_one_without_a_time_is_told_as_it_stands() {
    let mut outcome = drained();
    outcome.exchanges[0].connection_fields = ConnectionFields::of([], [&b"max=3, \x1b[31m"[..]]);
    let told = prose(&outcome);
    assert!(told.contains("1 of 2 responses said Keep-Alive: max=3, \\u{1b}[31m;"), "{told}");
}

#[test]
fn connections_of_an_overflowing_accept_queue_are_told_and_are_no_disagreement() {
    let gap = AcceptGap { in_queue: 1, half_open: 286, given_up: 64 };
    let told = prose(&Outcome { accept_gap: gap, ..drained() });
    for part in [
        "1 connection of the client's was still in the accept queue",
        "286 connections were open for the client alone: the accept queue overflowed",
        "The server accepted 64 connections that the client's trace does not tell of",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn rules_that_are_not_gos_are_told_before_the_run_and_in_its_verdict() {
    let difference = RuleDifference {
        rule: "retries of idempotent requests on a connection that was idle".into(),
        go: "yes".into(),
        here: "no".into(),
    };
    let outcome = Outcome { rule_differences: vec![difference], ..drained() };
    let text = text(&outcome);
    let banner = "1m 30s\n  NOT GO'S  retries of idempotent requests on a connection that was idle (Go:\n            yes; here: no)\n  server";
    assert!(text.contains(banner), "{text}");
    let told = prose(&outcome);
    assert!(told.contains("The rules of this build differ from Go's: retries of"), "{told}");
    assert!(!self::text(&drained()).contains("differ from Go's"));
    let mut json = Vec::new();
    RunReport::json(&mut json).end(&outcome, &[]).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["rule_differences"][0]["here"], "no");
}
