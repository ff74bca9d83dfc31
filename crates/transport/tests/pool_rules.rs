//! What becomes of connections, by the rules of each preset.

mod common;

use std::time::Duration;

use common::{Bench, Closed, answer, until};
use evidence::{CloseReason, ClosedBy, ConnectionId, Moment, NotPooled, Observed, Preset};
use http_body_util::BodyExt;
use server::Answer;
use transport::{Config, Limits};

const PRIME: usize = 23;

fn sized(bytes: u64) -> Answer {
    Answer { bytes, ..answer() }
}

fn limits(limits: Limits) -> Config {
    Config { limits, ..Config::of(Preset::Go) }
}

#[tokio::test]
async fn drained_bodies_need_one_connection_whatever_the_preset() {
    for preset in Preset::ALL {
        let bench = Bench::new(Config::of(preset), answer());
        for _ in 0..PRIME {
            assert_eq!(bench.drain().await.unwrap(), 11);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!((bench.opened(), bench.accepted()), (1, 1), "{}", preset.name());
    }
}

#[tokio::test]
async fn back_to_back_gos_rules_never_open_a_second_connection() {
    for bytes in [0, 11, 8 * 1024, 64 * 1024, 256 * 1024] {
        let bench = Bench::new(Config::of(Preset::Go), sized(bytes));
        for _ in 0..200 {
            assert_eq!(bench.drain().await.unwrap() as u64, bytes);
        }
        assert_eq!((bench.opened(), bench.accepted()), (1, 1), "{bytes} B");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn back_to_back_on_two_threads_gos_rules_never_open_a_second_connection_either() {
    for bytes in [11, 64 * 1024] {
        let bench = Bench::new(Config::of(Preset::Go), sized(bytes));
        for _ in 0..200 {
            bench.drain().await.unwrap();
        }
        assert_eq!((bench.opened(), bench.accepted()), (1, 1), "{bytes} B");
    }
}

#[tokio::test]
async fn chunked_bodies_give_their_connection_back_too() {
    let bench = Bench::new(Config::of(Preset::Go), Answer { chunked: true, ..sized(100_000) });
    for _ in 0..PRIME {
        assert_eq!(bench.drain().await.unwrap(), 100_000);
    }
    assert_eq!(bench.opened(), 1);
}

#[tokio::test]
async fn up_to_go_1_26_a_dropped_body_costs_its_connection() {
    let bench = Bench::new(Config::of(Preset::Go), answer());
    for _ in 0..PRIME {
        bench.drop_body().await;
    }
    assert_eq!(bench.opened(), PRIME);
    let unread = NotPooled::BodyUnread { left: Some(11) };
    assert_eq!(bench.refusals(), [unread; PRIME]);
    for closed in bench.closed_count(PRIME).await {
        assert_eq!(closed.by, ClosedBy::Client);
        assert_eq!(closed.why, Observed::Known(CloseReason::NotPooled(unread)));
    }
}

#[tokio::test]
async fn since_go_1_27_a_dropped_body_of_up_to_256_kib_is_drained() {
    for (bytes, opened) in [(11, 1), (64 * 1024, 1), (256 * 1024, 1), (256 * 1024 + 1, PRIME)] {
        let bench = Bench::new(Config::of(Preset::Go127), sized(bytes));
        for _ in 0..PRIME {
            bench.drop_body().await;
            let settled = |m: &Moment| matches!(m, Moment::PutIdleConn { .. });
            let before = common::count(&bench.moments(), |m| matches!(m, Moment::GetConn { .. }));
            until(|| common::count(&bench.moments(), settled) == before, "the drain").await;
        }
        assert_eq!(bench.opened(), opened, "{bytes} B");
    }
}

#[tokio::test]
async fn since_go_1_27_a_drain_that_takes_too_long_costs_the_connection() {
    let late = Answer { pause_before_body: Duration::from_millis(300), ..answer() };
    let bench = Bench::new(Config::of(Preset::Go127), late);
    bench.drop_body().await;
    let closed = bench.closed_count(1).await;
    let unread = NotPooled::BodyUnread { left: Some(11) };
    assert_eq!(closed[0].why, Observed::Known(CloseReason::NotPooled(unread)));
}

#[tokio::test]
async fn a_held_body_keeps_its_connection_from_everybody_else() {
    for preset in [Preset::Go, Preset::Go127] {
        let bench = Bench::new(Config::of(preset), answer());
        let mut held = Vec::new();
        for _ in 0..PRIME {
            held.push(bench.client.get(&bench.url).await.unwrap());
        }
        assert_eq!((bench.opened(), bench.accepted()), (PRIME, PRIME));
        assert_eq!(bench.closed(), []);
    }
}

#[tokio::test]
async fn hyper_util_reads_a_small_body_by_itself_whatever_the_reader_does() {
    let bench = Bench::new(Config::of(Preset::HyperUtil), answer());
    let mut held = Vec::new();
    for _ in 0..PRIME {
        held.push(bench.client.get(&bench.url).await.unwrap());
        bench.drop_body().await;
    }
    assert_eq!(bench.opened(), 1);
}

#[tokio::test]
async fn hyper_util_loses_the_connection_of_a_body_that_comes_late_and_is_dropped() {
    let late = Answer { pause_before_body: Duration::from_millis(30), ..answer() };
    let bench = Bench::new(Config::of(Preset::HyperUtil), late);
    for _ in 0..5 {
        bench.drop_body().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(bench.opened(), 5);
}

#[tokio::test]
async fn a_reader_that_stops_right_after_the_last_byte_keeps_the_connection() {
    let bench = Bench::new(Config::of(Preset::Go), answer());
    for n in 1..=PRIME {
        let mut response = bench.client.get(&bench.url).await.unwrap();
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap().len(), 11);
        drop(response);
        let pooled = |m: &Moment| *m == Moment::PutIdleConn { refused: None };
        until(|| common::count(&bench.moments(), pooled) == n, "the connection's return").await;
    }
    assert_eq!(bench.opened(), 1);
}

#[tokio::test]
async fn a_response_without_a_body_gives_its_connection_back_before_it_is_returned() {
    let bench = Bench::new(Config::of(Preset::Go), sized(0));
    let mut kept = Vec::new();
    for _ in 0..PRIME {
        kept.push(bench.client.get(&bench.url).await.unwrap());
    }
    assert_eq!(bench.opened(), 1);
}

/// Every worker gets its response before any of them goes on.
async fn at_once(bench: &Bench, workers: usize) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..workers {
        let (client, url) = (bench.client.clone(), bench.url.clone());
        tasks.spawn(async move {
            client.get(&url).await.unwrap().into_body().collect().await.unwrap();
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

fn slow() -> Answer {
    Answer { delay: Duration::from_millis(60), ..answer() }
}

#[tokio::test]
async fn the_connection_that_comes_back_too_many_is_the_one_that_is_closed() {
    let bench = Bench::new(Config::of(Preset::Go), slow());
    at_once(&bench, 3).await;
    assert_eq!(bench.opened(), 3);
    let closed = bench.closed_count(1).await;
    assert_eq!(closed.len(), 1);
    let cap = NotPooled::IdleCapReached { per_host: 2 };
    assert_eq!(bench.refusals(), [cap]);
    assert_eq!(closed[0].why, Observed::Known(CloseReason::NotPooled(cap)));
}

#[tokio::test]
async fn surplus_connections_cost_a_new_dial_in_every_round() {
    for per_host in [0, 1, 2, 5, 7] {
        let config = limits(Limits { max_idle_per_host: per_host, ..Limits::GO });
        let bench = Bench::new(config, slow());
        for _ in 0..3 {
            at_once(&bench, 7).await;
        }
        assert_eq!(bench.opened(), 7 + 2 * (7 - per_host), "cap {per_host}");
        assert_eq!(bench.accepted(), bench.opened());
    }
}

#[tokio::test]
async fn the_most_recently_used_idle_connection_is_taken_first() {
    let bench = Bench::new(Config::of(Preset::Go), slow());
    at_once(&bench, 2).await;
    let pooled: Vec<_> = bench
        .moments()
        .into_iter()
        .filter(|e| e.moment == Moment::PutIdleConn { refused: None })
        .map(|e| e.connection.unwrap())
        .collect();
    let response = bench.client.get(&bench.url).await.unwrap();
    assert_eq!(response.body().connection().id, pooled[1]);
}

#[tokio::test]
async fn with_a_total_cap_the_connection_that_was_idle_longest_goes() {
    let config = limits(Limits { max_idle: Some(3), ..Limits::GO });
    let bench = Bench::new(config, slow());
    let second = server::Server::bind("127.0.0.1:0".parse().unwrap(), slow()).unwrap().start();
    at_once(&bench, 2).await;
    let first_idle = bench
        .moments()
        .into_iter()
        .find(|e| e.moment == Moment::PutIdleConn { refused: None })
        .and_then(|e| e.connection)
        .unwrap();
    let url = format!("http://{}/", second.address());
    let (one, two) = tokio::join!(bench.client.get(&url), bench.client.get(&url));
    one.unwrap().into_body().collect().await.unwrap();
    assert_eq!(bench.closed(), []);
    two.unwrap().into_body().collect().await.unwrap();
    let closed = bench.closed_count(1).await;
    let reason = CloseReason::NotPooled(NotPooled::TotalCapReached { max_idle: 3 });
    assert_eq!(closed.len(), 1);
    assert_eq!((closed[0].id, &closed[0].why), (first_idle, &Observed::Known(reason)));
}

#[tokio::test]
async fn a_total_cap_of_none_at_all_refuses_the_connection_itself() {
    let bench = Bench::new(limits(Limits { max_idle: Some(0), ..Limits::GO }), answer());
    for _ in 0..3 {
        bench.drain().await.unwrap();
    }
    assert_eq!(bench.opened(), 3);
    assert_eq!(bench.refusals(), [NotPooled::TotalCapReached { max_idle: 0 }; 3]);
}

#[tokio::test]
async fn with_a_cap_on_connections_requests_wait_for_one_to_come_back() {
    let config =
        limits(Limits { max_conns_per_host: Some(4), max_idle_per_host: 10, ..Limits::GO });
    let bench = Bench::new(config, slow());
    at_once(&bench, 10).await;
    assert_eq!((bench.opened(), bench.accepted()), (4, 4));
    let direct = common::count(&bench.moments(), |m| {
        matches!(
            m,
            Moment::GotConn {
                reused: true,
                was_idle: Observed::Known(false),
                idle_time: Observed::Known(None),
                ..
            }
        )
    });
    assert_eq!(direct, 6, "handed over directly: reused, but never idle");
}

#[tokio::test]
async fn with_a_cap_on_connections_a_closed_one_makes_room_for_a_dial() {
    let config = limits(Limits { max_conns_per_host: Some(2), keep_alives: false, ..Limits::GO });
    let bench = Bench::new(config, answer());
    at_once(&bench, 7).await;
    assert_eq!(bench.opened(), 7);
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_its_time_and_a_reuse_starts_the_time_anew() {
    let limit = Duration::from_millis(300);
    let bench = Bench::new(limits(Limits { idle_timeout: Some(limit), ..Limits::GO }), answer());
    bench.drain().await.unwrap();
    tokio::time::sleep(limit / 2).await;
    bench.drain().await.unwrap();
    let last_put = bench.moments().last().unwrap().at;
    let closed = bench.closed_count(1).await;
    let why = Observed::Known(CloseReason::IdleTimeout(limit));
    let expected = Closed { id: ConnectionId(1), by: ClosedBy::Client, why, exchanges: 2 };
    assert_eq!(closed, [expected]);
    // A lower bound only: how late a timer fires is the machine's business.
    assert!(bench.moments().last().unwrap().at - last_put >= limit - Duration::from_millis(5));
}

/// How the kernel sees the client's end of connection 1. By both addresses: an earlier server may
/// have had the same port.
#[cfg(target_os = "linux")]
fn client_end(bench: &Bench) -> Option<evidence::TcpState> {
    let client = bench.moments().iter().find_map(|event| match event.moment {
        Moment::GotConn { client, .. } => Some(client),
        _ => None,
    })?;
    let server = bench.server.address();
    let filter = socket_table::SocketFilter::default().server(server.port());
    let sockets = socket_table::snapshot(&filter).unwrap().sockets;
    let end = sockets
        .iter()
        .find(|end| (end.local, end.peer) == (client.socket_addr(), server.socket_addr()));
    end.map(|end| end.state)
}

/// hyper-util's idle timeout is decoration without its timer, which its builder leaves out.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn without_a_pool_timer_an_idle_connection_outlives_its_time_until_the_next_request() {
    use evidence::TcpState::Established;
    let limit = Duration::from_millis(50);
    let limits = Limits { idle_timeout: Some(limit), ..Limits::HYPER_UTIL };
    let config = Config { limits, pool_timer: false, ..Config::of(Preset::HyperUtil) };
    let bench = Bench::new(config, answer());
    bench.drain().await.unwrap();
    tokio::time::sleep(limit * 10).await;
    assert_eq!((bench.closed(), client_end(&bench)), (vec![], Some(Established)));
    bench.drain().await.unwrap();
    let closed = bench.closed_count(1).await;
    assert_eq!((closed[0].id, closed[0].by), (ConnectionId(1), ClosedBy::Client));
    assert_eq!((bench.opened(), closed.len()), (2, 1));
}

#[tokio::test]
async fn with_a_pool_timer_hyper_util_closes_an_idle_connection_by_itself() {
    let limits = Limits { idle_timeout: Some(Duration::from_millis(50)), ..Limits::HYPER_UTIL };
    let bench = Bench::new(Config { limits, ..Config::of(Preset::HyperUtil) }, answer());
    bench.drain().await.unwrap();
    let closed = bench.closed_count(1).await;
    assert_eq!((closed[0].by, closed[0].exchanges), (ClosedBy::Client, 1));
}

#[tokio::test]
async fn without_keep_alives_every_request_says_close() {
    let bench = Bench::new(limits(Limits { keep_alives: false, ..Limits::GO }), answer());
    for _ in 0..3 {
        bench.drain().await.unwrap();
    }
    assert_eq!(bench.opened(), 3);
    assert_eq!(bench.refusals(), [NotPooled::KeepAlivesDisabled; 3]);
}

#[tokio::test]
async fn a_server_that_says_close_is_obeyed() {
    let bench = Bench::new(Config::of(Preset::Go), Answer { close: true, ..answer() });
    for _ in 0..3 {
        bench.drain().await.unwrap();
    }
    assert_eq!(bench.opened(), 3);
    assert_eq!(bench.refusals(), [NotPooled::ServerSaidClose; 3]);
}

#[tokio::test]
async fn closing_the_transport_closes_idle_connections_at_once() {
    for preset in Preset::ALL {
        let bench = Bench::new(Config::of(preset), answer());
        bench.drain().await.unwrap();
        bench.client.close();
        let closed = bench.closed_count(1).await;
        let why = Observed::Known(CloseReason::TransportClosed);
        let expected = Closed { id: ConnectionId(1), by: ClosedBy::Client, why, exchanges: 1 };
        assert_eq!(closed, [expected], "{}", preset.name());
    }
}

#[tokio::test]
async fn dropping_the_transport_closes_idle_connections_too() {
    for preset in Preset::ALL {
        let Bench { client, url, server: _server, .. } = Bench::new(Config::of(preset), answer());
        let events = std::sync::Arc::default();
        drop(client);
        let client = common::watched(Config::of(preset), &events);
        client.get(&url).await.unwrap().into_body().collect().await.unwrap();
        drop(client);
        let closed = |m: &Moment| matches!(m, Moment::ConnectionClosed { .. });
        until(|| common::count(&events.lock().unwrap(), closed) == 1, "the close").await;
    }
}

#[tokio::test]
async fn a_request_given_up_while_it_waits_leaves_its_dial_to_the_pool() {
    let config = Config { tcp_keepalive: None, ..Config::of(Preset::Go) };
    let bench = Bench::new(config, answer());
    {
        // Polled once, so that the dial has started, then dropped.
        let request = bench.client.get(&bench.url);
        tokio::select! { biased; _ = request => panic!("cannot be done"), () = std::future::ready(()) => {} }
    }
    until(|| bench.opened() == 1, "the dial").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.drain().await.unwrap();
    assert_eq!(bench.opened(), 1, "the spare connection served the next request");
}

#[tokio::test]
async fn every_connection_that_a_server_said_close_on_is_told_to_be_closed_for_that() {
    for (config, answer, because) in [
        (Config::of(Preset::Go), Answer { close: true, ..answer() }, NotPooled::ServerSaidClose),
        (
            limits(Limits { keep_alives: false, ..Limits::GO }),
            answer(),
            NotPooled::KeepAlivesDisabled,
        ),
    ] {
        let bench = Bench::new(config, answer);
        for _ in 0..PRIME {
            bench.drain().await.unwrap();
        }
        let why = Observed::Known(CloseReason::NotPooled(because));
        for closed in bench.closed_count(PRIME).await {
            assert_eq!(closed.why, why);
        }
    }
}

#[tokio::test]
async fn a_pool_that_keeps_nothing_hands_nothing_over_either() {
    let bench = Bench::new(limits(Limits { max_idle_per_host: 0, ..Limits::GO }), answer());
    for _ in 0..3 {
        at_once(&bench, 7).await;
    }
    assert_eq!(bench.opened(), 21);
    assert!(bench.closed_count(21).await.iter().all(|closed| closed.exchanges == 1));
}

#[tokio::test]
async fn since_go_1_27_it_is_the_announced_length_that_decides_whether_a_body_is_drained() {
    let bench = Bench::new(Config::of(Preset::Go127), sized(300 * 1024));
    let mut response = bench.client.get(&bench.url).await.unwrap();
    let mut read = 0;
    while read < 100 * 1024 {
        let frame = response.body_mut().frame().await.unwrap().unwrap();
        read += frame.into_data().unwrap().len();
    }
    drop(response);
    let closed = bench.closed_count(1).await;
    let left = Some(300 * 1024 - read as u64);
    let unread = CloseReason::NotPooled(NotPooled::BodyUnread { left });
    assert_eq!(closed[0].why, Observed::Known(unread), "less than 256 KiB were left");
}

#[test]
fn a_runtime_that_ends_gives_its_places_back() {
    let config = limits(Limits { max_conns_per_host: Some(1), ..Limits::GO });
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime();
    let bench = server.block_on(async { Bench::new(config, answer()) });
    std::thread::scope(|scope| {
        let (done, is_done) = tokio::sync::oneshot::channel::<()>();
        scope.spawn(|| server.block_on(async { is_done.await.unwrap() }));
        for _ in 0..3 {
            let client = runtime();
            let size = client.block_on(async {
                tokio::time::timeout(Duration::from_secs(10), bench.drain()).await
            });
            assert_eq!(size.unwrap().unwrap(), 11);
        }
        done.send(()).unwrap();
    });
}
