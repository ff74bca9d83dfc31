//! The moments of an exchange come in Go's order, with Go's facts.

mod common;

use common::{Bench, answer};
use evidence::{ConnectionId, ExchangeId, Moment, Observed, Preset, TraceEvent};
use http_body_util::BodyExt;
use transport::Config;

/// Each event in a word or a few, such as `1 #1 GotConn reused=false`.
fn words(events: &[TraceEvent]) -> Vec<String> {
    events
        .iter()
        .map(|TraceEvent { exchange, connection, moment, .. }| {
            let exchange = exchange.map_or("-".to_owned(), |ExchangeId(n)| n.to_string());
            let connection = connection.map_or("-".to_owned(), |id: ConnectionId| id.to_string());
            let fact = match moment {
                Moment::GotConn { reused, was_idle, idle_time, .. } => {
                    let was_idle = match was_idle {
                        Observed::Known(was_idle) => was_idle.to_string(),
                        Observed::NotObservable => "?".into(),
                    };
                    let idle_time = match idle_time {
                        Observed::Known(time) => time.is_some().to_string(),
                        Observed::NotObservable => "?".into(),
                    };
                    format!(" reused={reused} was_idle={was_idle} idle_time={idle_time}")
                }
                Moment::WroteHeaderField { name, .. } => format!(" {name}"),
                Moment::PutIdleConn { refused: Some(refused) } => format!(" {refused}"),
                _ => String::new(),
            };
            format!("{exchange} {connection} {}{fact}", moment.name())
        })
        .collect()
}

async fn two_drained_exchanges(preset: Preset, by_name: bool) -> Vec<String> {
    let bench = Bench::new(Config::of(preset), answer());
    let url = if by_name {
        format!("http://localhost:{}/", bench.server.address().port())
    } else {
        bench.url.clone()
    };
    for _ in 0..2 {
        let response = bench.client.get(&url).await.unwrap();
        response.into_body().collect().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut events = bench.moments();
    assert!(events.is_sorted_by_key(|event| event.at) || preset == Preset::HyperUtil);
    events.sort_by_key(|event| event.at);
    words(&events)
}

#[tokio::test]
async fn a_dial_and_a_reuse_are_told_as_go_tells_them() {
    for preset in [Preset::Go, Preset::Go127] {
        assert_eq!(
            two_drained_exchanges(preset, false).await,
            [
                "1 - GetConn",
                "1 #1 ConnectStart",
                "1 #1 ConnectDone",
                "1 #1 GotConn reused=false was_idle=false idle_time=false",
                "1 #1 WroteHeaderField host",
                "1 #1 WroteHeaders",
                "1 #1 WroteRequest",
                "1 #1 GotFirstResponseByte",
                "1 #1 PutIdleConn",
                "2 - GetConn",
                "2 #1 GotConn reused=true was_idle=true idle_time=true",
                "2 #1 WroteHeaderField host",
                "2 #1 WroteHeaders",
                "2 #1 WroteRequest",
                "2 #1 GotFirstResponseByte",
                "2 #1 PutIdleConn",
            ]
        );
    }
}

#[tokio::test]
async fn a_name_is_looked_up_for_a_dial_and_not_for_a_reuse() {
    let words = two_drained_exchanges(Preset::Go, true).await;
    assert_eq!(words[..3], ["1 - GetConn", "1 #1 DNSStart", "1 #1 DNSDone"]);
    assert_eq!(words.iter().filter(|word| word.contains("DNS")).count(), 2);
}

#[tokio::test]
async fn what_hyper_utils_client_cannot_tell_is_not_guessed() {
    assert_eq!(
        two_drained_exchanges(Preset::HyperUtil, false).await,
        [
            "1 - GetConn",
            "1 #1 ConnectStart",
            "1 #1 ConnectDone",
            "1 #1 GotConn reused=false was_idle=? idle_time=?",
            "1 #1 WroteHeaderField host",
            "1 #1 WroteHeaders",
            "1 #1 WroteRequest",
            "1 #1 GotFirstResponseByte",
            "2 - GetConn",
            "2 #1 GotConn reused=true was_idle=? idle_time=?",
            "2 #1 WroteHeaderField host",
            "2 #1 WroteHeaders",
            "2 #1 WroteRequest",
            "2 #1 GotFirstResponseByte",
        ]
    );
}

#[tokio::test]
async fn nobody_listening_changes_nothing() {
    let server = server::Server::bind("127.0.0.1:0".parse().unwrap(), answer()).unwrap().start();
    for preset in Preset::ALL {
        let client = transport::Transport::new(Config::of(preset), None).unwrap();
        for _ in 0..3 {
            let response = client.get(&format!("http://{}/", server.address())).await.unwrap();
            assert_eq!(response.body().connection().id, ConnectionId(1));
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "Hello world");
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_written_before_it_is_known_for_whom_is_told_all_the_same() {
    const PRIME: u64 = 101;
    let bench = Bench::new(Config::of(Preset::HyperUtil), answer());
    for _ in 0..PRIME {
        bench.drain().await.unwrap();
    }
    for name in ["WroteHeaderField", "WroteHeaders", "WroteRequest", "GotFirstResponseByte"] {
        let mut exchanges: Vec<u64> = bench
            .moments()
            .iter()
            .filter(|event| event.moment.name() == name)
            .map(|event| event.exchange.unwrap().0)
            .collect();
        exchanges.sort_unstable();
        assert_eq!(exchanges, Vec::from_iter(1..=PRIME), "{name}");
    }
}
