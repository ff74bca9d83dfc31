//! Pools of real processes, looked at from outside. Each client is this test program, started
//! once more with a role to play.
#![cfg(target_os = "linux")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::unhaunted_listener;

const ROLE: &str = "POOL_TEST_ROLE";
const SERVER: &str = "POOL_TEST_SERVER";
/// A body that no receive buffer's reader takes in one small read.
const BODY: usize = 60_013;

/// What the other process does, until its stdin ends.
#[test]
#[ignore = "plays a client for the other tests"]
fn client_process() {
    let (Ok(role), Ok(server)) = (std::env::var(ROLE), std::env::var(SERVER)) else { return };
    let server: SocketAddr = server.parse().unwrap();
    let connect = move || TcpStream::connect(server).unwrap();
    let exchange = |stream: &mut TcpStream| {
        stream.write_all(b"?").unwrap();
        stream.read_exact(&mut vec![0; BODY]).unwrap();
    };
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        match role.as_str() {
            "leaks bodies" => {
                for _ in 0..3 {
                    let mut stream = connect();
                    stream.write_all(b"?").unwrap();
                    stream.read_exact(&mut [0; 57]).unwrap(); // the head, say
                    kept.push(stream);
                }
            }
            "keeps what is closed" => {
                for _ in 0..2 {
                    let mut stream = connect();
                    exchange(&mut stream);
                    kept.push(stream);
                }
            }
            "is healthy" => {
                kept.extend([connect(), connect()]);
                kept.iter_mut().for_each(exchange);
                loop {
                    exchange(&mut kept[0]); // the other one is idle
                    std::thread::sleep(Duration::from_millis(23));
                }
            }
            "connects anew" => loop {
                let mut stream = connect();
                exchange(&mut stream);
                // As long as a look may take on a machine that is busy with other things.
                std::thread::sleep(Duration::from_millis(151));
            },
            "lets go at once" => loop {
                drop(connect());
                std::thread::sleep(Duration::from_millis(2));
            },
            "keeps small bodies" => loop {
                let mut stream = connect();
                exchange(&mut stream);
                kept.push(stream);
                std::thread::sleep(Duration::from_millis(151));
            },
            "dials what was closed" => {
                let mut stream = connect();
                loop {
                    exchange(&mut stream);
                    std::thread::sleep(Duration::from_millis(1201));
                    if stream.peek(&mut [0]).unwrap() == 0 {
                        stream = connect();
                    }
                }
            }
            "dials itself" => {
                let socket =
                    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)
                        .unwrap();
                socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
                socket.connect(&socket.local_addr().unwrap()).unwrap();
                kept.push(socket.into());
            }
            "prepares itself" => kept.extend([connect(), connect(), connect()]),
            other => panic!("no such role: {other}"),
        }
        loop {
            std::thread::park();
        }
    });
    let _ = std::io::stdin().read(&mut [0]);
}

/// A server that answers each byte with a body, and if it is told to, closes some time after.
struct Scene {
    address: SocketAddr,
    client: Child,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

fn scene(role: &str, closes_after: Option<Duration>) -> Scene {
    let listener = unhaunted_listener();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                while stream.read_exact(&mut [0]).is_ok() {
                    if stream.write_all(&[b'x'; BODY]).is_err() {
                        return;
                    }
                    if let Some(after) = closes_after {
                        std::thread::sleep(after);
                        return;
                    }
                }
            });
        }
    });
    let client = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "client_process"])
        .env(ROLE, role)
        .env(SERVER, address.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    Scene { address, client }
}

impl Scene {
    /// The pool of the client, as soon as it is as `wanted`.
    fn pool(
        &self,
        more: &[&str],
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let pid = self.client.id().to_string();
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
            command.args(["pool", "--format", "json", "--pid", &pid]).args(more);
            let output = command.output().unwrap();
            assert_eq!(output.status.code(), Some(0), "{output:?}");
            let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            let pool = &json["pools"][0];
            if !pool.is_null() && wanted(pool) {
                assert_eq!(pool["pid"], self.client.id());
                assert_eq!(pool["server"], self.address.to_string());
                return pool.clone();
            }
            assert!(Instant::now() < deadline, "never as wanted: {json:#}");
        }
    }
}

/// How many connections are at each standing.
fn count(pool: &serde_json::Value, standing: &str) -> usize {
    let connections = pool["connections"].as_array().unwrap();
    connections.iter().filter(|connection| connection["standing"] == standing).count()
}

#[test]
fn a_client_that_leaks_bodies_is_told_by_its_unread_bytes() {
    let scene = scene("leaks bodies", None);
    let more = ["--watch", "0.3", "--patience", "0.5"];
    let pool = scene.pool(&more, |pool| count(pool, "unread") == 3);
    assert_eq!(pool["ailments"][0]["kind"], "unread");
    assert_eq!(pool["ailments"][0]["connections"], 3);
    assert!(pool["ailments"][0]["unread_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn a_client_that_keeps_what_is_closed_is_told_by_close_wait() {
    let scene = scene("keeps what is closed", Some(Duration::from_millis(101)));
    let pool = scene.pool(&["--watch", "0.3"], |pool| count(pool, "closed by peer") == 2);
    assert_eq!(pool["ailments"][0]["kind"], "closed_by_peer");
    assert_eq!(pool["ailments"][0]["unnoticed_connections"], 2);
    assert!(pool["ailments"][0]["longest"]["for_ms"].as_u64().is_some());
}

#[test]
fn a_close_that_is_watched_tells_how_long_the_server_waits() {
    let scene = scene("keeps what is closed", Some(Duration::from_secs(2)));
    let pool = scene.pool(&["--watch", "3"], |pool| count(pool, "closed by peer") == 2);
    let ms = pool["server_idle_timeout_ms"].as_u64().unwrap();
    assert!((1500..2500).contains(&ms), "{pool:#}");
}

#[test]
fn a_client_that_reads_to_the_end_and_reuses_looks_healthy() {
    let scene = scene("is healthy", None);
    let settled =
        |pool: &serde_json::Value| count(pool, "idle") >= 1 && pool["opened_connections"] == 0;
    let pool = scene.pool(&["--watch", "1"], settled);
    assert_eq!(pool["connections"].as_array().unwrap().len(), 2);
    assert_eq!(pool["ailments"], serde_json::json!([]), "{pool:#}");
}

#[test]
fn a_client_that_connects_anew_for_each_request_churns() {
    let scene = scene("connects anew", None);
    let churns = |pool: &serde_json::Value| pool["ailments"][0]["kind"] == "churn";
    let pool = scene.pool(&["--watch", "3"], churns);
    assert!(pool["opened_connections"].as_u64().unwrap() >= 3);
}

#[test]
fn connections_too_short_for_a_look_are_counted_though_nobody_is_seen_to_hold_them() {
    let scene = scene("lets go at once", None);
    let pid = scene.client.id().to_string();
    let look = |format: &str, whose: [&str; 2]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
        command.args(["pool", "--watch", "1", "--format", format]).args(whose);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let of_process = ["--pid", &pid];
    let port = scene.address.port().to_string();
    let told = |pool: &serde_json::Value, key: &str| pool[key].as_u64().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let json: serde_json::Value = serde_json::from_str(&look("json", of_process)).unwrap();
        let is_ours = |pool: &&serde_json::Value| pool["server"] == scene.address.to_string();
        let pool = json["pools"].as_array().unwrap().iter().find(is_ours);
        let unattributed = pool.map_or(0, |pool| told(pool, "unattributed_connections"));
        if unattributed >= 7 {
            let ailments = pool.unwrap()["ailments"].as_array().unwrap();
            assert!(ailments.iter().any(|it| it["kind"] == "unattributed"), "{json:#}");
            break;
        }
        assert!(Instant::now() < deadline, "{json:#}");
    }
    let text = look("text", of_process);
    assert!(text.contains("to this server came and went, at least"), "{text}");
    assert!(text.contains(&format!("`pool --port {port}` counts all")), "{text}");
    assert!(!text.contains("Looks healthy") && !text.contains("No client connection"), "{text}");

    let json: serde_json::Value = serde_json::from_str(&look("json", ["--port", &port])).unwrap();
    let pools = json["pools"].as_array().unwrap();
    let opened: u64 = pools.iter().map(|pool| told(pool, "opened_connections")).sum();
    assert!(opened >= 7, "the port's pools count them all: {json:#}");
}

#[test]
fn connections_that_carried_nothing_are_no_sign_of_health() {
    let scene = scene("prepares itself", None);
    scene.pool(&["--watch", "0.1"], |pool| count(pool, "never used") == 3);
    let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
    command.args(["pool", "--watch", "0.1", "--pid", &scene.client.id().to_string()]);
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(text.contains("Too little is seen to call it healthy."), "{text}");
    assert!(text.contains("3 opened and never used"), "{text}");
}

/// The kinds of what ails a pool.
fn ailments(pool: &serde_json::Value) -> Vec<&str> {
    let all = pool["ailments"].as_array().unwrap().iter();
    all.map(|ailment| ailment["kind"].as_str().unwrap()).collect()
}

#[test]
fn small_bodies_that_nobody_takes_are_told_by_idle_connections_that_pile_up() {
    let scene = scene("keeps small bodies", None);
    let piles = |pool: &serde_json::Value| count(pool, "idle") >= 5 && ailments(pool) == ["churn"];
    let pool = scene.pool(&["--watch", "2"], piles);
    let causes = serde_json::json!(["unread_body", "client_for_each_request"]);
    assert_eq!(pool["ailments"][0]["possible_causes"], causes, "{pool:#}");
    assert_eq!(pool["used_again_connections"], 0);
}

#[test]
fn connections_that_the_server_closes_between_requests_are_not_called_healthy() {
    let scene = scene("dials what was closed", Some(Duration::from_millis(601)));
    let closed = |pool: &serde_json::Value| ailments(pool).contains(&"closed_between_requests");
    let pool = scene.pool(&["--watch", "5"], closed);
    assert!(!ailments(&pool).contains(&"churn"), "{pool:#}");
    assert_eq!(pool["closed_first_connections"]["client"], 0);
    assert!(pool["closed_first_connections"]["server"].as_u64().unwrap() >= 2);
}

#[test]
fn a_connection_to_itself_is_named_as_that() {
    let scene = scene("dials itself", None);
    let pid = scene.client.id().to_string();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
        command.args(["pool", "--watch", "0.1", "--pid", &pid]);
        let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
        if text.contains("Sockets are connected to themselves.") {
            assert!(!text.contains("Bodies are not read"), "{text}");
            return;
        }
        assert!(Instant::now() < deadline, "{text}");
    }
}

#[test]
fn bytes_that_nobody_acknowledges_are_no_sign_of_work() {
    let listener = unhaunted_listener();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let server = listener.accept().unwrap().0;
    // From now on the server's end hears nothing.
    let deaf = [socket2::SockFilter::new(6, 0, 0, 0)];
    socket2::SockRef::from(&server).attach_filter(&deaf).unwrap();
    client.write_all(&[b'?'; 27]).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
        command.args(["pool", "--watch", "0.1", "--format", "json", "--port", &port]);
        let output = command.output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let pool = &json["pools"][0];
        if ailments(pool) == ["unanswered"] {
            assert_eq!(pool["ailments"][0]["unacknowledged_bytes"], 27);
            assert!(pool["ailments"][0]["sent_again_in_a_row"].as_u64().unwrap() >= 2);
            let info = &pool["connections"][0]["socket"]["tcp_info"];
            assert_eq!(info["sent_bytes"], 27, "each byte once: {json:#}");
            return;
        }
        assert!(Instant::now() < deadline, "{json:#}");
    }
}

#[test]
fn a_syn_that_a_full_queue_drops_is_told_with_the_queue() {
    let listener = unhaunted_listener();
    let address = listener.local_addr().unwrap();
    socket2::SockRef::from(&listener).listen(1).unwrap();
    let dials: Vec<socket2::Socket> = std::iter::repeat_with(|| {
        let (domain, kind) = (socket2::Domain::IPV4, socket2::Type::STREAM);
        let socket = socket2::Socket::new(domain, kind, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address.into()); // in progress
        socket
    })
    .take(5)
    .collect();
    let port = address.port().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
    command.args(["pool", "--watch", "0.3", "--port", &port]);
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("accept queue is full: 2 wait to be accepted, backlog 1"), "{text}");
    assert!(text.contains("3 connections in SYN_SENT"), "{text}");
    drop(dials);
}

#[test]
fn a_pool_is_found_by_the_process_s_name_and_by_the_server_s_address() {
    let scene = scene("prepares itself", None);
    scene.pool(&["--watch", "0.1"], |pool| count(pool, "never used") == 3);
    let name = std::fs::read_to_string(format!("/proc/{}/comm", scene.client.id())).unwrap();
    let pools = |of: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
        command.args(["pool", "--watch", "0.1", "--format", "json"]).args(of);
        let output = command.output().unwrap();
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        json["pools"].as_array().unwrap().len()
    };
    let there = scene.address.to_string();
    assert_eq!(pools(&["--process", name.trim_end(), "--peer", &there]), 1);
    assert_eq!(pools(&["--process", "nobody-has-this", "--peer", &there]), 0);
    assert_eq!(pools(&["--process", name.trim_end(), "--peer", "192.0.2.7"]), 0);
}

#[test]
fn an_idle_connection_is_stale_soon_if_the_server_s_timeout_is_near() {
    let scene = scene("is healthy", None);
    let stale = |pool: &serde_json::Value| {
        pool["ailments"].as_array().unwrap().iter().any(|ailment| ailment["kind"] == "stale_soon")
    };
    scene.pool(&["--watch", "0.2", "--idle-timeout", "0.5"], stale);
}

#[test]
fn a_server_has_no_pool() {
    let listener = unhaunted_listener();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_socket-inspector"));
    let output = command.args(["pool", "--port", &port, "--watch", "0.01"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with(&format!("No client connection to port {port}. 1 socket")), "{text}");
}
