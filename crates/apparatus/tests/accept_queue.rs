//! Connections that the client has opened and no server has accepted.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use apparatus::{Apparatus, Plan, ServerPlan, Starts};
use evidence::{AcceptGap, BodyPolicy, Preset, Program, ServerSetup, Setup};
use server::{Answer, ServerLimits};
use transport::{Config, Dialling};

const REQUESTS: usize = 7;

/// A client that gives up soon, and a server that only listens.
fn nobody_accepts() -> Plan {
    Plan {
        setup: Setup {
            flags: Vec::new(),
            program: Program::Sequential,
            preset: Preset::Go,
            body: BodyPolicy::Drain,
            workers: 1,
            requests: REQUESTS,
            interval: Duration::ZERO,
            per_host: 2,
            max_idle: None,
            max_conns_per_host: None,
            idle_timeout: None,
            keep_alives: true,
            server: ServerSetup {
                in_process: true,
                url: String::new(),
                bytes: Some(11),
                delay: Duration::ZERO,
                pause_before_body: Duration::ZERO,
            },
        },
        client: Config::of(Preset::Go),
        dialling: Dialling::default(),
        timeout: Some(Duration::from_millis(200)),
        servers: vec![ServerPlan {
            nodelay: true,
            lingers: true,
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            answer: Answer::default(),
            responder: ServerPlan::hello_world,
            limits: ServerLimits::default(),
            starts: Starts::WhenTold,
            tls: None,
        }],
        far: None,
        wire: None,
        trace: false,
    }
}

#[tokio::test]
async fn what_waits_in_the_accept_queue_to_the_end_is_no_disagreement() {
    let apparatus = Apparatus::set_up(nobody_accepts()).unwrap();
    apparatus.listen().unwrap();
    for _ in 0..REQUESTS {
        apparatus.exchange().await.unwrap().body.expect_err("nobody accepts, so nobody answers");
    }
    let (outcome, _) = apparatus.take_down(false).await;
    assert_eq!(outcome.opened(), REQUESTS, "the kernel opens them without the program");
    assert_eq!(outcome.accepted, Some(0));
    if outcome.tables.after_closing.table.is_err() {
        eprintln!("SKIPPED: this system's socket table cannot be read");
        return;
    }
    let gap = AcceptGap { in_queue: REQUESTS, half_open: 0, given_up: 0 };
    assert_eq!(outcome.accept_gap, gap);
    assert_eq!(outcome.disagreements, []);
}
