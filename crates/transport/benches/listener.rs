//! What does a listener cost, and what does it cost that there could be one?
//!
//! Clients with Go's rules send the same requests to one server over one connection each, in rounds
//! that take turns, so that what else the machine does meets all of them alike: two without a
//! listener, whose difference is the noise, and one whose listener counts.
//!
//! ```text
//! cargo bench -p transport --bench listener
//! ```
//!
//! It judges nothing and always succeeds; without `--bench`, as in `cargo test --benches`, it
//! takes one short round just to show that it works.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use http_body_util::BodyExt;
use transport::{Config, Listener, Preset, TraceEvent, Transport};

const NAMES: [&str; 3] = ["no listener", "no listener, again", "a listener that counts"];

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let asked_for = std::env::args().any(|argument| argument == "--bench");
    let (rounds, requests) = if asked_for { (61_u64, 2_000_u32) } else { (1, 7) };
    let server = server::Server::bind("127.0.0.1:0".parse().unwrap(), server::Answer::default());
    let server = server.unwrap().start();
    let url = format!("http://{}/", server.address());
    let told = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&told);
    let counts = move |_: TraceEvent| {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    let listeners: [Option<Arc<dyn Listener>>; 3] = [None, None, Some(Arc::new(counts))];
    let clients = listeners.map(|told| Transport::new(Config::of(Preset::Go), told).unwrap());

    let mut per_second: [Vec<f64>; 3] = Default::default();
    for _ in 0..rounds {
        for (client, seen) in clients.iter().zip(&mut per_second) {
            let start = Instant::now();
            for _ in 0..requests {
                client.get(&url).await.unwrap().into_body().collect().await.unwrap();
            }
            seen.push(f64::from(requests) / start.elapsed().as_secs_f64());
        }
    }
    // GetConn, GotConn, WroteHeaderField, WroteHeaders, WroteRequest, GotFirstResponseByte and
    // PutIdleConn; and the one dial.
    let expected = 7 * u64::from(requests) * rounds + 2;
    assert_eq!(told.load(Ordering::Relaxed), expected);
    if !asked_for {
        return println!("every moment is told; cargo bench shows what that costs");
    }
    println!("{rounds} rounds of {requests} requests over one connection");
    let medians = per_second.map(median);
    for (name, median) in NAMES.iter().zip(medians) {
        println!("{name:<24} {median:>8.0} requests/s  {:.3}", median / medians[0]);
    }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}
