//! What does hello cost beyond hyper?
//!
//! First the library. Three servers answer the same request with the same bytes, each on a thread of its own: hyper
//! with nothing around it, hello, and hello with an observer. One client sends every server the
//! same number of requests over the same number of persistent connections, in rounds that take
//! turns, so that what else the machine does meets all of them alike.
//!
//! Then the program, with each of its flags that let it tell more, its stdout to nowhere. There the
//! processor time is that of the whole process, until it has written all: what is shown is written
//! by a thread of its own. Their rounds are short enough for all that is told to wait in its queue,
//! so that nothing is lost, which they are asked at the end.
//!
//! Two measures: requests per second as the client sees them, and the processor time the server's
//! thread spent on a request (Linux only), which other programs disturb less.
//!
//! ```text
//! cargo bench -p hello --bench against_bare_hyper
//! ```
//!
//! It judges nothing and always succeeds; without `--bench`, as in `cargo test --benches`, it
//! takes one short round just to show that it works.

use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::Full;
use hyper::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// How much of everything.
struct Size {
    rounds: usize,
    connections: usize,
    requests_per_connection: usize,
}

const FULL: Size = Size { rounds: 31, connections: 32, requests_per_connection: 400 };
/// About ten events a request; 16384 may wait to be written.
const PROGRAMS: Size = Size { rounds: 101, connections: 32, requests_per_connection: 23 };
const SMOKE: Size = Size { rounds: 1, connections: 3, requests_per_connection: 7 };

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: hello\r\n\r\n";

fn main() {
    let asked_for = std::env::args().any(|argument| argument == "--bench");
    let size = if asked_for { FULL } else { SMOKE };
    let events = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&events);
    let servers = [
        ("bare hyper", Site::start(bare_hyper)),
        ("hello", Site::start(|told| hello(told, None))),
        ("hello, observed", Site::start(move |told| hello(told, Some(counter)))),
    ];
    let rounds = compare(&servers, &size);
    let told = events.load(Ordering::Relaxed); // `Request` and `ResponseDone` of every exchange
    assert!(told >= 2 * (size.rounds * size.connections * size.requests_per_connection) as u64);
    let programs = FLAGS.map(|flags| (flags, Site::program(flags)));
    let size_of_programs = if asked_for { PROGRAMS } else { SMOKE };
    let rounds_of_programs = compare(&programs, &size_of_programs);
    if !asked_for {
        return println!("all answer alike; cargo bench shows how fast");
    }
    println!(
        "{} rounds of {} requests over {} connections",
        size.rounds,
        size.connections * size.requests_per_connection,
        size.connections
    );
    report(&servers, &rounds);
    println!(
        "\nthe program: {} rounds of {} requests over {} connections",
        PROGRAMS.rounds,
        PROGRAMS.connections * PROGRAMS.requests_per_connection,
        PROGRAMS.connections
    );
    report(&programs, &rounds_of_programs);
    for (flags, program) in programs {
        for line in program.end().lines().filter(|line| line.contains("faster")) {
            println!("{flags}: {line}");
        }
    }
}

/// The program without and with what lets it tell more.
const FLAGS: [&str; 7] = [
    "no flag",
    "--metrics",
    "--log combined",
    "--log json",
    "--show connections",
    "--show bytes",
    "--show connections,bytes",
];

/// Rounds in turn, once all have answered alike.
fn compare(servers: &[(&str, Site)], size: &Size) -> Vec<Vec<Round>> {
    let answers: Vec<String> =
        servers.iter().map(|(_, site)| answer_without_date(site.address)).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    (0..size.rounds).map(|_| servers.iter().map(|(_, site)| site.round(size)).collect()).collect()
}

fn report(servers: &[(&str, Site)], rounds: &[Vec<Round>]) {
    for (index, (name, _)) in servers.iter().enumerate() {
        let median_of = |of: fn(&Round) -> f64| median(rounds.iter().map(|r| of(&r[index])));
        let per_second = median_of(|round| round.per_second);
        let cpu = median_of(|round| round.cpu_us);
        println!("{name:<24} {per_second:>8.0} requests/s {cpu:>8.2} us of server CPU a request");
    }
    let first = servers[0].0;
    for (index, (name, _)) in servers.iter().enumerate().skip(1) {
        // Compared round by round: neighbours in time met the same machine.
        let speed = median(rounds.iter().map(|r| r[index].per_second / r[0].per_second));
        let thrift = median(rounds.iter().map(|r| r[0].cpu_us / r[index].cpu_us));
        println!("{name} / {first}: {speed:.2} (by server CPU: {thrift:.2})");
    }
}

/// What one round showed.
struct Round {
    per_second: f64,
    /// The server thread's processor time for a request; not a number where it cannot be read.
    cpu_us: f64,
}

/// A server on a thread of its own.
struct Site {
    address: SocketAddr,
    /// Where the kernel tells of its threads: one of them, or all of a process.
    tasks: Vec<PathBuf>,
    program: Option<Child>,
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(program) = &mut self.program {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

impl Site {
    /// Runs `serve` for ever. It tells its address when it listens.
    fn start<F: Future<Output = ()>>(
        serve: impl FnOnce(mpsc::Sender<SocketAddr>) -> F + Send + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::channel();
        let (thread_sender, thread) = mpsc::channel();
        std::thread::spawn(move || {
            thread_sender.send(this_thread()).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(serve(sender));
        });
        let task = |thread: u32| PathBuf::from(format!("/proc/self/task/{thread}"));
        let tasks = thread.recv().unwrap().map(task).into_iter().collect();
        Self { address: receiver.recv().unwrap(), tasks, program: None }
    }

    /// Starts the program with `flags`, on a free port that is found by trying it.
    fn program(flags: &str) -> Self {
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let flags = flags.split(' ').filter(|_| flags != "no flag");
        let program = Command::new(env!("CARGO_BIN_EXE_hello"))
            .args(["--listen", &address.to_string()])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        while TcpStream::connect(address).is_err() {
            std::thread::sleep(Duration::from_millis(2));
        }
        let tasks = std::fs::read_dir(format!("/proc/{}/task", program.id()));
        let tasks = tasks.into_iter().flatten().map(|task| task.unwrap().path()).collect();
        Self { address, tasks, program: Some(program) }
    }

    /// Waits until a program has written what it was told.
    fn settle(&self) {
        let mut before = None;
        while self.program.is_some() && self.cpu() != before {
            before = self.cpu();
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    /// Ends a program as Ctrl-C would; returns what it said on stderr.
    fn end(mut self) -> String {
        let mut said = String::new();
        if let Some(mut program) = self.program.take() {
            #[cfg(unix)]
            rustix::process::kill_process(
                rustix::process::Pid::from_child(&program),
                rustix::process::Signal::TERM,
            )
            .unwrap();
            #[cfg(not(unix))]
            program.kill().unwrap();
            program.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            program.wait().unwrap();
        }
        said
    }

    fn round(&self, size: &Size) -> Round {
        let mut clients: Vec<Client> =
            (0..size.connections).map(|_| Client::connect(self.address)).collect();
        self.settle();
        let cpu_before = self.cpu();
        let start = Instant::now();
        for _ in 0..size.requests_per_connection {
            for client in &mut clients {
                client.stream.write_all(REQUEST).unwrap();
            }
            for client in &mut clients {
                client.read_answer();
            }
        }
        let took = start.elapsed();
        self.settle();
        let cpu = self.cpu().zip(cpu_before).map(|(after, before)| after - before);
        let requests = (size.connections * size.requests_per_connection) as f64;
        Round {
            per_second: requests / took.as_secs_f64(),
            cpu_us: cpu.map_or(f64::NAN, |cpu| cpu.as_secs_f64() * 1e6 / requests),
        }
    }

    /// The processor time of the server's threads so far.
    fn cpu(&self) -> Option<Duration> {
        let of = |task: &PathBuf| {
            let text = std::fs::read_to_string(task.join("schedstat")).ok()?;
            Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
        };
        let times: Option<Vec<Duration>> = self.tasks.iter().map(of).collect();
        times.filter(|times| !times.is_empty()).map(|times| times.iter().sum())
    }
}

/// The kernel's number of this thread, where there is a `/proc`.
fn this_thread() -> Option<u32> {
    let link = std::fs::read_link("/proc/thread-self").ok()?;
    link.file_name()?.to_str()?.parse().ok()
}

/// As little as possible around hyper. The header is hello's, so that both send the same bytes.
async fn bare_hyper(told: mpsc::Sender<SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    told.send(listener.local_addr().unwrap()).unwrap();
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

async fn hello(told: mpsc::Sender<SocketAddr>, observer: Option<Arc<AtomicU64>>) {
    let any_port = "127.0.0.1:0".parse().unwrap();
    let mut server = server::Server::bind(any_port, server::Answer::default()).unwrap();
    if let Some(events) = observer {
        server = server.observed_by(Arc::new(move |_| {
            events.fetch_add(1, Ordering::Relaxed);
        }));
    }
    told.send(server.address().socket_addr()).unwrap();
    let _running = server.start();
    std::future::pending::<()>().await;
}

/// A client so simple that it costs less than any server.
struct Client {
    stream: TcpStream,
    /// As long as an answer, learnt from the first one.
    answer: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(REQUEST).unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nHello world") {
            let mut some = [0; 1024];
            let read = stream.read(&mut some).unwrap();
            assert_ne!(read, 0, "the server closed");
            answer.extend_from_slice(&some[..read]);
        }
        Self { stream, answer }
    }

    fn read_answer(&mut self) {
        self.stream.read_exact(&mut self.answer).unwrap();
        assert!(self.answer.ends_with(b"\r\n\r\nHello world"));
    }
}

/// A whole answer but for the line that changes every second.
fn answer_without_date(address: SocketAddr) -> String {
    let text = String::from_utf8(Client::connect(address).answer).unwrap();
    text.lines()
        .filter(|line| !line.starts_with("date: "))
        .map(|line| format!("{line}\n"))
        .collect()
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
