//! A server on threads of its own, clients that speak bare HTTP, and all the server tells.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use server::{Answer, RunningServer, Server, ServerEvent, ServerMoment};
use tokio::runtime::{Builder, Runtime};

/// How long a test waits for something that must happen.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub fn answer() -> Answer {
    Answer::default()
}

/// A pause that no test lives to see the end of.
pub const FOREVER: Duration = Duration::from_secs(3600);

/// A running server, and its witness.
pub struct Site {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<ServerEvent>>>,
    server: Option<RunningServer>,
    runtime: Runtime,
}

impl Site {
    pub fn new(answer: Answer) -> Self {
        Self::of(bind(answer).1)
    }

    /// Starts a server that listens already.
    pub fn of(bound: Bound) -> Self {
        let heard: Arc<Mutex<Vec<ServerEvent>>> = Arc::default();
        let ear = Arc::clone(&heard);
        let listener = Arc::new(move |event| ear.lock().unwrap().push(event));
        Self::start(bound.map(|server| server.observed_by(listener)), heard)
    }

    /// Starts a server that nobody observes.
    pub fn unobserved(bound: Bound) -> Self {
        Self::start(bound, Arc::default())
    }

    fn start(bound: Bound, heard: Arc<Mutex<Vec<ServerEvent>>>) -> Self {
        let Bound { server, runtime } = bound;
        let address = server.address().socket_addr();
        let server = runtime.block_on(async { server.start() });
        Self { address, heard, server: Some(server), runtime }
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// One answer to one request on a connection of its own.
    pub fn get(&self, target: &str) -> Response {
        self.connect().get(target)
    }

    /// Stops the server; returns how many connections were cut off.
    pub fn stop(&mut self, grace: Duration) -> usize {
        let stop = self.server.take().unwrap().stop(grace);
        let stopped =
            self.runtime.block_on(async { tokio::time::timeout(DEADLINE * 2, stop).await });
        stopped.expect("the stop has an end")
    }

    /// Lets go of the server without stopping it.
    pub fn drop_server(&mut self) {
        drop(self.server.take().unwrap());
    }

    pub fn events(&self) -> Vec<ServerEvent> {
        self.heard.lock().unwrap().clone()
    }

    /// What was told of the connection with this number.
    pub fn moments(&self, number: u64) -> Vec<ServerMoment> {
        let of_connection =
            |event: ServerEvent| (event.connection.0 == number).then_some(event.moment);
        self.events().into_iter().filter_map(of_connection).collect()
    }

    pub fn count(&self, is: impl Fn(&ServerMoment) -> bool) -> usize {
        self.events().iter().filter(|event| is(&event.moment)).count()
    }

    pub fn accepted(&self) -> usize {
        self.count(|moment| *moment == ServerMoment::Accepted)
    }

    pub fn closed(&self) -> usize {
        self.count(|moment| matches!(moment, ServerMoment::Closed { .. }))
    }

    /// Waits until the server has read the head of this many requests.
    pub fn until_requests(&self, count: usize) {
        let requests = || self.count(|moment| matches!(moment, ServerMoment::Request { .. }));
        until("requests", || requests() >= count);
    }

    /// Waits until this many connections are closed at the server's end.
    pub fn until_closed(&self, count: usize) {
        until("closed connections", || self.closed() >= count);
    }

    /// Waits for the end of connection 1; returns what was told of it.
    pub fn story(&self) -> Vec<ServerMoment> {
        self.until_closed(1);
        self.moments(1)
    }
}

/// A server that listens, and what it will run on.
pub struct Bound {
    server: Server,
    runtime: Runtime,
}

impl Bound {
    pub fn map(mut self, change: impl FnOnce(Server) -> Server) -> Self {
        self.server = change(self.server);
        self
    }
}

pub fn bind(answer: Answer) -> (SocketAddr, Bound) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server =
        runtime.block_on(async { Server::bind("127.0.0.1:0".parse().unwrap(), answer) }).unwrap();
    (server.address().socket_addr(), Bound { server, runtime })
}

/// Waits for an event with a deadline.
pub fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < DEADLINE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A client that knows just enough HTTP to see what the server sends.
pub struct Client(BufReader<TcpStream>);

#[derive(Debug)]
pub struct Response {
    pub version: String,
    pub status: u16,
    /// By name in lower case.
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        Self::of(TcpStream::connect_timeout(&address, DEADLINE).unwrap())
    }

    pub fn of(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(BufReader::new(stream))
    }

    pub fn stream(&self) -> &TcpStream {
        self.0.get_ref()
    }

    pub fn send(&mut self, text: &str) {
        self.send_bytes(text.as_bytes());
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    /// Sends to a server that may have gone.
    pub fn try_send(&mut self, text: &str) -> io::Result<()> {
        self.0.get_mut().write_all(text.as_bytes())
    }

    /// Sends a request in HTTP/1.1 without a body.
    pub fn ask(&mut self, method: &str, target: &str) {
        self.send(&format!("{method} {target} HTTP/1.1\r\nHost: hello\r\n\r\n"));
    }

    pub fn get(&mut self, target: &str) -> Response {
        self.ask("GET", target);
        self.response()
    }

    /// Reads a response with its body.
    pub fn response(&mut self) -> Response {
        let mut response = self.head();
        response.body = if response.header("transfer-encoding") == Some("chunked") {
            self.chunks()
        } else if let Some(length) = response.header("content-length") {
            let mut body = vec![0; length.parse().unwrap()];
            self.0.read_exact(&mut body).unwrap();
            body
        } else {
            self.rest()
        };
        response
    }

    /// Reads a head up to its empty line, and not a byte more.
    pub fn head(&mut self) -> Response {
        let line = self.line();
        let mut words = line.split(' ');
        let version = words.next().unwrap().to_owned();
        let status = words.next().unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        let mut headers = HashMap::new();
        loop {
            let line = self.line();
            if line.is_empty() {
                return Response { version, status, headers, body: Vec::new() };
            }
            let (name, value) = line.split_once(": ").unwrap();
            headers.insert(name.to_ascii_lowercase(), value.to_owned());
        }
    }

    fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let size = u64::from_str_radix(&self.line(), 16).unwrap();
            let read = (&mut self.0).take(size).read_to_end(&mut body).unwrap();
            assert_eq!(read as u64, size);
            assert_eq!(self.line(), "");
            if size == 0 {
                return body;
            }
        }
    }

    /// Reads a line that ends in CRLF; empty at the end of the stream, too.
    fn line(&mut self) -> String {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            match self.0.read(&mut byte) {
                Ok(0) => panic!("the server closed after {:?}", String::from_utf8_lossy(&line)),
                Ok(_) => line.push(byte[0]),
                Err(error) => panic!("no line from the server: {error}"),
            }
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).unwrap()
    }

    /// Reads exactly so many bytes, whatever they mean.
    pub fn read_exact(&mut self, bytes: &mut [u8]) {
        self.0.read_exact(bytes).unwrap();
    }

    /// Reads until the server closes.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).unwrap();
        rest
    }

    /// Waits until the server closes, without a byte before.
    pub fn sees_the_close(&mut self) -> io::Result<()> {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest)?;
        assert_eq!(String::from_utf8_lossy(&rest), "");
        Ok(())
    }

    /// Ends the connection with a reset instead of a FIN.
    pub fn reset(self) {
        let stream = self.0.into_inner();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}
