//! What does an idle connection cost in memory, beyond what hyper takes for it?
//!
//! Servers that answer the same request with the same bytes, each in a process of its own, so that
//! nobody else's memory is counted: hyper with nothing around it, hello, hello with every limit,
//! and hello observed. The client opens connections, sends requests on each, reads the answers and
//! leaves the connections open. What the server's process holds more than before, by the number of
//! connections, is what one costs: `RssAnon`, the pages it has written to. The kernel's own share
//! of a connection, which is the same for all, is not in it.
//!
//! ```text
//! cargo bench -p hello --bench idle_memory
//! ```
//!
//! It judges nothing and always succeeds; without `--bench`, as in `cargo test --benches`, it takes
//! one small round just to show that it works. Linux only, as `/proc` is.

use std::convert::Infallible;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use hyper::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use server::{Answer, Server, ServerLimits};
use tokio::net::TcpListener;

/// How much of everything.
struct Size {
    rounds: usize,
    connections: usize,
    /// Requests on each connection before it is idle. Measured for each of these numbers.
    requests: &'static [usize],
}

const FULL: Size = Size { rounds: 5, connections: 2003, requests: &[1, 3] };
const SMOKE: Size = Size { rounds: 1, connections: 23, requests: &[1] };

/// The first is what the others are compared with.
const SERVERS: [&str; 4] = ["bare hyper", "hello", "hello, with limits", "hello, observed"];

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n";

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, command, name] = arguments.as_slice()
        && command == "serve"
    {
        return serve(name);
    }
    if !cfg!(target_os = "linux") {
        return println!("skipped: only Linux tells how much memory a process has written to");
    }
    let asked_for = arguments.iter().any(|argument| argument == "--bench");
    let size = if asked_for { FULL } else { SMOKE };
    allow_descriptors(size.connections);
    for requests in size.requests {
        let rounds: Vec<Vec<f64>> = (0..size.rounds)
            .map(|_| SERVERS.iter().map(|name| round(name, size.connections, *requests)).collect())
            .collect();
        if asked_for {
            println!(
                "{} idle connections after {requests} request(s) each, median of {} rounds",
                size.connections, size.rounds
            );
            report(&rounds);
        }
    }
    if !asked_for {
        println!("all can be measured; cargo bench shows what they take");
    }
}

fn report(rounds: &[Vec<f64>]) {
    for (index, name) in SERVERS.iter().enumerate() {
        let bytes = median(rounds.iter().map(|round| round[index]));
        let ratio = median(rounds.iter().map(|round| round[index] / round[0]));
        println!("{name:<20} {:>6.2} KiB a connection ({ratio:.2})", bytes / 1024.0);
    }
}

/// The bytes that one idle connection costs the server `name`.
fn round(name: &str, connections: usize, requests: usize) -> f64 {
    let server = Process::start(name);
    // The first of all pays for what is made only once.
    let mut clients = vec![Client::connect(server.address)];
    let before = server.written_to();
    clients.extend((0..connections).map(|_| Client::connect(server.address)));
    for client in &mut clients {
        (0..requests).for_each(|_| client.exchange());
    }
    (server.written_to() - before) as f64 / connections as f64
}

/// A server in a process of its own.
struct Process {
    child: Child,
    address: SocketAddr,
}

impl Process {
    fn start(name: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["serve", name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, address: line.trim().parse().unwrap() }
    }

    /// The anonymous memory that it has, in bytes: heap and stacks, no code, no files.
    fn written_to(&self) -> i64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let kib: i64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kib * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves until the process is killed, or whoever started it is gone.
fn serve(name: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    runtime.block_on(async {
        if name == "bare hyper" {
            return bare_hyper().await;
        }
        let mut server = Server::bind("127.0.0.1:0".parse().unwrap(), Answer::default()).unwrap();
        if name == "hello, with limits" {
            let limit = Some(Duration::from_secs(3600));
            server = server.limits(ServerLimits {
                read_header: limit,
                read: limit,
                write: limit,
                idle: limit,
                handler: limit,
            });
        }
        if name == "hello, observed" {
            let events = AtomicU64::new(0);
            server = server.observed_by(Arc::new(move |_| {
                events.fetch_add(1, Ordering::Relaxed);
            }));
        }
        println!("{}", server.address());
        let _running = server.start();
        std::future::pending::<()>().await;
    });
}

/// As little as possible around hyper. The header is hello's, so that both send the same bytes.
async fn bare_hyper() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let service = service_fn(|_| async {
            let mut response = Response::new(Full::new(Bytes::from_static(b"Hello world")));
            let content_type = HeaderValue::from_static("text/plain; charset=utf-8");
            response.headers_mut().insert(CONTENT_TYPE, content_type);
            Ok::<_, Infallible>(response)
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// A client that leaves its connection open.
struct Client(TcpStream);

impl Client {
    fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).unwrap())
    }

    fn exchange(&mut self) {
        self.0.write_all(REQUEST).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nHello world") {
            let mut some = [0; 1024];
            let read = self.0.read(&mut some).unwrap();
            assert_ne!(read, 0, "the server closed");
            answer.extend_from_slice(&some[..read]);
        }
    }
}

/// Both this process and the server's, which inherits the limit, need one for each connection.
fn allow_descriptors(connections: usize) {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let needed = Some(connections as u64 + 100);
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current.is_some() && current < needed {
            setrlimit(Resource::Nofile, Rlimit { current: needed, maximum }).unwrap();
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
